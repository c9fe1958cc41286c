// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package linecodec

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/tailrace/tailrace/internal/ingest"
)

// NewMetrics returns an empty batch of data points; its units are *Unit[pmetric.Metrics].
func NewMetrics() ingest.Batch {
	return newBatch(&codec[pmetric.Metrics]{
		decode:    decodeMetrics,
		marshal:   (&pmetric.JSONMarshaler{}).MarshalMetrics,
		empty:     pmetric.NewMetrics,
		records:   pmetric.Metrics.DataPointCount,
		resources: func(d pmetric.Metrics) int { return d.ResourceMetrics().Len() },
		appendTo:  func(from, to pmetric.Metrics) { from.ResourceMetrics().MoveAndAppendTo(to.ResourceMetrics()) },
		days: func(d pmetric.Metrics, f func(int64)) {
			eachMetric(d, func(_ pmetric.ResourceMetrics, _ pmetric.ScopeMetrics, m pmetric.Metric) {
				eachPoint(m, func(p point) { f(dayOf(p.Timestamp())) })
			})
		},
		keep: func(d pmetric.Metrics, want func(int64) bool) {
			removePoints(d, func(p point) bool { return !want(dayOf(p.Timestamp())) })
		},
		copy: func(d pmetric.Metrics) pmetric.Metrics {
			c := pmetric.NewMetrics()
			d.CopyTo(c)
			return c
		},
		poison: poisonMetrics,
	})
}

// point is what the data points of all types have.
type point interface {
	Timestamp() pcommon.Timestamp
	StartTimestamp() pcommon.Timestamp
}

// points is what the data point slices of all types have.
type points[P any] interface {
	Len() int
	At(int) P
	RemoveIf(func(P) bool)
}

func each[P point](s points[P], f func(point)) {
	for i := range s.Len() {
		f(s.At(i))
	}
}

func eachPoint(m pmetric.Metric, f func(point)) {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		each(m.Gauge().DataPoints(), f)
	case pmetric.MetricTypeSum:
		each(m.Sum().DataPoints(), f)
	case pmetric.MetricTypeHistogram:
		each(m.Histogram().DataPoints(), f)
	case pmetric.MetricTypeExponentialHistogram:
		each(m.ExponentialHistogram().DataPoints(), f)
	case pmetric.MetricTypeSummary:
		each(m.Summary().DataPoints(), f)
	}
}

func remove[P point](s points[P], drop func(point) bool) bool {
	s.RemoveIf(func(p P) bool { return drop(p) })
	return s.Len() == 0
}

// removeFrom removes points of a metric, and reports whether none is left.
func removeFrom(m pmetric.Metric, drop func(point) bool) bool {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return remove(m.Gauge().DataPoints(), drop)
	case pmetric.MetricTypeSum:
		return remove(m.Sum().DataPoints(), drop)
	case pmetric.MetricTypeHistogram:
		return remove(m.Histogram().DataPoints(), drop)
	case pmetric.MetricTypeExponentialHistogram:
		return remove(m.ExponentialHistogram().DataPoints(), drop)
	case pmetric.MetricTypeSummary:
		return remove(m.Summary().DataPoints(), drop)
	}
	return true
}

func removePoints(d pmetric.Metrics, drop func(point) bool) {
	d.ResourceMetrics().RemoveIf(func(rm pmetric.ResourceMetrics) bool {
		rm.ScopeMetrics().RemoveIf(func(sm pmetric.ScopeMetrics) bool {
			sm.Metrics().RemoveIf(func(m pmetric.Metric) bool { return removeFrom(m, drop) })
			return sm.Metrics().Len() == 0
		})
		return rm.ScopeMetrics().Len() == 0
	})
}

func eachMetric(d pmetric.Metrics, f func(pmetric.ResourceMetrics, pmetric.ScopeMetrics, pmetric.Metric)) {
	for _, rm := range d.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				f(rm, sm, m)
			}
		}
	}
}

func wrongWithPoint(p point) string {
	if reason := wrongWithTime(p.Timestamp()); reason != "" {
		return reason
	}
	if p.StartTimestamp() > maxTime {
		return reasonTime
	}
	if with, ok := p.(interface{ Exemplars() pmetric.ExemplarSlice }); ok {
		for _, e := range with.Exemplars().All() {
			if e.Timestamp() > maxTime {
				return reasonTime
			}
		}
	}
	return ""
}

func badPoint(p point) bool { return wrongWithPoint(p) != "" }

// poisonMetrics returns bad points metric by metric.
func poisonMetrics(d pmetric.Metrics) (rejected []pmetric.Metrics, reasons []string) {
	eachMetric(d, func(rm pmetric.ResourceMetrics, sm pmetric.ScopeMetrics, m pmetric.Metric) {
		bad, reason := m.Type() == pmetric.MetricTypeEmpty, reasonNoType
		eachPoint(m, func(p point) {
			if wrong := wrongWithPoint(p); wrong != "" {
				bad, reason = true, wrong
			}
		})
		if !bad {
			return
		}
		one := pmetric.NewMetrics()
		r := one.ResourceMetrics().AppendEmpty()
		rm.Resource().CopyTo(r.Resource())
		r.SetSchemaUrl(rm.SchemaUrl())
		sc := r.ScopeMetrics().AppendEmpty()
		sm.Scope().CopyTo(sc.Scope())
		sc.SetSchemaUrl(sm.SchemaUrl())
		to := sc.Metrics().AppendEmpty()
		m.CopyTo(to)
		removeFrom(to, func(p point) bool { return !badPoint(p) })
		rejected, reasons = append(rejected, one), append(reasons, reason)
	})
	if len(rejected) > 0 {
		removePoints(d, badPoint)
	}
	return rejected, reasons
}
