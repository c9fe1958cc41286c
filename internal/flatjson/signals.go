// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package flatjson

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/route"
	"github.com/tailrace/tailrace/internal/segment"
	"github.com/tailrace/tailrace/internal/unfinished"
)

const attrService = "service.name"

func (r *row) service(res pcommon.Resource) {
	r.key(`"ServiceName":`)
	if v, ok := res.Attributes().Get(attrService); ok {
		r.value(v)
		return
	}
	r.buf = append(r.buf, '"', '"')
}

func (r *row) attrs(k string, m pcommon.Map, mark bool) {
	r.key(k)
	r.attributes(m, mark)
}

// Traces encodes td: the columns of otel_traces. Unfinished spans are left out and counted.
func (e *Encoder) Traces(td ptrace.Traces) ([]segment.Part, Stats) {
	e.begin()
	for ri, rs := range td.ResourceSpans().All() {
		project := route.Project(rs.Resource())
		for si, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				if unfinished.Span(s) {
					e.stats.Unfinished++
					continue
				}
				o := e.to(segment.Spans, "", project)
				o.share(ri, si, func(r *row) {
					r.service(rs.Resource())
					r.attrs(`"ResourceAttributes":`, rs.Resource().Attributes(), false)
					r.str(`"ScopeName":`, ss.Scope().Name())
					r.str(`"ScopeVersion":`, ss.Scope().Version())
				})
				o.record(e, func(_ *row, mark bool) { o.span(s, mark) })
			}
		}
	}
	return e.finish()
}

func (o *out) span(s ptrace.Span, mark bool) {
	o.time(`"Timestamp":`, s.StartTimestamp())
	o.key(`"TraceId":`)
	o.traceID(s.TraceID())
	o.key(`"SpanId":`)
	o.spanID(s.SpanID())
	o.key(`"ParentSpanId":`)
	o.spanID(s.ParentSpanID())
	o.str(`"TraceState":`, s.TraceState().AsRaw())
	o.str(`"SpanName":`, s.Name())
	o.str(`"SpanKind":`, s.Kind().String())
	o.common()
	o.attrs(`"SpanAttributes":`, s.Attributes(), mark)
	o.uint(`"Duration":`, uint64(s.EndTimestamp()-s.StartTimestamp()))
	o.str(`"StatusCode":`, s.Status().Code().String())
	o.str(`"StatusMessage":`, s.Status().Message())
	events, links := s.Events(), s.Links()
	o.list(`"Events.Timestamp":`, events.Len(), func(i int) { o.moment(events.At(i).Timestamp()) })
	o.list(`"Events.Name":`, events.Len(), func(i int) { o.text(events.At(i).Name()) })
	o.list(`"Events.Attributes":`, events.Len(), func(i int) { o.attributes(events.At(i).Attributes(), false) })
	o.list(`"Links.TraceId":`, links.Len(), func(i int) { o.traceID(links.At(i).TraceID()) })
	o.list(`"Links.SpanId":`, links.Len(), func(i int) { o.spanID(links.At(i).SpanID()) })
	o.list(`"Links.TraceState":`, links.Len(), func(i int) { o.text(links.At(i).TraceState().AsRaw()) })
	o.list(`"Links.Attributes":`, links.Len(), func(i int) { o.attributes(links.At(i).Attributes(), false) })
}

func (r *row) list(k string, n int, each func(i int)) {
	r.key(k)
	r.buf = append(r.buf, '[')
	for i := range n {
		r.elem()
		each(i)
	}
	r.buf = append(r.buf, ']')
}

// Logs encodes ld: the columns of otel_logs. Evaluation scores go to segments of their own.
func (e *Encoder) Logs(ld plog.Logs) ([]segment.Part, Stats) {
	e.begin()
	for ri, rl := range ld.ResourceLogs().All() {
		project := route.Project(rl.Resource())
		for si, sl := range rl.ScopeLogs().All() {
			for _, rec := range sl.LogRecords().All() {
				if unfinished.Log(rec) {
					e.stats.Unfinished++
					continue
				}
				t := segment.Logs
				if route.IsScore(rec) {
					t = segment.Scores
				}
				o := e.to(t, "", project)
				o.share(ri, si, func(r *row) {
					r.service(rl.Resource())
					r.str(`"ResourceSchemaUrl":`, rl.SchemaUrl())
					r.attrs(`"ResourceAttributes":`, rl.Resource().Attributes(), false)
					r.str(`"ScopeSchemaUrl":`, sl.SchemaUrl())
					r.str(`"ScopeName":`, sl.Scope().Name())
					r.str(`"ScopeVersion":`, sl.Scope().Version())
					r.attrs(`"ScopeAttributes":`, sl.Scope().Attributes(), false)
				})
				o.record(e, func(_ *row, mark bool) { o.log(rec, mark) })
			}
		}
	}
	return e.finish()
}

func (o *out) log(rec plog.LogRecord, mark bool) {
	at := rec.Timestamp()
	if at == 0 {
		at = rec.ObservedTimestamp()
	}
	o.time(`"Timestamp":`, at)
	o.key(`"TraceId":`)
	o.traceID(rec.TraceID())
	o.key(`"SpanId":`)
	o.spanID(rec.SpanID())
	// The columns are eight bits wide.
	o.uint(`"TraceFlags":`, uint64(uint8(rec.Flags())))
	o.str(`"SeverityText":`, rec.SeverityText())
	o.uint(`"SeverityNumber":`, uint64(uint8(rec.SeverityNumber())))
	o.key(`"Body":`)
	o.value(rec.Body())
	o.common()
	o.attrs(`"LogAttributes":`, rec.Attributes(), mark)
	o.str(`"EventName":`, rec.EventName())
}
