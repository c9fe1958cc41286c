// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import "time"

// Bounds of the backlog between Publish and the dispatcher, in bytes of flat records. Above the soft one the oldest
// records are only counted, not encoded; above the hard one the publishers do that too, at about 100 ns a record.
const (
	softBacklog = 32 << 20
	hardBacklog = 64 << 20
)

// One cycle takes at most this much, so that what a subscriber shares with others is small.
const (
	cycleRecords = 1024
	cycleBytes   = 256 << 10
)

type entry struct {
	rec  Record
	ring *ring
}

// backlog is a queue of watched records. Guarded by Hub.mu.
type backlog struct {
	entries []entry
	head    int
	bytes   int
}

func (q *backlog) push(e entry) {
	q.entries = append(q.entries, e)
	q.bytes += len(e.rec)
}

// take moves the oldest records to dst.
func (q *backlog) take(dst []entry) []entry {
	bytes := 0
	for q.head < len(q.entries) && len(dst) < cycleRecords && (bytes < cycleBytes || len(dst) == 0) {
		e := q.entries[q.head]
		q.entries[q.head] = entry{}
		q.head++
		bytes += len(e.rec)
		dst = append(dst, e)
	}
	q.bytes -= bytes
	switch {
	case q.head == len(q.entries):
		if cap(q.entries) > 64*cycleRecords {
			q.entries = nil // a burst is over
		}
		q.entries, q.head = q.entries[:0], 0
	case q.head > len(q.entries)/2 && q.head >= cycleRecords:
		n := copy(q.entries, q.entries[q.head:])
		clear(q.entries[n:])
		q.entries, q.head = q.entries[:n], 0
	}
	return dst
}

// cycle is the dispatcher's scratch memory. Guarded by Hub.dispatchMu.
type cycle struct {
	entries []entry
	at      int64              // when the records were taken from the backlog, Unix milliseconds
	last    uint64             // what the cycle covers: nothing up to it is still to come
	encoded [][MaxForms][]byte // by entry and form: every form is encoded once for all
	arena   []byte
	touched []*channel
	clients []*Subscriber
	merged  []Frame
	pushed  int // queues that got something
}

func (h *Hub) dispatch() {
	var pause <-chan time.Time // running: no dispatch before it is over
	var sampling <-chan time.Time
	pending := false
	orphans := time.NewTicker(orphanCheck)
	defer orphans.Stop()
	for {
		wake := h.wake
		if pause != nil {
			wake = nil // it stays in the channel
		}
		select {
		case <-h.stop:
			for h.runCycle() {
			}
			h.flushSamples(true)
			return
		case <-wake:
			pending = true
		case <-pause:
			pause = nil
		case now := <-orphans.C:
			h.markOrphans(now)
		case <-sampling:
			sampling = nil
			pending = true
		}
		if pause != nil || !pending {
			continue
		}
		pending = false
		pushed := 0
		for h.runCycle() {
			pushed += h.cycle.pushed
		}
		if wait := h.flushSamples(false); wait > 0 {
			sampling = time.After(wait)
		}
		// A lonely record goes out at once. A stream of them is batched, the longer the more queues there are to serve: for
		// one viewer 5 ms, for six hundred 50 ms.
		pause = time.After(min(max(shortPause, time.Duration(pushed)*pausePerQueue), longPause))
	}
}

// orphanCheck is how often open spans are looked at.
const orphanCheck = 250 * time.Millisecond

// Pauses between two dispatches.
const (
	shortPause    = 5 * time.Millisecond
	longPause     = 50 * time.Millisecond
	pausePerQueue = 80 * time.Microsecond
)

// runCycle hands one piece of the backlog to the subscribers and reports whether there was one. It waits for nobody:
// a subscriber's lock is only ever held for moments.
func (h *Hub) runCycle() bool {
	h.dispatchMu.Lock()
	defer h.dispatchMu.Unlock()
	c := &h.cycle
	c.pushed = 0
	shed := h.match(c)
	if len(c.entries) == 0 {
		return false
	}
	if cap(c.encoded) < len(c.entries) {
		c.encoded = make([][MaxForms][]byte, max(len(c.entries), 64))
	}
	c.encoded = c.encoded[:len(c.entries)]
	for _, ch := range c.touched {
		for _, v := range ch.snap {
			if v.key.stream {
				h.stream(c, ch, v, shed)
				continue
			}
			for _, sub := range v.snap {
				if len(sub.client.hits) == 0 {
					c.clients = append(c.clients, sub.client)
				}
				sub.client.hits = append(sub.client.hits, hit{view: v, sub: sub})
				h.build(c, ch, v, shed)
			}
		}
	}
	for _, client := range c.clients {
		client.deliver(c, shed)
		clear(client.hits)
		client.hits = client.hits[:0]
	}
	h.mu.Lock()
	for _, ch := range c.touched {
		for _, v := range ch.snap {
			for _, sub := range v.snapFresh { // the cycle ended before they began
				if sub.view == v && sub.start >= c.last {
					v.fresh = append(v.fresh, sub)
				}
			}
		}
	}
	h.cycling = false
	h.mu.Unlock()
	c.release()
	return true
}

// match takes records from the backlog and finds their channels.
func (h *Hub) match(c *cycle) (shed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	shed = h.backlog.bytes > softBacklog
	c.entries = h.backlog.take(c.entries[:0])
	c.last, c.at = h.dispatched(), time.Now().UnixMilli()
	h.cycling = len(c.entries) > 0
	for i, e := range c.entries {
		for _, ch := range h.watchers(e.ring) {
			c.touch(ch, i)
		}
		if h.traces > 0 && e.rec.Signal() != SignalMetric {
			if ch := h.channels[Channel{Kind: ChannelTrace, Trace: e.rec.TraceID()}]; ch != nil {
				c.touch(ch, i)
			}
		}
	}
	for _, ch := range c.touched {
		ch.snap = ch.views
		for _, v := range ch.snap {
			v.snap, v.snapStream = v.subs, v.streams
			v.snapFresh, v.fresh = v.fresh, nil
		}
	}
	return shed
}

// dispatched is the sequence number up to which no record waits for the dispatcher. Called with Hub.mu held, by who holds
// dispatchMu too.
func (h *Hub) dispatched() uint64 {
	if q := &h.backlog; q.head < len(q.entries) {
		return q.entries[q.head].rec.Seq() - 1
	}
	return h.seq
}

func (c *cycle) touch(ch *channel, i int) {
	if len(ch.entries) == 0 {
		c.touched = append(c.touched, ch)
	}
	ch.entries = append(ch.entries, int32(i))
}

// build makes the frames of a view of the classic level, once for all its subscribers, who share the slice and only read
// it.
func (h *Hub) build(c *cycle, ch *channel, v *view, shed bool) {
	if v.built {
		return
	}
	v.built = true
	v.frames = make([]Frame, 0, len(ch.entries))
	for _, i := range ch.entries {
		e := &c.entries[i]
		if !v.mayRead(e.ring.source.Project) {
			continue
		}
		form := h.opts.Format.Form(ch.Kind, e.rec)
		if form == FormNone {
			continue
		}
		f := Frame{Seq: e.rec.Seq()}
		if !shed {
			f.Data = h.encode(c, int(i), form)
		}
		v.bytes += len(f.Data)
		v.frames = append(v.frames, f)
	}
}

// arenaSize is how much encoded data shares one allocation, and so how much a waiting frame may keep alive.
const arenaSize = 32 << 10

func (h *Hub) encode(c *cycle, i int, form Form) []byte {
	if data := c.encoded[i][form]; data != nil {
		return data
	}
	e := &c.entries[i]
	if cap(c.arena)-len(c.arena) < 2*len(e.rec)+512 {
		c.arena = make([]byte, 0, max(min(arenaSize, 4*len(e.rec)*len(c.entries)), 2*len(e.rec)+512))
	}
	from := len(c.arena)
	if form == formStream {
		c.arena = h.opts.AppendRecord(c.arena, e.ring.source, e.rec)
	} else {
		c.arena = h.opts.Format.Append(c.arena, e.ring.source, e.rec, form)
	}
	data := c.arena[from:len(c.arena):len(c.arena)]
	c.encoded[i][form] = data
	return data
}

// release forgets everything that the cycle pointed to.
func (c *cycle) release() {
	for _, ch := range c.touched {
		for _, v := range ch.snap {
			v.snap, v.snapStream, v.snapFresh, v.frames, v.bytes, v.built = nil, nil, nil, nil, 0, false
		}
		ch.entries, ch.snap = ch.entries[:0], nil
	}
	clear(c.touched)
	clear(c.clients)
	clear(c.entries)
	clear(c.encoded)
	clear(c.merged)
	c.touched, c.clients, c.entries, c.merged = c.touched[:0], c.clients[:0], c.entries[:0], c.merged[:0]
	c.arena = nil
}
