// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package linecodec

import (
	"fmt"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/ingest"
)

// The tables of metrics, one for each type, in the order in which they are named.
var metricTables = []struct {
	typ  pmetric.MetricType
	name string
}{
	{pmetric.MetricTypeGauge, "gauge"},
	{pmetric.MetricTypeSum, "sum"},
	{pmetric.MetricTypeHistogram, "histogram"},
	{pmetric.MetricTypeExponentialHistogram, "exphistogram"},
	{pmetric.MetricTypeSummary, "summary"},
}

// Tables implements ingest.Splitter.
func (*batch[D]) Tables(u ingest.Unit) ([]ingest.Table, error) {
	unit, ok := u.(*Unit[D])
	if !ok {
		return nil, fmt.Errorf("a unit of another signal: %T", u)
	}
	md, ok := any(unit.Data).(pmetric.Metrics)
	if !ok {
		return []ingest.Table{{Records: unit.n}}, nil
	}
	count := map[pmetric.MetricType]int{}
	eachMetric(md, func(_ pmetric.ResourceMetrics, _ pmetric.ScopeMetrics, m pmetric.Metric) {
		eachPoint(m, func(point) { count[m.Type()]++ })
	})
	var tables []ingest.Table
	for _, t := range metricTables {
		if n := count[t.typ]; n > 0 {
			tables = append(tables, ingest.Table{Name: t.name, Records: n})
		}
	}
	return tables, nil
}

// Slice implements ingest.Splitter.
func (b *batch[D]) Slice(u ingest.Unit, table string, from, to int) (ingest.Unit, error) {
	unit, ok := u.(*Unit[D])
	if !ok {
		return nil, fmt.Errorf("a unit of another signal: %T", u)
	}
	part := b.codec.copy(unit.Data)
	keepRange(part, table, from, to)
	return &Unit[D]{Data: part, n: b.codec.records(part)}, nil
}

// LineSlice implements ingest.Splitter.
func (b *batch[D]) LineSlice(of ingest.Key, line []byte, unit int, table string, from, to int) (part []byte, records int, err error) {
	d, _, _, err := b.decode(of, line)
	if err != nil {
		return nil, 0, err
	}
	if b.unit != nil {
		b.codec.keep(d, func(day int64) bool { return b.unit[day] == unit })
	}
	records = keepRange(d, table, from, to)
	if b.codec.records(d) == 0 {
		return nil, records, nil
	}
	part, err = b.codec.marshal(d)
	return part, records, err
}

// keepRange removes all records of d but those from..to of a table, and returns how many the table had.
func keepRange(d any, table string, from, to int) int {
	n := -1
	drop := func() bool { n++; return n < from || n >= to }
	switch d := d.(type) {
	case ptrace.Traces:
		removeSpans(d, func(ptrace.Span) bool { return drop() })
	case plog.Logs:
		removeLogs(d, func(plog.LogRecord) bool { return drop() })
	case pmetric.Metrics:
		var typ pmetric.MetricType
		for _, t := range metricTables {
			if t.name == table {
				typ = t.typ
			}
		}
		d.ResourceMetrics().RemoveIf(func(rm pmetric.ResourceMetrics) bool {
			rm.ScopeMetrics().RemoveIf(func(sm pmetric.ScopeMetrics) bool {
				sm.Metrics().RemoveIf(func(m pmetric.Metric) bool {
					return m.Type() != typ || removeFrom(m, func(point) bool { return drop() })
				})
				return sm.Metrics().Len() == 0
			})
			return rm.ScopeMetrics().Len() == 0
		})
	}
	return n + 1
}
