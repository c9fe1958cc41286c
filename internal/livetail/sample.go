// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"math/rand/v2"
	"slices"
	"time"
)

// sampler keeps an even choice of the records of a short window (reservoir sampling), so that a client with a max_rate
// sees of a burst not only its begin. It belongs to the dispatcher.
type sampler struct {
	window  time.Duration
	limit   int
	began   time.Time
	offered uint64
	trail   trail // of all offered: which block's range one that is not shown belongs to
	misses  trail // of those that the filter left out since the first
	picks   []entry
	last    uint64 // what the window covers so far
}

func newSampler(rate int) *sampler {
	if rate < 4 {
		return &sampler{window: time.Second / time.Duration(rate), limit: 1}
	}
	return &sampler{window: time.Second / 4, limit: rate / 4}
}

func (s *sampler) offer(r *ring, rec Record) {
	if s.offered == 0 {
		s.began = time.Now()
	}
	s.offered++
	s.trail.add(rec.Seq(), rec.severityClass())
	if len(s.picks) < s.limit {
		s.picks = append(s.picks, entry{rec: rec, ring: r})
	} else if i := rand.Uint64N(s.offered); i < uint64(s.limit) {
		s.picks[i] = entry{rec: rec, ring: r}
	}
}

// blocks ends the window. Each block tells what is missing in its own range: it may be dropped, or taken back, without the others.
func (s *sampler) blocks(h *Hub, v *view) (out []*Block) {
	slices.SortFunc(s.picks, func(a, b entry) int { return int(int64(a.rec.Seq() - b.rec.Seq())) })
	b := &Block{}
	filtered := v.filtered - s.misses.records()
	after := uint64(0)
	end := func(last uint64) {
		var all, missed Severities
		s.trail.count(after, last, &all)
		s.misses.count(after, last, &missed)
		for class, n := range all {
			b.lost[class] = n - b.severity[class]
			b.dropped += b.lost[class]
		}
		filtered += missed.sum()
		b.last, b.filtered = last, filtered
		out, after = append(out, b), last
	}
	var encoded []byte
	for _, e := range s.picks {
		encoded = h.opts.AppendRecord(encoded[:0], e.ring.source, e.rec)
		if b.full(len(encoded)) {
			end(e.rec.Seq() - 1)
			b = &Block{}
		}
		b.add(encoded, e.rec)
	}
	b.at = time.Now().Add(-s.window).UnixMilli()
	end(s.last)
	clear(s.picks)
	s.picks, s.offered = s.picks[:0], 0
	s.trail.clear()
	s.misses.clear()
	return out
}

// flushSamples hands out the windows that are over, or all, and returns how long until the next one is; 0: there is none.
func (h *Hub) flushSamples(all bool) (next time.Duration) {
	h.dispatchMu.Lock()
	defer h.dispatchMu.Unlock()
	h.mu.Lock()
	views := make([]*view, 0, len(h.samplers))
	subs := make([]*streamSub, 0, len(h.samplers))
	for v := range h.samplers {
		views, subs = append(views, v), append(subs, v.streams[0])
	}
	h.mu.Unlock()
	for i, v := range views {
		if v.sample.offered == 0 {
			continue
		}
		if left := v.sample.window - time.Since(v.sample.began); left > 0 && !all {
			if next == 0 || left < next {
				next = left
			}
			continue
		}
		blocks := v.sample.blocks(h, v)
		sub := subs[i]
		s := sub.stream
		s.mu.Lock()
		if !s.closed && sub.view == v {
			for _, b := range blocks {
				s.pushBlock(sub, b)
			}
			s.notify()
		}
		s.mu.Unlock()
	}
	return next
}
