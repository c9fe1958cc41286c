// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
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

const unbounded = 1 << 40

func TestSameBytesAsPdata(t *testing.T) {
	e := NewEncoder(unbounded)
	for range 2 { // the second time with reused buffers
		want, err := (&ptrace.JSONMarshaler{}).MarshalTraces(fullTraces())
		require.NoError(t, err)
		parts, stats := e.Traces(fullTraces())
		require.Len(t, parts, 1)
		assert.Equal(t, string(want)+"\n", string(parts[0].Data))
		assert.Equal(t, Stats{Records: 12}, stats)
		assert.Equal(t, segment.Part{Type: segment.Spans, Project: "shop", Data: parts[0].Data, Records: 12}, parts[0])

		want, err = (&plog.JSONMarshaler{}).MarshalLogs(fullLogs())
		require.NoError(t, err)
		parts, _ = e.Logs(fullLogs())
		require.Len(t, parts, 1)
		assert.Equal(t, string(want)+"\n", string(parts[0].Data))

		want, err = (&pmetric.JSONMarshaler{}).MarshalMetrics(fullMetrics())
		require.NoError(t, err)
		parts, _ = e.Metrics(fullMetrics())
		require.Len(t, parts, 1)
		assert.Equal(t, string(want)+"\n", string(parts[0].Data))
	}
}

// NaN and infinities are no JSON numbers; they must come back as what they were.
func TestSpecialFloatsComeBack(t *testing.T) {
	e := NewEncoder(unbounded)
	parts, _ := e.Metrics(fullMetrics())
	md, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(parts[0].Data)
	require.NoError(t, err)
	ms := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
	assert.True(t, math.IsInf(ms.At(0).Gauge().DataPoints().At(1).DoubleValue(), -1))
	assert.True(t, math.IsNaN(ms.At(0).Gauge().DataPoints().At(0).Exemplars().At(1).DoubleValue()))
	assert.True(t, math.IsInf(ms.At(3).Histogram().DataPoints().At(0).Max(), 1))
	assert.True(t, math.IsNaN(ms.At(5).Summary().DataPoints().At(0).Sum()))
}

func TestSplitByProjectAndScore(t *testing.T) {
	ld := plog.NewLogs()
	add := func(project string, bodies ...string) {
		rl := ld.ResourceLogs().AppendEmpty()
		if project != "" {
			rl.Resource().Attributes().PutStr("project.id", project)
		}
		for _, b := range bodies {
			r := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
			r.Body().SetStr(b)
			switch {
			case strings.HasPrefix(b, "score"):
				r.SetEventName("gen_ai.evaluation.result")
			case strings.HasPrefix(b, "attr score"):
				r.Attributes().PutStr("event.name", "gen_ai.evaluation.result")
			}
		}
	}
	add("a", "one", "score 1", "two", "attr score 2")
	add("b", "three")
	add("", "four")
	add("a", "five")
	ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty() // empty: nothing
	ld.MarkReadOnly()

	parts, stats := NewEncoder(unbounded).Logs(ld)
	assert.Equal(t, Stats{Records: 7}, stats)
	got := map[string]string{}
	for _, p := range parts {
		back, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(p.Data)
		require.NoError(t, err)
		var bodies []string
		for _, rl := range back.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, r := range sl.LogRecords().All() {
					bodies = append(bodies, r.Body().Str())
				}
			}
		}
		got[string(p.Type)+"/"+p.Project] = strings.Join(bodies, ",")
		assert.Equal(t, len(bodies), p.Records)
	}
	assert.Equal(t, map[string]string{
		"logs/a": "one,two,five", "scores/a": "score 1,attr score 2", "logs/b": "three", "logs/default": "four",
	}, got)
}

func TestEmptyAndUnfinished(t *testing.T) {
	e := NewEncoder(unbounded)
	td := ptrace.NewTraces()
	parts, _ := e.Traces(td)
	assert.Empty(t, parts)
	ss := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty()
	ss.Spans().AppendEmpty().SetName("in progress")
	parts, stats := e.Traces(td)
	assert.Empty(t, parts)
	assert.Equal(t, Stats{Unfinished: 1}, stats)
	done := ss.Spans().AppendEmpty()
	done.SetName("done")
	done.SetEndTimestamp(1)
	parts, stats = e.Traces(td)
	require.Len(t, parts, 1)
	assert.NotContains(t, string(parts[0].Data), "in progress")
	assert.Equal(t, Stats{Records: 1, Unfinished: 1}, stats)

	md := pmetric.NewMetrics()
	sm := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty()
	sm.Metrics().AppendEmpty().SetEmptyGauge()
	sm.Metrics().AppendEmpty().SetName("no type")
	parts, _ = e.Metrics(md)
	assert.Empty(t, parts, "a metric without data points is poison for some readers and says nothing")
	parts, _ = e.Logs(plog.NewLogs())
	assert.Empty(t, parts)
}

func TestInvalidUTF8IsReplacedAndMarked(t *testing.T) {
	ld := plog.NewLogs()
	sl := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	sl.LogRecords().AppendEmpty().Body().SetStr("fine \ufffd é")
	sl.LogRecords().AppendEmpty().Body().SetStr("bro\xffken \xe6\xbc")
	sl.Scope().SetName("\xc0")
	ld.MarkReadOnly()
	parts, stats := NewEncoder(unbounded).Logs(ld)
	require.Len(t, parts, 1)
	assert.Equal(t, 2, stats.Repaired, "a record and a scope")
	require.True(t, utf8.Valid(parts[0].Data))
	back, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(parts[0].Data)
	require.NoError(t, err)
	bsl := back.ResourceLogs().At(0).ScopeLogs().At(0)
	assert.Equal(t, "\ufffd", bsl.Scope().Name())
	marked := func(m pcommon.Map) bool {
		v, ok := m.Get(AttrRepaired)
		return ok && v.Bool()
	}
	assert.True(t, marked(bsl.Scope().Attributes()))
	assert.False(t, marked(back.ResourceLogs().At(0).Resource().Attributes()))
	assert.Equal(t, "fine \ufffd é", bsl.LogRecords().At(0).Body().Str())
	assert.False(t, marked(bsl.LogRecords().At(0).Attributes()))
	assert.Equal(t, "bro\ufffdken \ufffd\ufffd", bsl.LogRecords().At(1).Body().Str())
	assert.True(t, marked(bsl.LogRecords().At(1).Attributes()))

	md := pmetric.NewMetrics()
	m := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("a\xff")
	m.SetEmptyGauge().DataPoints().AppendEmpty().SetIntValue(1)
	parts, stats = NewEncoder(unbounded).Metrics(md)
	assert.Equal(t, 1, stats.Repaired)
	mback, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(parts[0].Data)
	require.NoError(t, err)
	assert.True(t, marked(mback.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Metadata()))
}

func TestDeepNestingIsCut(t *testing.T) {
	ld := plog.NewLogs()
	r := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	v := r.Body()
	for range 20000 {
		v = v.SetEmptySlice().AppendEmpty()
	}
	parts, stats := NewEncoder(unbounded).Logs(ld)
	assert.Equal(t, 1, stats.Repaired)
	assert.Contains(t, string(parts[0].Data), tooDeep)
	_, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(parts[0].Data)
	require.NoError(t, err)
}

// checkLines returns how many records the lines of all parts hold, and fails if a line breaks a promise.
func checkLines(t testing.TB, parts []segment.Part, maxBytes int, records func(line []byte) (int, error)) int {
	total := 0
	for _, p := range parts {
		require.True(t, bytes.HasSuffix(p.Data, []byte("\n")))
		sum := 0
		for line := range bytes.Lines(p.Data) {
			require.True(t, json.Valid(line), "%q", line)
			require.True(t, utf8.Valid(line))
			n, err := records(line)
			require.NoError(t, err, "%s", line)
			require.Positive(t, n)
			if len(line) > maxBytes {
				require.Equal(t, 1, n, "a line of %d bytes holds more than one record", len(line))
			}
			sum += n
		}
		require.Equal(t, p.Records, sum)
		total += sum
	}
	return total
}

func traceRecords(line []byte) (int, error) {
	td, err := (&ptrace.JSONUnmarshaler{DisallowUnknownFields: true}).UnmarshalTraces(line)
	if err != nil {
		return 0, err
	}
	return td.SpanCount(), nil
}

func TestSplitByLength(t *testing.T) {
	for _, limit := range []int{1024, 3000, 20000, unbounded} {
		td := ptrace.NewTraces()
		for r := range 3 {
			rs := td.ResourceSpans().AppendEmpty()
			rs.Resource().Attributes().PutInt("r", int64(r))
			rs.SetSchemaUrl("https://resource")
			for s := range 4 {
				ss := rs.ScopeSpans().AppendEmpty()
				ss.Scope().SetName(fmt.Sprint("scope ", r, s))
				for i := range 20 {
					span := ss.Spans().AppendEmpty()
					span.SetName(fmt.Sprint("span ", r, s, i))
					span.SetEndTimestamp(1)
					span.Attributes().PutStr("pad", strings.Repeat("x", i*20))
				}
			}
		}
		big := td.ResourceSpans().At(1).ScopeSpans().At(1).Spans().AppendEmpty()
		big.SetEndTimestamp(1)
		big.SetName(strings.Repeat("b", 30000))
		td.MarkReadOnly()

		parts, stats := NewEncoder(limit).Traces(td)
		require.Len(t, parts, 1)
		assert.Equal(t, 241, checkLines(t, parts, limit, traceRecords))
		if limit != unbounded {
			assert.Equal(t, 1, stats.Oversize)
			assert.Equal(t, bytes.Count(parts[0].Data, []byte("\n"))-1, stats.Splits)
		} else {
			assert.Zero(t, stats.Splits)
		}
		// Nothing moved to another resource or scope, nothing changed its order.
		all := ptrace.NewTraces()
		for line := range bytes.Lines(parts[0].Data) {
			one, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line)
			require.NoError(t, err)
			for _, rs := range one.ResourceSpans().All() {
				for _, ss := range rs.ScopeSpans().All() {
					require.Equal(t, "https://resource", rs.SchemaUrl())
					require.Positive(t, ss.Spans().Len())
				}
				require.Positive(t, rs.ScopeSpans().Len())
				rs.CopyTo(all.ResourceSpans().AppendEmpty())
			}
		}
		assert.Equal(t, flatten(td), flatten(all))
	}
}

func flatten(td ptrace.Traces) (out []string) {
	for _, rs := range td.ResourceSpans().All() {
		r, _ := rs.Resource().Attributes().Get("r")
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				out = append(out, fmt.Sprint(r.Int(), ss.Scope().Name(), s.Name()))
			}
		}
	}
	return out
}

func TestOneMetricWithManyPointsIsSplit(t *testing.T) {
	md := pmetric.NewMetrics()
	sum := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptySum()
	sum.SetIsMonotonic(true)
	sum.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	for i := range 1000 {
		sum.DataPoints().AppendEmpty().SetIntValue(int64(i))
	}
	parts, _ := NewEncoder(2048).Metrics(md)
	next := int64(0)
	n := checkLines(t, parts, 2048, func(line []byte) (int, error) {
		back, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(line)
		if err != nil {
			return 0, err
		}
		s := back.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Sum()
		require.True(t, s.IsMonotonic())
		require.Equal(t, pmetric.AggregationTemporalityCumulative, s.AggregationTemporality())
		for _, p := range s.DataPoints().All() {
			require.Equal(t, next, p.IntValue())
			next++
		}
		return back.DataPointCount(), nil
	})
	assert.Equal(t, 1000, n)
}
