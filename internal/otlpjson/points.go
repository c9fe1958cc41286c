// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// point is what the data points of all types have.
type point interface {
	Attributes() pcommon.Map
	SetStartTimestamp(pcommon.Timestamp)
	SetTimestamp(pcommon.Timestamp)
	SetFlags(pmetric.DataPointFlags)
}

// pointField reads a field that all data points have, or skips what no point has.
func pointField[P point](d *decoder, p P) {
	switch string(d.key()) {
	case "attributes":
		d.attributes(p.Attributes(), &d.hints.record)
	case "startTimeUnixNano", "start_time_unix_nano":
		p.SetStartTimestamp(pcommon.Timestamp(d.uint64()))
	case "timeUnixNano", "time_unix_nano":
		p.SetTimestamp(pcommon.Timestamp(d.uint64()))
	case "flags":
		p.SetFlags(pmetric.DataPointFlags(d.uint32()))
	default:
		d.unknown()
	}
}

func (d *decoder) numberPoints(s pmetric.NumberDataPointSlice) {
	if !d.array() {
		return
	}
	for d.element() {
		if s.Len() == 0 {
			s.EnsureCapacity(min(d.hints.points, maxHint))
		}
		d.numberPoint(s.AppendEmpty())
	}
	d.hints.points = s.Len()
}

func (d *decoder) numberPoint(p pmetric.NumberDataPoint) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "asDouble", "as_double":
			p.SetDoubleValue(d.float())
		case "asInt", "as_int":
			p.SetIntValue(d.int64())
		case "exemplars":
			d.exemplars(p.Exemplars())
		default:
			pointField(d, p)
		}
	}
}

func (d *decoder) histogramPoint(p pmetric.HistogramDataPoint) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "count":
			p.SetCount(d.uint64())
		case "sum":
			p.SetSum(d.float())
		case "min":
			p.SetMin(d.float())
		case "max":
			p.SetMax(d.float())
		case "bucketCounts", "bucket_counts":
			p.BucketCounts().Append(d.uint64s()...)
		case "explicitBounds", "explicit_bounds":
			p.ExplicitBounds().Append(d.float64s()...)
		case "exemplars":
			d.exemplars(p.Exemplars())
		default:
			pointField(d, p)
		}
	}
}

func (d *decoder) exponentialPoint(p pmetric.ExponentialHistogramDataPoint) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "count":
			p.SetCount(d.uint64())
		case "sum":
			p.SetSum(d.float())
		case "min":
			p.SetMin(d.float())
		case "max":
			p.SetMax(d.float())
		case "scale":
			p.SetScale(d.int32())
		case "zeroCount", "zero_count":
			p.SetZeroCount(d.uint64())
		case "zeroThreshold", "zero_threshold":
			p.SetZeroThreshold(d.float())
		case "positive":
			d.buckets(p.Positive())
		case "negative":
			d.buckets(p.Negative())
		case "exemplars":
			d.exemplars(p.Exemplars())
		default:
			pointField(d, p)
		}
	}
}

func (d *decoder) buckets(b pmetric.ExponentialHistogramDataPointBuckets) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "offset":
			b.SetOffset(d.int32())
		case "bucketCounts", "bucket_counts":
			b.BucketCounts().Append(d.uint64s()...)
		default:
			d.unknown()
		}
	}
}

func (d *decoder) summaryPoint(p pmetric.SummaryDataPoint) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "count":
			p.SetCount(d.uint64())
		case "sum":
			p.SetSum(d.float())
		case "quantileValues", "quantile_values":
			if d.array() {
				for d.element() {
					d.quantile(p.QuantileValues().AppendEmpty())
				}
			}
		default:
			pointField(d, p)
		}
	}
}

func (d *decoder) quantile(q pmetric.SummaryDataPointValueAtQuantile) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "quantile":
			q.SetQuantile(d.float())
		case "value":
			q.SetValue(d.float())
		default:
			d.unknown()
		}
	}
}

func (d *decoder) exemplars(s pmetric.ExemplarSlice) {
	if d.array() {
		for d.element() {
			d.exemplar(s.AppendEmpty())
		}
	}
}

func (d *decoder) exemplar(e pmetric.Exemplar) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "filteredAttributes", "filtered_attributes":
			d.attributes(e.FilteredAttributes(), &d.hints.event)
		case "timeUnixNano", "time_unix_nano":
			e.SetTimestamp(pcommon.Timestamp(d.uint64()))
		case "asDouble", "as_double":
			e.SetDoubleValue(d.float())
		case "asInt", "as_int":
			e.SetIntValue(d.int64())
		case "traceId", "trace_id":
			e.SetTraceID(d.traceID())
		case "spanId", "span_id":
			e.SetSpanID(d.spanID())
		default:
			d.unknown()
		}
	}
}
