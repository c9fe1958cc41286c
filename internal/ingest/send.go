// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// worker loads the segments of one source: a builder reads, run sends, records and moves away. Sources do not wait
// for each other.
type worker struct {
	opts    *Options
	src     Source
	log     *zap.Logger
	cat     *catalog
	journal *journal
	drain   chan struct{} // closed: finish what is there
	quit    chan struct{} // closed: end at once
	once    sync.Once
	failing bool
	moveAt  time.Time // not before, after an error
}

func newWorker(opts *Options, src Source, j *journal) *worker {
	w := &worker{opts: opts, src: src, log: opts.Logger.With(zap.String("signal", src.Signal)), cat: newCatalog(opts.Path),
		journal: j, drain: make(chan struct{}), quit: make(chan struct{})}
	var gone []Key
	for k, off := range j.state.Offsets {
		// A segment that is gone from a folder that is there will not come back by itself. When the folder is
		// not there either, it may only not be mounted yet.
		on := look(opts.Path, k, false)
		_, err := os.Stat(k.dir(opts.Path))
		if on.err == nil && on.open == nil && on.complete == nil && err == nil && !holds(j.state.Pending, k) {
			gone = append(gone, k)
			continue
		}
		w.cat.offsets[k] = off
	}
	if len(gone) > 0 {
		w.tell("forgetting segments that are gone", j.note(entry{Forget: gone}))
	}
	return w
}

func holds(m *Manifest, k Key) bool {
	if m != nil {
		for _, c := range m.Cuts {
			if c.File == k {
				return true
			}
		}
	}
	return false
}

// end stops the worker at once.
func (w *worker) end() { w.once.Do(func() { close(w.quit) }) }

func (w *worker) hook(p Point) {
	if w.opts.Hook != nil {
		w.opts.Hook(w.src.Signal, p)
	}
}

// tell logs an error that is not in the way of anything.
func (w *worker) tell(what string, err error) {
	if err != nil {
		w.log.Warn(what, zap.Error(err))
	}
}

// run is the worker's life. It ends when it is drained or stopped.
func (w *worker) run(ctx context.Context) {
	defer w.end()
	if m := w.journal.state.Pending; m != nil {
		w.log.Info("a batch of an earlier run was not answered, it is sent again", zap.Uint64("seq", m.Seq), zap.String("token", m.Token))
		if !w.replay(ctx, m) {
			return
		}
	}
	b := &builder{base: w.opts.Path, src: w.src, cat: w.cat, limit: w.opts.Limits, out: make(chan *batch), drain: w.drain, quit: w.quit,
		onErr: func(k Key, err error) {
			w.log.Warn("a segment can't be read", zap.String("segment", string(k)), zap.Error(err))
			w.opts.Observer.Trouble(w.src.Signal, "read")
		}}
	var building sync.WaitGroup
	building.Go(b.run)
	defer building.Wait()
	defer w.end()

	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		w.finish()
		select {
		case cur, ok := <-b.out:
			if !ok {
				w.finish()
				return
			}
			m, ok := w.seal(cur)
			if !ok || !w.deliver(ctx, m, cur, nil, false) {
				return
			}
		case <-w.cat.move:
		case <-tick.C:
		case <-w.quit:
			return
		}
	}
}

// seal freezes a batch: its manifest is durable when it returns.
func (w *worker) seal(cur *batch) (*Manifest, bool) {
	s := &w.journal.state
	m := &Manifest{Seq: s.Seq + 1, MaxLine: cur.maxLine, Cuts: cur.cuts, Plan: cur.data.Plan()}
	m.Token = newToken(s.Instance, w.src.Signal, m.Seq, m.Cuts)
	ok := w.retry("writing the manifest", func() error { return w.journal.commit(entry{Manifest: m}) })
	return m, ok
}

// replay sends the batch of a manifest again, from the files.
func (w *worker) replay(ctx context.Context, m *Manifest) bool {
	b, changed, ok := w.load(m)
	return ok && w.deliver(ctx, m, b, changed, true)
}

func (w *worker) load(m *Manifest) (b *batch, changed []badLine, ok bool) {
	ok = w.retry("reading a batch again", func() (err error) {
		b, changed, err = load(w.opts.Path, m, w.src)
		return err
	})
	for _, c := range changed {
		w.log.Error("a segment was changed while a batch with a part of it was not answered; that part goes to failed/, the rest is sent",
			zap.String("segment", string(m.Cuts[c.cut].File)), zap.Int64("from", c.from), zap.Int64("to", c.to), zap.String("reason", c.reason))
	}
	return b, changed, ok
}

// deliver brings a sealed batch to its end: bad lines to failed/, units to the next consumer, the answer into the
// journal. False: it was stopped before that; the batch is then sent again after the next start.
func (w *worker) deliver(ctx context.Context, m *Manifest, b *batch, changed []badLine, replayed bool) bool {
	start := time.Now()
	w.hook(PointManifest)
	bad := withChanged(b.bad, changed)
	if len(bad) > 0 {
		if !w.retry("writing to failed/", func() error { return quarantine(w.opts.Path, m, bad) }) {
			return false
		}
		w.hook(PointQuarantined)
	}
	units, err := b.data.Units(m.Plan)
	if err != nil {
		w.log.Error("a batch can't be cut as its manifest says", zap.Error(err))
		return false // only a state of a newer version can bring us here; sending anything else could double data
	}
	for i := range units {
		reason, settled := w.settled(i)
		if !settled && units[i] != nil {
			reason, settled = w.sendUnit(ctx, m, units, i, &bad)
			if !settled {
				return false
			}
		}
		if reason != "" && !w.refuse(m, i, reason, unitToken(m.Token, i, len(units)), &bad) {
			return false
		}
	}
	w.hook(PointAnswered)
	w.tell("recording an answer; it is written with the next record", w.journal.note(entry{Done: m.Seq}))
	w.hook(PointRecorded)
	w.cat.commit(m.Cuts)
	w.opts.Observer.Delivered(w.src.Signal, b.records, m.bytes(), time.Since(start), replayed)
	for _, l := range bad {
		w.opts.Observer.Failed(w.src.Signal, l.kind, 1)
	}
	return true
}

// settled says whether a unit needs not be sent any more, and why it was refused when it was.
func (w *worker) settled(unit int) (reason string, ok bool) {
	for _, u := range w.journal.state.Units {
		if u.Unit == unit {
			return u.Refused, true
		}
	}
	return "", false
}

// sendUnit sends a unit until it is answered, always under the same token. It returns the reason when it was
// refused for good. What can't be stored although others can is found here, in later versions, by halving
// the unit: its parts become outcomes in the journal, under tokens derived from the unit's.
func (w *worker) sendUnit(ctx context.Context, m *Manifest, units []Unit, i int, bad *[]badLine) (refused string, ok bool) {
	token := unitToken(m.Token, i, len(units))
	unit := units[i]
	units[i] = nil // handed on: the consumer may change it
	ok = w.retry("sending", func() error {
		if unit == nil {
			again, changed, err := load(w.opts.Path, m, w.src)
			if err != nil {
				return err
			}
			if len(changed) > 0 {
				w.log.Error("a segment was changed while its batch was not answered", zap.String("segment", string(m.Cuts[changed[0].cut].File)),
					zap.String("reason", changed[0].reason))
				*bad = withChanged(*bad, changed)
				if err := quarantine(w.opts.Path, m, *bad); err != nil {
					return err
				}
			}
			fresh, err := again.data.Units(m.Plan)
			if err != nil {
				return err
			}
			if unit = fresh[i]; unit == nil {
				return nil
			}
		}
		u := unit
		unit = nil
		err := w.src.Deliver(ctx, token, u)
		if err != nil && w.opts.Permanent != nil && w.opts.Permanent(err) {
			refused = err.Error()
			return nil
		}
		return err
	})
	if !ok {
		return "", false
	}
	outcome := entry{Unit: &unitOutcome{Seq: m.Seq, Unit: i, Refused: refused}}
	switch {
	case refused != "":
		ok = w.retry("recording a refusal", func() error { return w.journal.commit(outcome) })
	case len(units) > 1:
		// Not to send again what needs not be: the store remembers a limited number of blocks.
		w.tell("recording an answer", w.journal.note(outcome))
	}
	return refused, ok
}

// refuse brings the lines of a unit to failed/, with those that are there already.
func (w *worker) refuse(m *Manifest, unit int, reason, token string, bad *[]badLine) bool {
	return w.retry("writing refused lines to failed/", func() error {
		lines, changed, err := partLines(w.opts.Path, m, w.src, unit, reason+" (token "+token+")")
		if err != nil {
			return err
		}
		all := append(withChanged(*bad, changed), lines...)
		if err := quarantine(w.opts.Path, m, all); err != nil {
			return err
		}
		*bad = all
		return nil
	})
}

// withChanged adds cuts that were changed to bad lines. They go to failed/ as a whole, so single lines of them do not.
func withChanged(bad, changed []badLine) []badLine {
	gone := map[int]bool{}
	for _, c := range changed {
		gone[c.cut] = true
	}
	all := slices.Clone(changed)
	for _, l := range bad {
		if !gone[l.cut] {
			all = append(all, l)
		}
	}
	return all
}

// retry calls f until it succeeds, with growing pauses. False: the worker was stopped, or has to finish and f does
// not succeed.
func (w *worker) retry(what string, f func() error) bool {
	pause := w.opts.Limits.RetryMin
	for {
		select {
		case <-w.quit:
			return false
		default:
		}
		err := f()
		if err == nil {
			if w.failing {
				w.failing = false
				w.log.Info("works again", zap.String("what", what))
				w.opts.Observer.Health(w.src.Signal, nil)
			}
			return true
		}
		err = fmt.Errorf("%s: %w", what, err)
		w.opts.Observer.Retried(w.src.Signal, err)
		if !w.failing {
			w.failing = true
			w.log.Warn("failed, it is tried again without limit", zap.Error(err))
			w.opts.Observer.Health(w.src.Signal, err)
		}
		wait := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-wait.C:
		case <-w.drain:
			wait.Stop()
			return false
		case <-w.quit:
			wait.Stop()
			return false
		}
		pause = min(2*pause, w.opts.Limits.RetryMax)
	}
}
