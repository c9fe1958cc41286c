// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"go.opentelemetry.io/collector/pdata/pmetric"
)

func (d *decoder) metricsData(md pmetric.Metrics) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "resourceMetrics", "resource_metrics":
			if d.array() {
				for d.element() {
					d.resourceMetrics(md.ResourceMetrics().AppendEmpty())
				}
			}
		default:
			d.unknown()
		}
	}
}

func (d *decoder) resourceMetrics(rm pmetric.ResourceMetrics) {
	if !d.object() {
		return
	}
	deprecated := pmetric.ScopeMetricsSlice{}
	some := false
	for d.field() {
		switch string(d.key()) {
		case "resource":
			d.resource(rm.Resource())
		case "scopeMetrics", "scope_metrics":
			d.scopeMetricsArray(rm.ScopeMetrics())
		case "schemaUrl", "schema_url":
			rm.SetSchemaUrl(d.str())
		case "deprecatedScopeMetrics", "deprecated_scope_metrics":
			if !some {
				deprecated, some = pmetric.NewScopeMetricsSlice(), true
			}
			d.scopeMetricsArray(deprecated)
		default:
			d.unknown()
		}
	}
	if some && rm.ScopeMetrics().Len() == 0 {
		deprecated.MoveAndAppendTo(rm.ScopeMetrics())
	}
}

func (d *decoder) scopeMetricsArray(s pmetric.ScopeMetricsSlice) {
	if d.array() {
		for d.element() {
			d.scopeMetrics(s.AppendEmpty())
		}
	}
}

func (d *decoder) scopeMetrics(sm pmetric.ScopeMetrics) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "scope":
			d.scope(sm.Scope())
		case "metrics":
			if d.array() {
				metrics := sm.Metrics()
				for d.element() {
					d.metric(metrics.AppendEmpty())
				}
			}
		case "schemaUrl", "schema_url":
			sm.SetSchemaUrl(d.str())
		default:
			d.unknown()
		}
	}
}

func (d *decoder) metric(m pmetric.Metric) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "name":
			m.SetName(d.str())
		case "description":
			m.SetDescription(d.str())
		case "unit":
			m.SetUnit(d.str())
		case "gauge":
			d.gauge(m.SetEmptyGauge())
		case "sum":
			d.sum(m.SetEmptySum())
		case "histogram":
			d.histogram(m.SetEmptyHistogram())
		case "exponentialHistogram", "exponential_histogram":
			d.exponentialHistogram(m.SetEmptyExponentialHistogram())
		case "summary":
			d.summary(m.SetEmptySummary())
		case "metadata":
			d.attributes(m.Metadata(), &d.hints.scope)
		default:
			d.unknown()
		}
	}
}

func (d *decoder) gauge(g pmetric.Gauge) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "dataPoints", "data_points":
			d.numberPoints(g.DataPoints())
		default:
			d.unknown()
		}
	}
}

func (d *decoder) sum(s pmetric.Sum) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "dataPoints", "data_points":
			d.numberPoints(s.DataPoints())
		case "aggregationTemporality", "aggregation_temporality":
			s.SetAggregationTemporality(d.temporality())
		case "isMonotonic", "is_monotonic":
			s.SetIsMonotonic(d.bool())
		default:
			d.unknown()
		}
	}
}

func (d *decoder) histogram(h pmetric.Histogram) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "dataPoints", "data_points":
			if d.array() {
				for d.element() {
					d.histogramPoint(h.DataPoints().AppendEmpty())
				}
			}
		case "aggregationTemporality", "aggregation_temporality":
			h.SetAggregationTemporality(d.temporality())
		default:
			d.unknown()
		}
	}
}

func (d *decoder) exponentialHistogram(h pmetric.ExponentialHistogram) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "dataPoints", "data_points":
			if d.array() {
				for d.element() {
					d.exponentialPoint(h.DataPoints().AppendEmpty())
				}
			}
		case "aggregationTemporality", "aggregation_temporality":
			h.SetAggregationTemporality(d.temporality())
		default:
			d.unknown()
		}
	}
}

func (d *decoder) summary(s pmetric.Summary) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "dataPoints", "data_points":
			if d.array() {
				for d.element() {
					d.summaryPoint(s.DataPoints().AppendEmpty())
				}
			}
		default:
			d.unknown()
		}
	}
}

func (d *decoder) temporality() pmetric.AggregationTemporality {
	return pmetric.AggregationTemporality(d.enum(func(name string) int32 {
		switch name {
		case "AGGREGATION_TEMPORALITY_UNSPECIFIED":
			return 0
		case "AGGREGATION_TEMPORALITY_DELTA":
			return 1
		case "AGGREGATION_TEMPORALITY_CUMULATIVE":
			return 2
		}
		return -1
	}))
}
