// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"encoding/binary"
	"hash/maphash"
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// MetricType says what the point of a metric record holds.
type MetricType uint8

// Types of metric. The point of a gauge or sum is one Value. The points of the others are a uint64 count, a float64
// sum, minimum and maximum; then a histogram has its bounds and its bucket counts, a summary its quantiles and their
// values (a uint16 each and that many float64 or uint64), an exponential histogram an int64 scale and a uint64 zero count.
const (
	MetricGauge MetricType = iota + 1
	MetricSum
	MetricHistogram
	MetricExponentialHistogram
	MetricSummary
)

// MetricType of a metric record.
func (r Record) MetricType() MetricType { return MetricType(r[offClass]) }

// Temporality of a metric record, as in OpenTelemetry.
func (r Record) Temporality() int { return int(r[offLevel]) }

// Float64 reads eight bytes as a float.
func (f *Fields) Float64() float64 { return math.Float64frombits(f.Uint64()) }

// AddMetrics copies every data point of md into the batch, one record a point. md is only read, and nothing of it is
// kept. Exemplars and the buckets of exponential histograms are not shown live.
func (b *Batch) AddMetrics(md pmetric.Metrics) {
	for _, rm := range md.ResourceMetrics().All() {
		res := newResource(rm.Resource())
		b.source(res.source(SignalMetric))
		for _, sm := range rm.ScopeMetrics().All() {
			scope := maphash.String(b.seed, sm.Scope().Name())
			for _, m := range sm.Metrics().All() {
				b.addMetric(res, scope, m)
			}
		}
	}
}

func (b *Batch) addMetric(res resource, scope uint64, m pmetric.Metric) {
	series := hash2(hash2(res.hash(b.seed), scope, 's'), maphash.String(b.seed, m.Name()), byte(m.Type()))
	p := point{res: res, metric: m, series: series}
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		p.kind = MetricGauge
		for _, dp := range m.Gauge().DataPoints().All() {
			b.addNumber(p, dp)
		}
	case pmetric.MetricTypeSum:
		p.kind, p.temporality = MetricSum, m.Sum().AggregationTemporality()
		if m.Sum().IsMonotonic() {
			p.flags = FlagMonotonic
		}
		for _, dp := range m.Sum().DataPoints().All() {
			b.addNumber(p, dp)
		}
	case pmetric.MetricTypeHistogram:
		p.kind, p.temporality = MetricHistogram, m.Histogram().AggregationTemporality()
		for _, dp := range m.Histogram().DataPoints().All() {
			b.addHistogram(p, dp)
		}
	case pmetric.MetricTypeExponentialHistogram:
		p.kind, p.temporality = MetricExponentialHistogram, m.ExponentialHistogram().AggregationTemporality()
		for _, dp := range m.ExponentialHistogram().DataPoints().All() {
			b.addExponential(p, dp)
		}
	case pmetric.MetricTypeSummary:
		p.kind = MetricSummary
		for _, dp := range m.Summary().DataPoints().All() {
			b.addSummary(p, dp)
		}
	}
}

// point is what all points of one metric share.
type point struct {
	res         resource
	metric      pmetric.Metric
	series      uint64
	kind        MetricType
	temporality pmetric.AggregationTemporality
	flags       Flag
}

type anyPoint interface {
	Timestamp() pcommon.Timestamp
	StartTimestamp() pcommon.Timestamp
	Attributes() pcommon.Map
}

func beginPoint[P anyPoint](b *Batch, p point, dp P, flags Flag) {
	b.begin(SignalMetric)
	b.putTimes(uint64(dp.Timestamp()), uint64(dp.StartTimestamp()))
	h := b.header()
	h[offClass], h[offLevel] = byte(p.kind), byte(p.temporality)
	b.flag(p.flags | flags)
	b.putString(p.res.service)
	b.putString(p.metric.Name())
	b.putString(p.metric.Unit())
}

func endPoint[P anyPoint](b *Batch, p point, dp P) {
	b.putMap(dp.Attributes(), 0)
	b.end(hash2(p.series+attributesHash(b.seed, dp.Attributes()), uint64(dp.Timestamp()), 'm'))
}

func (b *Batch) addNumber(p point, dp pmetric.NumberDataPoint) {
	flags, kind := FlagHasValue, dp.ValueType()
	if kind == pmetric.NumberDataPointValueTypeEmpty || dp.Flags().NoRecordedValue() {
		flags, kind = 0, pmetric.NumberDataPointValueTypeEmpty
	}
	beginPoint(b, p, dp, flags)
	switch kind {
	case pmetric.NumberDataPointValueTypeInt:
		b.buf = append(b.buf, tagInt)
		b.putUint64(uint64(dp.IntValue()))
	case pmetric.NumberDataPointValueTypeDouble:
		b.buf = append(b.buf, tagDouble)
		b.putFloat64(dp.DoubleValue())
	default:
		b.buf = append(b.buf, tagEmpty)
	}
	endPoint(b, p, dp)
}

func (b *Batch) putUint64(n uint64)   { b.buf = binary.LittleEndian.AppendUint64(b.buf, n) }
func (b *Batch) putFloat64(f float64) { b.putUint64(math.Float64bits(f)) }

type distribution interface {
	Count() uint64
	Sum() float64
	HasSum() bool
	Min() float64
	HasMin() bool
	Max() float64
	HasMax() bool
}

func distributionFlags(d distribution) (f Flag) {
	if d.HasSum() {
		f |= FlagHasValue
	}
	if d.HasMin() {
		f |= FlagHasMin
	}
	if d.HasMax() {
		f |= FlagHasMax
	}
	return f
}

func (b *Batch) putDistribution(d distribution) {
	b.putUint64(d.Count())
	b.putFloat64(d.Sum())
	b.putFloat64(d.Min())
	b.putFloat64(d.Max())
}

// maxBuckets bounds the buckets and quantiles of one point; what is above is cut and marked.
const maxBuckets = 1024

func (b *Batch) fits(n int) int {
	fit := min(n, maxBuckets, max(b.room()/8, 0))
	if fit < n {
		b.flag(FlagTruncated)
	}
	b.buf = append(b.buf, 0, 0)
	putUint16(b.buf, len(b.buf)-2, fit)
	return fit
}

func (b *Batch) addHistogram(p point, dp pmetric.HistogramDataPoint) {
	beginPoint(b, p, dp, distributionFlags(dp))
	b.putDistribution(dp)
	bounds, counts := dp.ExplicitBounds(), dp.BucketCounts()
	for i := range b.fits(bounds.Len()) {
		b.putFloat64(bounds.At(i))
	}
	for i := range b.fits(counts.Len()) {
		b.putUint64(counts.At(i))
	}
	endPoint(b, p, dp)
}

func (b *Batch) addExponential(p point, dp pmetric.ExponentialHistogramDataPoint) {
	beginPoint(b, p, dp, distributionFlags(dp))
	b.putDistribution(dp)
	b.putUint64(uint64(int64(dp.Scale())))
	b.putUint64(dp.ZeroCount())
	endPoint(b, p, dp)
}

func (b *Batch) addSummary(p point, dp pmetric.SummaryDataPoint) {
	beginPoint(b, p, dp, FlagHasValue)
	b.putUint64(dp.Count())
	b.putFloat64(dp.Sum())
	b.putFloat64(0)
	b.putFloat64(0)
	q := dp.QuantileValues()
	n := b.fits(q.Len())
	for i := range n {
		b.putFloat64(q.At(i).Quantile())
	}
	for i := range b.fits(n) {
		b.putFloat64(q.At(i).Value())
	}
	endPoint(b, p, dp)
}
