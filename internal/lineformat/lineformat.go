// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package lineformat finds out what a line of a segment is encoded as.
package lineformat

import (
	"bytes"

	"github.com/tailrace/tailrace/internal/jsonscan"
)

// Encoding of a line.
type Encoding int

// The encodings.
const (
	// Unknown is not an object, not JSON, or an object that says nothing.
	Unknown Encoding = iota
	// OTLPJSON is an OTLP/JSON document: package otlpjson, or pdata's unmarshalers.
	OTLPJSON
	// FlatJSON is one record with ClickHouse's columns: package flatjson.
	FlatJSON
	// Envelope is {"type": …, "data": …} or, older, such data without it: package envelope.
	Envelope
)

func (e Encoding) String() string {
	return [...]string{"unknown", "otlp_json", "flat_json", "envelope"}[e]
}

// Detect looks at the first member of the line, which is enough for what the jsonl exporter writes, and at all of them only
// if that says nothing. It does not check the rest of the line.
func Detect(line []byte) Encoding {
	if e := ofKey(firstKey(line)); e != Unknown {
		return e
	}
	s, err := jsonscan.New(line)
	if err != nil || s.Kind() != jsonscan.Object {
		return Unknown
	}
	found := Unknown
	typed, data := false, false
	_ = s.Object(func(key string) error {
		if found == Unknown {
			found = ofKey(key)
		}
		typed = typed || key == "type"
		data = data || key == "data" && s.Kind() == jsonscan.Object
		s.Skip()
		return nil
	})
	if found == Unknown && typed && data {
		return Envelope
	}
	return found
}

// ofKey knows the members that only one encoding has.
func ofKey(key string) Encoding {
	switch key {
	case "resourceSpans", "resourceLogs", "resourceMetrics", "resource_spans", "resource_logs", "resource_metrics":
		return OTLPJSON
	case "Timestamp", "TimeUnix":
		return FlatJSON
	case "projectId", "deploymentId", "traceId", "spanId":
		return Envelope
	}
	return Unknown
}

// firstKey returns the name of the first member of an object, if it is plain text.
func firstKey(line []byte) string {
	line = bytes.TrimLeft(line, " \t\r\n")
	if len(line) == 0 || line[0] != '{' {
		return ""
	}
	line = bytes.TrimLeft(line[1:], " \t\r\n")
	if len(line) == 0 || line[0] != '"' {
		return ""
	}
	end := bytes.IndexByte(line[1:], '"')
	if end < 0 || end > 32 {
		return ""
	}
	return string(line[1 : 1+end])
}
