// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// Form is how a record looks to a subscriber, as the Format defines it. 0: the record is not for this channel.
type Form uint8

// MaxForms is how many forms a Format may have, FormNone included.
const MaxForms = 8

// FormNone is the form of a record that a channel does not show.
const FormNone Form = 0

// Format turns records into messages. Implementations are stateless and safe for concurrent use.
type Format interface {
	// Form says which form rec takes in channels of a kind.
	Form(kind ChannelKind, rec Record) Form
	// Append appends the message of rec to dst. It is called once for all subscribers of a form.
	Append(dst []byte, src Source, rec Record, form Form) []byte
}

// Options of a hub. Every number must be positive.
type Options struct {
	RingRecords   int // records kept for each source
	RingBytes     int // bytes kept for each source
	TotalBytes    int // bytes kept in all rings
	MaxSources    int // rings; the one that was silent for longest goes first
	MaxRecord     int // bytes of one record; what is above is cut and marked
	RecentRecords int // how many of the newest records are recognised when a sender repeats them
	ClientBytes   int // bytes that wait for one subscriber
	MaxChannels   int // subscriptions of one subscriber
	Format        Format
}

// DefaultOptions are the defaults of the live_tail exporter, without a Format.
func DefaultOptions() Options {
	return Options{
		RingRecords: 10_000, RingBytes: 4 << 20, TotalBytes: 64 << 20, MaxSources: 10_000, MaxRecord: 256 << 10,
		RecentRecords: 1 << 18, ClientBytes: 1 << 20, MaxChannels: 100,
	}
}

// Errors of Subscribe.
var (
	ErrClosed          = errors.New("live tail is closed")
	ErrTooManyChannels = errors.New("too many subscriptions")
)

// Hub takes records in and hands them to subscribers. See the package documentation for its memory model.
// Safe for concurrent use.
type Hub struct {
	opts    Options
	seed    maphash.Seed
	batches sync.Pool
	stats   counters

	// mu guards everything down to closed. It is held for a copy of a batch into the rings, never for encoding or
	// for a subscriber.
	mu            sync.Mutex
	seq           uint64
	rings         map[Source]*ring
	ringBytes     int
	ringRecords   int
	recent        recent
	channels      map[Channel]*channel
	traces        int    // subscribed channels of ChannelTrace
	generation    uint64 // changes with the set of subscribed channels
	subscriptions int
	subscribers   map[*Subscriber]struct{}
	backlog       backlog
	cycling       bool   // a dispatch cycle holds records
	spare         []byte // for the next chunk of a ring, nil: none
	closed        bool

	// dispatchMu is held for one dispatch cycle and guards cycle. Taken before mu.
	dispatchMu sync.Mutex
	cycle      cycle

	wake chan struct{} // there is a backlog
	stop chan struct{}
	done sync.WaitGroup
}

// New returns a hub. Start makes it hand records to subscribers, Close ends it.
func New(opts Options) *Hub {
	h := &Hub{
		opts: opts, seed: maphash.MakeSeed(),
		rings: map[Source]*ring{}, channels: map[Channel]*channel{}, subscribers: map[*Subscriber]struct{}{},
		recent: newRecent(opts.RecentRecords),
		wake:   make(chan struct{}, 1), stop: make(chan struct{}), generation: 1,
	}
	h.batches.New = func() any { return &Batch{limit: opts.MaxRecord, seed: h.seed} }
	return h
}

// Start starts the dispatcher. It is called once, before Close.
func (h *Hub) Start() { h.done.Go(h.dispatch) }

// NewBatch returns an empty batch for Publish.
func (h *Hub) NewBatch() *Batch {
	b := h.batches.Get().(*Batch)
	b.reset()
	return b
}

// Publish takes over b: it gives its records their sequence numbers, keeps them in the rings of their sources and
// hands those that somebody watches to the dispatcher. Records that were seen before are left out. It never waits for
// a subscriber.
func (h *Hub) Publish(b *Batch) {
	h.stats.seen.Add(uint64(len(b.recs)))
	h.mu.Lock()
	queued := h.publish(b)
	over := h.backlog.bytes > hardBacklog
	h.mu.Unlock()
	if queued {
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
	if over { // The dispatcher does not keep up: help it to let go of the oldest, which is cheap.
		h.runCycle()
	}
	h.batches.Put(b)
}

func (h *Hub) publish(b *Batch) (queued bool) {
	if h.closed {
		return false
	}
	if b.identify && !b.untimed && !h.recent.add(hash2(b.content.Sum64(), uint64(len(b.recs)), 'b')) {
		h.stats.duplicates.Add(uint64(len(b.recs)))
		return false
	}
	for i, g := range b.groups {
		to := len(b.recs)
		if i+1 < len(b.groups) {
			to = b.groups[i+1].from
		}
		if to == g.from {
			continue
		}
		r := h.ring(g.source)
		watched := len(h.watchers(r)) > 0
		for _, p := range b.recs[g.from:to] {
			if p.key != 0 && !h.recent.add(p.key) {
				h.stats.duplicates.Add(1)
				continue
			}
			h.seq++
			raw := b.buf[p.off:]
			raw = raw[:recordLen(raw)]
			binary.LittleEndian.PutUint64(raw[offSeq:], h.seq)
			rec := h.keep(r, raw)
			if watched || h.traces > 0 && h.traced(rec) {
				h.backlog.push(entry{rec: rec, ring: r})
				queued = true
			}
		}
	}
	return queued
}

func (h *Hub) traced(rec Record) bool {
	if rec.Signal() == SignalMetric {
		return false
	}
	return h.channels[Channel{Kind: ChannelTrace, Trace: rec.TraceID()}] != nil
}

// watchers returns the subscribed channels that every record of r is in.
func (h *Hub) watchers(r *ring) []*channel {
	if r.generation != h.generation {
		r.channels = h.staticChannels(r.channels[:0], r.source)
		r.generation = h.generation
	}
	return r.channels
}

// ring returns the ring of a source. A source that appears for the first time may cost the most silent ones theirs.
func (h *Hub) ring(s Source) *ring {
	if r := h.rings[s]; r != nil {
		return r
	}
	if len(h.rings) >= h.opts.MaxSources {
		h.forgetSilent()
	}
	r := &ring{source: s}
	h.rings[s] = r
	return r
}

// keep copies a record into its ring and keeps the ring and all rings within their bounds.
func (h *Hub) keep(r *ring, raw []byte) Record {
	bytes, records := r.bytes, r.records
	rec := r.append(raw, &h.spare)
	for r.records > h.opts.RingRecords {
		r.dropRecord()
	}
	for r.bytes > h.opts.RingBytes && r.head != r.tail {
		r.dropChunk()
	}
	if r.freed != nil {
		// Without subscribers nobody can still be reading it: the next chunk costs no garbage.
		if cap(r.freed) == maxChunk && len(h.subscribers) == 0 && !h.cycling && h.backlog.bytes == 0 {
			h.spare = r.freed
		}
		r.freed = nil
	}
	h.ringBytes += r.bytes - bytes
	h.ringRecords += r.records - records
	if h.ringBytes > h.opts.TotalBytes {
		h.shrink()
	}
	return rec
}

// Close stops the dispatcher after it has handed on what is there. Records published later are ignored, and
// subscribers stay readable until they are closed.
func (h *Hub) Close() {
	h.mu.Lock()
	closed := h.closed
	h.closed = true
	h.mu.Unlock()
	if !closed {
		close(h.stop)
	}
	h.done.Wait()
}

// Stats is a snapshot of what a hub did since it began, and of what it holds.
type Stats struct {
	Seen, Duplicates            uint64 // records
	Matched, Delivered          uint64 // records times subscribers
	DroppedSlow, DroppedClosed  uint64 // of Matched: the client was slow; it went away first
	DroppedBusy, DroppedEvicted uint64 // of Matched: the hub was overloaded; the ring lost it before it was sent
	Sources                     int
	RingRecords, RingBytes      int
	Subscribers, Subscriptions  int
}

type counters struct {
	seen, duplicates, matched, delivered, slow, gone, busy, evicted atomic.Uint64
}

// Stats returns the current numbers. Matched is the sum of Delivered, all Dropped and what still waits.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &h.stats
	return Stats{
		Seen: c.seen.Load(), Duplicates: c.duplicates.Load(), Matched: c.matched.Load(), Delivered: c.delivered.Load(),
		DroppedSlow: c.slow.Load(), DroppedClosed: c.gone.Load(), DroppedBusy: c.busy.Load(), DroppedEvicted: c.evicted.Load(),
		Sources: len(h.rings), RingRecords: h.ringRecords, RingBytes: h.ringBytes,
		Subscribers: len(h.subscribers), Subscriptions: h.subscriptions,
	}
}

// busyInterval is the shortest time between two dispatches that find no rest: a lonely record goes out at once, a
// stream of them wakes its subscribers two hundred times a second and not once a record.
const busyInterval = 5 * time.Millisecond
