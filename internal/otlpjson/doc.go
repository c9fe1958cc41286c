// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package otlpjson decodes OTLP/JSON (TracesData, LogsData, MetricsData) into pdata, several times as fast as
// pdata's own decoder and with a fraction of its allocations. That decoder, go.opentelemetry.io/collector/pdata's
// JSONUnmarshaler, is the reference: a document becomes the same pdata here, or is an error in both.
// FuzzTraces, FuzzLogs, FuzzMetrics and TestAgreesWithTheReference hold it to that.
//
//	td := ptrace.NewTraces()
//	for line := range lines {
//		if err := otlpjson.DecodeTraces(line, td); err != nil {
//			// nothing of the line is in td
//		}
//	}
//
// # What is read
//
// A document is one JSON value (RFC 8259) with white space around it: an object, or null for nothing. As in the reference:
//
//	fields        camelCase and snake_case, in any order; others are skipped, and must be JSON
//	twice         a field: the last counts, lists and attributes add up, messages are merged. A key: both are kept
//	null          nothing, for objects, lists and strings; an empty record as an element; an error elsewhere
//	integers      digits, or a string as strconv.ParseInt takes it; 1.0 and 1e3 are errors
//	floats        a number, or a string as strconv.ParseFloat takes it: "NaN", "Infinity", "0x1p-2"
//	enums         the number, known or not, or the name
//	ids           hexadecimal digits of either case in the right number, or none
//	bytes         base64 with padding, without escapes
//	strings       as they are, also where they are not UTF-8. Halves of surrogate pairs become U+FFFD. A control character is
//	              an error up to the first escape of a string, and is taken behind it
//	deprecated…   deprecatedScopeSpans and its kin stand in where there are no scopeSpans
//
// # Deviations from the reference
//
// The reference loses or invents data, or could end the process, in these; each has a test in deviations_test.go.
//
//	text that is not JSON       The reference goes on where it can: an object may begin in place of a comma, null ends an
//	                            object, -+5 is a number. A line that was torn or overwritten is half taken so. Here: error.
//	what follows the document   The reference does not look. Here: error.
//	a field without a name      The reference takes it for the end of the object and reads on in its middle. Here: skipped.
//	numbers out of range        The reference wraps some integers that are spelled as numbers around: a count of 5000000000
//	                            becomes 705032704. Here: error, as with strings.
//	"SEVERITY_NUMBER_TRACE"     The reference knows it with a space at its end only. Here: both.
//	nesting                     The reference recurses until the stack ends, and the process with it. Here: error behind MaxDepth.
//
// References to entities and indexes into string tables (which are of profiles) are in the OTLP of the reference, and pdata
// has no API for them. A document that has some is read here to find errors, and then decoded by the reference; such
// a document that has also a field without a name is an error. A TRACE severity by its name is an error in such a document too.
//
// # Memory
//
// The document is not written to and not kept: strings are copied out of it, short ones into pieces of memory
// of up to 8 KiB that they share with others of the same document. Attributes share memory likewise, with up to 127 others. So
// whoever keeps one value for long should copy it. The names of attributes are kept by the decoder, 256 at most, and are
// the same string in all records.
//
// Attributes are put into pdata's memory directly, see layout.go: if pdata is updated to another layout,
// TestLayoutIsKnown fails, and until layout.go is mended everything is decoded by the reference.
//
// All functions may be called from several goroutines at once, on different pdata.
package otlpjson
