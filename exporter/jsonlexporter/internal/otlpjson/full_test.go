// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/xpdata/entity"
)

func fillAttrs(m pcommon.Map) {
	m.PutStr("str", "quote \" back \\ slash / tab \t nl \n cr \r bell \a del \x7f é 漢 🦀 \u2028 </script>")
	m.PutEmpty("empty")
	m.PutStr("", "empty key")
	m.PutBool("bool", true)
	m.PutInt("int", math.MinInt64)
	m.PutDouble("double", 1.5e-9)
	m.PutDouble("big", 1e21)
	m.PutDouble("negzero", math.Copysign(0, -1))
	m.PutDouble("nan", math.NaN())
	m.PutDouble("inf", math.Inf(1))
	m.PutDouble("-inf", math.Inf(-1))
	m.PutEmptyBytes("bytes").FromRaw([]byte{0, 255, 10})
	m.PutEmptyBytes("nobytes")
	s := m.PutEmptySlice("slice")
	s.AppendEmpty().SetStr("a")
	s.AppendEmpty()
	s.AppendEmpty().SetEmptyMap().PutInt("n", 1)
	m.PutEmptySlice("emptyslice")
	m.PutEmptyMap("emptymap")
}

func fillResource(r pcommon.Resource) {
	r.Attributes().PutStr("project.id", "shop")
	fillAttrs(r.Attributes())
	r.SetDroppedAttributesCount(3)
	ref := entity.ResourceEntityRefs(r).AppendEmpty()
	ref.SetSchemaUrl("s")
	ref.SetType("host")
	ref.IdKeys().Append("a", "b")
	ref.DescriptionKeys().Append("c")
}

func fillScope(s pcommon.InstrumentationScope) {
	s.SetName("scope")
	s.SetVersion("1")
	fillAttrs(s.Attributes())
	s.SetDroppedAttributesCount(1)
}

func fullTraces() ptrace.Traces {
	td := ptrace.NewTraces()
	for range 2 {
		rs := td.ResourceSpans().AppendEmpty()
		fillResource(rs.Resource())
		rs.SetSchemaUrl("https://r")
		for range 2 {
			ss := rs.ScopeSpans().AppendEmpty()
			fillScope(ss.Scope())
			ss.SetSchemaUrl("https://s")
			for i := range 3 {
				s := ss.Spans().AppendEmpty()
				s.SetEndTimestamp(math.MaxUint64)
				if i == 0 {
					continue // all defaults
				}
				s.SetTraceID([16]byte{1, 15: 2})
				s.SetSpanID([8]byte{1})
				s.SetParentSpanID([8]byte{2})
				s.TraceState().FromRaw("a=b")
				s.SetFlags(257)
				s.SetName("name")
				s.SetKind(ptrace.SpanKindClient)
				s.SetStartTimestamp(1)
				fillAttrs(s.Attributes())
				s.SetDroppedAttributesCount(1)
				s.SetDroppedEventsCount(2)
				s.SetDroppedLinksCount(3)
				for range 2 {
					e := s.Events().AppendEmpty()
					e.SetName("exception")
					e.SetTimestamp(7)
					fillAttrs(e.Attributes())
					e.SetDroppedAttributesCount(1)
					l := s.Links().AppendEmpty()
					l.SetTraceID([16]byte{9})
					l.SetSpanID([8]byte{9})
					l.TraceState().FromRaw("x")
					l.SetFlags(1)
					fillAttrs(l.Attributes())
					l.SetDroppedAttributesCount(1)
				}
				s.Status().SetCode(ptrace.StatusCodeError)
				s.Status().SetMessage("boom")
			}
		}
	}
	td.MarkReadOnly()
	return td
}

func fullLogs() plog.Logs {
	ld := plog.NewLogs()
	for range 2 {
		rl := ld.ResourceLogs().AppendEmpty()
		fillResource(rl.Resource())
		rl.SetSchemaUrl("https://r")
		sl := rl.ScopeLogs().AppendEmpty()
		fillScope(sl.Scope())
		sl.SetSchemaUrl("https://s")
		sl.LogRecords().AppendEmpty()
		r := sl.LogRecords().AppendEmpty()
		r.SetTimestamp(1)
		r.SetObservedTimestamp(2)
		r.SetSeverityNumber(plog.SeverityNumberError)
		r.SetSeverityText("ERROR")
		fillAttrs(r.Body().SetEmptyMap())
		fillAttrs(r.Attributes())
		r.SetDroppedAttributesCount(4)
		r.SetFlags(1)
		r.SetTraceID([16]byte{1})
		r.SetSpanID([8]byte{1})
		r.SetEventName("some.event")
	}
	ld.MarkReadOnly()
	return ld
}

func fullMetrics() pmetric.Metrics {
	md := pmetric.NewMetrics()
	for range 2 {
		rm := md.ResourceMetrics().AppendEmpty()
		fillResource(rm.Resource())
		rm.SetSchemaUrl("https://r")
		sm := rm.ScopeMetrics().AppendEmpty()
		fillScope(sm.Scope())
		sm.SetSchemaUrl("https://s")
		exemplar := func(es pmetric.ExemplarSlice) {
			e := es.AppendEmpty()
			e.SetIntValue(-3)
			e.SetTimestamp(5)
			e.SetTraceID([16]byte{1})
			e.SetSpanID([8]byte{1})
			fillAttrs(e.FilteredAttributes())
			es.AppendEmpty().SetDoubleValue(math.NaN())
			es.AppendEmpty()
		}
		metric := func(name string) pmetric.Metric {
			m := sm.Metrics().AppendEmpty()
			m.SetName(name)
			m.SetDescription("d")
			m.SetUnit("1")
			m.Metadata().PutStr("k", "v")
			return m
		}
		number := func(ps pmetric.NumberDataPointSlice) {
			p := ps.AppendEmpty()
			fillAttrs(p.Attributes())
			p.SetStartTimestamp(1)
			p.SetTimestamp(2)
			p.SetIntValue(-1)
			p.SetFlags(1)
			exemplar(p.Exemplars())
			ps.AppendEmpty().SetDoubleValue(math.Inf(-1))
			ps.AppendEmpty()
		}
		number(metric("gauge").SetEmptyGauge().DataPoints())
		sum := metric("sum").SetEmptySum()
		sum.SetIsMonotonic(true)
		sum.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		number(sum.DataPoints())
		number(metric("plain sum").SetEmptySum().DataPoints())
		h := metric("histogram").SetEmptyHistogram()
		h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		hp := h.DataPoints().AppendEmpty()
		fillAttrs(hp.Attributes())
		hp.SetStartTimestamp(1)
		hp.SetTimestamp(2)
		hp.SetCount(3)
		hp.SetSum(0)
		hp.SetMin(-0.5)
		hp.SetMax(math.Inf(1))
		hp.SetFlags(1)
		hp.BucketCounts().FromRaw([]uint64{1, math.MaxUint64})
		hp.ExplicitBounds().FromRaw([]float64{0.1, math.NaN()})
		exemplar(hp.Exemplars())
		h.DataPoints().AppendEmpty()
		eh := metric("exponential").SetEmptyExponentialHistogram()
		eh.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		ep := eh.DataPoints().AppendEmpty()
		fillAttrs(ep.Attributes())
		ep.SetStartTimestamp(1)
		ep.SetTimestamp(2)
		ep.SetCount(3)
		ep.SetSum(1)
		ep.SetScale(-2)
		ep.SetZeroCount(1)
		ep.SetZeroThreshold(0.5)
		ep.SetMin(1)
		ep.SetMax(2)
		ep.SetFlags(1)
		ep.Positive().SetOffset(-1)
		ep.Positive().BucketCounts().FromRaw([]uint64{1})
		ep.Negative().BucketCounts().FromRaw([]uint64{2, 3})
		exemplar(ep.Exemplars())
		eh.DataPoints().AppendEmpty()
		sp := metric("summary").SetEmptySummary().DataPoints().AppendEmpty()
		fillAttrs(sp.Attributes())
		sp.SetStartTimestamp(1)
		sp.SetTimestamp(2)
		sp.SetCount(1)
		sp.SetSum(math.NaN())
		sp.SetFlags(1)
		q := sp.QuantileValues().AppendEmpty()
		q.SetQuantile(0.99)
		q.SetValue(math.NaN())
		sp.QuantileValues().AppendEmpty()
	}
	md.MarkReadOnly()
	return md
}
