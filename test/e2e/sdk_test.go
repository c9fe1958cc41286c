// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// sent is what the third-party app says that it sent; test/e2e/sdk/README.md describes the document.
type sent struct {
	Resource attributes
	Spans    []struct {
		TraceID       string `json:"trace_id"`
		SpanID        string `json:"span_id"`
		ParentSpanID  string `json:"parent_span_id"`
		TraceState    string `json:"trace_state"`
		Name, Kind    string
		StartUnixNano string `json:"start_unix_nano"`
		EndUnixNano   string `json:"end_unix_nano"`
		Status        struct{ Code, Message string }
		Attributes    attributes
		Events        []struct {
			Name         string
			TimeUnixNano string `json:"time_unix_nano"`
			Attributes   attributes
		}
		Links []struct {
			TraceID    string `json:"trace_id"`
			SpanID     string `json:"span_id"`
			TraceState string `json:"trace_state"`
			Attributes attributes
		}
		Scope struct{ Name, Version string }
	}
	Logs []struct {
		TimeUnixNano   string `json:"time_unix_nano"`
		SeverityNumber int    `json:"severity_number"`
		SeverityText   string `json:"severity_text"`
		EventName      string `json:"event_name"`
		Body           json.RawMessage
		Attributes     attributes
		TraceID        string `json:"trace_id"`
		SpanID         string `json:"span_id"`
	}
	Metrics []struct {
		Type         string
		Name, Unit   string
		TimeUnixNano string `json:"time_unix_nano"`
		Attributes   attributes
	}
}

// attributes maps a key to an OTLP AnyValue in its JSON form.
type attributes map[string]json.RawMessage

// strings renders attributes as the ClickHouse exporter does: every value as pdata's text.
func (a attributes) strings(t *testing.T) map[string]string {
	t.Helper()
	if len(a) == 0 {
		return map[string]string{}
	}
	var pairs []string
	for key, value := range a {
		k, err := json.Marshal(key)
		require.NoError(t, err)
		pairs = append(pairs, fmt.Sprintf(`{"key":%s,"value":%s}`, k, value))
	}
	out := map[string]string{}
	record(t, `"attributes":[`+strings.Join(pairs, ",")+`]`).Attributes().Range(func(k string, v pcommon.Value) bool {
		out[k] = v.AsString()
		return true
	})
	return out
}

// record decodes the fields of an OTLP/JSON log record.
func record(t *testing.T, fields string) plog.LogRecord {
	t.Helper()
	ld, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs([]byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{` + fields + `}]}]}]}`))
	require.NoError(t, err)
	return ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
}

// A real third-party SDK's output lands completely: what was sent is in ClickHouse, attribute for attribute.
func TestThirdPartySDK(t *testing.T) {
	p := startProduct(t, "config/otlp-only.yaml")
	for i, variant := range []struct{ protocol, compression string }{
		{"http/json", "none"}, {"http/protobuf", "none"}, {"http/json", "gzip"}, {"http/protobuf", "gzip"},
	} {
		t.Run(variant.protocol+" "+variant.compression, func(t *testing.T) {
			project := fmt.Sprintf("sdk%d", i)
			cmd := exec.Command("node", "send.mjs", "--endpoint", "http://"+p.http, "--protocol", variant.protocol,
				"--compression", variant.compression, "--spans", "300", "--seed", strconv.Itoa(i+1), "--project", project)
			cmd.Dir = filepath.Join(p.root, "test/e2e/sdk")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			raw, err := cmd.Output()
			require.NoError(t, err, "%s", &stderr)
			var doc sent
			require.NoError(t, json.Unmarshal(raw, &doc))
			require.Len(t, doc.Spans, 300)
			p.awaitCount(20*time.Second, uint64(len(doc.Spans)), "SELECT count() FROM tailrace.otel_traces WHERE ResourceAttributes['project.id'] = $1", project)
			p.awaitCount(20*time.Second, uint64(len(doc.Logs)), "SELECT count() FROM tailrace.otel_logs WHERE ResourceAttributes['project.id'] = $1", project)
			compareSpans(t, p, project, doc)
			compareLogs(t, p, project, doc)
			comparePoints(t, p, project, doc)
		})
	}
	p.stop()
}

func compareSpans(t *testing.T, p *product, project string, doc sent) {
	type row struct {
		TraceID, ParentSpanID, TraceState, Name, Kind, StatusCode, StatusMessage, ScopeName, ScopeVersion string
		Start                                                                                             int64
		Duration                                                                                          uint64
		Resource, Attributes                                                                              map[string]string
		EventTimes                                                                                        []int64
		EventNames                                                                                        []string
		EventAttributes                                                                                   []map[string]string
		LinkTraceIDs, LinkSpanIDs, LinkStates                                                             []string
		LinkAttributes                                                                                    []map[string]string
	}
	rows, err := p.conn.Query(t.Context(), `SELECT SpanId, TraceId, ParentSpanId, TraceState, SpanName, SpanKind, StatusCode, StatusMessage, ScopeName, ScopeVersion,
 toUnixTimestamp64Nano(Timestamp), Duration, ResourceAttributes, SpanAttributes,
 arrayMap(x -> toUnixTimestamp64Nano(x), Events.Timestamp), Events.Name, Events.Attributes, Links.TraceId, Links.SpanId, Links.TraceState, Links.Attributes
 FROM tailrace.otel_traces WHERE ResourceAttributes['project.id'] = $1`, project)
	require.NoError(t, err)
	defer rows.Close()
	got := map[string]row{}
	for rows.Next() {
		var id string
		var r row
		require.NoError(t, rows.Scan(&id, &r.TraceID, &r.ParentSpanID, &r.TraceState, &r.Name, &r.Kind, &r.StatusCode, &r.StatusMessage, &r.ScopeName, &r.ScopeVersion,
			&r.Start, &r.Duration, &r.Resource, &r.Attributes, &r.EventTimes, &r.EventNames, &r.EventAttributes,
			&r.LinkTraceIDs, &r.LinkSpanIDs, &r.LinkStates, &r.LinkAttributes))
		got[id] = r
	}
	require.NoError(t, rows.Err())
	resource := doc.Resource.strings(t)
	for _, s := range doc.Spans {
		start, end := number(t, s.StartUnixNano), number(t, s.EndUnixNano)
		want := row{
			TraceID: s.TraceID, ParentSpanID: s.ParentSpanID, TraceState: s.TraceState, Name: s.Name, Kind: s.Kind,
			StatusCode: s.Status.Code, StatusMessage: s.Status.Message, ScopeName: s.Scope.Name, ScopeVersion: s.Scope.Version,
			Start: start, Duration: uint64(end - start), Resource: resource, Attributes: s.Attributes.strings(t),
			EventTimes: []int64{}, EventNames: []string{}, EventAttributes: []map[string]string{},
			LinkTraceIDs: []string{}, LinkSpanIDs: []string{}, LinkStates: []string{}, LinkAttributes: []map[string]string{},
		}
		for _, e := range s.Events {
			want.EventTimes = append(want.EventTimes, number(t, e.TimeUnixNano))
			want.EventNames = append(want.EventNames, e.Name)
			want.EventAttributes = append(want.EventAttributes, e.Attributes.strings(t))
		}
		for _, l := range s.Links {
			want.LinkTraceIDs = append(want.LinkTraceIDs, l.TraceID)
			want.LinkSpanIDs = append(want.LinkSpanIDs, l.SpanID)
			want.LinkStates = append(want.LinkStates, l.TraceState)
			want.LinkAttributes = append(want.LinkAttributes, l.Attributes.strings(t))
		}
		require.Equal(t, want, got[s.SpanID], "span %s", s.SpanID)
	}
}

func compareLogs(t *testing.T, p *product, project string, doc sent) {
	type row struct {
		TraceID, SpanID, SeverityText, Body, EventName string
		Severity                                       uint8
		At                                             int64
		Attributes                                     map[string]string
	}
	rows, err := p.conn.Query(t.Context(), `SELECT TraceId, SpanId, SeverityText, Body, EventName, SeverityNumber, toUnixTimestamp64Nano(Timestamp), LogAttributes
 FROM tailrace.otel_logs WHERE ResourceAttributes['project.id'] = $1`, project)
	require.NoError(t, err)
	defer rows.Close()
	got := map[string]row{}
	for rows.Next() {
		var r row
		require.NoError(t, rows.Scan(&r.TraceID, &r.SpanID, &r.SeverityText, &r.Body, &r.EventName, &r.Severity, &r.At, &r.Attributes))
		assert.NotEmpty(t, r.Attributes["log.record.uid"], "every log record has a uid")
		got[r.Attributes["test.index"]] = r
	}
	require.NoError(t, rows.Err())
	for _, l := range doc.Logs {
		want := row{TraceID: l.TraceID, SpanID: l.SpanID, SeverityText: l.SeverityText, Severity: uint8(l.SeverityNumber), EventName: l.EventName,
			Body: record(t, `"body":`+string(l.Body)).Body().AsString(), At: number(t, l.TimeUnixNano), Attributes: l.Attributes.strings(t)}
		have := got[want.Attributes["test.index"]]
		// identity adds these two where the sender gave none.
		if _, ok := want.Attributes["log.record.uid"]; !ok {
			delete(have.Attributes, "log.record.uid")
		}
		if _, ok := want.Attributes["event.name"]; !ok {
			assert.Equal(t, l.EventName, have.Attributes["event.name"])
			delete(have.Attributes, "event.name")
		}
		require.Equal(t, want, have, "log record %s", want.Attributes["test.index"])
	}
}

func comparePoints(t *testing.T, p *product, project string, doc sent) {
	want := map[string]int{}
	for _, m := range doc.Metrics {
		want[fmt.Sprintf("%s %s %s %d %v", m.Type, m.Name, m.Unit, number(t, m.TimeUnixNano)/1e9, m.Attributes.strings(t))]++
	}
	read := func() map[string]int {
		got := map[string]int{}
		for _, kind := range []string{"gauge", "sum", "histogram", "exponential_histogram"} {
			rows, err := p.conn.Query(t.Context(), fmt.Sprintf(`SELECT MetricName, MetricUnit, toInt64(toUnixTimestamp(TimeUnix)), Attributes
 FROM tailrace.otel_metrics_%s WHERE ResourceAttributes['project.id'] = $1`, kind), project)
			require.NoError(t, err)
			for rows.Next() {
				var name, unit string
				var at int64
				var attrs map[string]string
				require.NoError(t, rows.Scan(&name, &unit, &at, &attrs))
				got[fmt.Sprintf("%s %s %s %d %v", kind, name, unit, at, attrs)]++
			}
			require.NoError(t, rows.Err())
			rows.Close()
		}
		return got
	}
	require.NotEmpty(t, want)
	require.Eventually(t, func() bool { return assert.ObjectsAreEqual(want, read()) }, 20*time.Second, 100*time.Millisecond,
		"want %v\ngot %v", want, read)
}

func number(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	return n
}
