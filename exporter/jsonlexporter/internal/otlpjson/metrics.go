// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/tailrace/tailrace/internal/route"
	"github.com/tailrace/tailrace/internal/segment"
)

// Metrics encodes md. A record is a data point; a metric without any says nothing and is not written.
func (e *Encoder) Metrics(md pmetric.Metrics) ([]segment.Part, Stats) {
	e.begin()
	scopeID, metricID := 0, 0
	for r := range md.ResourceMetrics().Len() {
		rm := md.ResourceMetrics().At(r)
		var l *lines
		for s := range rm.ScopeMetrics().Len() {
			sm := rm.ScopeMetrics().At(s)
			scopeID++
			for i := range sm.Metrics().Len() {
				m := sm.Metrics().At(i)
				if dataPoints(m) == 0 {
					continue
				}
				metricID++
				if l == nil {
					l = e.to(segment.Metrics, route.Project(rm.Resource()), `{"resourceMetrics":[`)
				}
				if l.enter(0, r) {
					l.define(0, func(b *buffer, mark bool) {
						b.raw(`{"resource":`)
						b.resource(rm.Resource(), mark)
						b.raw(`,"scopeMetrics":[`)
					}, func(b *buffer, _ bool) { b.endContainer(rm.SchemaUrl()) })
				}
				if l.enter(1, scopeID) {
					l.define(1, func(b *buffer, mark bool) {
						b.raw(`{"scope":`)
						b.scope(sm.Scope(), mark)
						b.raw(`,"metrics":[`)
					}, func(b *buffer, _ bool) { b.endContainer(sm.SchemaUrl()) })
				}
				l.enter(2, metricID)
				l.define(2, func(b *buffer, _ bool) { b.metricHeader(m) }, func(b *buffer, mark bool) { b.metricSuffix(m, mark) })
				writeDataPoints(l, m)
			}
		}
	}
	return e.finish()
}

func dataPoints(m pmetric.Metric) int {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return m.Gauge().DataPoints().Len()
	case pmetric.MetricTypeSum:
		return m.Sum().DataPoints().Len()
	case pmetric.MetricTypeHistogram:
		return m.Histogram().DataPoints().Len()
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().DataPoints().Len()
	case pmetric.MetricTypeSummary:
		return m.Summary().DataPoints().Len()
	default:
		return 0
	}
}

func (b *buffer) metricHeader(m pmetric.Metric) {
	b.buf = append(b.buf, '{')
	b.keyStr(`"name":`, m.Name())
	b.keyStr(`"description":`, m.Description())
	b.keyStr(`"unit":`, m.Unit())
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		b.key(`"gauge":`)
	case pmetric.MetricTypeSum:
		b.key(`"sum":`)
	case pmetric.MetricTypeHistogram:
		b.key(`"histogram":`)
	case pmetric.MetricTypeExponentialHistogram:
		b.key(`"exponentialHistogram":`)
	case pmetric.MetricTypeSummary:
		b.key(`"summary":`)
	}
	b.raw(`{"dataPoints":[`)
}

func (b *buffer) metricSuffix(m pmetric.Metric, mark bool) {
	b.buf = append(b.buf, ']')
	switch m.Type() {
	case pmetric.MetricTypeSum:
		b.keyInt32(`"aggregationTemporality":`, int32(m.Sum().AggregationTemporality()))
		if m.Sum().IsMonotonic() {
			b.raw(`,"isMonotonic":true`)
		}
	case pmetric.MetricTypeHistogram:
		b.keyInt32(`"aggregationTemporality":`, int32(m.Histogram().AggregationTemporality()))
	case pmetric.MetricTypeExponentialHistogram:
		b.keyInt32(`"aggregationTemporality":`, int32(m.ExponentialHistogram().AggregationTemporality()))
	}
	b.buf = append(b.buf, '}')
	b.attributes(`"metadata":`, m.Metadata(), mark)
	b.buf = append(b.buf, '}')
}

func writeDataPoints(l *lines, m pmetric.Metric) {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		writeNumbers(l, m.Gauge().DataPoints())
	case pmetric.MetricTypeSum:
		writeNumbers(l, m.Sum().DataPoints())
	case pmetric.MetricTypeHistogram:
		for i := range m.Histogram().DataPoints().Len() {
			p := m.Histogram().DataPoints().At(i)
			l.record(func(b *buffer, mark bool) { b.histogram(p, mark) })
		}
	case pmetric.MetricTypeExponentialHistogram:
		for i := range m.ExponentialHistogram().DataPoints().Len() {
			p := m.ExponentialHistogram().DataPoints().At(i)
			l.record(func(b *buffer, mark bool) { b.exponentialHistogram(p, mark) })
		}
	case pmetric.MetricTypeSummary:
		for i := range m.Summary().DataPoints().Len() {
			p := m.Summary().DataPoints().At(i)
			l.record(func(b *buffer, mark bool) { b.summary(p, mark) })
		}
	}
}

func writeNumbers(l *lines, points pmetric.NumberDataPointSlice) {
	for i := range points.Len() {
		p := points.At(i)
		l.record(func(b *buffer, mark bool) { b.number(p, mark) })
	}
}

func (b *buffer) pointHead(attrs pcommon.Map, start, at pcommon.Timestamp, mark bool) {
	b.buf = append(b.buf, '{')
	b.attributes(`"attributes":`, attrs, mark)
	b.keyUint64(`"startTimeUnixNano":`, uint64(start))
	b.keyUint64(`"timeUnixNano":`, uint64(at))
}

func (b *buffer) number(p pmetric.NumberDataPoint, mark bool) {
	b.pointHead(p.Attributes(), p.StartTimestamp(), p.Timestamp(), mark)
	switch p.ValueType() {
	case pmetric.NumberDataPointValueTypeDouble:
		b.keyFloat(`"asDouble":`, p.DoubleValue())
	case pmetric.NumberDataPointValueTypeInt:
		b.key(`"asInt":`)
		b.int64(p.IntValue())
	}
	b.exemplars(p.Exemplars())
	b.keyUint32(`"flags":`, uint32(p.Flags()))
	b.buf = append(b.buf, '}')
}

func (b *buffer) histogram(p pmetric.HistogramDataPoint, mark bool) {
	b.pointHead(p.Attributes(), p.StartTimestamp(), p.Timestamp(), mark)
	b.keyUint64(`"count":`, p.Count())
	if p.HasSum() {
		b.keyFloat(`"sum":`, p.Sum())
	}
	b.counts(p.BucketCounts())
	if bounds := p.ExplicitBounds(); bounds.Len() > 0 {
		b.key(`"explicitBounds":`)
		b.buf = append(b.buf, '[')
		for i := range bounds.Len() {
			b.elem()
			b.float(bounds.At(i))
		}
		b.buf = append(b.buf, ']')
	}
	b.exemplars(p.Exemplars())
	b.keyUint32(`"flags":`, uint32(p.Flags()))
	if p.HasMin() {
		b.keyFloat(`"min":`, p.Min())
	}
	if p.HasMax() {
		b.keyFloat(`"max":`, p.Max())
	}
	b.buf = append(b.buf, '}')
}

func (b *buffer) exponentialHistogram(p pmetric.ExponentialHistogramDataPoint, mark bool) {
	b.pointHead(p.Attributes(), p.StartTimestamp(), p.Timestamp(), mark)
	b.keyUint64(`"count":`, p.Count())
	if p.HasSum() {
		b.keyFloat(`"sum":`, p.Sum())
	}
	b.keyInt32(`"scale":`, p.Scale())
	b.keyUint64(`"zeroCount":`, p.ZeroCount())
	b.key(`"positive":`)
	b.buckets(p.Positive())
	b.key(`"negative":`)
	b.buckets(p.Negative())
	b.keyUint32(`"flags":`, uint32(p.Flags()))
	b.exemplars(p.Exemplars())
	if p.HasMin() {
		b.keyFloat(`"min":`, p.Min())
	}
	if p.HasMax() {
		b.keyFloat(`"max":`, p.Max())
	}
	if p.ZeroThreshold() != 0 {
		b.keyFloat(`"zeroThreshold":`, p.ZeroThreshold())
	}
	b.buf = append(b.buf, '}')
}

func (b *buffer) buckets(p pmetric.ExponentialHistogramDataPointBuckets) {
	b.buf = append(b.buf, '{')
	b.keyInt32(`"offset":`, p.Offset())
	b.counts(p.BucketCounts())
	b.buf = append(b.buf, '}')
}

func (b *buffer) counts(counts pcommon.UInt64Slice) {
	if counts.Len() == 0 {
		return
	}
	b.key(`"bucketCounts":`)
	b.buf = append(b.buf, '[')
	for i := range counts.Len() {
		b.elem()
		b.buf = append(strconv.AppendUint(append(b.buf, '"'), counts.At(i), 10), '"')
	}
	b.buf = append(b.buf, ']')
}

func (b *buffer) summary(p pmetric.SummaryDataPoint, mark bool) {
	b.pointHead(p.Attributes(), p.StartTimestamp(), p.Timestamp(), mark)
	b.keyUint64(`"count":`, p.Count())
	if p.Sum() != 0 {
		b.keyFloat(`"sum":`, p.Sum())
	}
	if q := p.QuantileValues(); q.Len() > 0 {
		b.key(`"quantileValues":`)
		b.buf = append(b.buf, '[')
		for i := range q.Len() {
			b.elem()
			b.buf = append(b.buf, '{')
			if v := q.At(i).Quantile(); v != 0 {
				b.keyFloat(`"quantile":`, v)
			}
			if v := q.At(i).Value(); v != 0 {
				b.keyFloat(`"value":`, v)
			}
			b.buf = append(b.buf, '}')
		}
		b.buf = append(b.buf, ']')
	}
	b.keyUint32(`"flags":`, uint32(p.Flags()))
	b.buf = append(b.buf, '}')
}

func (b *buffer) exemplars(ex pmetric.ExemplarSlice) {
	if ex.Len() == 0 {
		return
	}
	b.key(`"exemplars":`)
	b.buf = append(b.buf, '[')
	for i := range ex.Len() {
		x := ex.At(i)
		b.elem()
		b.buf = append(b.buf, '{')
		b.attributes(`"filteredAttributes":`, x.FilteredAttributes(), false)
		b.keyUint64(`"timeUnixNano":`, uint64(x.Timestamp()))
		switch x.ValueType() {
		case pmetric.ExemplarValueTypeDouble:
			b.keyFloat(`"asDouble":`, x.DoubleValue())
		case pmetric.ExemplarValueTypeInt:
			b.key(`"asInt":`)
			b.int64(x.IntValue())
		}
		b.keyTraceID(`"traceId":`, x.TraceID())
		b.keySpanID(`"spanId":`, x.SpanID())
		b.buf = append(b.buf, '}')
	}
	b.buf = append(b.buf, ']')
}
