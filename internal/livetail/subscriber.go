// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"slices"
	"sync"

	"github.com/tailrace/tailrace/internal/access"
)

// Frame is one encoded record in the queue of a subscriber. Data is shared with other subscribers: read only.
type Frame struct {
	Seq  uint64
	Data []byte
}

// Subscriber is one connection of the classic level: its subscriptions and what waits for it. Subscribe, Unsubscribe,
// SetCaller and Close are called by one goroutine, Take, Sent and Lost by another one.
type Subscriber struct {
	hub    *Hub
	notify func()

	// subs and caller are guarded by Hub.mu.
	subs   map[Channel]*subscription
	caller *access.Caller
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
	unsure  bool   // records were lost between hubs that may have been its own; not reported yet
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
	view   *view   // guarded by Hub.mu
	start  uint64  // records above it are live; what is up to it can only come by backfill
	low    uint64  // the lowest sequence number that the subscriber gets by this subscription
	done   bool    // unsubscribed; guarded by Subscriber.mu
	topics []Topic // that it wants of other hubs
}

type hit struct {
	view *view
	sub  *subscription
}

// NewSubscriber registers a connection of caller, who sees the records of the projects that it may read. notify is called
// when there may be something to Take; it must not wait and must not call back. Close must be called.
func (h *Hub) NewSubscriber(caller *access.Caller, notify func()) *Subscriber {
	s := &Subscriber{hub: h, notify: notify, subs: map[Channel]*subscription{}, caller: caller}
	h.mu.Lock()
	h.subscribers[s] = struct{}{}
	h.mu.Unlock()
	return s
}

// Send puts a message that has no place among the records before everything else.
func (s *Subscriber) Send(msg []byte) {
	s.mu.Lock()
	s.urgent = append(s.urgent, msg)
	s.mu.Unlock()
	s.notify()
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
	topics := h.topics(c, s.caller)
	h.want(topics)
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		h.unwant(topics)
		return ErrClosed
	}
	if s.subs[c] != nil {
		h.mu.Unlock()
		h.unwant(topics)
		s.putInline(inlineItem{reply: reply(0)})
		return nil
	}
	if len(s.subs) >= h.opts.MaxChannels {
		h.mu.Unlock()
		h.unwant(topics)
		return ErrTooManyChannels
	}
	sub := &subscription{client: s, ch: c, topics: topics, start: h.seq, low: h.seq + 1}
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
	s.notify()
	return nil
}

func (s *Subscriber) putInline(item inlineItem) {
	s.mu.Lock()
	item.pos = s.pushed
	s.inline = append(s.inline, item)
	s.mu.Unlock()
	s.notify()
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
	if sub != nil {
		h.unwant(sub.topics)
	}
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
	s.notify()
}

// Close removes the subscriber. What still waits is counted as dropped.
func (s *Subscriber) Close() {
	h := s.hub
	var topics []Topic
	h.mu.Lock()
	for c, sub := range s.subs {
		delete(s.subs, c)
		h.leave(sub)
		topics = append(topics, sub.topics...)
	}
	delete(h.subscribers, s)
	h.mu.Unlock()
	h.unwant(topics)
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
	caller := sub.client.caller
	v := h.view(viewKey{ch: sub.ch, access: accessKey(caller)}, caller, nil)
	v.subs = append(slices.Clip(v.subs), sub)
	sub.view = v
	h.subscriptions++
}

func (h *Hub) leave(sub *subscription) {
	h.subscriptions--
	sub.view.subs = without(sub.view.subs, sub)
	h.dropView(sub.view)
}

// SetCaller decides anew what the subscriber sees. Nothing of a project that the new caller may not read is taken after
// it: when the two see different projects, what waits is dropped, counted and told.
func (s *Subscriber) SetCaller(caller *access.Caller) {
	h := s.hub
	same := accessKey(s.caller) == accessKey(caller)
	if !same {
		for _, sub := range s.subs {
			now := h.topics(sub.ch, caller)
			h.want(now)
			defer h.unwant(sub.topics)
			sub.topics = now
		}
	}
	h.dispatchMu.Lock() // between two cycles, so that no record falls between the old views and the new ones
	defer h.dispatchMu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	s.caller = caller
	if same {
		return
	}
	for _, sub := range s.subs {
		h.leave(sub)
		h.join(sub)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if waiting := s.pushed - s.gone; waiting > 0 {
		h.stats.gone.Add(waiting)
		s.dropped += waiting
	}
	for _, item := range s.inline {
		if bf := item.backfill; bf != nil {
			bf.cancelled, bf.tell = true, true
		}
	}
	s.queue, s.head, s.bytes, s.gone = nil, 0, 0, s.pushed
	s.notify()
}
