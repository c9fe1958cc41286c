// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Bounds of a fill.
const (
	fillSlack  = 10 * time.Second // how much earlier than it arrives a record's own time may usually be
	fillSettle = 20 * time.Second // for History.Settle
	// Somebody who opens a view does not wait for long when all else does: the newest are in the rings.
	fillSettleNewest = 2 * time.Second

	fillTime    = time.Minute // for all of it
	fillRecords = 50_000      // that are looked at, for each signal
	fillNewest  = 10_000      // of a backfill
	fillPage    = 1000        // records read at a time
	fillTries   = 3           // fills in a row of one subscription that does not become live
	fillReaders = 2           // that read at the same time, of all subscriptions
)

// Filled is the end of what was read from the history for a subscription.
type Filled struct {
	Records  uint64
	Signals  []Signal
	Complete bool
	Problem  string // why not
	Older    bool   // see Output.Older
}

// fill reads for one subscription what the rings do not have. It goes by pages: one is read, by a goroutine that ends with it, when
// the one before was taken, so that a slow client costs one page. Until it is done its subscription does not read from the rings, unless
// it is for what is older than all that these will bring (older).
type fill struct {
	ctx    context.Context
	cancel context.CancelFunc

	from, to time.Time
	taken    time.Time // when the last of what it looks for had come in
	newest   int       // only the newest so many; 0: all, the oldest first
	older    bool
	told     uint64 // nothing up to it is missing when the fill was complete
	tell     bool   // a gap when it was not: nobody else will

	// Guarded by Stream.mu.
	reading bool
	ready   *filledPage // read and not taken yet
	revoked bool        // the caller's rights have changed: nothing more of it may go out
	sent    uint64

	// Of the goroutine that reads.
	begun   bool
	signals []*fillSignal
	known   map[uint64]bool // what was read from the history (true), and what the rings hold
	scanned uint64          // up to where the rings were looked at for known
	unseen  bool            // records of the rings came and went in between
	problem string
}

// fillSignal is one of the signals that are merged by time.
type fillSignal struct {
	signal  Signal
	cursor  string
	read    int
	done    bool
	waiting []stored
}

type stored struct {
	src Source
	rec Record
}

type filledPage struct {
	blocks []*Block
	done   *Filled // it was the last one
}

// fills are the goroutines that read.
type fills struct {
	ctx     context.Context
	cancel  context.CancelFunc
	readers chan struct{}

	mu      sync.Mutex // guards what follows
	closed  bool
	done    sync.WaitGroup
	settled time.Time // what had come in by then can be read
}

func (f *fills) init() {
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.readers = make(chan struct{}, fillReaders)
}

func (f *fills) run(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.done.Go(do)
	}
}

func (f *fills) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	f.done.Wait()
}

// settle waits until what had come in by a time can be read. Everything that an earlier run has left needs it only once.
func (f *fills) settle(ctx context.Context, history History, taken time.Time) error {
	f.mu.Lock()
	settled := !f.settled.Before(taken)
	f.mu.Unlock()
	if settled {
		return nil
	}
	began := time.Now()
	if err := history.Settle(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if began.After(f.settled) {
		f.settled = began
	}
	return nil
}

// newFill returns a fill for a request, nil when there is no history for it. taken is when the last of what is wanted had come in.
func (h *Hub) newFill(req *Request, from, to, taken time.Time) *fill {
	signals := req.historySignals()
	if h.opts.History == nil || len(signals) == 0 {
		return nil
	}
	f := &fill{from: from, to: to, taken: taken}
	f.ctx, f.cancel = context.WithTimeout(h.fills.ctx, fillTime)
	for _, s := range signals {
		f.signals = append(f.signals, &fillSignal{signal: s})
	}
	return f
}

// takeFills puts out what was read for the subscriptions, and has the next read. Called with Stream.mu held.
func (s *Stream) takeFills(t *StreamTaken) {
	for _, sub := range s.subs {
		f := sub.fill
		if !sub.takesFill() {
			continue
		}
		at := sub.last
		if f.older {
			at = sub.sent
		}
		if p := f.ready; p != nil {
			f.ready = nil
			for _, b := range p.blocks {
				f.sent += uint64(b.Records())
				s.hub.stats.stored.Add(uint64(b.Records()))
				t.Outputs = append(t.Outputs, Output{Sub: sub.id, Channel: sub.req.Channel, Block: b, After: at, Last: at, Stored: true, Older: f.older})
			}
			if p.done != nil {
				s.filled(t, sub, p.done)
				continue
			}
		}
		if !f.reading {
			f.reading = true
			s.hub.fills.run(func() { s.readFill(sub, f) })
		}
	}
}

// fillWaits reports whether takeFills has something to do. Called with Stream.mu held.
func (s *Stream) fillWaits() bool {
	return slices.ContainsFunc(s.subs, func(sub *streamSub) bool {
		return sub.takesFill() && (sub.fill.ready != nil || !sub.fill.reading)
	})
}

// takesFill reports whether something of a fill may go out now. What comes before newer records waits for those that are older still.
func (sub *streamSub) takesFill() bool {
	return sub.fill != nil && !sub.paused && (sub.fill.older || sub.waiting == 0 && sub.gap == nil)
}

// waitsForFill reports whether the rings may not be read yet.
func (sub *streamSub) waitsForFill() bool { return sub.fill != nil && !sub.fill.older }

// filled ends a fill. Called with Stream.mu held.
func (s *Stream) filled(t *StreamTaken, sub *streamSub, done *Filled) {
	f := sub.fill
	f.cancel()
	sub.fill = nil
	if sub.behind != nil {
		sub.known = f.known
	}
	done.Records, done.Older = f.sent, f.older
	t.Outputs = append(t.Outputs, Output{Sub: sub.id, Channel: sub.req.Channel, Filled: done})
	if f.older {
		return
	}
	if done.Complete {
		if sub.behind != nil {
			sub.behind.told = max(sub.behind.told, f.told)
		}
		return
	}
	sub.fills = fillTries // the next one would fare no better
	if f.tell {
		s.putGap(t, sub, &Gap{After: sub.last, Last: sub.last, Reason: ReasonEvicted, From: f.from, To: f.to})
	}
}

// revoke ends a fill whose caller has other rights now. Called with Stream.mu held.
func (f *fill) revoke() {
	f.cancel()
	f.revoked, f.ready = true, nil
	if !f.reading {
		f.ready = &filledPage{done: f.result("the caller's rights have changed meanwhile")}
	}
}

func (f *fill) result(problem string) *Filled {
	d := &Filled{Complete: problem == "", Problem: problem}
	for _, s := range f.signals {
		d.Signals = append(d.Signals, s.signal)
	}
	return d
}

// readFill reads the next page.
func (s *Stream) readFill(sub *streamSub, f *fill) {
	s.hub.mu.Lock()
	caller := s.caller
	s.mu.Lock()
	req := sub.req
	s.mu.Unlock()
	s.hub.scanning++
	s.hub.mu.Unlock()

	page := f.page(s.hub, &req, caller)

	s.hub.mu.Lock()
	s.hub.scanning--
	s.hub.mu.Unlock()
	s.mu.Lock()
	f.reading = false
	if f.revoked {
		page = &filledPage{done: f.result("the caller's rights have changed meanwhile")}
	}
	f.ready = page
	s.mu.Unlock()
	s.notify()
}
