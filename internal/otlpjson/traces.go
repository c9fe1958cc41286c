// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

func (d *decoder) tracesData(td ptrace.Traces) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "resourceSpans", "resource_spans":
			if d.array() {
				for d.element() {
					d.resourceSpans(td.ResourceSpans().AppendEmpty())
				}
			}
		default:
			d.unknown()
		}
	}
}

func (d *decoder) resourceSpans(rs ptrace.ResourceSpans) {
	if !d.object() {
		return
	}
	deprecated := ptrace.ScopeSpansSlice{}
	some := false
	for d.field() {
		switch string(d.key()) {
		case "resource":
			d.resource(rs.Resource())
		case "scopeSpans", "scope_spans":
			d.scopeSpansArray(rs.ScopeSpans())
		case "schemaUrl", "schema_url":
			rs.SetSchemaUrl(d.str())
		case "deprecatedScopeSpans", "deprecated_scope_spans":
			if !some {
				deprecated, some = ptrace.NewScopeSpansSlice(), true
			}
			d.scopeSpansArray(deprecated)
		default:
			d.unknown()
		}
	}
	if some && rs.ScopeSpans().Len() == 0 {
		deprecated.MoveAndAppendTo(rs.ScopeSpans())
	}
}

func (d *decoder) scopeSpansArray(s ptrace.ScopeSpansSlice) {
	if d.array() {
		for d.element() {
			d.scopeSpans(s.AppendEmpty())
		}
	}
}

func (d *decoder) scopeSpans(ss ptrace.ScopeSpans) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "scope":
			d.scope(ss.Scope())
		case "spans":
			if d.array() {
				spans := ss.Spans()
				for d.element() {
					d.span(spans.AppendEmpty())
				}
			}
		case "schemaUrl", "schema_url":
			ss.SetSchemaUrl(d.str())
		default:
			d.unknown()
		}
	}
}

func (d *decoder) span(s ptrace.Span) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "traceId", "trace_id":
			s.SetTraceID(d.traceID())
		case "spanId", "span_id":
			s.SetSpanID(d.spanID())
		case "traceState", "trace_state":
			s.TraceState().FromRaw(d.str())
		case "parentSpanId", "parent_span_id":
			s.SetParentSpanID(d.spanID())
		case "flags":
			s.SetFlags(d.uint32())
		case "name":
			s.SetName(d.str())
		case "kind":
			s.SetKind(ptrace.SpanKind(d.enum(spanKind)))
		case "startTimeUnixNano", "start_time_unix_nano":
			s.SetStartTimestamp(pcommon.Timestamp(d.uint64()))
		case "endTimeUnixNano", "end_time_unix_nano":
			s.SetEndTimestamp(pcommon.Timestamp(d.uint64()))
		case "attributes":
			d.attributes(s.Attributes(), &d.hints.record)
		case "droppedAttributesCount", "dropped_attributes_count":
			s.SetDroppedAttributesCount(d.uint32())
		case "events":
			if d.array() {
				for d.element() {
					d.event(s.Events().AppendEmpty())
				}
			}
		case "droppedEventsCount", "dropped_events_count":
			s.SetDroppedEventsCount(d.uint32())
		case "links":
			if d.array() {
				for d.element() {
					d.link(s.Links().AppendEmpty())
				}
			}
		case "droppedLinksCount", "dropped_links_count":
			s.SetDroppedLinksCount(d.uint32())
		case "status":
			d.status(s.Status())
		default:
			d.unknown()
		}
	}
}

func (d *decoder) event(e ptrace.SpanEvent) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "timeUnixNano", "time_unix_nano":
			e.SetTimestamp(pcommon.Timestamp(d.uint64()))
		case "name":
			e.SetName(d.str())
		case "attributes":
			d.attributes(e.Attributes(), &d.hints.event)
		case "droppedAttributesCount", "dropped_attributes_count":
			e.SetDroppedAttributesCount(d.uint32())
		default:
			d.unknown()
		}
	}
}

func (d *decoder) link(l ptrace.SpanLink) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "traceId", "trace_id":
			l.SetTraceID(d.traceID())
		case "spanId", "span_id":
			l.SetSpanID(d.spanID())
		case "traceState", "trace_state":
			l.TraceState().FromRaw(d.str())
		case "attributes":
			d.attributes(l.Attributes(), &d.hints.event)
		case "droppedAttributesCount", "dropped_attributes_count":
			l.SetDroppedAttributesCount(d.uint32())
		case "flags":
			l.SetFlags(d.uint32())
		default:
			d.unknown()
		}
	}
}

func (d *decoder) status(s ptrace.Status) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "message":
			s.SetMessage(d.str())
		case "code":
			s.SetCode(ptrace.StatusCode(d.enum(statusCode)))
		default:
			d.unknown()
		}
	}
}

func spanKind(name string) int32 {
	switch name {
	case "SPAN_KIND_UNSPECIFIED":
		return 0
	case "SPAN_KIND_INTERNAL":
		return 1
	case "SPAN_KIND_SERVER":
		return 2
	case "SPAN_KIND_CLIENT":
		return 3
	case "SPAN_KIND_PRODUCER":
		return 4
	case "SPAN_KIND_CONSUMER":
		return 5
	}
	return -1
}

func statusCode(name string) int32 {
	switch name {
	case "STATUS_CODE_UNSET":
		return 0
	case "STATUS_CODE_OK":
		return 1
	case "STATUS_CODE_ERROR":
		return 2
	}
	return -1
}
