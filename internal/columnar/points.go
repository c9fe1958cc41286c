// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package columnar

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

func numberOf(p pmetric.NumberDataPoint) float64 {
	switch p.ValueType() {
	case pmetric.NumberDataPointValueTypeInt:
		return float64(p.IntValue())
	case pmetric.NumberDataPointValueTypeDouble:
		return p.DoubleValue()
	}
	return 0
}

type gauges struct {
	common
	value     f64
	exemplars exemplars
}

func (b *gauges) init() {
	b.build("otel_metrics_gauge", append([]field{{"Value", &b.value}}, b.exemplars.fields()...)...)
}

func (b *gauges) append(o *origin, m pmetric.Gauge) {
	for _, p := range m.DataPoints().All() {
		b.point(o, p)
		b.value.ColFloat64 = append(b.value.ColFloat64, numberOf(p))
		b.exemplars.append(p.Exemplars())
	}
}

type sums struct {
	common
	value       f64
	exemplars   exemplars
	temporality i32
	monotonic   flag
}

func (b *sums) init() {
	own := append([]field{{"Value", &b.value}}, b.exemplars.fields()...)
	b.build("otel_metrics_sum", append(own, field{"AggregationTemporality", &b.temporality}, field{"IsMonotonic", &b.monotonic})...)
}

func (b *sums) append(o *origin, m pmetric.Sum) {
	for _, p := range m.DataPoints().All() {
		b.point(o, p)
		b.value.ColFloat64 = append(b.value.ColFloat64, numberOf(p))
		b.exemplars.append(p.Exemplars())
		b.temporality.ColInt32 = append(b.temporality.ColInt32, int32(m.AggregationTemporality()))
		b.monotonic.ColBool = append(b.monotonic.ColBool, m.IsMonotonic())
	}
}

// counted are the columns that histograms of both kinds have.
type counted struct {
	common
	count         u64
	sum, min, max f64
	exemplars     exemplars
	temporality   i32
}

func (b *counted) fields(own ...field) []field {
	own = append(own, field{"Count", &b.count}, field{"Sum", &b.sum}, field{"Min", &b.min}, field{"Max", &b.max},
		field{"AggregationTemporality", &b.temporality})
	return append(own, b.exemplars.fields()...)
}

// counter is what data points of histograms of both kinds have.
type counter interface {
	point
	Count() uint64
	Sum() float64
	Min() float64
	Max() float64
	Exemplars() pmetric.ExemplarSlice
}

func (b *counted) append(o *origin, p counter, temporality pmetric.AggregationTemporality) {
	b.point(o, p)
	b.count.ColUInt64 = append(b.count.ColUInt64, p.Count())
	b.sum.ColFloat64 = append(b.sum.ColFloat64, p.Sum())
	b.min.ColFloat64 = append(b.min.ColFloat64, p.Min())
	b.max.ColFloat64 = append(b.max.ColFloat64, p.Max())
	b.exemplars.append(p.Exemplars())
	b.temporality.ColInt32 = append(b.temporality.ColInt32, int32(temporality))
}

// buckets is an Array(UInt64) column.
type buckets struct {
	ends   ends
	counts u64
}

func (c *buckets) append(s pcommon.UInt64Slice) {
	c.ends.append(s.Len())
	for _, n := range s.All() {
		c.counts.ColUInt64 = append(c.counts.ColUInt64, n)
	}
}

type histograms struct {
	counted
	buckets   buckets
	boundEnds ends
	bounds    f64
}

func (b *histograms) init() {
	b.build("otel_metrics_histogram", b.fields(
		field{"BucketCounts", array{&b.buckets.ends, &b.buckets.counts}},
		field{"ExplicitBounds", array{&b.boundEnds, &b.bounds}})...)
}

func (b *histograms) append(o *origin, m pmetric.Histogram) {
	for _, p := range m.DataPoints().All() {
		b.counted.append(o, p, m.AggregationTemporality())
		b.buckets.append(p.BucketCounts())
		b.boundEnds.append(p.ExplicitBounds().Len())
		for _, x := range p.ExplicitBounds().All() {
			b.bounds.ColFloat64 = append(b.bounds.ColFloat64, x)
		}
	}
}

type exponentials struct {
	counted
	scale                          i32
	zero                           u64
	positiveOffset, negativeOffset i32
	positive, negative             buckets
}

func (b *exponentials) init() {
	b.build("otel_metrics_exponential_histogram", b.fields(
		field{"Scale", &b.scale},
		field{"ZeroCount", &b.zero},
		field{"PositiveOffset", &b.positiveOffset},
		field{"PositiveBucketCounts", array{&b.positive.ends, &b.positive.counts}},
		field{"NegativeOffset", &b.negativeOffset},
		field{"NegativeBucketCounts", array{&b.negative.ends, &b.negative.counts}})...)
}

func (b *exponentials) append(o *origin, m pmetric.ExponentialHistogram) {
	for _, p := range m.DataPoints().All() {
		b.counted.append(o, p, m.AggregationTemporality())
		b.scale.ColInt32 = append(b.scale.ColInt32, p.Scale())
		b.zero.ColUInt64 = append(b.zero.ColUInt64, p.ZeroCount())
		b.positiveOffset.ColInt32 = append(b.positiveOffset.ColInt32, p.Positive().Offset())
		b.positive.append(p.Positive().BucketCounts())
		b.negativeOffset.ColInt32 = append(b.negativeOffset.ColInt32, p.Negative().Offset())
		b.negative.append(p.Negative().BucketCounts())
	}
}

type summaries struct {
	common
	count            u64
	sum              f64
	ends             ends
	quantile, values f64
}

func (b *summaries) init() {
	b.build("otel_metrics_summary",
		field{"Count", &b.count},
		field{"Sum", &b.sum},
		field{"ValueAtQuantiles.Quantile", array{&b.ends, &b.quantile}},
		field{"ValueAtQuantiles.Value", array{&b.ends, &b.values}})
}

func (b *summaries) append(o *origin, m pmetric.Summary) {
	for _, p := range m.DataPoints().All() {
		b.point(o, p)
		b.count.ColUInt64 = append(b.count.ColUInt64, p.Count())
		b.sum.ColFloat64 = append(b.sum.ColFloat64, p.Sum())
		b.ends.append(p.QuantileValues().Len())
		for _, q := range p.QuantileValues().All() {
			b.quantile.ColFloat64 = append(b.quantile.ColFloat64, q.Quantile())
			b.values.ColFloat64 = append(b.values.ColFloat64, q.Value())
		}
	}
}
