// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package flatjson

import (
	"encoding/hex"
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/tailrace/tailrace/internal/route"
	"github.com/tailrace/tailrace/internal/segment"
)

// The tables of metrics, as they stand in file names and behind otel_metrics_.
const (
	TableGauge                = "gauge"
	TableSum                  = "sum"
	TableHistogram            = "histogram"
	TableExponentialHistogram = "exponential_histogram"
	TableSummary              = "summary"
)

// Tables lists them.
func Tables() []string {
	return []string{TableGauge, TableSum, TableHistogram, TableExponentialHistogram, TableSummary}
}

// points is where the data points of one metric go.
type points struct {
	e *Encoder
	o *out
	m pmetric.Metric
}

// Metrics encodes md: one file a table, one line a data point. A metric without any says nothing and is not written.
func (e *Encoder) Metrics(md pmetric.Metrics) ([]segment.Part, Stats) {
	e.begin()
	for ri, rm := range md.ResourceMetrics().All() {
		project := route.Project(rm.Resource())
		for si, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				into := func(table string) points {
					o := e.to(segment.Metrics, table, project)
					o.share(ri, si, func(r *row) {
						r.attrs(`"ResourceAttributes":`, rm.Resource().Attributes(), false)
						r.str(`"ResourceSchemaUrl":`, rm.SchemaUrl())
						r.str(`"ScopeName":`, sm.Scope().Name())
						r.str(`"ScopeVersion":`, sm.Scope().Version())
						r.attrs(`"ScopeAttributes":`, sm.Scope().Attributes(), false)
						r.uint(`"ScopeDroppedAttrCount":`, uint64(sm.Scope().DroppedAttributesCount()))
						r.str(`"ScopeSchemaUrl":`, sm.SchemaUrl())
						r.service(rm.Resource())
					})
					return points{e: e, o: o, m: m}
				}
				metric(m, into)
			}
		}
	}
	return e.finish()
}

func metric(m pmetric.Metric, into func(table string) points) {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		for _, p := range m.Gauge().DataPoints().All() {
			into(TableGauge).number(p, func(*row) {})
		}
	case pmetric.MetricTypeSum:
		s := m.Sum()
		for _, p := range s.DataPoints().All() {
			into(TableSum).number(p, func(r *row) {
				r.int(`"AggregationTemporality":`, int64(s.AggregationTemporality()))
				r.bool(`"IsMonotonic":`, s.IsMonotonic())
			})
		}
	case pmetric.MetricTypeHistogram:
		h := m.Histogram()
		for _, p := range h.DataPoints().All() {
			into(TableHistogram).histogram(p, h.AggregationTemporality())
		}
	case pmetric.MetricTypeExponentialHistogram:
		h := m.ExponentialHistogram()
		for _, p := range h.DataPoints().All() {
			into(TableExponentialHistogram).exponential(p, h.AggregationTemporality())
		}
	case pmetric.MetricTypeSummary:
		for _, p := range m.Summary().DataPoints().All() {
			into(TableSummary).summary(p)
		}
	}
}

func (r *row) bool(k string, v bool) {
	r.key(k)
	if v {
		r.buf = append(r.buf, "true"...)
	} else {
		r.buf = append(r.buf, "false"...)
	}
}

// point writes what all kinds have in common, and then what rest writes.
func (p points) point(attrs pcommon.Map, start, at pcommon.Timestamp, rest func(r *row)) {
	p.o.record(p.e, func(r *row, mark bool) {
		r.time(`"TimeUnix":`, at)
		r.str(`"MetricName":`, p.m.Name())
		r.str(`"MetricDescription":`, p.m.Description())
		r.str(`"MetricUnit":`, p.m.Unit())
		r.attrs(`"Attributes":`, attrs, mark)
		r.time(`"StartTimeUnix":`, start)
		rest(r)
		p.o.common()
	})
}

func (p points) number(dp pmetric.NumberDataPoint, rest func(r *row)) {
	p.point(dp.Attributes(), dp.StartTimestamp(), dp.Timestamp(), func(r *row) {
		v := dp.DoubleValue()
		if dp.ValueType() == pmetric.NumberDataPointValueTypeInt {
			v = float64(dp.IntValue())
		}
		r.float(`"Value":`, v)
		r.uint(`"Flags":`, uint64(dp.Flags()))
		r.exemplars(dp.Exemplars())
		rest(r)
	})
}

func (p points) histogram(dp pmetric.HistogramDataPoint, temporality pmetric.AggregationTemporality) {
	p.point(dp.Attributes(), dp.StartTimestamp(), dp.Timestamp(), func(r *row) {
		r.uint(`"Count":`, dp.Count())
		r.float(`"Sum":`, dp.Sum())
		r.float(`"Min":`, dp.Min())
		r.float(`"Max":`, dp.Max())
		r.counts(`"BucketCounts":`, dp.BucketCounts())
		bounds := dp.ExplicitBounds()
		r.list(`"ExplicitBounds":`, bounds.Len(), func(i int) { r.number(bounds.At(i)) })
		r.exemplars(dp.Exemplars())
		r.uint(`"Flags":`, uint64(dp.Flags()))
		r.int(`"AggregationTemporality":`, int64(temporality))
	})
}

func (p points) exponential(dp pmetric.ExponentialHistogramDataPoint, temporality pmetric.AggregationTemporality) {
	p.point(dp.Attributes(), dp.StartTimestamp(), dp.Timestamp(), func(r *row) {
		r.uint(`"Count":`, dp.Count())
		r.float(`"Sum":`, dp.Sum())
		r.float(`"Min":`, dp.Min())
		r.float(`"Max":`, dp.Max())
		r.int(`"Scale":`, int64(dp.Scale()))
		r.uint(`"ZeroCount":`, dp.ZeroCount())
		r.int(`"PositiveOffset":`, int64(dp.Positive().Offset()))
		r.counts(`"PositiveBucketCounts":`, dp.Positive().BucketCounts())
		r.int(`"NegativeOffset":`, int64(dp.Negative().Offset()))
		r.counts(`"NegativeBucketCounts":`, dp.Negative().BucketCounts())
		r.exemplars(dp.Exemplars())
		r.uint(`"Flags":`, uint64(dp.Flags()))
		r.int(`"AggregationTemporality":`, int64(temporality))
	})
}

func (p points) summary(dp pmetric.SummaryDataPoint) {
	p.point(dp.Attributes(), dp.StartTimestamp(), dp.Timestamp(), func(r *row) {
		r.uint(`"Count":`, dp.Count())
		r.float(`"Sum":`, dp.Sum())
		q := dp.QuantileValues()
		r.list(`"ValueAtQuantiles.Quantile":`, q.Len(), func(i int) { r.number(q.At(i).Quantile()) })
		r.list(`"ValueAtQuantiles.Value":`, q.Len(), func(i int) { r.number(q.At(i).Value()) })
		r.uint(`"Flags":`, uint64(dp.Flags()))
	})
}

func (r *row) counts(k string, counts pcommon.UInt64Slice) {
	r.list(k, counts.Len(), func(i int) { r.uintElem(counts.At(i)) })
}

func (r *row) uintElem(v uint64) { r.buf = strconv.AppendUint(r.buf, v, 10) }

// exemplars writes ids as the exporter does: also those that are not set, as zeros.
func (r *row) exemplars(ex pmetric.ExemplarSlice) {
	r.list(`"Exemplars.FilteredAttributes":`, ex.Len(), func(i int) { r.attributes(ex.At(i).FilteredAttributes(), false) })
	r.list(`"Exemplars.TimeUnix":`, ex.Len(), func(i int) { r.moment(ex.At(i).Timestamp()) })
	r.list(`"Exemplars.Value":`, ex.Len(), func(i int) {
		v := ex.At(i).DoubleValue()
		if ex.At(i).ValueType() == pmetric.ExemplarValueTypeInt {
			v = float64(ex.At(i).IntValue())
		}
		r.number(v)
	})
	r.list(`"Exemplars.SpanId":`, ex.Len(), func(i int) {
		id := ex.At(i).SpanID()
		r.buf = append(hex.AppendEncode(append(r.buf, '"'), id[:]), '"')
	})
	r.list(`"Exemplars.TraceId":`, ex.Len(), func(i int) {
		id := ex.At(i).TraceID()
		r.buf = append(hex.AppendEncode(append(r.buf, '"'), id[:]), '"')
	})
}
