// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package columnar

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Traces is a block of spans. It is not safe for concurrent use.
type Traces struct {
	Block

	timestamp                          *nanos
	traceID, spanID, parentID, state   text
	name, kind, service                dict
	resource                           attrs
	scopeName, scopeVersion            text
	attributes                         attrs
	duration                           u64
	status                             dict
	statusMessage                      text
	events                             ends
	eventTime                          *nanos
	eventName                          dict
	eventAttributes                    attrs
	links                              ends
	linkTraceID, linkSpanID, linkState text
	linkAttributes                     attrs
}

// NewTraces returns an empty block.
func NewTraces() *Traces {
	b := &Traces{timestamp: newNanos(), eventTime: newNanos()}
	b.Block = newBlock("otel_traces",
		field{"Timestamp", b.timestamp},
		field{"TraceId", &b.traceID},
		field{"SpanId", &b.spanID},
		field{"ParentSpanId", &b.parentID},
		field{"TraceState", &b.state},
		field{"SpanName", &b.name},
		field{"SpanKind", &b.kind},
		field{"ServiceName", &b.service},
		field{"ResourceAttributes", &b.resource},
		field{"ScopeName", &b.scopeName},
		field{"ScopeVersion", &b.scopeVersion},
		field{"SpanAttributes", &b.attributes},
		field{"Duration", &b.duration},
		field{"StatusCode", &b.status},
		field{"StatusMessage", &b.statusMessage},
		field{"Events.Timestamp", array{&b.events, b.eventTime}},
		field{"Events.Name", array{&b.events, &b.eventName}},
		field{"Events.Attributes", array{&b.events, &b.eventAttributes}},
		field{"Links.TraceId", array{&b.links, &b.linkTraceID}},
		field{"Links.SpanId", array{&b.links, &b.linkSpanID}},
		field{"Links.TraceState", array{&b.links, &b.linkState}},
		field{"Links.Attributes", array{&b.links, &b.linkAttributes}},
	)
	return b
}

// Append adds the spans. It does not change them, and keeps strings of them until Reset.
func (b *Traces) Append(d ptrace.Traces) {
	for _, rs := range d.ResourceSpans().All() {
		first, service := true, serviceName(rs.Resource())
		for _, ss := range rs.ScopeSpans().All() {
			scope := ss.Scope()
			name, version := scope.Name(), scope.Version()
			for _, s := range ss.Spans().All() {
				b.service.append(service)
				b.resource.once(&first, rs.Resource().Attributes())
				b.scopeName.append(name)
				b.scopeVersion.append(version)
				b.span(s)
			}
		}
	}
}

func (b *Traces) span(s ptrace.Span) {
	b.timestamp.append(s.StartTimestamp())
	b.traceID.appendTrace(s.TraceID())
	b.spanID.appendSpan(s.SpanID())
	b.parentID.appendSpan(s.ParentSpanID())
	b.state.append(s.TraceState().AsRaw())
	b.name.append(s.Name())
	b.kind.append(s.Kind().String())
	b.attributes.append(s.Attributes())
	b.duration.ColUInt64 = append(b.duration.ColUInt64, uint64(s.EndTimestamp()-s.StartTimestamp()))
	b.status.append(s.Status().Code().String())
	b.statusMessage.append(s.Status().Message())

	events := s.Events()
	b.events.append(events.Len())
	for _, e := range events.All() {
		b.eventTime.append(e.Timestamp())
		b.eventName.append(e.Name())
		b.eventAttributes.append(e.Attributes())
	}
	links := s.Links()
	b.links.append(links.Len())
	for _, l := range links.All() {
		b.linkTraceID.appendTrace(l.TraceID())
		b.linkSpanID.appendSpan(l.SpanID())
		b.linkState.append(l.TraceState().AsRaw())
		b.linkAttributes.append(l.Attributes())
	}
}

// appendTrace appends an id as hex digits, and nothing for one that is not set.
func (c *text) appendTrace(id pcommon.TraceID) {
	if id.IsEmpty() {
		c.append("")
		return
	}
	c.appendHex(id[:])
}

// appendSpan appends an id as hex digits, and nothing for one that is not set.
func (c *text) appendSpan(id pcommon.SpanID) {
	if id.IsEmpty() {
		c.append("")
		return
	}
	c.appendHex(id[:])
}
