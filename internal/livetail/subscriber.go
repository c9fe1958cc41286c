// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"slices"
	"sync"
)

// Frame is one encoded record in the queue of a subscriber. Data is shared with other subscribers: read only.
type Frame struct {
	Seq  uint64
	Data []byte
}

// Subscriber is one connection: its subscriptions and what waits for it. Subscribe, Unsubscribe and Close are called
// by one goroutine, Take, Sent and Lost by another one.
type Subscriber struct {
	hub  *Hub
	wake chan struct{}

	// subs is guarded by Hub.mu.
	subs map[Channel]*subscription
	// hits belongs to the dispatcher.
	hits []hit

	// mu guards what follows. Taken after Hub.mu, held for moments only.
	mu      sync.Mutex
	queue   []segment
	head    int // first segment of queue that is in use
	bytes   int
	pushed  uint64 // frames that ever entered the queue
	gone    uint64 // frames that left it, taken or dropped
	inline  []inlineItem
	urgent  [][]byte
	dropped uint64 // not reported yet
	total   uint64 // dropped since the beginning
	closed  bool
}

// segment is what one dispatch cycle brought; frames may be shared with other subscribers.
type segment struct {
	frames []Frame
	next   int
}

// inlineItem is a reply that keeps its place among the records: it goes out when all frames before pos have left.
type inlineItem struct {
	pos      uint64
	reply    []byte
	backfill *backfill
}

// subscription is a subscriber's interest in a channel.
type subscription struct {
	client *Subscriber
	ch     Channel
	start  uint64 // records above it are live; what is up to it can only come by backfill
	low    uint64 // the lowest sequence number that the subscriber gets by this subscription
	done   bool   // unsubscribed; guarded by Subscriber.mu
}

type hit struct {
	channel *channel
	sub     *subscription
}

// NewSubscriber registers a connection. Close must be called.
func (h *Hub) NewSubscriber() *Subscriber {
	s := &Subscriber{hub: h, wake: make(chan struct{}, 1), subs: map[Channel]*subscription{}}
	h.mu.Lock()
	h.subscribers[s] = struct{}{}
	h.mu.Unlock()
	return s
}

// Wake receives when there may be something to Take.
func (s *Subscriber) Wake() <-chan struct{} { return s.wake }

func (s *Subscriber) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Send puts a message that has no place among the records before everything else.
func (s *Subscriber) Send(msg []byte) {
	s.mu.Lock()
	s.urgent = append(s.urgent, msg)
	s.mu.Unlock()
	s.signal()
}

// Replies is how many messages of Send, Subscribe and Unsubscribe wait. A transport stops reading requests while
// there are many, so that a client which only asks costs nothing but itself.
func (s *Subscriber) Replies() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.urgent) + len(s.inline)
}

// Subscribe adds a channel. The subscriber gets the reply, then up to backfill records that the rings hold, oldest
// first, then every record from now on, none twice and none missing in between. reply is called with the number of
// records that will be filled in. Subscribing again to a channel changes nothing, and fills nothing in.
func (s *Subscriber) Subscribe(c Channel, records int, reply func(backfilled int) []byte) error {
	h := s.hub
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return ErrClosed
	}
	if s.subs[c] != nil {
		h.mu.Unlock()
		s.putInline(inlineItem{reply: reply(0)})
		return nil
	}
	if len(s.subs) >= h.opts.MaxChannels {
		h.mu.Unlock()
		return ErrTooManyChannels
	}
	sub := &subscription{client: s, ch: c, start: h.seq, low: h.seq + 1}
	others := make([]*subscription, 0, len(s.subs))
	for _, o := range s.subs {
		others = append(others, o)
	}
	s.subs[c] = sub
	h.join(sub)
	var bf *backfill
	if records > 0 {
		bf = newBackfill(h, sub, others, min(records, h.opts.RingRecords))
		s.putInline(inlineItem{backfill: bf}) // holds the place; records that come now queue up behind it
	} else {
		s.putInline(inlineItem{reply: reply(0)})
	}
	h.mu.Unlock()
	if bf != nil {
		n := bf.resolve()
		s.mu.Lock()
		bf.reply, bf.ready = reply(n), true
		s.mu.Unlock()
	}
	s.signal()
	return nil
}

func (s *Subscriber) putInline(item inlineItem) {
	s.mu.Lock()
	item.pos = s.pushed
	s.inline = append(s.inline, item)
	s.mu.Unlock()
	s.signal()
}

// Unsubscribe removes a channel; after the reply no record of it comes. Removing what is not there only replies.
func (s *Subscriber) Unsubscribe(c Channel, reply []byte) {
	h := s.hub
	h.mu.Lock()
	sub := s.subs[c]
	if sub != nil {
		delete(s.subs, c)
		h.leave(sub)
	}
	h.mu.Unlock()
	s.mu.Lock()
	if sub != nil {
		sub.done = true // a dispatch that is under way leaves it out
		for _, item := range s.inline {
			if item.backfill != nil && item.backfill.sub == sub {
				item.backfill.cancelled = true
			}
		}
	}
	s.inline = append(s.inline, inlineItem{pos: s.pushed, reply: reply})
	s.mu.Unlock()
	s.signal()
}

// Close removes the subscriber. What still waits is counted as dropped.
func (s *Subscriber) Close() {
	h := s.hub
	h.mu.Lock()
	for c, sub := range s.subs {
		delete(s.subs, c)
		h.leave(sub)
	}
	delete(h.subscribers, s)
	h.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	h.stats.gone.Add(s.pushed - s.gone)
	for _, item := range s.inline {
		if bf := item.backfill; bf != nil && bf.started {
			h.stats.gone.Add(uint64(bf.left))
		}
	}
	s.queue, s.inline, s.urgent, s.bytes = nil, nil, nil, 0
	s.gone = s.pushed
}

// join and leave keep the table of channels. Called with Hub.mu held.
func (h *Hub) join(sub *subscription) {
	c := h.channels[sub.ch]
	if c == nil {
		c = &channel{Channel: sub.ch}
		h.channels[sub.ch] = c
		h.generation++
		if sub.ch.Kind == ChannelTrace {
			h.traces++
		}
	}
	c.subs = append(slices.Clip(c.subs), sub)
	h.subscriptions++
}

func (h *Hub) leave(sub *subscription) {
	c := h.channels[sub.ch]
	h.subscriptions--
	rest := make([]*subscription, 0, len(c.subs))
	for _, o := range c.subs {
		if o != sub {
			rest = append(rest, o)
		}
	}
	c.subs = rest
	if len(rest) > 0 {
		return
	}
	delete(h.channels, sub.ch)
	h.generation++
	if sub.ch.Kind == ChannelTrace {
		h.traces--
	}
}

// deliver puts the frames of a cycle into the queue; a record that several subscriptions match enters once, in the
// form of the narrowest. Called by the dispatcher.
func (s *Subscriber) deliver(c *cycle, shed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	hits := slices.DeleteFunc(s.hits, func(x hit) bool { return x.sub.done || len(x.channel.frames) == 0 })
	if len(hits) == 0 {
		return
	}
	var frames []Frame
	bytes := 0
	if len(hits) == 1 && hits[0].sub.start < hits[0].channel.frames[0].Seq {
		frames, bytes = hits[0].channel.frames, hits[0].channel.bytes
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
	s.signal()
}

// merge appends the frames of all hits in the order of their sequence.
func merge(dst []Frame, hits []hit) []Frame {
	slices.SortFunc(hits, func(a, b hit) int { return int(a.channel.Kind) - int(b.channel.Kind) })
	next := make([]int, len(hits))
	for {
		best := -1
		for i, x := range hits {
			fs := x.channel.frames
			for next[i] < len(fs) && fs[next[i]].Seq <= x.sub.start {
				next[i]++
			}
			if next[i] < len(fs) && (best < 0 || fs[next[i]].Seq < hits[best].channel.frames[next[best]].Seq) {
				best = i
			}
		}
		if best < 0 {
			return dst
		}
		f := hits[best].channel.frames[next[best]]
		for i, x := range hits {
			if fs := x.channel.frames; next[i] < len(fs) && fs[next[i]].Seq == f.Seq {
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
				return len(t.Messages) > 0 || t.Dropped > 0
			}
			if !s.takeBackfill(t, item.backfill, add) {
				s.popInline()
			}
		case s.pushed > s.gone:
			add(s.pop().Data)
			t.Records++
		default:
			return len(t.Messages) > 0 || t.Dropped > 0
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

// Poke makes Wake receive.
func (s *Subscriber) Poke() { s.signal() }
