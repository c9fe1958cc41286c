// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

// Format says as what a line was recognised.
type Format uint8

// The formats. FormatText is a line with a known prefix or a trace id; FormatNone one in which nothing was found.
const (
	FormatNone Format = iota
	FormatText
	FormatJSON
	FormatLogfmt
)

// String returns the name of the format, empty for FormatNone.
func (f Format) String() string {
	return [...]string{"", "text", "json", "logfmt"}[f&3]
}

// Record is what a line says. Its strings are parts of the line where possible, so they keep it in memory.
type Record struct {
	Format Format
	// Severity is a number of the OpenTelemetry log data model, 0 when the line names none.
	Severity Severity
	// SeverityText is the level as the line has it; for levels that are numbers or letters, the name of Severity.
	SeverityText string
	// Body is the message of a JSON or logfmt line that has one, and the whole line otherwise.
	Body string
	// Time is in nanoseconds since 1970, 0 when the line gives none or one that is more than a day off.
	Time int64
	// TraceID and SpanID are zero when the line gives none.
	TraceID [16]byte
	SpanID  [8]byte
	// Flags are the W3C trace flags.
	Flags uint8
	// Fields are the attributes that have no place above. A key may occur twice: the last one counts.
	Fields []Field
	// Lossy says that Body and the rest do not hold all that the line says: a limit was reached.
	Lossy bool
}

// Kind is the type of a Field.
type Kind uint8

// The kinds. KindJSON is an array, or an object that is nested too deep to be taken apart, as JSON text.
const (
	KindNull Kind = iota
	KindString
	KindInt
	KindFloat
	KindBool
	KindJSON
)

// Field is an attribute of a line. Keys of nested objects are joined with dots.
type Field struct {
	Key  string
	Kind Kind
	// Str is the value of KindString and KindJSON, and the text of a number.
	Str string
	// Int is the value of KindInt, and 1 for a KindBool that is true.
	Int int64
	// Float is the value of KindFloat.
	Float float64
}

// reset empties r and keeps the room for fields.
func (r *Record) reset() {
	clear(r.Fields)
	*r = Record{Fields: r.Fields[:0]}
}
