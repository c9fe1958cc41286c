// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/unfinished"
)

// AddSpans copies every span of td into the batch: unfinished ones as open, others as ended. td is only
// read, and nothing of it is kept. Links are not shown live.
func (b *Batch) AddSpans(td ptrace.Traces) {
	for _, rs := range td.ResourceSpans().All() {
		res := newResource(rs.Resource())
		b.source(res.source(SignalSpan))
		for _, ss := range rs.ScopeSpans().All() {
			for _, sp := range ss.Spans().All() {
				b.addSpan(res, sp, unfinished.Span(sp), 0)
			}
		}
	}
}

// addSpan adds a span; open: it has not ended, and every is how often its sender says so (0: it does not).
func (b *Batch) addSpan(res resource, sp ptrace.Span, open bool, every time.Duration) {
	b.begin(SignalSpan)
	start, end := uint64(sp.StartTimestamp()), uint64(max(sp.StartTimestamp(), sp.EndTimestamp())) // as it will be stored
	trace, span, parent := sp.TraceID(), sp.SpanID(), sp.ParentSpanID()
	if open {
		end = 0
		if unfinished.Pending(sp) { // stands for its parent
			span, parent = parent, unfinished.PendingParent(sp)
		}
	}
	b.putTimes(start, end)
	h := b.header()
	h[offLevel] = byte(sp.Kind())
	h[offStatus] = byte(sp.Status().Code())
	copy(h[offTrace:], trace[:])
	copy(h[offSpan:], span[:])
	copy(h[offParent:], parent[:])
	state := byte('e')
	if open {
		b.flag(FlagOpen)
		state = 'o'
	}
	b.putString(res.service)
	b.putString(sp.Name())
	b.putString(sp.Status().Message())
	b.putMap(sp.Attributes(), 0)
	b.putEvents(sp.Events())

	key := uint64(0)
	if !trace.IsEmpty() && !span.IsEmpty() {
		// The kind and the start are in it for systems in which both sides of a call share one span id.
		key = hash2(maphash.Comparable(b.seed, spanKey{
			trace: trace, span: span, kind: sp.Kind(), start: start,
		}), res.projectHash(b.seed), state)
	}
	b.end(key)
	if open {
		b.recs[len(b.recs)-1].every = every
	}
}

// addPartial adds the spans that an event holds, and reports whether it could be read. Where they belong is what the event's
// own resource says, which was checked on the way, and not what its body claims.
func (b *Batch) addPartial(res resource, lr plog.LogRecord) bool {
	td, every, err := unfinished.Decode(lr)
	if err != nil {
		return false
	}
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, sp := range ss.Spans().All() {
				b.addSpan(res, sp, true, every)
			}
		}
	}
	return true
}

type spanKey struct {
	trace [16]byte
	span  [8]byte
	kind  ptrace.SpanKind
	start uint64
}

func (b *Batch) putEvents(events ptrace.SpanEventSlice) {
	at, n := len(b.buf), 0
	b.buf = append(b.buf, 0, 0)
	for _, e := range events.All() {
		if b.full || n == math.MaxUint16 || b.room() < 64 {
			b.full = true
			b.flag(FlagTruncated)
			break
		}
		b.buf = binary.LittleEndian.AppendUint64(b.buf, uint64(e.Timestamp()))
		b.putString(e.Name())
		b.putMap(e.Attributes(), 0)
		n++
	}
	putUint16(b.buf, at, n)
}
