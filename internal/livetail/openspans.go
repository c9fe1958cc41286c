// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"encoding/binary"
	"hash/maphash"
	"time"
)

// maxOpenSpans bounds how many unfinished spans are watched. One that is not watched is shown, but never as orphaned.
const maxOpenSpans = 10_000

// missedHeartbeats is how many make an orphan.
const missedHeartbeats = 3

// openSpans watches the spans that have begun and not ended. Guarded by Hub.mu.
type openSpans struct {
	all  map[openKey]*openSpan
	used bool // there ever was one: ends are remembered, for a begin that comes late
}

type openKey struct {
	project string
	trace   [16]byte
	span    [8]byte
}

type openSpan struct {
	source Source
	short  []byte // the record, without attributes and events
	seen   time.Time
	every  time.Duration
	orphan bool
}

// see looks at a span. known: it is open, was shown as such, and only says again that it still runs, or it ended before. again:
// it was taken for an orphan.
func (o *openSpans) see(h *Hub, src Source, raw Record, every time.Duration) (known, again bool) {
	open := raw.Has(FlagOpen)
	if !open && !o.used || raw.Has(FlagOrphan) {
		return false, false
	}
	key := openKey{src.Project, raw.TraceID(), raw.SpanID()}
	ended := hash2(maphash.Comparable(h.seed, key), 0, 'E')
	if !open {
		delete(o.all, key)
		h.recent.add(ended)
		return false, false
	}
	o.used = true
	if h.recent.has(ended) {
		return true, false
	}
	if s := o.all[key]; s != nil {
		s.seen, s.every = time.Now(), every
		again, s.orphan = s.orphan, false
		return !again, again
	}
	if o.all == nil {
		o.all = map[openKey]*openSpan{}
	}
	if len(o.all) >= maxOpenSpans {
		for k := range o.all { // any
			delete(o.all, k)
			break
		}
	}
	o.all[key] = &openSpan{source: src, short: shorten(raw), seen: time.Now(), every: every}
	return false, false
}

// shorten is a copy of a span's record without its attributes and events.
func shorten(raw Record) []byte {
	f := raw.Fields()
	f.String()
	f.String()
	f.String()
	out := append([]byte(nil), raw[:len(raw)-len(f.b)]...)
	out = append(out, 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(out[offLength:], uint32(len(out)))
	return out
}

// markOrphans publishes those open spans once more, as orphans, whose heartbeats have stopped.
func (h *Hub) markOrphans(now time.Time) {
	h.mu.Lock()
	if len(h.open.all) == 0 {
		h.mu.Unlock()
		return
	}
	b := h.NewBatch()
	for _, s := range h.open.all {
		if s.orphan || s.every == 0 || now.Sub(s.seen) <= missedHeartbeats*s.every {
			continue
		}
		s.orphan = true
		b.source(s.source)
		b.begin(SignalSpan)
		b.drop()
		b.buf = append(b.buf, s.short...)
		b.flag(FlagOrphan)
		b.recs = append(b.recs, pending{piece: uint16(len(b.pieces)), off: uint32(b.start)})
	}
	h.mu.Unlock()
	if b.Len() > 0 {
		h.Publish(b)
		return
	}
	h.batches.Put(b)
}
