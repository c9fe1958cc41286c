// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"slices"

	"github.com/tailrace/tailrace/internal/access"
)

// backfill walks over the records that the rings held when a subscription began. It holds no records, only its place:
// a slow client pins one chunk for each ring that it reads. What a ring evicts meanwhile is counted as dropped.
type backfill struct {
	hub    *Hub
	sub    *subscription
	caller *access.Caller
	others []*subscription // of the same client; what they bring is not brought again
	want   int
	rings  []*ring

	// Set by resolve.
	cursors []cursor
	from    uint64 // the lowest sequence number

	// Guarded by Subscriber.mu.
	reply     []byte
	ready     bool
	started   bool
	cancelled bool
	tell      bool // of what is cancelled
	left      int  // records still to come; set by resolve
}

// cursor stands before a record of a ring. Guarded by Hub.mu.
type cursor struct {
	ring  *ring
	chunk *chunk
	off   int
	rec   Record // the next one that matches, nil: not looked for yet
}

// newBackfill is called with Hub.mu held.
func newBackfill(h *Hub, sub *subscription, others []*subscription, want int) *backfill {
	b := &backfill{hub: h, sub: sub, caller: sub.client.caller, others: others, want: want}
	for _, r := range h.rings {
		if r.records > 0 && sub.ch.has(r.source) && b.caller.MayRead(r.source.Project) {
			b.rings = append(b.rings, r)
		}
	}
	return b
}

// matches reports whether the subscription shows the record and no other one does.
func (b *backfill) matches(src Source, rec Record) bool {
	if rec.Seq() > b.sub.start || !b.sub.ch.hasRecord(src, rec) || b.hub.opts.Format.Form(b.sub.ch.Kind, rec) == FormNone {
		return false
	}
	for _, o := range b.others {
		if rec.Seq() >= o.low && o.ch.hasRecord(src, rec) && b.hub.opts.Format.Form(o.ch.Kind, rec) != FormNone {
			return false
		}
	}
	return true
}

// resolve finds the newest records that match and returns how many there are. It takes the hub's lock for one ring at
// a time.
func (b *backfill) resolve() int {
	newest := minHeap{limit: b.want}
	// The rings that were written last first: they fill the heap with high numbers, so that most of the others can be
	// passed over by their last one.
	b.hub.mu.Lock()
	slices.SortFunc(b.rings, func(x, y *ring) int {
		switch {
		case x.lastSeq > y.lastSeq:
			return -1
		case x.lastSeq < y.lastSeq:
			return 1
		default:
			return 0
		}
	})
	b.hub.mu.Unlock()
	for _, r := range b.rings {
		b.hub.mu.Lock()
		c, off := r.oldest()
		for ; c != nil; c = c.next {
			if !newest.full() || c.lastSeq > newest.min() {
				for off < len(c.buf) {
					rec := Record(c.buf[off : off+recordLen(c.buf[off:])])
					off += len(rec)
					if b.matches(r.source, rec) {
						newest.push(rec.Seq())
					}
				}
			}
			off = 0
		}
		b.hub.mu.Unlock()
	}
	b.left = len(newest.seqs)
	if b.left == 0 {
		b.rings = nil
		return 0
	}
	b.from = newest.min()
	b.sub.low = b.from
	for _, r := range b.rings {
		b.cursors = append(b.cursors, cursor{ring: r})
	}
	b.rings = nil
	return b.left
}

// backfillStep is how many records are read from the rings at a time, under the hub's lock.
const backfillStep = 64

// takeBackfill adds the next records, and reports whether there are more. Called with Subscriber.mu held, which it
// gives up while it reads and encodes.
func (s *Subscriber) takeBackfill(t *Taken, b *backfill, add func([]byte)) (more bool) {
	if !b.started {
		b.started = true
		add(b.reply)
		s.hub.stats.matched.Add(uint64(b.left))
	}
	if b.left == 0 || b.cancelled {
		if b.cancelled {
			s.hub.stats.gone.Add(uint64(b.left))
			if b.tell {
				s.dropped += uint64(b.left)
			}
			b.left = 0
		}
		return false
	}
	s.mu.Unlock()
	msgs := b.next()
	s.mu.Lock()
	if s.closed {
		return true // Close has accounted for what was left
	}
	for _, msg := range msgs {
		add(msg)
	}
	t.Records += len(msgs)
	b.left -= len(msgs)
	if len(msgs) == 0 { // the rings lost the rest
		s.hub.stats.evicted.Add(uint64(b.left))
		s.dropped += uint64(b.left)
		b.left = 0
		return false
	}
	return b.left > 0
}

func (b *backfill) next() [][]byte {
	type found struct {
		src Source
		rec Record
	}
	recs := make([]found, 0, min(backfillStep, b.left))
	b.hub.mu.Lock()
	for len(recs) < cap(recs) {
		var best *cursor
		for i := range b.cursors {
			c := &b.cursors[i]
			b.advance(c)
			if c.rec != nil && (best == nil || c.rec.Seq() < best.rec.Seq()) {
				best = c
			}
		}
		if best == nil {
			break
		}
		recs = append(recs, found{best.ring.source, best.rec})
		best.rec = nil
	}
	b.cursors = slices.DeleteFunc(b.cursors, func(c cursor) bool { return c.ring == nil })
	b.hub.mu.Unlock()

	msgs := make([][]byte, 0, len(recs))
	for _, f := range recs {
		form := b.hub.opts.Format.Form(b.sub.ch.Kind, f.rec)
		msgs = append(msgs, b.hub.opts.Format.Append(nil, f.src, f.rec, form))
	}
	return msgs
}

// advance finds the next record of a cursor that matches. A cursor at its end loses its ring.
func (b *backfill) advance(c *cursor) {
	if c.rec != nil || c.ring == nil {
		return
	}
	if head, off := c.ring.oldest(); c.chunk == nil || c.chunk.evicted {
		c.chunk, c.off = head, off
	} else if c.chunk == head && c.off < off {
		c.off = off
	}
	for c.chunk != nil {
		if c.chunk.lastSeq < b.from {
			c.chunk, c.off = c.chunk.next, 0
			continue
		}
		for c.off < len(c.chunk.buf) {
			rec := Record(c.chunk.buf[c.off : c.off+recordLen(c.chunk.buf[c.off:])])
			if rec.Seq() > b.sub.start {
				*c = cursor{}
				return
			}
			c.off += len(rec)
			if rec.Seq() >= b.from && b.matches(c.ring.source, rec) {
				c.rec = rec
				return
			}
		}
		if c.chunk.next == nil {
			break
		}
		c.chunk, c.off = c.chunk.next, 0
	}
	*c = cursor{}
}

// newest returns the sequence number before the newest records that the rings hold and the request asks for, and how many they are. It must not be
// called with Hub.mu held; a ring is looked at without the lock, which is safe while there is a stream (Hub.keep).
func (h *Hub) newest(req Request, caller *access.Caller) (before uint64, records int) {
	found := minHeap{limit: min(req.Backfill, h.opts.RingRecords)}
	h.mu.Lock()
	rings := make([]*ring, 0, len(h.rings))
	for _, r := range h.rings {
		if r.records > 0 && req.Channel.has(r.source) && caller.MayRead(r.source.Project) {
			rings = append(rings, r)
		}
	}
	upTo := h.seq
	slices.SortFunc(rings, func(x, y *ring) int { return int(int64(y.lastSeq - x.lastSeq)) })
	h.mu.Unlock()
	type piece struct {
		buf  []byte
		last uint64
	}
	var pieces []piece
	for _, r := range rings {
		pieces = pieces[:0]
		h.mu.Lock()
		c, off := r.oldest()
		for ; c != nil; c = c.next {
			pieces = append(pieces, piece{c.buf[off:], c.lastSeq})
			off = 0
		}
		h.mu.Unlock()
		for _, p := range slices.Backward(pieces) { // the newest first: they fill the heap, and most others are passed over
			if found.full() && p.last <= found.min() {
				break
			}
			for b := p.buf; len(b) > 0; {
				rec := Record(b[:recordLen(b)])
				b = b[len(rec):]
				if rec.Seq() > upTo || found.full() && rec.Seq() <= found.min() {
					continue
				}
				if req.Channel.Kind == ChannelTrace && rec.TraceID() != req.Channel.Trace {
					continue
				}
				if !req.Since.IsZero() && rec.UnixNano() < req.Since.UnixNano() || !req.Filter.Match(&r.source, rec) {
					continue
				}
				found.push(rec.Seq())
			}
		}
	}
	if len(found.seqs) == 0 {
		return upTo, 0
	}
	return found.min() - 1, len(found.seqs)
}

// minHeap keeps the highest numbers that it was given.
type minHeap struct {
	limit int
	seqs  []uint64
}

func (h *minHeap) full() bool  { return len(h.seqs) >= h.limit }
func (h *minHeap) min() uint64 { return h.seqs[0] }

func (h *minHeap) push(seq uint64) {
	if !h.full() {
		h.seqs = append(h.seqs, seq)
		for i := len(h.seqs) - 1; i > 0 && h.seqs[i] < h.seqs[(i-1)/2]; i = (i - 1) / 2 {
			h.seqs[i], h.seqs[(i-1)/2] = h.seqs[(i-1)/2], h.seqs[i]
		}
		return
	}
	if seq <= h.seqs[0] {
		return
	}
	h.seqs[0] = seq
	for i := 0; ; {
		least := i
		for _, j := range [2]int{2*i + 1, 2*i + 2} {
			if j < len(h.seqs) && h.seqs[j] < h.seqs[least] {
				least = j
			}
		}
		if least == i {
			return
		}
		h.seqs[i], h.seqs[least] = h.seqs[least], h.seqs[i]
		i = least
	}
}
