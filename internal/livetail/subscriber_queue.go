// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import "slices"

// deliver puts the frames of a cycle into the queue; a record that several subscriptions match enters once, in the
// form of the narrowest. Called by the dispatcher.
func (s *Subscriber) deliver(c *cycle, shed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	hits := slices.DeleteFunc(s.hits, func(x hit) bool { return x.sub.done || len(x.view.frames) == 0 })
	if len(hits) == 0 {
		return
	}
	var frames []Frame
	bytes := 0
	if len(hits) == 1 && hits[0].sub.start < hits[0].view.frames[0].Seq {
		frames, bytes = hits[0].view.frames, hits[0].view.bytes
	} else {
		c.merged = merge(c.merged[:0], hits)
		frames = slices.Clone(c.merged)
		for _, f := range frames {
			bytes += len(f.Data)
		}
	}
	if len(frames) == 0 {
		return
	}
	s.hub.stats.matched.Add(uint64(len(frames)))
	if shed {
		s.hub.stats.busy.Add(uint64(len(frames)))
		s.dropped += uint64(len(frames))
	} else {
		s.push(frames, bytes)
	}
	c.pushed++
	s.notify()
}

// merge appends the frames of all hits in the order of their sequence.
func merge(dst []Frame, hits []hit) []Frame {
	slices.SortFunc(hits, func(a, b hit) int { return int(a.view.key.ch.Kind) - int(b.view.key.ch.Kind) })
	next := make([]int, len(hits))
	for {
		best := -1
		for i, x := range hits {
			fs := x.view.frames
			for next[i] < len(fs) && fs[next[i]].Seq <= x.sub.start {
				next[i]++
			}
			if next[i] < len(fs) && (best < 0 || fs[next[i]].Seq < hits[best].view.frames[next[best]].Seq) {
				best = i
			}
		}
		if best < 0 {
			return dst
		}
		f := hits[best].view.frames[next[best]]
		for i, x := range hits {
			if fs := x.view.frames; next[i] < len(fs) && fs[next[i]].Seq == f.Seq {
				next[i]++
			}
		}
		dst = append(dst, f)
	}
}

func (s *Subscriber) push(frames []Frame, bytes int) {
	s.queue = append(s.queue, segment{frames: frames})
	s.pushed += uint64(len(frames))
	s.bytes += bytes
	dropped := uint64(0)
	for s.bytes > s.hub.opts.ClientBytes {
		s.pop()
		dropped++
	}
	if dropped > 0 {
		s.dropped += dropped
		s.hub.stats.slow.Add(dropped)
	}
}

// pop removes the oldest frame; there must be one.
func (s *Subscriber) pop() Frame {
	seg := &s.queue[s.head]
	f := seg.frames[seg.next]
	seg.next++
	s.gone++
	s.bytes -= len(f.Data)
	if seg.next == len(seg.frames) {
		*seg = segment{}
		s.head++
		if s.head == len(s.queue) {
			s.queue, s.head = s.queue[:0], 0
		} else if s.head > 32 && s.head > len(s.queue)/2 {
			n := copy(s.queue, s.queue[s.head:])
			clear(s.queue[n:])
			s.queue, s.head = s.queue[:n], 0
		}
	}
	return f
}

// Taken is a piece of a subscriber's queue, in the order in which it goes out.
type Taken struct {
	// Dropped is how many records were lost since the last Taken, Total how many since the beginning. The client is
	// told before anything else.
	Dropped, Total uint64
	// Unsure: records were lost between hubs, and it is not known whether and how many of them were for this client.
	Unsure bool
	// Messages are the encoded messages. Read only.
	Messages [][]byte
	// Records is how many of Messages are records; they are to be acknowledged by Sent or Lost.
	Records int
}

// Take fills t with about maxBytes of what waits, and reports whether there was anything.
func (s *Subscriber) Take(t *Taken, maxBytes int) bool {
	*t = Taken{Messages: t.Messages[:0]}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Dropped, s.dropped = s.dropped, 0
	t.Unsure, s.unsure = s.unsure, false
	s.total += t.Dropped
	t.Total = s.total
	bytes := 0
	add := func(msg []byte) {
		t.Messages = append(t.Messages, msg)
		bytes += len(msg)
	}
	for _, msg := range s.urgent {
		add(msg)
	}
	s.urgent = nil
	for bytes < maxBytes {
		switch {
		case len(s.inline) > 0 && s.inline[0].pos <= s.gone:
			item := s.inline[0]
			if item.backfill == nil {
				add(item.reply)
				s.popInline()
				continue
			}
			if !item.backfill.ready {
				return len(t.Messages) > 0 || t.Dropped > 0 || t.Unsure
			}
			if !s.takeBackfill(t, item.backfill, add) {
				s.popInline()
			}
		case s.pushed > s.gone:
			add(s.pop().Data)
			t.Records++
		default:
			return len(t.Messages) > 0 || t.Dropped > 0 || t.Unsure
		}
	}
	return true
}

func (s *Subscriber) popInline() {
	s.inline[0] = inlineItem{}
	s.inline = s.inline[1:]
	if len(s.inline) == 0 {
		s.inline = nil
	}
}

// Sent acknowledges the records of a Taken, Lost says that they could not be sent.
func (s *Subscriber) Sent(records int) { s.hub.stats.delivered.Add(uint64(records)) }

// Lost says that the records of a Taken could not be sent.
func (s *Subscriber) Lost(records int) { s.hub.stats.gone.Add(uint64(records)) }
