// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/segment"
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
	asked   chan func()   // what is to be done between two batches
	once    sync.Once
	retain  *retainer
	held    *atomic.Int64 // see Engine
	failing string        // what fails, as it was told last; empty when all is well
	cause   string        // of the last failed attempt, as Classify calls it
	apart   bool          // a batch is being taken apart: that a part of it was stored does not end the failure
	moveAt  time.Time     // not before, after an error
}

func newWorker(opts *Options, src Source, j *journal, held *atomic.Int64) *worker {
	w := &worker{opts: opts, src: src, log: opts.Logger.With(zap.String("signal", src.Signal)), cat: newCatalog(opts.disk(), opts.Path),
		journal: j, held: held, drain: make(chan struct{}), quit: make(chan struct{}), asked: make(chan func())}
	w.retain = newRetainer(opts, src, w.log, w.quit)
	var gone []Key
	for k, off := range j.state.Offsets {
		// A segment that is gone from a folder that is there will not come back by itself. When the folder is
		// not there either, it may only not be mounted yet.
		on := look(opts.disk(), opts.Path, k, false)
		_, err := opts.disk().lstat(k.dir(opts.Path))
		// What is in failed/ may be mended and put back.
		failed, ferr := loadedBefore(opts.disk(), k.dir(opts.Path), segment.DirFailed, k.ID())
		if on.err == nil && on.info == nil && err == nil && ferr == nil && !failed && !holds(j.state.Pending, k) {
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
	limits := w.opts.Limits
	limits.MaxDelay = max(limits.MaxDelay, w.src.MaxDelay)
	b := &builder{d: w.opts.disk(), base: w.opts.Path, src: w.src, cat: w.cat, limit: limits, held: w.held, out: make(chan *batch), drain: w.drain, quit: w.quit,
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
			w.held.Add(-cur.bytes)
		case do := <-w.asked:
			do()
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
	m := &Manifest{Seq: s.Seq + 1, MaxLine: cur.maxLine, Cuts: cur.cuts, Plan: cur.data.Plan(), At: time.Now().Unix()}
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
		b, changed, err = load(w.opts.disk(), w.opts.Path, m, w.src)
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
		if !w.retry("writing to failed/", func() error { return quarantine(w.opts.disk(), w.opts.Path, m, bad) }) {
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
		token := unitToken(m.Token, i, len(units))
		if reason != "" && !w.refuse(m, &bad, func() (lines, changed []badLine, err error) {
			return partLines(w.opts.disk(), w.opts.Path, m, w.src, i, reason, token)
		}) {
			return false
		}
		if parts := w.journal.state.refusedParts(i); len(parts) > 0 && !w.refuse(m, &bad, func() (lines, changed []badLine, err error) {
			return refusedLines(w.opts.disk(), w.opts.Path, m, w.src, i, parts)
		}) {
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

// errSuspect ends the repetition of something that is to be taken apart.
var errSuspect = errors.New("it is to be taken apart")

// sendUnit sends a unit until it is answered, always under the same token, and takes it apart when the store goes on
// refusing it. It returns the reason when the unit was refused for good as a whole.
func (w *worker) sendUnit(ctx context.Context, m *Manifest, units []Unit, i int, bad *[]badLine) (refused string, ok bool) {
	token := unitToken(m.Token, i, len(units))
	unit := units[i]
	units[i] = nil // handed on: the consumer may change it
	root := &part{Unit: i, Table: allTables, To: unit.Records()}
	if slices.ContainsFunc(w.journal.state.Parts, func(p *part) bool { return p.Unit == i }) {
		root = nil // it was being taken apart when an earlier run ended
	}
	var suspicion struct {
		err            error
		class          Class
		sure, doubtful int
	}
	ok = root == nil || w.retry("sending", func() error {
		if unit == nil {
			again, err := w.reload(m, bad)
			if err != nil {
				return err
			}
			if unit = again[i]; unit == nil {
				return nil
			}
		}
		u := unit
		unit = nil
		class, err := w.attempt(ctx, m, token, u, false)
		s := &suspicion
		switch s.class, s.err = class, err; {
		case err == nil:
			return nil
		case class == Permanent:
			refused = err.Error()
			return nil
		case class == Refused:
			s.sure++
		case class == Doubtful && w.src.Missing != nil:
			s.doubtful++
		default:
			s.sure, s.doubtful = 0, 0
		}
		if s.sure >= refusedTries || s.sure+s.doubtful >= doubtfulTries {
			root = nil
			return errSuspect
		}
		return err
	})
	if !ok {
		return "", false
	}
	if root == nil && !w.takeApart(ctx, m, i, token, suspicion.err, suspicion.class) {
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

// reload makes the units of a batch again from the files.
func (w *worker) reload(m *Manifest, bad *[]badLine) ([]Unit, error) {
	again, changed, err := load(w.opts.disk(), w.opts.Path, m, w.src)
	if err != nil {
		return nil, err
	}
	if len(changed) > 0 {
		w.log.Error("a segment was changed while its batch was not answered", zap.String("segment", string(m.Cuts[changed[0].cut].File)),
			zap.String("reason", changed[0].reason))
		*bad = withChanged(*bad, changed)
		if err := quarantine(w.opts.disk(), w.opts.Path, m, *bad); err != nil {
			return nil, err
		}
	}
	return again.data.Units(m.Plan)
}

// refuse brings lines to failed/, with those that are there already.
func (w *worker) refuse(m *Manifest, bad *[]badLine, which func() (lines, changed []badLine, err error)) bool {
	return w.retry("writing refused lines to failed/", func() error {
		lines, changed, err := which()
		if err != nil {
			return err
		}
		all := append(withChanged(*bad, changed), lines...)
		if err := quarantine(w.opts.disk(), w.opts.Path, m, all); err != nil {
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
	w.cause = ""
	for n := 1; ; n++ {
		select {
		case <-w.quit:
			return false
		default:
		}
		err := f()
		if err == nil {
			w.well(what)
			return true
		}
		if errors.Is(err, errSuspect) {
			w.opts.Observer.Retried(w.src.Signal, err)
			return true
		}
		err = fmt.Errorf("%s: %w", what, err)
		w.opts.Observer.Retried(w.src.Signal, err)
		w.ill(what+w.cause, err)
		if !w.wait(n, w.opts.Limits.RetryMax) {
			return false
		}
	}
}

// ill tells that something fails, when nothing failed before or something else did.
func (w *worker) ill(what string, err error) {
	if w.failing == what || (w.apart && w.failing != "") {
		return
	}
	w.failing = what
	w.log.Warn("failed, it is tried again", zap.Error(err))
	w.opts.Observer.Health(w.src.Signal, err)
}

func (w *worker) well(what string) {
	if w.failing != "" && !w.apart {
		w.failing = ""
		w.log.Info("works again", zap.String("what", what))
		w.opts.Observer.Health(w.src.Signal, nil)
	}
}

// wait is the pause before the n-th repetition. False: the worker has to end.
func (w *worker) wait(n int, most time.Duration) bool {
	pause := min(w.opts.Limits.RetryMin<<min(n-1, 20), most)
	timer := time.NewTimer(pause/2 + rand.N(pause/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.drain:
	case <-w.quit:
	}
	return false
}

// pause is the pause between attempts while a record is suspected.
func (w *worker) pause(n int) bool { return w.wait(n, min(suspectPause, w.opts.Limits.RetryMax)) }
