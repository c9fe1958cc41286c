// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package flatjson

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/segment"
)

const at = pcommon.Timestamp(1795415945756072444)

func sampleTraces() ptrace.Traces {
	td := ptrace.NewTraces()
	for _, project := range []string{"a", "b"} {
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr("project.id", project)
		rs.Resource().Attributes().PutStr("service.name", "svc")
		ss := rs.ScopeSpans().AppendEmpty()
		ss.Scope().SetName("agent")
		for i := range 3 {
			s := ss.Spans().AppendEmpty()
			s.SetName("chat \"x\"\n")
			s.SetKind(ptrace.SpanKind(i))
			s.SetTraceID([16]byte{1, 15: byte(i)})
			s.SetSpanID([8]byte{2})
			s.SetStartTimestamp(at)
			s.SetEndTimestamp(at + pcommon.Timestamp(i))
			s.Attributes().PutInt("z", 1)
			s.Attributes().PutDouble("a", 0.5)
			e := s.Events().AppendEmpty()
			e.SetName("ev")
			e.SetTimestamp(at + 1)
			e.Attributes().PutStr("k", "v")
			l := s.Links().AppendEmpty()
			l.SetTraceID([16]byte{9})
		}
	}
	return td
}

func sampleLogs() plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.SetSchemaUrl("u")
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().Attributes().PutStr("s", "t")
	for _, body := range []string{"plain", "Zürich \U0001F686 \u2028", "\x01\t\\"} {
		r := sl.LogRecords().AppendEmpty()
		r.SetTimestamp(at)
		r.SetSeverityNumber(9)
		r.SetSeverityText("INFO")
		r.Body().SetStr(body)
		r.Attributes().PutStr("k", body)
	}
	sl.LogRecords().At(1).SetEventName("gen_ai.evaluation.result")
	return ld
}

func sampleMetrics() pmetric.Metrics {
	md := pmetric.NewMetrics()
	sm := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty()
	g := sm.Metrics().AppendEmpty()
	g.SetName("g")
	for _, v := range []float64{0, -1.5, 1e300, 1e-9, math.NaN(), math.Inf(1), math.Inf(-1)} {
		p := g.SetEmptyGauge().DataPoints().AppendEmpty()
		p.SetTimestamp(at)
		p.SetDoubleValue(v)
	}
	s := sm.Metrics().AppendEmpty().SetEmptySum()
	s.SetIsMonotonic(true)
	p := s.DataPoints().AppendEmpty()
	p.SetTimestamp(at)
	p.SetIntValue(5)
	h := sm.Metrics().AppendEmpty().SetEmptyHistogram().DataPoints().AppendEmpty()
	h.SetTimestamp(at)
	h.BucketCounts().FromRaw([]uint64{1, math.MaxUint64})
	h.ExplicitBounds().FromRaw([]float64{0.5})
	h.Exemplars().AppendEmpty().SetDoubleValue(2)
	x := sm.Metrics().AppendEmpty().SetEmptyExponentialHistogram().DataPoints().AppendEmpty()
	x.SetTimestamp(at)
	x.SetScale(-2)
	x.Negative().BucketCounts().FromRaw([]uint64{3})
	q := sm.Metrics().AppendEmpty().SetEmptySummary().DataPoints().AppendEmpty()
	q.SetTimestamp(at)
	q.QuantileValues().AppendEmpty().SetQuantile(0.5)
	return md
}

// again decodes all lines of a part and encodes what comes out.
func again(t *testing.T, p segment.Part) []byte {
	t.Helper()
	td, ld, md := ptrace.NewTraces(), plog.NewLogs(), pmetric.NewMetrics()
	for line := range bytes.Lines(p.Data) {
		require.True(t, json.Valid(line), string(line))
		switch p.Type {
		case segment.Spans:
			require.NoError(t, DecodeSpan(line, td))
		case segment.Metrics:
			require.Equal(t, p.Table, TableOf(line))
			require.NoError(t, DecodeMetric("", line, md))
		default:
			require.NoError(t, DecodeLog(line, ld))
		}
	}
	enc := NewEncoder(1 << 20)
	var parts []segment.Part
	switch p.Type {
	case segment.Spans:
		parts, _ = enc.Traces(td)
		assert.Equal(t, 1, td.ResourceSpans().Len(), "records of one resource are put together")
	case segment.Metrics:
		parts, _ = enc.Metrics(md)
		assert.Equal(t, 1, md.MetricCount(), "data points of one metric are put together")
	default:
		parts, _ = enc.Logs(ld)
	}
	require.Len(t, parts, 1)
	return parts[0].Data
}

// What is read from a line is written as the same line.
func TestReadingGivesBackWhatWasWritten(t *testing.T) {
	enc := NewEncoder(1 << 20)
	check := func(parts []segment.Part, stats Stats, want ...string) {
		t.Helper()
		var got []string
		for _, p := range parts {
			got = append(got, string(p.Type)+"/"+p.Project+"/"+p.Table)
			assert.Equal(t, string(p.Data), string(again(t, p)))
			assert.Equal(t, p.Records, bytes.Count(p.Data, []byte{'\n'}))
		}
		assert.ElementsMatch(t, want, got)
		assert.Zero(t, stats.Repaired)
	}
	parts, stats := enc.Traces(sampleTraces())
	check(parts, stats, "spans/a/", "spans/b/")
	parts, stats = enc.Logs(sampleLogs())
	check(parts, stats, "logs/default/", "scores/default/")
	parts, stats = enc.Metrics(sampleMetrics())
	check(parts, stats, "metrics/default/gauge", "metrics/default/sum", "metrics/default/histogram",
		"metrics/default/exponential_histogram", "metrics/default/summary")
}

// The columns of a line are those that contrib's exporter names in its INSERT, and EventName.
func TestKeysAreTheExportersColumns(t *testing.T) {
	golden := columns(t)
	check := func(table string, line []byte) {
		t.Helper()
		var row map[string]any
		require.NoError(t, json.Unmarshal(line, &row))
		var got []string
		for k := range row {
			got = append(got, k)
		}
		want := golden[table]
		if table == "otel_logs" {
			want = append(want, "EventName")
		}
		assert.ElementsMatch(t, want, got, table)
	}
	enc := NewEncoder(1 << 20)
	parts, _ := enc.Traces(sampleTraces())
	check("otel_traces", bytes.SplitAfter(parts[0].Data, []byte{'\n'})[0])
	parts, _ = enc.Logs(sampleLogs())
	check("otel_logs", bytes.SplitAfter(parts[0].Data, []byte{'\n'})[0])
	parts, _ = enc.Metrics(sampleMetrics())
	for _, p := range parts {
		check("otel_metrics_"+p.Table, bytes.SplitAfter(p.Data, []byte{'\n'})[0])
	}
}

func TestInvalidTextIsReplacedMarkedAndCounted(t *testing.T) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	recs := rl.ScopeLogs().AppendEmpty().LogRecords()
	recs.AppendEmpty().Body().SetStr("a\xffb")
	recs.AppendEmpty().Body().SetStr("fine")
	recs.AppendEmpty().Attributes().PutStr("k\xc3", "v")
	enc := NewEncoder(100)
	parts, stats := enc.Logs(ld)
	assert.Equal(t, 2, stats.Repaired)
	assert.Equal(t, 3, stats.Oversize, "every line is longer than 100 bytes, and is written all the same")
	require.True(t, utf8.Valid(parts[0].Data))
	assert.Equal(t, 2, strings.Count(string(parts[0].Data), `"tailrace.repaired":"true"`))
	assert.Contains(t, string(parts[0].Data), "a\ufffdb")

	rl.Resource().Attributes().PutStr("r", "\xff")
	_, stats = enc.Logs(ld)
	assert.Equal(t, 3, stats.Repaired, "a resource stands in every line")
}

func TestUnfinishedSpansAreLeftOut(t *testing.T) {
	td := sampleTraces()
	td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).SetEndTimestamp(0)
	parts, stats := NewEncoder(1 << 20).Traces(td)
	assert.Equal(t, 1, stats.Unfinished)
	assert.Equal(t, 5, stats.Records)
	assert.Equal(t, 2, parts[0].Records)
}

func TestRefused(t *testing.T) {
	for line, want := range map[string]string{
		`{}`: "no Timestamp", `{`: "not valid JSON", `[]`: "an array, not an object",
		`{"Timestamp":1795415945}`:                                                             "says nothing about its unit",
		`{"Timestamp":"soon"}`:                                                                 "soon",
		`{"Timestamp":"9999-01-01T00:00:00Z"}`:                                                 "64 bits",
		`{"Timestamp":"2026-01-01T00:00:00Z","Duration":-1}`:                                   "Duration",
		`{"Timestamp":"2026-01-01T00:00:00Z","SpanKind":"Sideways"}`:                           "Sideways",
		`{"Timestamp":"2026-01-01T00:00:00Z","SpanAttributes":{"a":1}}`:                        "SpanAttributes: a: a number, not a string",
		`{"Timestamp":"2026-01-01T00:00:00Z","Events.Name":["a"],"Events.Timestamp":[]}`:       "different lengths",
		`{"Timestamp":"2026-01-01T00:00:00Z","Events.Name":["a"],"Events.Attributes":[{},{}]}`: "different lengths",
	} {
		td := ptrace.NewTraces()
		require.ErrorContains(t, DecodeSpan([]byte(line), td), want, line)
		assert.Zero(t, td.ResourceSpans().Len())
	}
	require.ErrorContains(t, DecodeMetric("gauge", []byte(`{}`), pmetric.NewMetrics()), "no TimeUnix")
	require.ErrorContains(t, DecodeMetric("x", []byte(`{"TimeUnix":"2026-01-01 00:00:00"}`), pmetric.NewMetrics()), "no table")
}

// Lines of ClickHouse's own (SELECT … FORMAT JSONEachRow), with other ids, and with columns that came later, are read as well.
func TestForeignLines(t *testing.T) {
	td := ptrace.NewTraces()
	require.NoError(t, DecodeSpan([]byte(`{"Timestamp":"2026-11-23 06:39:05.756072444","TraceId":"run-1","SpanId":"step-1","ParentSpanId":"","Duration":"5","New":{"x":[1]}}`), td))
	s := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
	assert.Equal(t, at, s.StartTimestamp())
	assert.Equal(t, at+5, s.EndTimestamp())
	assert.Equal(t, map[string]any{"tailrace.original.trace_id": "run-1", "tailrace.original.span_id": "step-1"}, s.Attributes().AsRaw())
}

// FuzzDecode: never a panic; what is read can be written, and is then read and written the same for ever.
func FuzzDecode(f *testing.F) {
	enc := NewEncoder(1 << 20)
	seed := func(parts []segment.Part, _ Stats) {
		for _, p := range parts {
			for line := range bytes.Lines(p.Data) {
				f.Add(line)
			}
		}
	}
	seed(enc.Traces(sampleTraces()))
	seed(enc.Logs(sampleLogs()))
	seed(enc.Metrics(sampleMetrics()))
	f.Fuzz(func(t *testing.T, line []byte) {
		enc := NewEncoder(1 << 20)
		stable := func(parts []segment.Part, next func(line []byte) []segment.Part) {
			if len(parts) == 0 {
				return // a span without an end
			}
			first := bytes.Clone(parts[0].Data)
			require.True(t, json.Valid(first))
			second := next(first)
			require.Len(t, second, 1)
			require.Equal(t, string(first), string(second[0].Data))
		}
		td := ptrace.NewTraces()
		if DecodeSpan(line, td) == nil {
			parts, _ := enc.Traces(td)
			stable(parts, func(line []byte) []segment.Part {
				td := ptrace.NewTraces()
				require.NoError(t, DecodeSpan(line, td))
				parts, _ := enc.Traces(td)
				return parts
			})
		}
		ld := plog.NewLogs()
		if DecodeLog(line, ld) == nil {
			parts, _ := enc.Logs(ld)
			stable(parts, func(line []byte) []segment.Part {
				ld := plog.NewLogs()
				require.NoError(t, DecodeLog(line, ld))
				parts, _ := enc.Logs(ld)
				return parts
			})
		}
		md := pmetric.NewMetrics()
		if DecodeMetric("", line, md) == nil {
			parts, _ := enc.Metrics(md)
			table := parts[0].Table
			stable(parts, func(line []byte) []segment.Part {
				md := pmetric.NewMetrics()
				require.NoError(t, DecodeMetric(table, line, md))
				parts, _ := enc.Metrics(md)
				return parts
			})
		}
	})
}

// columns reads what the exporter inserts, by table, from the file that the migrations are tested against.
func columns(t *testing.T) map[string][]string {
	t.Helper()
	raw, err := os.ReadFile("../clickhouse/testdata/contrib-0.161.0-inserts.txt")
	require.NoError(t, err)
	out := map[string][]string{}
	for line := range strings.Lines(string(raw)) {
		if table, names, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && !strings.HasPrefix(line, "#") {
			out[table] = strings.Split(names, ", ")
		}
	}
	require.Len(t, out, 7)
	return out
}
