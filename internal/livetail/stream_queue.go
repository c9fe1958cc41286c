// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"slices"
	"time"
)

// stream makes the blocks of a view from the records of a cycle and puts them into the queues. Called by the dispatcher.
func (h *Hub) stream(c *cycle, ch *channel, v *view, shed bool) {
	if len(v.snapStream) == 0 {
		return
	}
	v.before, v.misses, v.blocks, v.shed = v.filtered, v.misses[:0], v.blocks[:0], shedding{}
	var b *Block
	for _, i := range ch.entries {
		e := &c.entries[i]
		switch {
		case !v.mayRead(e.ring.source.Project):
			continue
		case v.key.private > 0 && e.rec.Seq() <= v.snapStream[0].start:
			continue
		case shed: // not even looked at: what it would have been is not known, so it counts
			v.shed.records++
			v.shed.severity[e.rec.severityClass()]++
			continue
		case !v.filter.Match(&e.ring.source, e.rec):
			v.filtered++
			v.misses = append(v.misses, e.rec.Seq())
			if v.sample != nil && v.sample.offered > 0 {
				v.sample.misses.add(e.rec.Seq(), 0)
			}
			continue
		case v.sample != nil:
			v.sample.offer(e.ring, e.rec)
			continue
		}
		encoded := h.encode(c, int(i), formStream)
		if b == nil || b.full(len(encoded)) {
			if b != nil {
				b.last, b.filtered, b.at = e.rec.Seq()-1, v.filtered, c.at
			}
			b = &Block{Body: make([]byte, 0, min(blockBytes, (len(encoded)+1)*len(ch.entries)))}
			v.blocks = append(v.blocks, b)
		}
		b.add(encoded, e.rec)
	}
	if b != nil {
		b.last, b.filtered, b.at = c.last, v.filtered, c.at
	}
	if v.sample != nil {
		v.sample.last = c.last
	}
	for _, sub := range v.snapFresh {
		sub.stream.settle(c, v, sub)
	}
	if len(v.blocks) > 0 || v.shed.records > 0 {
		for _, sub := range v.snapStream {
			c.pushed++
			sub.stream.deliver(h, c, ch, v, sub)
		}
	}
	v.blocks = slices.Delete(v.blocks, 0, len(v.blocks))
}

// settle finds the view's count of filtered records at the start of a subscription, in the first cycle that goes beyond it.
func (s *Stream) settle(c *cycle, v *view, sub *streamSub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.view != v || !sub.fresh || c.last <= sub.start {
		return
	}
	n, _ := slices.BinarySearch(v.misses, sub.start+1)
	sub.fresh, sub.filtered = false, v.before+uint64(n)
}

// deliver puts the blocks of a view into the queue of a subscription.
func (s *Stream) deliver(h *Hub, c *cycle, ch *channel, v *view, sub *streamSub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || sub.view != v || c.last <= sub.start {
		return
	}
	if v.shed.records > 0 {
		lost := v.shed
		if c.entries[ch.entries[0]].rec.Seq() <= sub.start {
			lost = shedding{}
			for _, i := range ch.entries {
				if e := &c.entries[i]; e.rec.Seq() > sub.start && v.mayRead(e.ring.source.Project) {
					lost.records++
					lost.severity[e.rec.severityClass()]++
				}
			}
		}
		h.stats.matched.Add(lost.records)
		h.stats.busy.Add(lost.records)
		s.push(queued{sub: sub, after: sub.last, last: c.last, filtered: v.filtered - sub.filtered, dropped: lost.records, lost: lost.severity})
		sub.last, sub.filtered = c.last, v.filtered
	}
	for _, b := range v.blocks {
		if b.seqs[0] <= sub.start {
			b = b.after(sub.start)
		}
		s.pushBlock(sub, b)
	}
	s.notify()
}

func (s *Stream) pushBlock(sub *streamSub, b *Block) {
	if b.last <= sub.last {
		return
	}
	s.hub.stats.matched.Add(uint64(b.Records()) + b.dropped)
	s.hub.stats.sampled.Add(b.dropped)
	s.push(queued{
		sub: sub, block: b, after: sub.last, last: b.last, filtered: b.filtered - sub.filtered, dropped: b.dropped, lost: b.lost,
	})
	sub.last, sub.filtered = b.last, b.filtered
}

// push adds a piece and lets the oldest go while there is more than the client's budget; one always stays.
func (s *Stream) push(q queued) {
	s.queue = append(s.queue, q)
	s.bytes += q.size()
	q.sub.waiting++
	for s.bytes > s.hub.opts.ClientBytes && len(s.queue)-s.head > 1 {
		s.drop(s.pop())
	}
}

// drop makes a gap of a piece. It is the oldest of its subscription, so that gaps of one join.
func (s *Stream) drop(q queued) {
	if q.sub == nil {
		return
	}
	g := q.sub.gap
	if g == nil {
		g = &Gap{After: q.after, Known: true, Reason: ReasonSlow}
		q.sub.gap = g
		s.gapped = append(s.gapped, q.sub)
	}
	g.Last = q.last
	g.Filtered += q.filtered
	g.Dropped += q.dropped
	g.BySeverity.add(&q.lost)
	if q.block != nil {
		n := uint64(q.block.Records())
		g.Dropped += n
		g.BySeverity.add(&q.block.severity)
		s.hub.stats.slow.Add(n)
	}
}

// pop removes the oldest piece; there must be one.
func (s *Stream) pop() queued {
	q := s.queue[s.head]
	s.queue[s.head] = queued{}
	s.head++
	if q.sub != nil {
		s.bytes -= q.size()
		q.sub.waiting--
	}
	switch {
	case s.head == len(s.queue):
		s.queue, s.head = nil, 0 // an idle connection holds nothing
	case s.head > 32 && s.head > len(s.queue)/2:
		n := copy(s.queue, s.queue[s.head:])
		clear(s.queue[n:])
		s.queue, s.head = s.queue[:n], 0
	}
	return q
}

// Output is one message to be sent: Control as it is, or a Gap, or the records of a Block in the range (After, Last] of a
// subscription.
type Output struct {
	Control  []byte
	Sub      uint32
	Channel  Channel
	Gap      *Gap
	Block    *Block // may be empty: nothing but progress
	After    uint64
	Last     uint64
	Filtered uint64 // records of the range that did not match
	Stored   bool   // the records are from the history, and lie in no range: After and Last are where the subscription is
	At       int64  // when everything up to Last had arrived, Unix milliseconds; 0: not known
	// Older: they stand before everything else of the subscription, whenever they come, in their own order.
	Older  bool
	Filled *Filled
}

// StreamTaken is a piece of what waits, in the order in which it goes out.
type StreamTaken struct {
	Outputs []Output
	Records int // in all blocks; to be acknowledged by Sent or Lost
}

// Take fills t with about maxBytes of what waits, and reports whether there is more.
func (s *Stream) Take(t *StreamTaken, maxBytes int) (more bool) {
	*t = StreamTaken{Outputs: t.Outputs[:0]}
	s.mu.Lock()
	defer s.mu.Unlock()
	bytes := 0
	for _, msg := range s.control {
		t.Outputs = append(t.Outputs, Output{Control: msg})
		bytes += len(msg)
	}
	s.control = nil
	for _, sub := range s.gapped {
		s.putGap(t, sub, sub.gap)
		sub.gap = nil
	}
	s.gapped = nil
	for bytes < maxBytes && len(s.queue) > s.head {
		q := s.pop()
		if q.sub == nil {
			continue
		}
		bytes += q.size()
		if q.dropped > 0 {
			g := &Gap{After: q.after, Last: q.after, Dropped: q.dropped, Known: true, BySeverity: q.lost, Reason: ReasonSampled}
			if q.block == nil {
				g.Last, g.Filtered, g.Reason = q.last, q.filtered, ReasonSlow
			}
			s.putGap(t, q.sub, g)
		}
		if q.block != nil {
			s.putBlock(t, q.sub, q.block, q.after, q.last, q.filtered)
		}
	}
	if bytes < maxBytes {
		s.takeFills(t)
		s.readBehind(t)
	}
	return len(s.queue) > s.head || len(s.control) > 0 || len(s.gapped) > 0 || s.nextBehind() != nil || s.fillWaits()
}

func (s *Stream) putGap(t *StreamTaken, sub *streamSub, g *Gap) {
	t.Outputs = append(t.Outputs, Output{Sub: sub.id, Channel: sub.req.Channel, Gap: g})
	sub.sent = max(sub.sent, g.Last)
}

func (s *Stream) putBlock(t *StreamTaken, sub *streamSub, b *Block, after, last, filtered uint64) {
	t.Outputs = append(t.Outputs, Output{Sub: sub.id, Channel: sub.req.Channel, Block: b, After: after, Last: last, Filtered: filtered, At: b.at})
	t.Records += b.Records()
	sub.sent = max(sub.sent, last)
}

// Sent acknowledges the records of a StreamTaken, Lost says that they could not be sent.
func (s *Stream) Sent(records int) { s.hub.stats.delivered.Add(uint64(records)) }

// Lost says that the records of a StreamTaken could not be sent.
func (s *Stream) Lost(records int) { s.hub.stats.gone.Add(uint64(records)) }

// Progress tells live subscriptions that have nothing waiting how far they are, when they saw nothing for a while. It
// reports whether there was something to tell.
func (s *Stream) Progress() (told bool) {
	h := s.hub
	h.dispatchMu.Lock()
	defer h.dispatchMu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	upTo := h.dispatched()
	now := time.Now().UnixMilli()
	for _, sub := range s.subs {
		v := sub.view
		if v == nil || sub.waiting > 0 || sub.gap != nil || upTo <= sub.last || v.sample != nil && v.sample.offered > 0 {
			continue
		}
		if sub.fresh {
			sub.fresh, sub.filtered = false, v.filtered
		}
		s.pushBlock(sub, &Block{last: upTo, filtered: v.filtered, at: now})
		told = true
	}
	if told {
		s.notify()
	}
	return told
}
