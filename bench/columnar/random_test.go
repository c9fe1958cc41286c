// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package columnar

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// dice makes pdata with everything in it that pdata can hold.
type dice struct{ *rand.Rand }

func (d dice) often() int { return [...]int{0, 0, 1, 1, 2, 3, 7}[d.IntN(7)] }

var texts = []string{"", " ", "a", "service", "Zürich", "日本語", "bad \xff\xfe utf-8", "\xc3", "nul \x00 byte", "line\nbreak", "tab\t'quote'\"`\\",
	strings.Repeat("x", 127), strings.Repeat("y", 128), strings.Repeat("z", 16384), "{\"json\":[1,2]}", "🦆"}

func (d dice) text() string {
	if d.IntN(4000) == 0 {
		return strings.Repeat("huge ", 100_000)
	}
	if d.IntN(3) == 0 {
		return fmt.Sprintf("t%d", d.IntN(1000))
	}
	return texts[d.IntN(len(texts))]
}

func (d dice) float() float64 {
	return [...]float64{0, -0.0, 1, -1.5, 1e300, 5e-324, math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat64, 1e21, 123456789.125, d.Float64()}[d.IntN(13)]
}

func (d dice) int() int64 {
	return [...]int64{0, 1, 9, 10, -1, math.MaxInt64, math.MinInt64, d.Int64()}[d.IntN(8)]
}

func (d dice) value(to pcommon.Value, depth int) {
	kind := d.IntN(8)
	if depth > 2 && kind >= 6 {
		kind = 0
	}
	switch kind {
	case 0, 1:
		to.SetStr(d.text())
	case 2:
		to.SetInt(d.int())
	case 3:
		to.SetDouble(d.float())
	case 4:
		to.SetBool(d.IntN(2) == 0)
	case 5:
		to.SetEmptyBytes().FromRaw([]byte(d.text()))
	case 6:
		m := to.SetEmptyMap()
		for range d.often() {
			d.value(m.PutEmpty(d.text()), depth+1)
		}
	case 7:
		s := to.SetEmptySlice()
		for range d.often() {
			d.value(s.AppendEmpty(), depth+1)
		}
	}
	if d.IntN(40) == 0 {
		pcommon.NewValueEmpty().CopyTo(to)
	}
}

func (d dice) attrs(to pcommon.Map) {
	n := d.often()
	if d.IntN(50) == 0 {
		n = 60 + d.IntN(20)
	}
	same := d.IntN(2) == 0 // of one shape
	for i := range n {
		key := fmt.Sprintf("key.%d", (i*7)%11)
		if !same || i > 10 {
			key = fmt.Sprintf("%s%d", d.text(), d.IntN(200))
			if len(key) > 1000 {
				key = "k"
			}
		}
		d.value(to.PutEmpty(key), 0)
	}
}

// at are times on a few days, of which an insert takes a hundred; and without a date.
func (d dice) at() pcommon.Timestamp {
	if d.IntN(20) == 0 {
		return 0
	}
	return pcommon.NewTimestampFromTime(time.Date(2026, 3, 1+d.IntN(9), d.IntN(24), d.IntN(60), d.IntN(60), d.IntN(1e9), time.UTC))
}

func (d dice) ids() (trace pcommon.TraceID, span pcommon.SpanID) {
	if d.IntN(6) > 0 {
		for i := range trace {
			trace[i] = byte(d.IntN(256))
		}
	}
	if d.IntN(6) > 0 {
		for i := range span {
			span[i] = byte(d.IntN(256))
		}
	}
	return trace, span
}

func (d dice) resource(to pcommon.Resource) {
	d.attrs(to.Attributes())
	switch d.IntN(4) {
	case 0:
		to.Attributes().PutInt("service.name", 7)
	case 1, 2:
		to.Attributes().PutStr("service.name", d.text())
	}
}

func (d dice) scope(to pcommon.InstrumentationScope) {
	to.SetName(d.text())
	to.SetVersion(d.text())
	to.SetDroppedAttributesCount(d.Uint32())
	d.attrs(to.Attributes())
}

func (d dice) traces(n int) ptrace.Traces {
	td := ptrace.NewTraces()
	for td.SpanCount() < n {
		rs := td.ResourceSpans().AppendEmpty()
		d.resource(rs.Resource())
		for range d.often() {
			ss := rs.ScopeSpans().AppendEmpty()
			d.scope(ss.Scope())
			for range d.often() * 3 {
				s := ss.Spans().AppendEmpty()
				trace, span := d.ids()
				_, parent := d.ids()
				s.SetTraceID(trace)
				s.SetSpanID(span)
				s.SetParentSpanID(parent)
				s.TraceState().FromRaw(d.text())
				s.SetName(d.text())
				s.SetKind(ptrace.SpanKind(d.IntN(8)))
				s.SetStartTimestamp(d.at())
				s.SetEndTimestamp(d.at()) // also before the start
				d.attrs(s.Attributes())
				s.Status().SetCode(ptrace.StatusCode(d.IntN(4)))
				s.Status().SetMessage(d.text())
				for range d.often() {
					e := s.Events().AppendEmpty()
					e.SetName(d.text())
					e.SetTimestamp(d.at())
					d.attrs(e.Attributes())
				}
				for range d.often() {
					l := s.Links().AppendEmpty()
					trace, span := d.ids()
					l.SetTraceID(trace)
					l.SetSpanID(span)
					l.TraceState().FromRaw(d.text())
					d.attrs(l.Attributes())
				}
			}
		}
	}
	return td
}

func (d dice) logs(n int) plog.Logs {
	ld := plog.NewLogs()
	for ld.LogRecordCount() < n {
		rl := ld.ResourceLogs().AppendEmpty()
		rl.SetSchemaUrl(d.text())
		d.resource(rl.Resource())
		for range d.often() {
			sl := rl.ScopeLogs().AppendEmpty()
			sl.SetSchemaUrl(d.text())
			d.scope(sl.Scope())
			for range d.often() * 3 {
				r := sl.LogRecords().AppendEmpty()
				r.SetTimestamp(d.at())
				r.SetObservedTimestamp(d.at())
				trace, span := d.ids()
				r.SetTraceID(trace)
				r.SetSpanID(span)
				r.SetFlags(plog.LogRecordFlags(d.Uint32()))
				r.SetSeverityText(d.text())
				r.SetSeverityNumber(plog.SeverityNumber(d.IntN(300)))
				d.value(r.Body(), 0)
				d.attrs(r.Attributes())
				r.SetEventName(d.text())
			}
		}
	}
	return ld
}

func (d dice) exemplars(to pmetric.ExemplarSlice) {
	for range d.often() {
		e := to.AppendEmpty()
		e.SetTimestamp(d.at())
		switch d.IntN(3) {
		case 0:
			e.SetIntValue(d.int())
		case 1:
			e.SetDoubleValue(d.float())
		}
		trace, span := d.ids()
		e.SetTraceID(trace)
		e.SetSpanID(span)
		d.attrs(e.FilteredAttributes())
	}
}

func (d dice) numbers(to pmetric.NumberDataPointSlice) {
	for range d.often() {
		p := to.AppendEmpty()
		p.SetTimestamp(d.at())
		p.SetStartTimestamp(d.at())
		switch d.IntN(3) {
		case 0:
			p.SetIntValue(d.int())
		case 1:
			p.SetDoubleValue(d.float())
		}
		p.SetFlags(pmetric.DataPointFlags(d.Uint32()))
		d.attrs(p.Attributes())
		d.exemplars(p.Exemplars())
	}
}

func (d dice) counts(to pcommon.UInt64Slice) {
	for range d.often() {
		to.Append(d.Uint64())
	}
}

func (d dice) floats(to pcommon.Float64Slice) {
	for range d.often() {
		to.Append(d.float())
	}
}

func (d dice) histogram(m pmetric.Histogram) {
	m.SetAggregationTemporality(pmetric.AggregationTemporality(d.IntN(3)))
	for range d.often() {
		p := m.DataPoints().AppendEmpty()
		p.SetTimestamp(d.at())
		p.SetStartTimestamp(d.at())
		p.SetFlags(pmetric.DataPointFlags(d.IntN(2)))
		p.SetCount(d.Uint64())
		if d.IntN(2) == 0 {
			p.SetSum(d.float())
			p.SetMin(d.float())
			p.SetMax(d.float())
		}
		d.counts(p.BucketCounts())
		d.floats(p.ExplicitBounds())
		d.attrs(p.Attributes())
		d.exemplars(p.Exemplars())
	}
}

func (d dice) exponential(m pmetric.ExponentialHistogram) {
	m.SetAggregationTemporality(pmetric.AggregationTemporality(d.IntN(3)))
	for range d.often() {
		p := m.DataPoints().AppendEmpty()
		p.SetTimestamp(d.at())
		p.SetStartTimestamp(d.at())
		p.SetFlags(pmetric.DataPointFlags(d.IntN(2)))
		p.SetCount(d.Uint64())
		if d.IntN(2) == 0 {
			p.SetSum(d.float())
			p.SetMin(d.float())
			p.SetMax(d.float())
		}
		p.SetScale(int32(d.Uint32()))
		p.SetZeroCount(d.Uint64())
		p.Positive().SetOffset(int32(d.Uint32()))
		d.counts(p.Positive().BucketCounts())
		p.Negative().SetOffset(int32(d.Uint32()))
		d.counts(p.Negative().BucketCounts())
		d.attrs(p.Attributes())
		d.exemplars(p.Exemplars())
	}
}

func (d dice) summary(m pmetric.Summary) {
	for range d.often() {
		p := m.DataPoints().AppendEmpty()
		p.SetTimestamp(d.at())
		p.SetStartTimestamp(d.at())
		p.SetFlags(pmetric.DataPointFlags(d.IntN(2)))
		p.SetCount(d.Uint64())
		p.SetSum(d.float())
		for range d.often() {
			q := p.QuantileValues().AppendEmpty()
			q.SetQuantile(d.float())
			q.SetValue(d.float())
		}
		d.attrs(p.Attributes())
	}
}

func (d dice) metrics(n int) pmetric.Metrics {
	md := pmetric.NewMetrics()
	for md.DataPointCount() < n {
		rm := md.ResourceMetrics().AppendEmpty()
		rm.SetSchemaUrl(d.text())
		d.resource(rm.Resource())
		for range d.often() {
			sm := rm.ScopeMetrics().AppendEmpty()
			sm.SetSchemaUrl(d.text())
			d.scope(sm.Scope())
			for range d.often() * 2 {
				m := sm.Metrics().AppendEmpty()
				m.SetName(d.text())
				m.SetDescription(d.text())
				m.SetUnit(d.text())
				switch d.IntN(5) {
				case 0:
					d.numbers(m.SetEmptyGauge().DataPoints())
				case 1:
					sum := m.SetEmptySum()
					sum.SetIsMonotonic(d.IntN(2) == 0)
					sum.SetAggregationTemporality(pmetric.AggregationTemporality(d.IntN(3)))
					d.numbers(sum.DataPoints())
				case 2:
					d.histogram(m.SetEmptyHistogram())
				case 3:
					d.exponential(m.SetEmptyExponentialHistogram())
				case 4:
					d.summary(m.SetEmptySummary())
				}
			}
		}
	}
	return md
}
