// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/route"
	"github.com/tailrace/tailrace/internal/segment"
	"github.com/tailrace/tailrace/internal/unfinished"
)

// Traces encodes td. Unfinished spans are left out and counted.
func (e *Encoder) Traces(td ptrace.Traces) ([]segment.Part, Stats) {
	e.begin()
	scopeID := 0
	for r := range td.ResourceSpans().Len() {
		rs := td.ResourceSpans().At(r)
		var l *lines
		for s := range rs.ScopeSpans().Len() {
			ss := rs.ScopeSpans().At(s)
			scopeID++
			for i := range ss.Spans().Len() {
				span := ss.Spans().At(i)
				if unfinished.Span(span) {
					e.stats.Unfinished++
					continue
				}
				if l == nil {
					l = e.to(segment.Spans, route.Project(rs.Resource()), `{"resourceSpans":[`)
				}
				if l.enter(0, r) {
					l.define(0, func(b *buffer, mark bool) {
						b.raw(`{"resource":`)
						b.resource(rs.Resource(), mark)
						b.raw(`,"scopeSpans":[`)
					}, func(b *buffer, _ bool) { b.endContainer(rs.SchemaUrl()) })
				}
				if l.enter(1, scopeID) {
					l.define(1, func(b *buffer, mark bool) {
						b.raw(`{"scope":`)
						b.scope(ss.Scope(), mark)
						b.raw(`,"spans":[`)
					}, func(b *buffer, _ bool) { b.endContainer(ss.SchemaUrl()) })
				}
				l.record(func(b *buffer, mark bool) { b.span(span, mark) })
			}
		}
	}
	return e.finish()
}

// endContainer closes the array and the object of a resource or a scope.
func (b *buffer) endContainer(schemaURL string) {
	b.buf = append(b.buf, ']')
	b.keyStr(`"schemaUrl":`, schemaURL)
	b.buf = append(b.buf, '}')
}

func (b *buffer) span(s ptrace.Span, mark bool) {
	b.buf = append(b.buf, '{')
	b.keyTraceID(`"traceId":`, s.TraceID())
	b.keySpanID(`"spanId":`, s.SpanID())
	b.keyStr(`"traceState":`, s.TraceState().AsRaw())
	b.keySpanID(`"parentSpanId":`, s.ParentSpanID())
	b.keyUint32(`"flags":`, s.Flags())
	b.keyStr(`"name":`, s.Name())
	b.keyInt32(`"kind":`, int32(s.Kind()))
	b.keyUint64(`"startTimeUnixNano":`, uint64(s.StartTimestamp()))
	b.keyUint64(`"endTimeUnixNano":`, uint64(s.EndTimestamp()))
	b.attributes(`"attributes":`, s.Attributes(), mark)
	b.keyUint32(`"droppedAttributesCount":`, s.DroppedAttributesCount())
	if events := s.Events(); events.Len() > 0 {
		b.key(`"events":`)
		b.buf = append(b.buf, '[')
		for i := range events.Len() {
			b.spanEvent(events.At(i))
		}
		b.buf = append(b.buf, ']')
	}
	b.keyUint32(`"droppedEventsCount":`, s.DroppedEventsCount())
	if links := s.Links(); links.Len() > 0 {
		b.key(`"links":`)
		b.buf = append(b.buf, '[')
		for i := range links.Len() {
			b.spanLink(links.At(i))
		}
		b.buf = append(b.buf, ']')
	}
	b.keyUint32(`"droppedLinksCount":`, s.DroppedLinksCount())
	b.key(`"status":`)
	b.buf = append(b.buf, '{')
	b.keyStr(`"message":`, s.Status().Message())
	b.keyInt32(`"code":`, int32(s.Status().Code()))
	b.raw("}}")
}

func (b *buffer) spanEvent(e ptrace.SpanEvent) {
	b.elem()
	b.buf = append(b.buf, '{')
	b.keyUint64(`"timeUnixNano":`, uint64(e.Timestamp()))
	b.keyStr(`"name":`, e.Name())
	b.attributes(`"attributes":`, e.Attributes(), false)
	b.keyUint32(`"droppedAttributesCount":`, e.DroppedAttributesCount())
	b.buf = append(b.buf, '}')
}

func (b *buffer) spanLink(l ptrace.SpanLink) {
	b.elem()
	b.buf = append(b.buf, '{')
	b.keyTraceID(`"traceId":`, l.TraceID())
	b.keySpanID(`"spanId":`, l.SpanID())
	b.keyStr(`"traceState":`, l.TraceState().AsRaw())
	b.attributes(`"attributes":`, l.Attributes(), false)
	b.keyUint32(`"droppedAttributesCount":`, l.DroppedAttributesCount())
	b.keyUint32(`"flags":`, l.Flags())
	b.buf = append(b.buf, '}')
}
