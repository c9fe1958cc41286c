// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"slices"
	"time"
)

// Subscribe adds a subscription. The reply goes out before anything of it.
func (s *Stream) Subscribe(req Request, reply func(Subscribed) []byte) error {
	h := s.hub
	sub := &streamSub{stream: s, req: req, topics: h.topics(req.Channel, s.caller)}
	h.want(sub.topics)
	subscribed := false
	defer func() {
		if !subscribed {
			h.unwant(sub.topics)
		}
	}()
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
				first = h.newFill(&req, req.Resume.At.Add(-fillSlack), h.whole().Add(fillSlack), h.whole())
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
		if lost := h.lost(req.Channel, s.caller); req.Since.Before(h.whole()) || lost > 0 {
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
	subscribed = true
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
