// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"container/heap"
	"slices"
	"time"

	"github.com/tailrace/tailrace/internal/access"
)

// catchUp reads a subscription's channel from the rings, the merge of them by sequence number, until nothing is newer; then
// the subscription is live. It holds its place and no records: a slow client pins one chunk for each ring that it reads.
//
// It goes by passes. A pass reads what the rings had when it began, up to the horizon, so that sources which appear
// meanwhile are met in the next one. Guarded by Hub.mu, but for what its owner, the goroutine that takes, alone uses.
type catchUp struct {
	pos  uint64 // everything up to it was read, or told to be lost
	told uint64 // up to where it was told that records may be missing

	since    int64 // records up to sinceSeq whose own time is before it are passed over; 0: none
	sinceSeq uint64

	horizon uint64 // 0: no pass yet
	cursors cursors
	lossy   []*ring // of those that the pass reads: what it has not read yet may be lost
	done    []*ring // read to the end in the last step
}

// readCursor stands before a record of a ring.
type readCursor struct {
	ring  *ring
	chunk *chunk
	off   int
	next  uint64 // sequence number of the record
}

// settle moves the cursor to the first record above pos, and reports whether there is one.
func (c *readCursor) settle(pos uint64) bool {
	if head, off := c.ring.oldest(); c.chunk == nil || c.chunk.evicted {
		c.chunk, c.off = head, off
	} else if c.chunk == head && c.off < off {
		c.off = off
	}
	for c.chunk != nil {
		if c.chunk.lastSeq > pos {
			for c.off < len(c.chunk.buf) {
				rec := Record(c.chunk.buf[c.off:])
				if c.next = rec.Seq(); c.next > pos {
					return true
				}
				c.off += recordLen(rec)
			}
		}
		if c.chunk.next == nil {
			break // it stays, for what may still come
		}
		c.chunk, c.off = c.chunk.next, 0
	}
	return false
}

// record is the one that the cursor stands before.
func (c *readCursor) record() Record {
	b := c.chunk.buf[c.off:]
	return Record(b[:recordLen(b):recordLen(b)])
}

// cursors is a heap by next.
type cursors []*readCursor

func (c cursors) Len() int           { return len(c) }
func (c cursors) Less(i, j int) bool { return c[i].next < c[j].next }
func (c cursors) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }

// Push implements heap.Interface.
func (c *cursors) Push(x any) { *c = append(*c, x.(*readCursor)) }

// Pop implements heap.Interface.
func (c *cursors) Pop() any {
	last := len(*c) - 1
	x := (*c)[last]
	(*c)[last] = nil
	*c = (*c)[:last]
	return x
}

// One step of a catch-up reads at most this much under the hub's lock.
const (
	stepRecords = 256
	stepBytes   = 256 << 10
)

// step is what one look into the rings brought.
type step struct {
	gap     *Gap
	after   uint64
	last    uint64
	entries []entry
	live    bool // the subscription has been attached
	at      int64
	fill    *fill // has to come first
}

// lost is up to where records of a channel may have been evicted. Called with Hub.mu held.
func (h *Hub) lost(ch Channel, caller *access.Caller) uint64 {
	upTo := h.forgotten
	for _, r := range h.rings {
		if ch.has(r.source) && caller.MayRead(r.source.Project) {
			upTo = max(upTo, r.lost())
		}
	}
	return upTo
}

// lostAt is when all that is lost had come in, of a channel whose rings have lost records up to one. Called with Hub.mu held.
func (h *Hub) lostAt(lost uint64) time.Time {
	if lost == 0 || h.opts.Peers != nil {
		return h.whole()
	}
	if _, at := h.clock.between(lost-1, lost); !at.IsZero() {
		return at
	}
	return time.Now()
}

// begin starts a pass: cursors on all rings that have something above pos. Called with Hub.mu held.
func (b *catchUp) begin(h *Hub, ch Channel, caller *access.Caller) {
	b.horizon = h.seq
	clear(b.cursors)
	b.cursors, b.lossy, b.done = b.cursors[:0], b.lossy[:0], nil
	for _, r := range h.rings {
		if r.lastSeq <= b.pos || !ch.has(r.source) || !caller.MayRead(r.source.Project) {
			continue
		}
		if r.lost() > b.pos {
			b.lossy = append(b.lossy, r)
		}
		c := &readCursor{ring: r}
		if c.settle(b.pos) && c.next <= b.horizon {
			b.cursors = append(b.cursors, c)
		}
	}
	heap.Init(&b.cursors)
}

// overrun finds what rings lost before it was read. Called with Hub.mu held.
func (b *catchUp) overrun() {
	b.lossy = slices.DeleteFunc(b.lossy, func(r *ring) bool { return slices.Contains(b.done, r) })
	b.done = nil
	moved := false
	for _, c := range b.cursors {
		if c.ring.lost() >= c.next {
			moved = true
			if !slices.Contains(b.lossy, c.ring) {
				b.lossy = append(b.lossy, c.ring)
			}
		}
	}
	if moved {
		b.cursors = slices.DeleteFunc(b.cursors, func(c *readCursor) bool { return !c.settle(b.pos) || c.next > b.horizon })
		heap.Init(&b.cursors)
	}
}

// lost is up to where records may be missing, and whether they can be counted: which of them would have matched is known
// only when all would. Called with Hub.mu held.
func (b *catchUp) lost(h *Hub, req *Request) (upTo uint64, counted bool) {
	from := max(b.pos, b.told)
	old := b.since != 0 && b.pos < b.sinceSeq
	counted = req.Filter == nil && req.Channel.Kind != ChannelTrace && !old && h.forgotten <= from
	upTo = h.forgotten
	for _, r := range b.lossy {
		upTo = max(upTo, r.lost())
		counted = counted && r.forgot <= from && req.Channel.counts(r.source)
	}
	if upTo = min(upTo, b.horizon); upTo > b.pos && old {
		if _, to := h.clock.between(b.pos, upTo); !to.IsZero() && to.UnixNano() < b.since {
			upTo = 0 // it was too old
		}
	}
	return upTo, counted
}

// count tells how many records the step has not found: those of its range that rings have lost. Called with Hub.mu held.
func (b *catchUp) count(h *Hub, s *step) {
	g := &Gap{After: s.after, Last: s.last, Known: true, Reason: b.reason(h, max(s.after, b.told))}
	for _, r := range b.lossy {
		r.missing(max(s.after, b.told), s.last, &g.BySeverity)
	}
	if g.Dropped = g.BySeverity.sum(); g.Dropped == 0 {
		return
	}
	if len(s.entries) > 0 {
		g.Last, g.Until = s.entries[0].rec.Seq()-1, s.last
	}
	g.From, g.To = h.clock.between(s.after, s.last)
	s.gap, s.after = g, g.Last
}

// elsewhere reports whether records above from were lost on the way from other hubs: whether those have been stored is not known here, so
// they are told as a gap. Called with Hub.mu held.
func (b *catchUp) elsewhere(from uint64) bool {
	return slices.ContainsFunc(b.lossy, func(r *ring) bool { return r.source.elsewhere && r.lost() > from })
}

// reason is why records above from are missing: on the way from other hubs only when the rings here have lost none. Called with Hub.mu
// held.
func (b *catchUp) reason(h *Hub, from uint64) Reason {
	for _, r := range b.lossy {
		if !r.source.elsewhere && r.lost() > from {
			return ReasonEvicted
		}
	}
	if h.forgotten > from {
		return ReasonEvicted
	}
	return ReasonLost
}

// read takes the next records from the rings. Called with Hub.mu held.
func (b *catchUp) read(h *Hub, req *Request, caller *access.Caller, fillable bool) (s step) {
	ch := req.Channel
	if len(b.cursors) == 0 {
		b.begin(h, ch, caller)
	} else {
		b.overrun()
	}
	lost, counted := b.lost(h, req)
	if lost > max(b.pos, b.told) && fillable && !b.elsewhere(max(b.pos, b.told)) {
		from, to := h.clock.between(max(b.pos, b.told), lost)
		if from.IsZero() {
			from = h.began
		}
		if to.IsZero() {
			to = time.Now()
		}
		if s.fill = h.newFill(req, from.Add(-fillSlack), to.Add(fillSlack), to); s.fill != nil {
			s.fill.told = lost
			return s
		}
	}
	if !counted && lost > max(b.pos, b.told) {
		last := lost
		if len(b.cursors) > 0 {
			last = min(last, b.cursors[0].next-1)
		}
		s.gap = &Gap{After: b.pos, Last: last, Until: lost, Reason: b.reason(h, max(b.pos, b.told))}
		s.gap.From, s.gap.To = h.clock.between(b.pos, lost)
		b.pos, b.told = last, lost
	}
	s.after = b.pos
	bytes := 0
	for len(b.cursors) > 0 && len(s.entries) < stepRecords && bytes < stepBytes {
		c := b.cursors[0]
		rec := c.record()
		b.pos = c.next
		bytes += len(rec)
		if ch.Kind != ChannelTrace || rec.TraceID() == ch.Trace {
			s.entries = append(s.entries, entry{rec: rec, ring: c.ring})
		} else {
			bytes -= len(rec) / 2 // passing over costs less
		}
		c.off += len(rec)
		if c.settle(b.pos) && c.next <= b.horizon {
			heap.Fix(&b.cursors, 0)
		} else {
			heap.Pop(&b.cursors)
			b.done = append(b.done, c.ring)
		}
	}
	if len(b.cursors) == 0 {
		b.pos = b.horizon
		s.live = b.horizon == h.seq
	}
	s.last = b.pos
	if from, _ := h.clock.between(s.last, s.last); !from.IsZero() {
		s.at = from.UnixMilli()
	}
	if counted && lost > s.after {
		b.count(h, &s)
	}
	return s
}

// nextBehind is the next subscription whose turn it is to read from the rings, nil: there is none. One whose earlier records
// still wait has to wait too. Called with Stream.mu held.
func (s *Stream) nextBehind() *streamSub {
	for i := range s.subs {
		sub := s.subs[(s.turn+i)%len(s.subs)]
		if sub.behind != nil && !sub.waitsForFill() && sub.waiting == 0 && sub.gap == nil {
			return sub
		}
	}
	return nil
}

// readBehind reads the next piece of a subscription that is not live yet. Called with Stream.mu held, which it gives up in
// between.
func (s *Stream) readBehind(t *StreamTaken) {
	sub := s.nextBehind()
	if sub == nil {
		return
	}
	s.turn++
	b, req := sub.behind, sub.req
	h := s.hub
	s.mu.Unlock()

	h.mu.Lock()
	if sub.behind != b { // paused, updated, gone: changes are made with both locks held
		h.mu.Unlock()
		s.mu.Lock()
		return
	}
	part := b.read(h, &req, s.caller, sub.fills < fillTries && sub.fill == nil)
	if part.fill != nil {
		s.mu.Lock()
		s.setFill(sub, part.fill)
		s.mu.Unlock()
	}
	known := sub.known
	if part.live {
		s.mu.Lock()
		h.attach(sub)
		sub.stepping = true
		s.mu.Unlock()
	}
	v := sub.view
	h.mu.Unlock()

	if part.fill != nil {
		s.mu.Lock()
		return
	}
	blocks, filtered := b.encode(h, &req, part, known)

	s.mu.Lock()
	sub.stepping = false
	if s.closed || (part.live && sub.view != v) || (!part.live && sub.behind != b) {
		return // it starts again behind what was sent
	}
	if g := part.gap; g != nil {
		h.stats.matched.Add(g.Dropped)
		if g.Reason == ReasonLost {
			h.stats.lost.Add(g.Dropped)
		} else {
			h.stats.evicted.Add(g.Dropped)
		}
		s.putGap(t, sub, g)
	}
	after := part.after
	for _, block := range blocks {
		h.stats.matched.Add(uint64(block.Records()))
		s.putBlock(t, sub, block, after, block.last, filtered[block])
		after = block.last
	}
	if !part.live {
		sub.last = part.last
	}
}

// encode makes blocks of what was read; together they cover all of it. What the history has brought before it was here counts as
// filtered. It holds no lock.
func (b *catchUp) encode(h *Hub, req *Request, part step, known map[uint64]bool) (blocks []*Block, filtered map[*Block]uint64) {
	filtered = map[*Block]uint64{}
	block := &Block{}
	blocks = append(blocks, block)
	var encoded []byte
	for _, e := range part.entries {
		if b.since != 0 && e.rec.Seq() <= b.sinceSeq && e.rec.UnixNano() < b.since {
			continue
		}
		if !req.Filter.Match(&e.ring.source, e.rec) || len(known) > 0 && known[e.rec.identity(h, e.ring.source.Project)] {
			filtered[block]++
			continue
		}
		encoded = h.opts.AppendRecord(encoded[:0], e.ring.source, e.rec)
		if block.full(len(encoded)) {
			block.last, block.at = e.rec.Seq()-1, part.at
			block = &Block{}
			blocks = append(blocks, block)
		}
		block.add(encoded, e.rec)
	}
	block.last, block.at = part.last, part.at
	if len(part.entries) == 0 && part.after == part.last {
		return nil, nil
	}
	return blocks, filtered
}
