// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package flatjson

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/tailrace/tailrace/internal/foreignid"
	"github.com/tailrace/tailrace/internal/jsonscan"
)

var errNoMetricTime = errors.New("no TimeUnix")

// values are all columns of all five tables.
type values struct {
	name, description, unit string
	attrs                   pcommon.Map
	start, at               pcommon.Timestamp
	timed                   bool
	value                   float64
	flags                   uint32
	exemplars               pmetric.ExemplarSlice
	temporality             int32
	monotonic               bool
	count, zeroCount        uint64
	sum, min, max           float64
	buckets                 []uint64
	bounds                  []float64
	scale                   int32
	positive, negative      []uint64
	posOffset, negOffset    int32
	quantiles               pmetric.SummaryDataPointValueAtQuantileSlice
	table                   string // which the columns speak of
}

// DecodeMetric appends the data point of a line of one of the tables (see Tables); "" finds the table by the columns. Consecutive data
// points of the same metric are put together. See DecodeSpan. What the exporter's tables cannot tell from zero (a sum, min or max
// that was not there) comes back as zero.
func DecodeMetric(table string, line []byte, into pmetric.Metrics) error {
	tmp := pmetric.NewMetrics()
	rm := tmp.ResourceMetrics().AppendEmpty()
	sm := rm.ScopeMetrics().AppendEmpty()
	scratch := pmetric.NewSummaryDataPoint()
	v := values{attrs: pcommon.NewMap(), exemplars: pmetric.NewExemplarSlice(), quantiles: scratch.QuantileValues()}
	d, err := newDecoder(line)
	if err != nil {
		return err
	}
	if err := d.point(rm, sm, &v); err != nil {
		return err
	}
	if !v.timed {
		return errNoMetricTime
	}
	if table == "" {
		if table = v.table; table == "" {
			table = TableGauge
		}
	}
	m := sm.Metrics().AppendEmpty()
	m.SetName(v.name)
	m.SetDescription(v.description)
	m.SetUnit(v.unit)
	if err := v.fill(table, m); err != nil {
		return err
	}
	mergeMetrics(rm, sm, m, into)
	return nil
}

func (d decoder) point(rm pmetric.ResourceMetrics, sm pmetric.ScopeMetrics, v *values) error {
	var exemplars, quantiles nested
	exemplar := func(read func(x pmetric.Exemplar) error) error {
		return d.each(&exemplars, v.exemplars.Len, func() { v.exemplars.AppendEmpty() }, func(i int) error { return read(v.exemplars.At(i)) })
	}
	return d.Object(func(key string) (err error) {
		switch key {
		case "ResourceAttributes":
			return d.attributes(rm.Resource().Attributes())
		case "ResourceSchemaUrl":
			return d.str(rm.SetSchemaUrl)
		case "ScopeName":
			return d.str(sm.Scope().SetName)
		case "ScopeVersion":
			return d.str(sm.Scope().SetVersion)
		case "ScopeAttributes":
			return d.attributes(sm.Scope().Attributes())
		case "ScopeDroppedAttrCount":
			n, err := d.Uint(32)
			sm.Scope().SetDroppedAttributesCount(uint32(n))
			return err
		case "ScopeSchemaUrl":
			return d.str(sm.SetSchemaUrl)
		case "MetricName":
			v.name, err = d.Str()
		case "MetricDescription":
			v.description, err = d.Str()
		case "MetricUnit":
			v.unit, err = d.Str()
		case "Attributes":
			return d.attributes(v.attrs)
		case "StartTimeUnix":
			v.start, err = d.time()
		case "TimeUnix":
			v.at, err = d.time()
			v.timed = true
		case "Value":
			v.value, err = d.Float()
		case "Flags":
			var n uint64
			n, err = d.Uint(32)
			v.flags = uint32(n)
		case "AggregationTemporality":
			v.temporality, err = d.int32()
			v.speak(TableSum)
		case "IsMonotonic":
			v.monotonic, err = d.Bool()
			v.speak(TableSum)
		case "Count":
			v.count, err = d.Uint(64)
		case "Sum":
			v.sum, err = d.Float()
		case "Min":
			v.min, err = d.Float()
		case "Max":
			v.max, err = d.Float()
		case "BucketCounts":
			v.buckets, err = d.uints()
			v.speak(TableHistogram)
		case "ExplicitBounds":
			v.bounds, err = d.floats()
			v.speak(TableHistogram)
		case "Scale":
			v.scale, err = d.int32()
			v.speak(TableExponentialHistogram)
		case "ZeroCount":
			v.zeroCount, err = d.Uint(64)
		case "PositiveOffset":
			v.posOffset, err = d.int32()
		case "PositiveBucketCounts":
			v.positive, err = d.uints()
		case "NegativeOffset":
			v.negOffset, err = d.int32()
		case "NegativeBucketCounts":
			v.negative, err = d.uints()
		case "ValueAtQuantiles.Quantile", "ValueAtQuantiles.Value":
			v.speak(TableSummary)
			return d.each(&quantiles, v.quantiles.Len, func() { v.quantiles.AppendEmpty() }, func(i int) error {
				n, err := d.Float()
				if key == "ValueAtQuantiles.Value" {
					v.quantiles.At(i).SetValue(n)
				} else {
					v.quantiles.At(i).SetQuantile(n)
				}
				return err
			})
		case "Exemplars.FilteredAttributes":
			return exemplar(func(x pmetric.Exemplar) error { return d.attributes(x.FilteredAttributes()) })
		case "Exemplars.TimeUnix":
			return exemplar(func(x pmetric.Exemplar) error {
				at, err := d.time()
				x.SetTimestamp(at)
				return err
			})
		case "Exemplars.Value":
			return exemplar(func(x pmetric.Exemplar) error {
				n, err := d.Float()
				x.SetDoubleValue(n)
				return err
			})
		case "Exemplars.SpanId":
			return exemplar(func(x pmetric.Exemplar) error {
				return d.spanID(x.SetSpanID, x.FilteredAttributes(), foreignid.AttrSpanID)
			})
		case "Exemplars.TraceId":
			return exemplar(func(x pmetric.Exemplar) error { return d.traceID(x.SetTraceID, x.FilteredAttributes()) })
		default:
			d.Skip()
		}
		return err
	})
}

// speak notes which table a column belongs to; sum is what two of them share a column with.
func (v *values) speak(table string) {
	if v.table == "" || v.table == TableSum {
		v.table = table
	}
}

func (d decoder) int32() (int32, error) {
	n, err := d.Int(32)
	return int32(n), err
}

func (d decoder) uints() (all []uint64, err error) {
	return all, d.Array(func() error {
		n, err := d.Uint(64)
		all = append(all, n)
		return err
	})
}

func (d decoder) floats() (all []float64, err error) {
	return all, d.Array(func() error {
		n, err := d.Float()
		all = append(all, n)
		return err
	})
}

func (v *values) fill(table string, m pmetric.Metric) error {
	switch table {
	case TableGauge:
		v.number(m.SetEmptyGauge().DataPoints().AppendEmpty())
	case TableSum:
		s := m.SetEmptySum()
		s.SetAggregationTemporality(pmetric.AggregationTemporality(v.temporality))
		s.SetIsMonotonic(v.monotonic)
		v.number(s.DataPoints().AppendEmpty())
	case TableHistogram:
		h := m.SetEmptyHistogram()
		h.SetAggregationTemporality(pmetric.AggregationTemporality(v.temporality))
		p := h.DataPoints().AppendEmpty()
		v.attrs.MoveTo(p.Attributes())
		p.SetStartTimestamp(v.start)
		p.SetTimestamp(v.at)
		p.SetCount(v.count)
		p.SetSum(v.sum)
		p.SetMin(v.min)
		p.SetMax(v.max)
		p.BucketCounts().FromRaw(v.buckets)
		p.ExplicitBounds().FromRaw(v.bounds)
		p.SetFlags(pmetric.DataPointFlags(v.flags))
		v.exemplars.MoveAndAppendTo(p.Exemplars())
	case TableExponentialHistogram:
		h := m.SetEmptyExponentialHistogram()
		h.SetAggregationTemporality(pmetric.AggregationTemporality(v.temporality))
		p := h.DataPoints().AppendEmpty()
		v.attrs.MoveTo(p.Attributes())
		p.SetStartTimestamp(v.start)
		p.SetTimestamp(v.at)
		p.SetCount(v.count)
		p.SetSum(v.sum)
		p.SetMin(v.min)
		p.SetMax(v.max)
		p.SetScale(v.scale)
		p.SetZeroCount(v.zeroCount)
		p.Positive().SetOffset(v.posOffset)
		p.Positive().BucketCounts().FromRaw(v.positive)
		p.Negative().SetOffset(v.negOffset)
		p.Negative().BucketCounts().FromRaw(v.negative)
		p.SetFlags(pmetric.DataPointFlags(v.flags))
		v.exemplars.MoveAndAppendTo(p.Exemplars())
	case TableSummary:
		p := m.SetEmptySummary().DataPoints().AppendEmpty()
		v.attrs.MoveTo(p.Attributes())
		p.SetStartTimestamp(v.start)
		p.SetTimestamp(v.at)
		p.SetCount(v.count)
		p.SetSum(v.sum)
		p.SetFlags(pmetric.DataPointFlags(v.flags))
		v.quantiles.MoveAndAppendTo(p.QuantileValues())
	default:
		return fmt.Errorf("there is no table %q", table)
	}
	return nil
}

func (v *values) number(p pmetric.NumberDataPoint) {
	v.attrs.MoveTo(p.Attributes())
	p.SetStartTimestamp(v.start)
	p.SetTimestamp(v.at)
	p.SetDoubleValue(v.value)
	p.SetFlags(pmetric.DataPointFlags(v.flags))
	v.exemplars.MoveAndAppendTo(p.Exemplars())
}

func mergeMetrics(rm pmetric.ResourceMetrics, sm pmetric.ScopeMetrics, m pmetric.Metric, into pmetric.Metrics) {
	n := into.ResourceMetrics().Len()
	if n == 0 {
		rm.MoveTo(into.ResourceMetrics().AppendEmpty())
		return
	}
	last := into.ResourceMetrics().At(n - 1)
	scopes := last.ScopeMetrics()
	k := scopes.Len()
	if k == 0 || last.SchemaUrl() != rm.SchemaUrl() || !last.Resource().Attributes().Equal(rm.Resource().Attributes()) {
		rm.MoveTo(into.ResourceMetrics().AppendEmpty())
		return
	}
	scope := scopes.At(k - 1)
	if scope.SchemaUrl() != sm.SchemaUrl() || !sameScope(scope.Scope(), sm.Scope()) {
		sm.MoveTo(scopes.AppendEmpty())
		return
	}
	if j := scope.Metrics().Len(); j > 0 && joinPoints(m, scope.Metrics().At(j-1)) {
		return
	}
	m.MoveTo(scope.Metrics().AppendEmpty())
}

// joinPoints moves the data points of m to the metric before it if it is the same.
func joinPoints(m, to pmetric.Metric) bool {
	if m.Type() != to.Type() || m.Name() != to.Name() || m.Description() != to.Description() || m.Unit() != to.Unit() {
		return false
	}
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		m.Gauge().DataPoints().MoveAndAppendTo(to.Gauge().DataPoints())
	case pmetric.MetricTypeSum:
		if m.Sum().IsMonotonic() != to.Sum().IsMonotonic() || m.Sum().AggregationTemporality() != to.Sum().AggregationTemporality() {
			return false
		}
		m.Sum().DataPoints().MoveAndAppendTo(to.Sum().DataPoints())
	case pmetric.MetricTypeHistogram:
		if m.Histogram().AggregationTemporality() != to.Histogram().AggregationTemporality() {
			return false
		}
		m.Histogram().DataPoints().MoveAndAppendTo(to.Histogram().DataPoints())
	case pmetric.MetricTypeExponentialHistogram:
		if m.ExponentialHistogram().AggregationTemporality() != to.ExponentialHistogram().AggregationTemporality() {
			return false
		}
		m.ExponentialHistogram().DataPoints().MoveAndAppendTo(to.ExponentialHistogram().DataPoints())
	case pmetric.MetricTypeSummary:
		m.Summary().DataPoints().MoveAndAppendTo(to.Summary().DataPoints())
	}
	return true
}

// TableOf returns the table that a line of a metrics segment belongs to, by its columns; "" if it is none.
func TableOf(line []byte) string {
	s, err := jsonscan.New(line)
	if err != nil || s.Kind() != jsonscan.Object {
		return ""
	}
	var v values
	isPoint := false
	_ = s.Object(func(key string) error {
		switch key {
		case "TimeUnix":
			isPoint = true
		case "AggregationTemporality", "IsMonotonic":
			v.speak(TableSum)
		case "BucketCounts", "ExplicitBounds":
			v.speak(TableHistogram)
		case "Scale":
			v.speak(TableExponentialHistogram)
		case "ValueAtQuantiles.Quantile", "ValueAtQuantiles.Value":
			v.speak(TableSummary)
		}
		s.Skip()
		return nil
	})
	if isPoint && v.table == "" {
		return TableGauge
	}
	if !isPoint {
		return ""
	}
	return v.table
}
