// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/internal/route"
	"github.com/tailrace/tailrace/internal/segment"
	"github.com/tailrace/tailrace/internal/unfinished"
)

// Logs encodes ld. Evaluation scores go to segments of their own; events about unfinished spans are left out and counted.
func (e *Encoder) Logs(ld plog.Logs) ([]segment.Part, Stats) {
	e.begin()
	scopeID := 0
	for r := range ld.ResourceLogs().Len() {
		rl := ld.ResourceLogs().At(r)
		var logs, scores *lines
		for s := range rl.ScopeLogs().Len() {
			sl := rl.ScopeLogs().At(s)
			scopeID++
			for i := range sl.LogRecords().Len() {
				rec := sl.LogRecords().At(i)
				if unfinished.Log(rec) {
					e.stats.Unfinished++
					continue
				}
				target, t := &logs, segment.Logs
				if route.IsScore(rec) {
					target, t = &scores, segment.Scores
				}
				if *target == nil {
					*target = e.to(t, route.Project(rl.Resource()), `{"resourceLogs":[`)
				}
				l := *target
				if l.enter(0, r) {
					l.define(0, func(b *buffer, mark bool) {
						b.raw(`{"resource":`)
						b.resource(rl.Resource(), mark)
						b.raw(`,"scopeLogs":[`)
					}, func(b *buffer, _ bool) { b.endContainer(rl.SchemaUrl()) })
				}
				if l.enter(1, scopeID) {
					l.define(1, func(b *buffer, mark bool) {
						b.raw(`{"scope":`)
						b.scope(sl.Scope(), mark)
						b.raw(`,"logRecords":[`)
					}, func(b *buffer, _ bool) { b.endContainer(sl.SchemaUrl()) })
				}
				l.record(func(b *buffer, mark bool) { b.logRecord(rec, mark) })
			}
		}
	}
	return e.finish()
}

func (b *buffer) logRecord(rec plog.LogRecord, mark bool) {
	b.buf = append(b.buf, '{')
	b.keyUint64(`"timeUnixNano":`, uint64(rec.Timestamp()))
	b.keyUint64(`"observedTimeUnixNano":`, uint64(rec.ObservedTimestamp()))
	b.keyInt32(`"severityNumber":`, int32(rec.SeverityNumber()))
	b.keyStr(`"severityText":`, rec.SeverityText())
	b.key(`"body":`)
	b.value(rec.Body(), 0)
	b.attributes(`"attributes":`, rec.Attributes(), mark)
	b.keyUint32(`"droppedAttributesCount":`, rec.DroppedAttributesCount())
	b.keyUint32(`"flags":`, uint32(rec.Flags()))
	b.keyTraceID(`"traceId":`, rec.TraceID())
	b.keySpanID(`"spanId":`, rec.SpanID())
	b.keyStr(`"eventName":`, rec.EventName())
	b.buf = append(b.buf, '}')
}
