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

	"github.com/oklog/ulid/v2"
)

// Form is how a record looks to a subscriber, as the Format defines it. 0: the record is not for this channel.
type Form uint8

// MaxForms is how many forms a Format may have, FormNone included, and that of the streams.
const MaxForms = 8

// formStream is how a record looks on a stream.
const formStream Form = MaxForms - 1

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
	// AppendRecord appends a record as the streams show it, a JSON object. It is stateless and safe for concurrent use.
	AppendRecord func(dst []byte, src Source, rec Record) []byte
	// Peers are other hubs, nil: there are none.
	Peers Peers
	// History fills in for streams what the rings do not have, nil: nothing does.
	History History
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
	epoch   string
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
	streams       map[*Stream]struct{}
	private       uint64 // views that were not shared, ever
	samplers      map[*view]struct{}
	forgotten     uint64 // nothing is known of what forgotten sources had up to it
	clock         clock
	open          openSpans
	backlog       backlog
	cycling       bool // a dispatch cycle holds records
	spares        spares
	tapped        []Record // scratch
	closed        bool

	// dispatchMu is held for one dispatch cycle and guards cycle. Taken before mu.
	dispatchMu sync.Mutex
	cycle      cycle

	fills    fills
	scanning int // fills that may look at rings without the lock; guarded by mu
	began    time.Time
	wake     chan struct{} // there is a backlog
	stop     chan struct{}
	done     sync.WaitGroup
}

// New returns a hub. Start makes it hand records to subscribers, Close ends it.
func New(opts Options) *Hub {
	h := &Hub{
		opts: opts, epoch: ulid.Make().String(), seed: maphash.MakeSeed(),
		streams: map[*Stream]struct{}{}, samplers: map[*view]struct{}{},
		rings: map[Source]*ring{}, channels: map[Channel]*channel{}, subscribers: map[*Subscriber]struct{}{},
		recent: newRecent(opts.RecentRecords), began: time.Now(),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), generation: 1,
	}
	h.fills.init()
	h.batches.New = func() any { return &Batch{limit: opts.MaxRecord, seed: h.seed} }
	return h
}

// Start starts the dispatcher. It is called once, before Close.
func (h *Hub) Start() { h.done.Go(h.dispatch) }

// Epoch names this run of the hub: sequence numbers of another epoch mean nothing here.
func (h *Hub) Epoch() string { return h.epoch }

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
	if b.identify && !b.untimed && !b.partial && !h.recent.add(hash2(b.content, uint64(len(b.recs)), 'b')) {
		h.stats.duplicates.Add(uint64(len(b.recs)))
		return false
	}
	h.clock.note(h.seq, time.Now().UnixNano())
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
		for recs := b.recs[g.from:to]; len(recs) > 0; {
			n := 1
			for n < len(recs) && recs[n].piece == recs[0].piece {
				n++
			}
			piece := b.piece(recs[0].piece)
			buf, fresh := *piece, h.number(b, g.source, recs[:n])
			// A piece that is a chunk already, and full enough to be one, is not copied.
			last := int(recs[n-1].off)
			whole := fresh && recs[0].off == 0 && last+recordLen(buf[last:]) == len(buf) && cap(buf) == maxChunk && len(buf) >= maxChunk-maxChunk/8
			if whole {
				*piece = h.take(r, buf, n)
			}
			for _, p := range recs[:n] {
				if p.again {
					continue
				}
				rec := Record(buf[p.off:])
				rec = rec[:recordLen(rec):recordLen(rec)]
				if !whole {
					rec = h.keep(r, rec)
				}
				if h.opts.Peers != nil && !b.remote {
					h.tapped = append(h.tapped, rec)
				}
				if watched || h.traces > 0 && h.traced(rec) {
					h.backlog.push(entry{rec: rec, ring: r})
					queued = true
				}
			}
			recs = recs[n:]
		}
		if len(h.tapped) > 0 {
			h.opts.Peers.Tap(g.source, h.tapped)
			clear(h.tapped)
			h.tapped = h.tapped[:0]
		}
	}
	return queued
}

// number gives those records that are new their sequence numbers, and reports whether all are.
func (h *Hub) number(b *Batch, src Source, recs []pending) (all bool) {
	all = true
	for i := range recs {
		p := &recs[i]
		rec := b.record(p)
		back := false // an open span that was taken for orphaned is heard of
		if src.Signal == SignalSpan && p.key != 0 {
			p.again, back = h.open.see(h, src, rec, p.every)
		}
		if p.again || p.key != 0 && !h.recent.add(p.key) && !back {
			h.stats.duplicates.Add(1)
			p.again, all = true, false
			continue
		}
		h.seq++
		binary.LittleEndian.PutUint64(rec[offSeq:], h.seq)
	}
	return all
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
func (h *Hub) keep(r *ring, raw Record) Record {
	bytes, records := r.bytes, r.records
	rec := r.append(raw, &h.spares)
	h.bound(r, bytes, records)
	return rec
}

// take makes buf, which has n records, a chunk of a ring, and returns another one for it if there is one.
func (h *Hub) take(r *ring, buf []byte, n int) (spare []byte) {
	bytes, records := r.bytes, r.records
	r.take(buf, n)
	h.bound(r, bytes, records)
	return h.spares.take(maxChunk)
}

// bound brings a ring back into its bounds that had so many bytes and records.
func (h *Hub) bound(r *ring, bytes, records int) {
	for r.records > h.opts.RingRecords {
		r.dropRecord()
	}
	for r.bytes > h.opts.RingBytes && r.head != r.tail {
		r.dropChunk()
	}
	if r.freed != nil {
		// Without subscribers nobody can still be reading it: the next chunk costs no garbage.
		if len(h.subscribers)+len(h.streams)+h.scanning == 0 && !h.cycling && h.backlog.bytes == 0 {
			h.spares.put(r.freed)
		}
		r.freed = nil
	}
	h.ringBytes += r.bytes - bytes
	h.ringRecords += r.records - records
	if h.ringBytes > h.opts.TotalBytes {
		h.shrink()
	}
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
	h.fills.close()
}

// Stats is a snapshot of what a hub did since it began, and of what it holds.
type Stats struct {
	Seen, Duplicates            uint64 // records
	Matched, Delivered          uint64 // records times subscribers
	DroppedSlow, DroppedClosed  uint64 // of Matched: the client was slow; it went away first
	DroppedBusy, DroppedEvicted uint64 // of Matched: the hub was overloaded; the ring lost it before it was sent
	Stored                      uint64 // records from the history, beside Delivered
	DroppedSampled              uint64 // of Matched: above the max_rate that the client asked for
	DroppedLost                 uint64 // of Matched: lost on the way from another collector
	Sources                     int
	RingRecords, RingBytes      int
	Subscribers, Subscriptions  int
}

type counters struct {
	seen, duplicates, matched, delivered, slow, gone, busy, evicted, sampled, lost, stored atomic.Uint64
}

// Stats returns the current numbers. Matched is the sum of Delivered, all Dropped and what still waits.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &h.stats
	return Stats{
		Seen: c.seen.Load(), Duplicates: c.duplicates.Load(), Matched: c.matched.Load(), Delivered: c.delivered.Load(),
		DroppedSlow: c.slow.Load(), DroppedClosed: c.gone.Load(), DroppedBusy: c.busy.Load(), DroppedEvicted: c.evicted.Load(),
		DroppedSampled: c.sampled.Load(), DroppedLost: c.lost.Load(), Stored: c.stored.Load(),
		Sources: len(h.rings), RingRecords: h.ringRecords, RingBytes: h.ringBytes,
		Subscribers: len(h.subscribers) + len(h.streams), Subscriptions: h.subscriptions,
	}
}
