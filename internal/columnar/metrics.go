// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package columnar

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// Metrics are the blocks of the five tables of data points. They are not safe for concurrent use.
type Metrics struct {
	gauge       gauges
	sum         sums
	histogram   histograms
	exponential exponentials
	summary     summaries
}

// NewMetrics returns empty blocks.
func NewMetrics() *Metrics {
	m := &Metrics{}
	m.gauge.init()
	m.sum.init()
	m.histogram.init()
	m.exponential.init()
	m.summary.init()
	return m
}

// Blocks returns the blocks that have rows, in an order that is always the same.
func (m *Metrics) Blocks() (blocks []*Block) {
	for _, b := range m.all() {
		if b.Rows() > 0 {
			blocks = append(blocks, b)
		}
	}
	return blocks
}

func (m *Metrics) all() []*Block {
	return []*Block{&m.gauge.Block, &m.sum.Block, &m.histogram.Block, &m.exponential.Block, &m.summary.Block}
}

// Reset removes all rows, and keeps the memory.
func (m *Metrics) Reset() {
	for _, b := range m.all() {
		b.Reset()
	}
}

func (m *Metrics) size() (n int) {
	for _, b := range m.all() {
		n += b.size()
	}
	return n
}

// Append adds the data points, and returns how many metrics have no data: they have no row in any table. It does not change them,
// and keeps strings of them until Reset.
func (m *Metrics) Append(d pmetric.Metrics) (withoutData int) {
	for _, rm := range d.ResourceMetrics().All() {
		service := serviceName(rm.Resource())
		for _, sm := range rm.ScopeMetrics().All() {
			for _, metric := range sm.Metrics().All() {
				o := origin{resource: rm, scope: sm, service: service, metric: metric}
				switch metric.Type() {
				case pmetric.MetricTypeGauge:
					m.gauge.append(&o, metric.Gauge())
				case pmetric.MetricTypeSum:
					m.sum.append(&o, metric.Sum())
				case pmetric.MetricTypeHistogram:
					m.histogram.append(&o, metric.Histogram())
				case pmetric.MetricTypeExponentialHistogram:
					m.exponential.append(&o, metric.ExponentialHistogram())
				case pmetric.MetricTypeSummary:
					m.summary.append(&o, metric.Summary())
				default:
					withoutData++
				}
			}
		}
	}
	return withoutData
}

// origin is what the data points of a metric have in common.
type origin struct {
	resource pmetric.ResourceMetrics
	scope    pmetric.ScopeMetrics
	service  string
	metric   pmetric.Metric
	seen     bool // a row of it was appended
}

// point is what the data points of all types have.
type point interface {
	Attributes() pcommon.Map
	StartTimestamp() pcommon.Timestamp
	Timestamp() pcommon.Timestamp
	Flags() pmetric.DataPointFlags
}

// common are the columns that all five tables have.
type common struct {
	Block

	resource                attrs
	resourceURL             text
	scopeName, scopeVersion text
	scope                   attrs
	scopeDropped            u32
	scopeURL                text
	service, name           dict
	description, unit       text
	attributes              attrs
	start, time             secs
	flags                   u32
}

// build names the columns: first those that all tables have.
func (c *common) build(table string, own ...field) {
	c.Block = newBlock(table, append([]field{
		{"ResourceAttributes", &c.resource},
		{"ResourceSchemaUrl", &c.resourceURL},
		{"ScopeName", &c.scopeName},
		{"ScopeVersion", &c.scopeVersion},
		{"ScopeAttributes", &c.scope},
		{"ScopeDroppedAttrCount", &c.scopeDropped},
		{"ScopeSchemaUrl", &c.scopeURL},
		{"ServiceName", &c.service},
		{"MetricName", &c.name},
		{"MetricDescription", &c.description},
		{"MetricUnit", &c.unit},
		{"Attributes", &c.attributes},
		{"StartTimeUnix", &c.start},
		{"TimeUnix", &c.time},
		{"Flags", &c.flags},
	}, own...)...)
}

func (c *common) point(o *origin, p point) {
	if o.seen {
		c.resource.repeat()
		c.resourceURL.repeat()
		c.scopeName.repeat()
		c.scopeVersion.repeat()
		c.scope.repeat()
		c.scopeURL.repeat()
		c.description.repeat()
		c.unit.repeat()
	} else {
		o.seen = true
		scope := o.scope.Scope()
		c.resource.append(o.resource.Resource().Attributes())
		c.resourceURL.append(o.resource.SchemaUrl())
		c.scopeName.append(scope.Name())
		c.scopeVersion.append(scope.Version())
		c.scope.append(scope.Attributes())
		c.scopeURL.append(o.scope.SchemaUrl())
		c.description.append(o.metric.Description())
		c.unit.append(o.metric.Unit())
	}
	c.scopeDropped.ColUInt32 = append(c.scopeDropped.ColUInt32, o.scope.Scope().DroppedAttributesCount())
	c.service.append(o.service)
	c.name.append(o.metric.Name())
	c.attributes.append(p.Attributes())
	c.start.append(p.StartTimestamp())
	c.time.append(p.Timestamp())
	c.flags.ColUInt32 = append(c.flags.ColUInt32, uint32(p.Flags()))
}

// exemplars are the columns of the exemplars of data points.
type exemplars struct {
	ends            ends
	attributes      attrs
	time            secs
	value           f64
	spanID, traceID text
}

func (e *exemplars) fields() []field {
	return []field{
		{"Exemplars.FilteredAttributes", array{&e.ends, &e.attributes}},
		{"Exemplars.TimeUnix", array{&e.ends, &e.time}},
		{"Exemplars.Value", array{&e.ends, &e.value}},
		{"Exemplars.SpanId", array{&e.ends, &e.spanID}},
		{"Exemplars.TraceId", array{&e.ends, &e.traceID}},
	}
}

func (e *exemplars) append(s pmetric.ExemplarSlice) {
	e.ends.append(s.Len())
	for _, x := range s.All() {
		e.attributes.append(x.FilteredAttributes())
		e.time.append(x.Timestamp())
		value := 0.0
		switch x.ValueType() {
		case pmetric.ExemplarValueTypeInt:
			value = float64(x.IntValue())
		case pmetric.ExemplarValueTypeDouble:
			value = x.DoubleValue()
		}
		e.value.ColFloat64 = append(e.value.ColFloat64, value)
		// An id that is not set is zeros here, not empty.
		span, trace := x.SpanID(), x.TraceID()
		e.spanID.appendHex(span[:])
		e.traceID.appendHex(trace[:])
	}
}
