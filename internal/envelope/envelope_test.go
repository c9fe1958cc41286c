// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

const (
	spanLine  = `{"type":"span","data":{"spanId":"550e8400-e29b-41d4-a716-446655440000","traceId":"run-7","parentSpanId":null,"projectId":"shop","deploymentId":"d1","name":"step","kind":"client","status":"error","startTime":"2026-01-02T03:04:05.678Z","endTime":"2026-01-02T03:04:05.678Z","durationMs":0,"attributes":{"n":0,"f":1.5,"big":18446744073709551615,"none":null,"list":[1,"a"],"o":{"k":true}},"events":[{"name":"e","timestamp":"2026-01-02T03:04:05.700Z","attributes":{"a":"b"}}],"extra":"kept"}}`
	childLine = `{"type":"span","data":{"spanId":"eee19b7ec3c1b174","traceId":"run-7","parentSpanId":"550e8400-e29b-41d4-a716-446655440000","projectId":"shop","deploymentId":"d1","name":"child","kind":"weird","status":"odd","startTime":"2026-01-02T03:04:05Z","endTime":null,"durationMs":2.5}}`
	traceLine = `{"type":"trace","data":{"traceId":"5b8efff7-9803-8103-d269-b633813fc60c","projectId":"shop","name":"run","status":"ok","startTime":"2026-01-02T03:04:05Z","endTime":null,"durationMs":null,"metadata":{"user":"u"}}}`
	logLine   = `{"type":"log","data":{"id":"l1","projectId":"shop","deploymentId":"d1","traceId":null,"spanId":null,"level":"warn","message":"","timestamp":"2026-01-02T03:04:05.001Z","attributes":{}}}`
	oldLog    = `{"id":"l2","projectId":"shop","deploymentId":"d1","level":"info","message":"flat","timestamp":1767323045001}`
	scoreLine = `{"type":"score","data":{"id":"s1","projectId":"shop","deploymentId":"d1","traceId":"5b8efff798038103d269b633813fc60c","name":"accuracy","value":0,"normalizedValue":0,"comment":null,"timestamp":"2026-01-02T03:04:05Z","metadata":{"judge":"m"}}}`
	metricTpl = `{"type":"metric","data":{"id":"m1","projectId":"shop","name":"tokens","type":"KIND","value":0,"unit":null,"timestamp":"2026-01-02T03:04:05Z","labels":{"tool":"x"}}}`
)

func TestSpan(t *testing.T) {
	td := ptrace.NewTraces()
	require.NoError(t, DecodeSpan([]byte(spanLine), Hint{}, td))
	require.NoError(t, DecodeSpan([]byte(childLine), Hint{}, td))
	require.Equal(t, 1, td.ResourceSpans().Len(), "one resource for both")
	assert.Equal(t, map[string]any{"project.id": "shop", "deployment.id": "d1"}, td.ResourceSpans().At(0).Resource().Attributes().AsRaw())
	spans := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
	require.Equal(t, 2, spans.Len())
	s, child := spans.At(0), spans.At(1)
	assert.Equal(t, s.StartTimestamp(), s.EndTimestamp(), "zero stays zero")
	assert.Equal(t, ptrace.SpanKindClient, s.Kind())
	assert.Equal(t, ptrace.StatusCodeError, s.Status().Code())
	assert.True(t, s.ParentSpanID().IsEmpty())
	assert.False(t, s.SpanID().IsEmpty())
	assert.Equal(t, map[string]any{
		"n": int64(0), "f": 1.5, "big": 18446744073709551615.0, "none": nil, "list": []any{int64(1), "a"}, "o": map[string]any{"k": true},
		"tailrace.original.trace_id": "run-7", "tailrace.original.span_id": "550e8400-e29b-41d4-a716-446655440000", "tailrace.original.extra": "kept",
	}, s.Attributes().AsRaw())
	require.Equal(t, 1, s.Events().Len())
	assert.Equal(t, "e", s.Events().At(0).Name())
	assert.Equal(t, s.StartTimestamp()+22e6, s.Events().At(0).Timestamp())

	assert.Equal(t, s.TraceID(), child.TraceID(), "the same id is hashed to the same")
	assert.Equal(t, s.SpanID(), child.ParentSpanID())
	assert.Equal(t, "eee19b7ec3c1b174", child.SpanID().String())
	assert.EqualValues(t, 2_500_000, child.EndTimestamp()-child.StartTimestamp())
	kind, _ := child.Attributes().Get("tailrace.original.kind")
	assert.Equal(t, "weird", kind.Str(), "a value that is not known fails nothing")
	status, _ := child.Attributes().Get("tailrace.original.status")
	assert.Equal(t, "odd", status.Str())
}

func TestTraceBecomesASummarySpan(t *testing.T) {
	td := ptrace.NewTraces()
	require.NoError(t, DecodeSpan([]byte(traceLine), Hint{}, td))
	s := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
	assert.Equal(t, "5b8efff798038103d269b633813fc60c", s.TraceID().String())
	assert.False(t, s.SpanID().IsEmpty())
	assert.Equal(t, map[string]any{"tailrace.record": "trace", "metadata.user": "u", "tailrace.unfinished": true}, s.Attributes().AsRaw())
	assert.Equal(t, s.StartTimestamp(), s.EndTimestamp())
}

func TestLogsAndScores(t *testing.T) {
	ld := plog.NewLogs()
	require.NoError(t, DecodeLog([]byte(logLine), Hint{}, ld))
	require.NoError(t, DecodeLog([]byte(oldLog), Hint{Kind: "logs"}, ld))
	require.NoError(t, DecodeLog([]byte(scoreLine), Hint{}, ld))
	recs := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	require.Equal(t, 3, recs.Len())
	assert.Equal(t, plog.SeverityNumberWarn, recs.At(0).SeverityNumber())
	assert.Equal(t, map[string]any{"log.record.uid": "l1"}, recs.At(0).Attributes().AsRaw())
	assert.True(t, recs.At(0).TraceID().IsEmpty())
	assert.Equal(t, "flat", recs.At(1).Body().Str())
	assert.Equal(t, recs.At(0).Timestamp(), recs.At(1).Timestamp())
	assert.Equal(t, "gen_ai.evaluation.result", recs.At(2).EventName())
	assert.Equal(t, map[string]any{
		"log.record.uid": "s1", "event.name": "gen_ai.evaluation.result", "gen_ai.evaluation.name": "accuracy",
		"gen_ai.evaluation.score.value": 0.0, "gen_ai.evaluation.score.normalized": 0.0, "metadata.judge": "m",
	}, recs.At(2).Attributes().AsRaw(), "zero scores stay zero")
}

func TestMetrics(t *testing.T) {
	md := pmetric.NewMetrics()
	for _, kind := range []string{"counter", "gauge", "histogram", "timer"} {
		require.NoError(t, DecodeMetric([]byte(replace(metricTpl, kind)), Hint{}, md))
	}
	metrics := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
	require.Equal(t, 4, metrics.Len())
	sum := metrics.At(0).Sum()
	assert.True(t, sum.IsMonotonic())
	assert.Equal(t, pmetric.NumberDataPointValueTypeDouble, sum.DataPoints().At(0).ValueType(), "zero is a value")
	assert.Equal(t, map[string]any{"tool": "x"}, sum.DataPoints().At(0).Attributes().AsRaw())
	id, _ := sum.DataPoints().At(0).Exemplars().At(0).FilteredAttributes().Get("tailrace.original.id")
	assert.Equal(t, "m1", id.Str())
	assert.Equal(t, pmetric.MetricTypeGauge, metrics.At(1).Type())
	assert.EqualValues(t, 1, metrics.At(2).Histogram().DataPoints().At(0).Count())
	assert.True(t, metrics.At(2).Histogram().DataPoints().At(0).HasMin())
	kept, _ := metrics.At(3).Gauge().DataPoints().At(0).Attributes().Get("tailrace.original.type")
	assert.Equal(t, "timer", kept.Str())
}

func replace(tpl, kind string) string {
	return string(jsonReplace([]byte(tpl), kind))
}

func jsonReplace(tpl []byte, kind string) []byte {
	var v map[string]any
	_ = json.Unmarshal(tpl, &v)
	v["data"].(map[string]any)["type"] = kind
	out, _ := json.Marshal(v)
	return out
}

func TestHint(t *testing.T) {
	ld := plog.NewLogs()
	require.NoError(t, DecodeLog([]byte(`{"id":"x","timestamp":"2026-01-02T03:04:05Z"}`), Hint{Kind: "log", Project: "from the folder"}, ld))
	p, _ := ld.ResourceLogs().At(0).Resource().Attributes().Get("project.id")
	assert.Equal(t, "from the folder", p.Str())
}

// What cannot be read is refused with a reason, and leaves nothing behind.
func TestRefused(t *testing.T) {
	for line, want := range map[string]string{
		`{"type":"log","data":{"level":"info","message":"m"}}`:                                 "timestamp: missing",
		`{"type":"log","data":{"level":"info","message":"m","timestamp":"yesterday"}}`:         "yesterday",
		`{"type":"log","data":{"level":"info","message":"m","timestamp":{}}}`:                  "is no time",
		`{"type":"log","data":{"timestamp":"1969-01-01T00:00:00Z"}}`:                           "after 1970",
		`{"type":"nonsense","data":{}}`:                                                        "nonsense",
		`{"type":"score","data":{"name":"n","timestamp":"2026-01-02T03:04:05Z","value":null}}`: "value: missing",
		`{"type":"score","data":{"name":"n","timestamp":"2026-01-02T03:04:05Z","value":"x"}}`:  "is no number",
		spanLine: "another kind",
		`null`:   "null", `[]`: "array", `{"a":1}{`: "more than one", `{}`: "neither", `{`: "EOF",
	} {
		ld := plog.NewLogs()
		require.ErrorContains(t, DecodeLog([]byte(line), Hint{}, ld), want, line)
		assert.Zero(t, ld.ResourceLogs().Len(), line)
	}
	td := ptrace.NewTraces()
	require.ErrorIs(t, DecodeSpan([]byte(logLine), Hint{}, td), ErrKind)
	require.Error(t, DecodeSpan([]byte(`{"type":"span","data":{"startTime":"2026-01-02T03:04:05Z","events":[1]}}`), Hint{}, td))
	assert.Zero(t, td.ResourceSpans().Len())
	assert.Equal(t, KindSpan, Kind([]byte(spanLine), Hint{}))
	assert.Empty(t, Kind([]byte(`{}`), Hint{}))
}

// FuzzDecode: never a panic, the same line gives the same pdata, an error leaves nothing behind.
func FuzzDecode(f *testing.F) {
	for _, l := range []string{spanLine, childLine, traceLine, logLine, oldLog, scoreLine, metricTpl} {
		f.Add([]byte(l))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		hint := Hint{Kind: "logs", Project: "p"}
		td, ld, md := ptrace.NewTraces(), plog.NewLogs(), pmetric.NewMetrics()
		if DecodeSpan(line, hint, td) != nil {
			require.Zero(t, td.SpanCount())
		} else {
			require.Equal(t, 1, td.SpanCount())
		}
		if DecodeMetric(line, hint, md) != nil {
			require.Zero(t, md.DataPointCount())
		}
		if DecodeLog(line, hint, ld) != nil {
			require.Zero(t, ld.LogRecordCount())
			return
		}
		again := plog.NewLogs()
		require.NoError(t, DecodeLog(line, hint, again))
		a, _ := (&plog.ProtoMarshaler{}).MarshalLogs(ld)
		b, _ := (&plog.ProtoMarshaler{}).MarshalLogs(again)
		require.Equal(t, a, b)
	})
}
