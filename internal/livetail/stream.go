// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"errors"
	"slices"
	"sync"
	"time"

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

// Subscribe adds a subscription. The reply goes out before anything of it.
func (s *Stream) Subscribe(req Request, reply func(Subscribed) []byte) error {
	h := s.hub
	sub := &streamSub{stream: s, req: req}
	out := Subscribed{Epoch: h.epoch}
	var from uint64
	var first *fill
	switch {
	case req.Resume != nil:
		h.mu.Lock()
		if req.Resume.Epoch == h.epoch {
			from = min(req.Resume.Seq, h.seq)
			out.Recovered = h.lost(req.Channel, s.caller) <= from
		} else {
			if !req.Resume.At.IsZero() {
				first = h.newFill(&req, req.Resume.At.Add(-fillSlack), h.began.Add(fillSlack), h.began)
			}
			if first == nil {
				out.Gap = &Gap{Reason: ReasonEvicted, To: time.Now()}
			}
		}
		h.mu.Unlock()
	case req.Backfill > 0:
		var found int
		from, found = h.newest(req, s.caller)
		if want := min(req.Backfill, fillNewest) - found; want > 0 {
			h.mu.Lock()
			taken := h.lostAt(h.lost(req.Channel, s.caller))
			h.mu.Unlock()
			if first = h.newFill(&req, req.Since, time.Now().Add(fillSlack), taken); first != nil {
				first.newest, first.older = want, req.OlderAfter
				if first.older {
					first.scan(h, req.Channel, s.caller) // what is in the rings now may be sent and lost before the store is read
				}
			}
		}
	case req.Since.IsZero():
		from = ^uint64(0) // live only
	default:
		h.mu.Lock()
		if lost := h.lost(req.Channel, s.caller); req.Since.Before(h.began) || lost > 0 {
			if first = h.newFill(&req, req.Since, time.Now().Add(fillSlack), h.lostAt(lost)); first != nil {
				first.told = lost // what they lose from here on, and held when the fill looked, is not in it
			}
		}
		h.mu.Unlock()
	}
	if first != nil {
		first.tell, out.Filling, out.Older = true, true, first.older
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.closed || len(s.subs) >= h.opts.MaxChannels {
		if first != nil {
			first.cancel()
		}
		if h.closed {
			return ErrClosed
		}
		return ErrTooManyChannels
	}
	s.lastID++
	sub.id = s.lastID
	from = min(from, h.seq)
	sub.last, sub.sent = from, from
	s.subs = append(s.subs, sub)
	h.subscriptions++
	out.Sub, out.Seq, out.Head, out.At = sub.id, from, h.seq, time.Now()
	s.control = append(s.control, reply(out))
	s.setFill(sub, first)
	if from == h.seq && !sub.waitsForFill() {
		h.attach(sub)
	} else {
		sub.behind = &catchUp{pos: from, told: from}
		if !req.Since.IsZero() && req.Resume == nil {
			sub.behind.since, sub.behind.sinceSeq = req.Since.UnixNano(), h.seq
		}
	}
	s.notify()
	return nil
}

// attach makes a subscription live that has everything up to the hub's last record. Called with Hub.mu and Stream.mu
// held.
func (h *Hub) attach(sub *streamSub) {
	caller := sub.stream.caller
	key := viewKey{ch: sub.req.Channel, stream: true, access: accessKey(caller), filter: sub.req.Filter.Key()}
	if sub.req.MaxRate > 0 {
		h.private++
		key.private = h.private
	}
	v := h.view(key, caller, sub.req.Filter)
	if sub.req.MaxRate > 0 {
		v.sample = newSampler(sub.req.MaxRate)
		h.samplers[v] = struct{}{}
	}
	v.streams = append(slices.Clip(v.streams), sub)
	v.fresh = append(v.fresh, sub)
	sub.view, sub.start, sub.fresh, sub.behind = v, h.seq, true, nil
	sub.fills, sub.known = 0, nil
	sub.last = h.seq
}

// detach takes a subscription out of its view. Called with Hub.mu and Stream.mu held.
func (h *Hub) detach(sub *streamSub) {
	if sub.view == nil {
		return
	}
	v := sub.view
	v.streams = without(v.streams, sub)
	v.fresh = without(v.fresh, sub)
	delete(h.samplers, v)
	h.dropView(v)
	sub.view = nil
}

// setFill has a fill come first. Called with Hub.mu and Stream.mu held.
func (s *Stream) setFill(sub *streamSub, f *fill) {
	if f == nil {
		return
	}
	if sub.known != nil {
		f.known = sub.known
	}
	sub.fill = f
	sub.fills++
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
	return s.change(id, func(sub *streamSub) {
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
		h.stats.gone.Add(s.discard(sub))
		h.detach(sub)
		sub.behind = nil
		sub.endFill()
		h.subscriptions--
	}
	s.subs, s.queue, s.control, s.gapped, s.bytes, s.head = nil, nil, nil, nil, 0, 0
}
