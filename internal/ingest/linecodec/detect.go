// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package linecodec

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/envelope"
	"github.com/tailrace/tailrace/internal/flatjson"
	"github.com/tailrace/tailrace/internal/ingest"
	"github.com/tailrace/tailrace/internal/jsonscan"
	"github.com/tailrace/tailrace/internal/otlpjson"
	"github.com/tailrace/tailrace/internal/segment"
)

// encoding is how a line is written.
type encoding int

const (
	otlpJSON encoding = iota
	flatJSON
	enveloped
)

// encodingOf tells the encoding of a line by the names of its members: OTLP/JSON has resourceSpans, resourceLogs or
// resourceMetrics; the columns of a flat line begin with a capital, and one is its time; everything else can
// only be a record of the replaced system. What is no JSON counts as OTLP/JSON, whose decoder says what is wrong with it.
func encodingOf(line []byte) encoding {
	if e, ok := encodingByKey(firstKey(line)); ok {
		return e
	}
	doc, err := jsonscan.New(line)
	if err != nil || doc.Kind() != jsonscan.Object {
		return otlpJSON
	}
	found, any := enveloped, false
	_ = doc.Object(func(key string) error {
		doc.Skip()
		any = true
		e, ok := encodingByKey([]byte(key))
		if ok && (found == enveloped || e == otlpJSON) {
			found = e
		}
		return nil
	})
	if !any {
		return otlpJSON
	}
	return found
}

// encodingByKey tells the encoding by the name of a member; false: it says nothing.
func encodingByKey(key []byte) (encoding, bool) {
	switch string(key) {
	case "resourceSpans", "resourceLogs", "resourceMetrics", "resource_spans", "resource_logs", "resource_metrics":
		return otlpJSON, true
	case "Timestamp", "TimeUnix", "ResourceAttributes":
		return flatJSON, true
	}
	return 0, false
}

// firstKey is the name of the first member of an object, as it is written; nil when it takes more than a glance.
func firstKey(line []byte) []byte {
	rest, ok := bytes.CutPrefix(bytes.TrimLeft(line, " \t\r\n"), []byte("{"))
	if !ok {
		return nil
	}
	rest, ok = bytes.CutPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte(`"`))
	if !ok {
		return nil
	}
	end := bytes.IndexByte(rest, '"')
	if end < 0 || bytes.IndexByte(rest[:end], '\\') >= 0 {
		return nil
	}
	return rest[:end]
}

// hintOf is what the place of a segment says about records of the replaced system.
func hintOf(of ingest.Key) envelope.Hint {
	return envelope.Hint{Kind: of.Folder(), Project: segment.ProjectOfFolder(of.Project())}
}

// tableOf is the table in the name of a flat metrics segment, also in the name of what was put back from failed/ of it; "" when
// the name says nothing: then the columns do.
func tableOf(of ingest.Key) string {
	n, _ := segment.Parse(of.ID() + segment.SuffixPending)
	table, _, _ := strings.Cut(n.Table, "+")
	if slices.Contains(flatjson.Tables(), table) {
		return table
	}
	return ""
}

// wrongKind says what is wrong with a record that lies in the folder of another signal.
func wrongKind(err error) error {
	if errors.Is(err, envelope.ErrKind) {
		return errors.Join(err, errors.New("move the line into a segment below the folder of its kind"))
	}
	return err
}

func decodeTraces(of ingest.Key, line []byte, into ptrace.Traces) error {
	switch encodingOf(line) {
	case flatJSON:
		return flatjson.DecodeSpan(line, into)
	case enveloped:
		return wrongKind(envelope.DecodeSpan(line, hintOf(of), into))
	}
	return otlpjson.DecodeTraces(line, into)
}

func decodeLogs(of ingest.Key, line []byte, into plog.Logs) error {
	switch encodingOf(line) {
	case flatJSON:
		return flatjson.DecodeLog(line, into)
	case enveloped:
		return wrongKind(envelope.DecodeLog(line, hintOf(of), into))
	}
	return otlpjson.DecodeLogs(line, into)
}

func decodeMetrics(of ingest.Key, line []byte, into pmetric.Metrics) error {
	switch encodingOf(line) {
	case flatJSON:
		return flatjson.DecodeMetric(tableOf(of), line, into)
	case enveloped:
		return wrongKind(envelope.DecodeMetric(line, hintOf(of), into))
	}
	return otlpjson.DecodeMetrics(line, into)
}
