// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"fmt"
	"math"
	"math/rand/v2"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// generator makes pdata in which any field may be set to anything.
type generator struct{ *rand.Rand }

// some calls f up to n times.
func (g generator) some(n int, f func()) {
	for range g.IntN(n + 1) {
		f()
	}
}

func (g generator) maybe() bool { return g.IntN(2) == 0 }

var texts = []string{
	"", "a", "gpt-5-mini", "line\nline\t\"quoted\" \\ back / slash", "Zürich 東京 🛩️", "\u2028\x7f\x00\x01", "\xff\xfe not UTF-8 \xed\xa0\x80",
	"exactly8", "exactly 16 bytes", "a text that is longer than two words of eight bytes, with a quote at its end\"",
}

func (g generator) text() string { return texts[g.IntN(len(texts))] }

func (g generator) uint() uint64 {
	return []uint64{0, 1, 42, 1795477435123456789, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64, g.Uint64()}[g.IntN(8)]
}

func (g generator) int() int64 { return int64(g.uint()) }

func (g generator) time() pcommon.Timestamp { return pcommon.Timestamp(g.uint()) }

func (g generator) float() float64 {
	return []float64{
		0, math.Copysign(0, -1), 1, -1.5, 0.1, 1e21, 1e-7, 123456789.123, math.MaxFloat64, math.SmallestNonzeroFloat64, math.NaN(), math.Inf(1),
		math.Inf(-1), 9007199254740993, g.NormFloat64(), math.Float64frombits(g.Uint64()),
	}[g.IntN(16)]
}

func (g generator) traceID() (id [16]byte) {
	for i := range id {
		id[i] = byte(g.Uint32())
	}
	return id
}

func (g generator) spanID() (id [8]byte) {
	for i := range id {
		id[i] = byte(g.Uint32())
	}
	return id
}

func (g generator) value(v pcommon.Value, depth int) {
	n := 8
	if depth <= 0 {
		n = 6
	}
	switch g.IntN(n) {
	case 0:
	case 1:
		v.SetStr(g.text())
	case 2:
		v.SetInt(g.int())
	case 3:
		v.SetDouble(g.float())
	case 4:
		v.SetBool(g.maybe())
	case 5:
		v.SetEmptyBytes().FromRaw([]byte(g.text()))
	case 6:
		s := v.SetEmptySlice()
		g.some(3, func() { g.value(s.AppendEmpty(), depth-1) })
	case 7:
		g.attributes(v.SetEmptyMap(), depth-1)
	}
}

func (g generator) attributes(m pcommon.Map, depth int) {
	n := 4
	if g.IntN(200) == 0 {
		n = 300
	}
	g.some(n, func() { g.value(m.PutEmpty(fmt.Sprint(g.text(), g.IntN(1000))), depth) })
}

func (g generator) resource(r pcommon.Resource) {
	g.attributes(r.Attributes(), 1)
	r.SetDroppedAttributesCount(uint32(g.uint()))
}

func (g generator) scope(s pcommon.InstrumentationScope) {
	s.SetName(g.text())
	s.SetVersion(g.text())
	g.attributes(s.Attributes(), 0)
	s.SetDroppedAttributesCount(uint32(g.uint()))
}

func (g generator) traces() ptrace.Traces {
	td := ptrace.NewTraces()
	g.some(3, func() {
		rs := td.ResourceSpans().AppendEmpty()
		rs.SetSchemaUrl(g.text())
		g.resource(rs.Resource())
		g.some(2, func() {
			ss := rs.ScopeSpans().AppendEmpty()
			ss.SetSchemaUrl(g.text())
			g.scope(ss.Scope())
			g.some(4, func() { g.span(ss.Spans().AppendEmpty()) })
		})
	})
	return td
}

func (g generator) span(s ptrace.Span) {
	if g.maybe() {
		s.SetTraceID(g.traceID())
		s.SetSpanID(g.spanID())
		s.SetParentSpanID(g.spanID())
	}
	s.TraceState().FromRaw(g.text())
	s.SetFlags(uint32(g.uint()))
	s.SetName(g.text())
	s.SetKind(ptrace.SpanKind(g.IntN(7)))
	s.SetStartTimestamp(g.time())
	s.SetEndTimestamp(g.time())
	g.attributes(s.Attributes(), 3)
	s.SetDroppedAttributesCount(uint32(g.uint()))
	s.SetDroppedEventsCount(uint32(g.uint()))
	s.SetDroppedLinksCount(uint32(g.uint()))
	g.some(2, func() {
		e := s.Events().AppendEmpty()
		e.SetName(g.text())
		e.SetTimestamp(g.time())
		e.SetDroppedAttributesCount(uint32(g.uint()))
		g.attributes(e.Attributes(), 1)
	})
	g.some(2, func() {
		l := s.Links().AppendEmpty()
		l.SetTraceID(g.traceID())
		l.SetSpanID(g.spanID())
		l.TraceState().FromRaw(g.text())
		l.SetFlags(uint32(g.uint()))
		l.SetDroppedAttributesCount(uint32(g.uint()))
		g.attributes(l.Attributes(), 1)
	})
	s.Status().SetCode(ptrace.StatusCode(g.IntN(3)))
	s.Status().SetMessage(g.text())
}

func (g generator) logs() plog.Logs {
	ld := plog.NewLogs()
	g.some(3, func() {
		rl := ld.ResourceLogs().AppendEmpty()
		rl.SetSchemaUrl(g.text())
		g.resource(rl.Resource())
		g.some(2, func() {
			sl := rl.ScopeLogs().AppendEmpty()
			sl.SetSchemaUrl(g.text())
			g.scope(sl.Scope())
			g.some(4, func() {
				r := sl.LogRecords().AppendEmpty()
				r.SetTimestamp(g.time())
				r.SetObservedTimestamp(g.time())
				r.SetSeverityNumber(plog.SeverityNumber(g.IntN(26)))
				r.SetSeverityText(g.text())
				r.SetEventName(g.text())
				r.SetFlags(plog.LogRecordFlags(g.uint()))
				r.SetDroppedAttributesCount(uint32(g.uint()))
				r.SetTraceID(g.traceID())
				r.SetSpanID(g.spanID())
				g.value(r.Body(), 4)
				g.attributes(r.Attributes(), 2)
			})
		})
	})
	return ld
}

func (g generator) metrics() pmetric.Metrics {
	md := pmetric.NewMetrics()
	g.some(3, func() {
		rm := md.ResourceMetrics().AppendEmpty()
		rm.SetSchemaUrl(g.text())
		g.resource(rm.Resource())
		g.some(2, func() {
			sm := rm.ScopeMetrics().AppendEmpty()
			sm.SetSchemaUrl(g.text())
			g.scope(sm.Scope())
			g.some(6, func() { g.metric(sm.Metrics().AppendEmpty()) })
		})
	})
	return md
}

func (g generator) metric(m pmetric.Metric) {
	m.SetName(g.text())
	m.SetDescription(g.text())
	m.SetUnit(g.text())
	g.attributes(m.Metadata(), 1)
	temporality := pmetric.AggregationTemporality(g.IntN(3))
	switch g.IntN(6) {
	case 0:
	case 1:
		s := m.SetEmptyGauge().DataPoints()
		g.some(3, func() { g.number(s.AppendEmpty()) })
	case 2:
		s := m.SetEmptySum()
		s.SetIsMonotonic(g.maybe())
		s.SetAggregationTemporality(temporality)
		g.some(3, func() { g.number(s.DataPoints().AppendEmpty()) })
	case 3:
		h := m.SetEmptyHistogram()
		h.SetAggregationTemporality(temporality)
		g.some(3, func() {
			p := h.DataPoints().AppendEmpty()
			g.point(p)
			g.sums(p)
			g.exemplars(p.Exemplars())
			g.some(5, func() { p.BucketCounts().Append(g.uint()) })
			g.some(5, func() { p.ExplicitBounds().Append(g.float()) })
		})
	case 4:
		h := m.SetEmptyExponentialHistogram()
		h.SetAggregationTemporality(temporality)
		g.some(3, func() {
			p := h.DataPoints().AppendEmpty()
			g.point(p)
			g.sums(p)
			g.exemplars(p.Exemplars())
			p.SetScale(int32(g.int()))
			p.SetZeroCount(g.uint())
			p.SetZeroThreshold(g.float())
			p.Positive().SetOffset(int32(g.int()))
			p.Negative().SetOffset(int32(g.int()))
			g.some(5, func() { p.Positive().BucketCounts().Append(g.uint()) })
			g.some(5, func() { p.Negative().BucketCounts().Append(g.uint()) })
		})
	case 5:
		s := m.SetEmptySummary()
		g.some(3, func() {
			p := s.DataPoints().AppendEmpty()
			g.point(p)
			p.SetCount(g.uint())
			p.SetSum(g.float())
			g.some(3, func() {
				q := p.QuantileValues().AppendEmpty()
				q.SetQuantile(g.float())
				q.SetValue(g.float())
			})
		})
	}
}

func (g generator) point(p point) {
	p.SetStartTimestamp(g.time())
	p.SetTimestamp(g.time())
	p.SetFlags(pmetric.DataPointFlags(g.uint()))
	g.attributes(p.Attributes(), 1)
}

func (g generator) sums(p interface {
	SetCount(uint64)
	SetSum(float64)
	SetMin(float64)
	SetMax(float64)
}) {
	p.SetCount(g.uint())
	for _, set := range []func(float64){p.SetSum, p.SetMin, p.SetMax} {
		if g.maybe() {
			set(g.float())
		}
	}
}

func (g generator) number(p pmetric.NumberDataPoint) {
	g.point(p)
	switch g.IntN(3) {
	case 0:
		p.SetIntValue(g.int())
	case 1:
		p.SetDoubleValue(g.float())
	}
	g.exemplars(p.Exemplars())
}

func (g generator) exemplars(s pmetric.ExemplarSlice) {
	g.some(2, func() {
		e := s.AppendEmpty()
		e.SetTimestamp(g.time())
		e.SetTraceID(g.traceID())
		e.SetSpanID(g.spanID())
		g.attributes(e.FilteredAttributes(), 1)
		switch g.IntN(3) {
		case 0:
			e.SetIntValue(g.int())
		case 1:
			e.SetDoubleValue(g.float())
		}
	})
}
