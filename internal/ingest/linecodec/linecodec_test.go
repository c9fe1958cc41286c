// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package linecodec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/ingest"
)

// testKey is of a segment whose name says nothing.
const testKey ingest.Key = "spans/p/1"

const badTime = uint64(1<<63 + 5)

func spanLine(t testing.TB, starts ...uint64) []byte {
	t.Helper()
	d := ptrace.NewTraces()
	rs := d.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("project.id", "p")
	ss := rs.ScopeSpans().AppendEmpty()
	for i, ts := range starts {
		s := ss.Spans().AppendEmpty()
		s.SetName(fmt.Sprint("s", i))
		s.SetStartTimestamp(pcommon.Timestamp(ts))
	}
	line, err := (&ptrace.JSONMarshaler{}).MarshalTraces(d)
	require.NoError(t, err)
	return line
}

func day(n int) uint64 {
	return uint64(time.Date(2026, 1, 1, 5, 0, 0, 0, time.UTC).AddDate(0, 0, n).UnixNano())
}

func TestLinesThatAreRefused(t *testing.T) {
	for name, line := range map[string]string{
		"empty":         "",
		"not JSON":      "hello",
		"an array":      "[]",
		"torn":          `{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a`,
		"two documents": `{"resourceSpans":[{}]}{"resourceSpans":[{}]}`,
		"a tail":        `{"resourceSpans":[{}]} x`,
		"other signal":  `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}`,
		"nothing":       `{}`,
		"wrong type":    `{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":5}]}]}]}`,
		"wrong id":      `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}`,
		"nested":        `{"resourceSpans":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + `}`,
		"nested values": `{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":` + strings.Repeat(`{"arrayValue":{"values":[`, 100_000) +
			strings.Repeat("]}}", 100_000) + `}]}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			b := NewTraces()
			_, err := b.Add(testKey, []byte(line))
			require.Error(t, err)
			units, err := b.Units(nil)
			require.NoError(t, err)
			assert.Nil(t, units[0], "nothing of it was added")
		})
	}
}

func TestBracesAndQuotesInStringsAreNoStructure(t *testing.T) {
	for _, text := range []string{`{`, `}`, `\"}`, `\\`, `a\\\"]`, ``} {
		line := `{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"1","name":"` + text + `"}]}]}]}`
		added, err := NewTraces().Add(testKey, []byte(line))
		require.NoError(t, err, text)
		assert.Equal(t, 1, added.Records)
	}
}

func TestPoisonIsCutOut(t *testing.T) {
	b := NewTraces()
	line := spanLine(t, day(0), badTime, day(1))
	added, err := b.Add(testKey, line)
	require.NoError(t, err)
	assert.Equal(t, 2, added.Records)
	require.Len(t, added.Rejected, 1)
	assert.JSONEq(t, string(bytes.ReplaceAll(spanLine(t, badTime), []byte(`"s0"`), []byte(`"s1"`))), string(added.Rejected[0].Line))
	_, err = b.Units(b.Plan())
	require.NoError(t, err)
	part, err := b.Part(testKey, line, 0)
	require.NoError(t, err)
	assert.JSONEq(t, string(bytes.ReplaceAll(spanLine(t, day(0), day(1)), []byte(`"s1"`), []byte(`"s2"`))), string(part))

	d := plog.NewLogs()
	records := d.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	records.AppendEmpty().SetTimestamp(pcommon.Timestamp(badTime))
	records.AppendEmpty().SetObservedTimestamp(pcommon.Timestamp(badTime))
	fine := records.AppendEmpty()
	fine.SetTimestamp(5)
	fine.SetObservedTimestamp(pcommon.Timestamp(badTime)) // not stored, so no harm
	text, err := (&plog.JSONMarshaler{}).MarshalLogs(d)
	require.NoError(t, err)
	added, err = NewLogs().Add(testKey, text)
	require.NoError(t, err)
	assert.Equal(t, 1, added.Records)
	assert.Len(t, added.Rejected, 2)
}

func TestASpanThatEndsBeforeItsStartEndsAtIt(t *testing.T) {
	times := []struct{ start, end, want uint64 }{{day(1), day(1) - 1, day(1)}, {day(1), 0, day(1)}, {day(1), day(1), day(1)}, {day(1), day(2), day(2)}}
	d := ptrace.NewTraces()
	spans := d.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	for _, of := range times {
		s := spans.AppendEmpty()
		s.SetStartTimestamp(pcommon.Timestamp(of.start))
		s.SetEndTimestamp(pcommon.Timestamp(of.end))
	}
	late := spans.AppendEmpty()
	late.SetStartTimestamp(pcommon.Timestamp(day(0)))
	late.SetEndTimestamp(pcommon.Timestamp(badTime))
	line, err := (&ptrace.JSONMarshaler{}).MarshalTraces(d)
	require.NoError(t, err)
	b := NewTraces()
	added, err := b.Add(testKey, line)
	require.NoError(t, err)
	require.Len(t, added.Rejected, 1, "the end after 2262")
	assert.Equal(t, reasonTime, added.Rejected[0].Reason)
	units, err := b.Units(nil)
	require.NoError(t, err)
	var got []uint64
	eachSpan(units[0].(*Unit[ptrace.Traces]).Data, func(s ptrace.Span) { got = append(got, uint64(s.EndTimestamp())) })
	for i, of := range times {
		assert.Equal(t, of.want, got[i], "%+v", of)
	}
	spans.RemoveIf(func(s ptrace.Span) bool { return s.EndTimestamp() == pcommon.Timestamp(badTime) })
	want, err := (&ptrace.JSONMarshaler{}).MarshalTraces(d)
	require.NoError(t, err)
	part, err := b.Part(testKey, line, 0)
	require.NoError(t, err)
	assert.JSONEq(t, string(want), string(part), "a line that is kept stays as it was written")
}

func TestWhatHasNoTimeIsRefused(t *testing.T) {
	for line, b := range map[string]ingest.Batch{
		`{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a"},{"name":"b","startTimeUnixNano":"5"}]}]}]}`:                               NewTraces(),
		`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":9},{"observedTimeUnixNano":"5"}]}]}]}`:                            NewLogs(),
		`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":[{"asInt":"1"},{"asInt":"2","timeUnixNano":"5"}]}}]}]}]}`: NewMetrics(),
	} {
		added, err := b.Add(testKey, []byte(line))
		require.NoError(t, err, line)
		assert.Equal(t, 1, added.Records, line)
		require.Len(t, added.Rejected, 1, line)
		assert.Equal(t, reasonNoTime, added.Rejected[0].Reason)
	}
}

func TestPoisonousMetrics(t *testing.T) {
	d := pmetric.NewMetrics()
	metrics := d.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics()
	metrics.AppendEmpty().SetName("no type")
	gauge := metrics.AppendEmpty()
	gauge.SetName("gauge")
	gauge.SetEmptyGauge().DataPoints().AppendEmpty().SetTimestamp(pcommon.Timestamp(day(0)))
	gauge.Gauge().DataPoints().AppendEmpty().SetTimestamp(pcommon.Timestamp(badTime))
	sum := metrics.AppendEmpty().SetEmptySum().DataPoints()
	sum.AppendEmpty().Exemplars().AppendEmpty().SetTimestamp(pcommon.Timestamp(badTime))
	sum.AppendEmpty().SetStartTimestamp(pcommon.Timestamp(badTime))
	for _, dp := range sum.All() {
		dp.SetTimestamp(5)
	}
	metrics.AppendEmpty().SetEmptyHistogram().DataPoints().AppendEmpty().SetTimestamp(5)
	metrics.AppendEmpty().SetEmptyExponentialHistogram().DataPoints().AppendEmpty().SetTimestamp(pcommon.Timestamp(badTime))
	metrics.AppendEmpty().SetEmptySummary().DataPoints().AppendEmpty().SetTimestamp(5)
	text, err := (&pmetric.JSONMarshaler{}).MarshalMetrics(d)
	require.NoError(t, err)
	b := NewMetrics()
	added, err := b.Add(testKey, text)
	require.NoError(t, err)
	assert.Equal(t, 3, added.Records)
	assert.Len(t, added.Rejected, 4)
	units, err := b.Units(nil)
	require.NoError(t, err)
	left := units[0].(*Unit[pmetric.Metrics]).Data
	assert.Equal(t, 3, left.DataPointCount())
	eachMetric(left, func(_ pmetric.ResourceMetrics, _ pmetric.ScopeMetrics, m pmetric.Metric) {
		assert.NotEqual(t, pmetric.MetricTypeEmpty, m.Type())
	})
	for _, r := range added.Rejected { // put back without being mended it is rejected again, and nothing else happens
		again, err := NewMetrics().Add(testKey, r.Line)
		require.NoError(t, err)
		assert.Zero(t, again.Records)
		assert.Len(t, again.Rejected, 1)
	}
}

func TestUnitsFollowThePlanNotTheLines(t *testing.T) {
	var starts []uint64
	for i := range 100 {
		starts = append(starts, day(i))
	}
	build := func(lines ...[]byte) ingest.Batch {
		b := NewTraces()
		for _, l := range lines {
			_, err := b.Add(testKey, l)
			require.NoError(t, err)
		}
		return b
	}
	first, rest := spanLine(t, starts[:30]...), spanLine(t, starts[30:]...)
	b := build(first, rest)
	plan := b.Plan()
	units, err := b.Units(plan)
	require.NoError(t, err)
	require.Len(t, units, 3)
	assert.Equal(t, []int{48, 48, 4}, []int{units[0].Records(), units[1].Records(), units[2].Records()})

	// A part of the batch is gone at the repetition: what is left stays in the unit that it was in.
	again, err := build(rest).Units(plan)
	require.NoError(t, err)
	assert.Equal(t, []int{18, 48, 4}, []int{again[0].Records(), again[1].Records(), again[2].Records()})
	part, err := b.Part(testKey, first, 1)
	require.NoError(t, err)
	assert.Nil(t, part)
	part, err = b.Part(testKey, first, 0)
	require.NoError(t, err)
	assert.Equal(t, string(first), string(part))

	assert.Nil(t, build(spanLine(t, starts[:48]...)).Plan())
	_, err = b.Units(json.RawMessage(`"x"`))
	require.Error(t, err)
}

// FuzzAdd: any line is added or refused, never both, and twice the same; what a batch holds stays within the store's limits.
func FuzzAdd(f *testing.F) {
	f.Add([]byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a","startTimeUnixNano":"9223372036854775808"},{"events":[{"timeUnixNano":5}]}]}]}]}`))
	f.Add([]byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"\ud800"}}]}]}]}`))
	f.Add([]byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m"},{"sum":{"dataPoints":[{"asDouble":"NaN","exemplars":[{}]}]}}]}]}]}`))
	f.Add([]byte("\xff{"))
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, newBatch := range []func() ingest.Batch{NewTraces, NewLogs, NewMetrics} {
			b, again := newBatch(), newBatch()
			added, err := b.Add(testKey, line)
			same, err2 := again.Add(testKey, line)
			require.Equal(t, err == nil, err2 == nil)
			require.Equal(t, added, same)
			units, uerr := b.Units(b.Plan())
			require.NoError(t, uerr)
			n := 0
			for _, u := range units {
				if u != nil {
					n += u.Records()
				}
			}
			require.Equal(t, added.Records, n)
		}
	})
}

// benchLine is a line of 100 spans as an agent's app sends them, about 100 KB.
func benchLine(b *testing.B) []byte {
	d := ptrace.NewTraces()
	rs := d.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "agent")
	ss := rs.ScopeSpans().AppendEmpty()
	for i := range 100 {
		s := ss.Spans().AppendEmpty()
		s.SetTraceID([16]byte{1, byte(i)})
		s.SetSpanID([8]byte{1, byte(i)})
		s.SetName("chat gpt")
		s.SetStartTimestamp(pcommon.Timestamp(day(0)))
		s.SetEndTimestamp(pcommon.Timestamp(day(0) + 1e9))
		for a := range 8 {
			s.Attributes().PutStr(fmt.Sprint("gen_ai.attribute.", a), strings.Repeat("v", 60))
		}
	}
	line, err := (&ptrace.JSONMarshaler{}).MarshalTraces(d)
	require.NoError(b, err)
	return line
}

func BenchmarkDecodeAndBatch(b *testing.B) {
	line := benchLine(b)
	b.SetBytes(int64(len(line) * 100))
	b.ReportAllocs()
	for b.Loop() {
		batch := NewTraces()
		for range 100 {
			if _, err := batch.Add(testKey, line); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := batch.Units(batch.Plan()); err != nil {
			b.Fatal(err)
		}
	}
}
