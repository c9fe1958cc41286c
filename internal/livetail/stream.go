// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"errors"
	"sync"

	"github.com/tailrace/tailrace/internal/access"
)

// ErrNoSubscription says that there is no subscription of this number.
var ErrNoSubscription = errors.New("no such subscription")

// Stream is a connection of the tailrace.v1 level: its subscriptions, each with a place of its own in the order of the hub,
// and what waits for them. Take, Sent and Lost are called by one goroutine at a time, everything else by another one.
type Stream struct {
	hub    *Hub
	notify func()

	caller *access.Caller // guarded by Hub.mu
	lastID uint32

	// mu guards what follows, and what streamSub says. Taken after Hub.mu, held for moments only.
	mu      sync.Mutex
	subs    []*streamSub
	queue   []queued
	head    int
	bytes   int
	control [][]byte
	gapped  []*streamSub // with a gap to be told before anything else
	turn    int          // of the subscriptions that read from the rings
	closed  bool
}

// queued is a piece of a subscription's range that waits.
type queued struct {
	sub      *streamSub // nil: it was taken back
	block    *Block     // nil: a gap
	after    uint64
	last     uint64
	filtered uint64
	dropped  uint64 // for a gap, or beside the records of a sampled block
	lost     Severities
}

func (q *queued) size() int {
	if q.block == nil {
		return 64
	}
	return q.block.size()
}

// streamSub is one subscription of a stream. It is live (in a view), or reads from the rings (behind is set), or is paused.
type streamSub struct {
	stream *Stream
	id     uint32
	topics []Topic // that it wants of other hubs

	// Guarded by Hub.mu and Stream.mu: changed with both held, read with either.
	req   Request
	view  *view  // nil unless live
	start uint64 // of live records: those above it

	// Guarded by Stream.mu.
	behind   *catchUp
	fill     *fill           // what comes before anything more of behind unless it is older, nil: nothing
	fills    int             // since it was live
	known    map[uint64]bool // of the fills since it was live
	paused   bool
	last     uint64 // everything up to it is in the queue, told, or sent
	sent     uint64 // everything up to it was taken
	acked    uint64
	filtered uint64 // the view's count at last
	fresh    bool   // filtered is not known yet
	waiting  int    // pieces in the queue
	gap      *Gap
	stepping bool // it went live with records that are still being encoded: last is ahead of them
}

// NewStream registers a connection of caller, who sees the records of the projects that it may read. notify is called when
// there may be something to Take; it must not wait and must not call back. Close must be called.
func (h *Hub) NewStream(caller *access.Caller, notify func()) *Stream {
	s := &Stream{hub: h, caller: caller, notify: notify}
	h.mu.Lock()
	h.streams[s] = struct{}{}
	h.mu.Unlock()
	return s
}

// Send puts a message before everything else.
func (s *Stream) Send(msg []byte) {
	s.mu.Lock()
	s.control = append(s.control, msg)
	s.mu.Unlock()
	s.notify()
}

// Replies is how many messages of Send wait.
func (s *Stream) Replies() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.control)
}

// change runs do for a subscription with all locks that it may need, or fails when there is none.
func (s *Stream) change(id uint32, do func(*streamSub)) error {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subs {
		if sub.id == id {
			do(sub)
			s.notify()
			return nil
		}
	}
	return ErrNoSubscription
}

// again makes a subscription read from the rings behind what it has. Called with Hub.mu and Stream.mu held.
func (s *Stream) again(sub *streamSub) {
	s.hub.detach(sub)
	if !sub.paused {
		sub.behind = &catchUp{pos: sub.last, told: sub.last}
	}
}

// Update changes filter and rate of a subscription: they hold for every record that was not taken yet. reply gets the place
// from which on they hold.
func (s *Stream) Update(id uint32, change func(*Request), reply func(seq uint64) []byte) error {
	return s.change(id, func(sub *streamSub) {
		change(&sub.req)
		s.takeBack(sub)
		s.control = append(s.control, reply(sub.last))
		s.again(sub)
	})
}

// Pause stops a subscription. Nothing of it comes after the reply, until it is resumed.
func (s *Stream) Pause(id uint32, reply func(seq uint64) []byte) error {
	return s.change(id, func(sub *streamSub) {
		s.takeBack(sub)
		sub.paused, sub.behind = true, nil
		s.hub.detach(sub)
		s.control = append(s.control, reply(sub.last))
	})
}

// Resume goes on where a subscription was paused, as far as the rings hold it. One that is not paused goes on as it is.
func (s *Stream) Resume(id uint32, reply func(seq uint64) []byte) error {
	return s.change(id, func(sub *streamSub) {
		s.control = append(s.control, reply(sub.last))
		if sub.paused {
			sub.paused = false
			s.again(sub)
		}
	})
}

// Ack notes that the client has everything up to seq.
func (s *Stream) Ack(id uint32, seq uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subs {
		if sub.id == id {
			if seq > sub.sent {
				return errors.New("seq is above what was sent")
			}
			sub.acked = max(sub.acked, seq)
			return nil
		}
	}
	return ErrNoSubscription
}

// Unsubscribe removes a subscription. Nothing of it comes after the reply.
func (s *Stream) Unsubscribe(id uint32, reply []byte) error {
	var topics []Topic
	defer func() { s.hub.unwant(topics) }()
	return s.change(id, func(sub *streamSub) {
		topics = sub.topics
		s.hub.stats.gone.Add(s.discard(sub))
		s.hub.detach(sub)
		s.hub.subscriptions--
		s.subs = without(s.subs, sub)
		sub.endFill()
		s.gapped = without(s.gapped, sub)
		sub.behind = nil
		s.control = append(s.control, reply)
	})
}

// SetCaller decides anew what the connection sees. What waits is taken back and read again from the rings by the new rights,
// so that nothing of a project that the caller may no longer read is taken after it.
func (s *Stream) SetCaller(caller *access.Caller) {
	h := s.hub
	if accessKey(s.caller) != accessKey(caller) {
		for _, sub := range s.subs { // changed by requests only, and there is none now
			now := h.topics(sub.req.Channel, caller)
			h.want(now)
			defer h.unwant(sub.topics)
			sub.topics = now
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	same := accessKey(s.caller) == accessKey(caller)
	s.caller = caller
	if same || s.closed {
		return
	}
	for _, sub := range s.subs {
		s.takeBack(sub)
		s.again(sub)
		if sub.fill != nil {
			sub.fill.revoke()
		}
	}
	s.notify()
}

// takeBack empties the queue of a subscription as if it had never been filled. Called with Stream.mu held.
func (s *Stream) takeBack(sub *streamSub) {
	s.hub.stats.matched.Add(-s.discard(sub))
	if g := sub.gap; g != nil && sub.stepping {
		s.hub.stats.matched.Add(-g.Dropped)
		s.hub.stats.slow.Add(-g.Dropped)
		s.gapped, sub.gap = without(s.gapped, sub), nil
	}
	sub.last = sub.sent
	if sub.gap != nil {
		sub.last = sub.gap.Last
	}
}

// discard removes what waits for a subscription and returns how many records that were. Called with Stream.mu held.
func (s *Stream) discard(sub *streamSub) (records uint64) {
	for i := s.head; i < len(s.queue); i++ {
		q := &s.queue[i]
		if q.sub != sub {
			continue
		}
		if q.block != nil {
			records += uint64(q.block.Records())
		}
		s.bytes -= q.size()
		*q = queued{}
	}
	sub.waiting = 0
	return records
}

func (sub *streamSub) endFill() {
	if sub.fill != nil {
		sub.fill.cancel()
		sub.fill = nil
	}
}

// Close removes the connection. What still waits is counted as dropped.
func (s *Stream) Close() {
	h := s.hub
	var topics []Topic
	defer func() { h.unwant(topics) }()
	h.mu.Lock()
	defer h.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	delete(h.streams, s)
	for _, sub := range s.subs {
		topics = append(topics, sub.topics...)
		h.stats.gone.Add(s.discard(sub))
		h.detach(sub)
		sub.behind = nil
		sub.endFill()
		h.subscriptions--
	}
	s.subs, s.queue, s.control, s.gapped, s.bytes, s.head = nil, nil, nil, nil, 0, 0
}
