// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/segment"
)

// DefaultState is the folder below the path that keeps the state when nothing else is configured.
const DefaultState = ".ingest"

// Limits bound batches and waiting.
type Limits struct {
	// MaxRecords and MaxBytes close a batch; the line that reaches them is still part of it. All sources together hold about three
	// times MaxBytes: beyond that, a batch of a quarter of MaxBytes is full, too.
	MaxRecords, MaxBytes int
	// MaxDelay is the least time between two batches that are not full, and so the longest that a line waits for company.
	MaxDelay time.Duration
	// MaxLineBytes is the longest line that is read.
	MaxLineBytes int
	// PollInterval is the time between two looks at the whole folder.
	PollInterval time.Duration
	// RetryMin and RetryMax bound the back-off after an error of the next consumer. 0 is 1 s and 30 s.
	RetryMin, RetryMax time.Duration
	// TokenWindow is how long the store is trusted to remember a token: a batch that was frozen earlier is only sent
	// after the store was asked what of it is there. 0 trusts it for ever.
	TokenWindow time.Duration
	// JournalBytes is the size above which a journal starts again. 0 is 16 MiB.
	JournalBytes int64
}

// Options is what an Engine works with.
type Options struct {
	// Path is the base folder of the segments, StatePath where manifests and offsets are kept.
	Path, StatePath string
	Limits          Limits
	// Delete removes loaded segments instead of moving them to processed/.
	Delete bool
	// Retain bounds what stays in processed/. failed/ is never deleted from.
	Retain  Retain
	Sources []Source
	// Classify says what an error of Deliver means, and what it is called in the status; the name must be the same for
	// the same cause. Nil: everything heals.
	Classify func(error) (class Class, name string)
	Logger   *zap.Logger
	Observer Observer
	// Hook is called at the points of a batch's way at which tests kill the process. Nil outside of tests.
	Hook func(signal string, p Point)
	// Fault is called before every file operation below Path and StatePath, and its error is what the operation returns. It is
	// called by several goroutines. Nil outside of tests.
	Fault func(op, path string) error
}

func (o *Options) disk() disk { return disk{o.Fault} }

// Point is a place on the way of a batch; see the table in the package's documentation.
type Point string

// The points, in the order in which a batch passes them.
const (
	PointManifest    Point = "manifest"    // the manifest is durable, nothing was sent
	PointQuarantined Point = "quarantined" // bad lines are in failed/, nothing was sent
	PointSplit       Point = "split"       // how a refused batch is taken apart is durable, its parts are not sent
	PointAnswered    Point = "answered"    // the next consumer accepted, nothing is recorded
	PointRecorded    Point = "recorded"    // the answer is in the journal, no file was moved
	PointMoved       Point = "moved"       // files were moved, their offsets are still in the journal
)

// Observer is told what happens. Methods are called from several goroutines and must not block.
type Observer interface {
	// Delivered is called for a batch that was accepted, with how long that took since its first attempt.
	Delivered(signal string, records int, bytes int64, took time.Duration, replayed bool)
	// Failed is called for lines and records that went to failed/.
	Failed(signal, kind string, n int)
	// Retried is called after an attempt that failed.
	Retried(signal string, err error)
	// Moved is called for segments that are done with.
	Moved(signal string, n int)
	// Expired is called for loaded segments that were deleted because of Retain.
	Expired(signal string, files int, bytes int64)
	// Trouble is called for a file or folder that can't be used as it should.
	Trouble(signal, kind string)
	// Health is called when a source begins to fail, with the error, and when it works again, with nil.
	Health(signal string, err error)
}

// Engine loads segments into the next consumers. See the package's documentation.
type Engine struct {
	opts   Options
	ctx    context.Context // of deliveries
	cancel context.CancelFunc
	quit   chan struct{} // closed: stand by no longer
	done   sync.WaitGroup

	mu      sync.Mutex // guards what is there once the folder is ours
	workers []*worker
	watch   *watcher
	locks   []*stateLock
	held    atomic.Int64 // bytes of lines in batches, of all workers

	stop    sync.Once
	stopErr error
}

// Start opens the state and begins. When another process uses the folder, it stands by, and takes over as soon as that
// one has ended. Its errors say what can't work at all: a folder that can't be used, another engine of this process on the
// same folder, a damaged state.
func Start(opts Options) (*Engine, error) {
	l := &opts.Limits
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&l.RetryMin, time.Second}, {&l.RetryMax, 30 * time.Second}, {&l.PollInterval, 10 * time.Second}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	if l.JournalBytes <= 0 {
		l.JournalBytes = 16 << 20
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	if opts.StatePath == "" {
		opts.StatePath = filepath.Join(opts.Path, DefaultState)
	}
	e := &Engine{opts: opts, quit: make(chan struct{})}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	err := e.open()
	var used *inUseError
	switch {
	case errors.As(err, &used) && !used.ours:
		e.done.Go(func() { e.standBy(used) })
	case err != nil:
		e.cancel()
		return nil, err
	}
	return e, nil
}

// open takes the locks, reads the state and begins, or does nothing.
func (e *Engine) open() (err error) {
	var locks []*stateLock
	var workers []*worker
	defer func() {
		if err == nil {
			return
		}
		for _, w := range workers {
			_ = w.journal.close()
		}
		for _, l := range locks {
			l.release()
		}
	}()
	if err := os.MkdirAll(e.opts.Path, 0o750); err != nil {
		return fmt.Errorf("path: %q can't be used: %w; create it, or configure another one", e.opts.Path, err)
	}
	catalogs := map[segment.Type]*catalog{}
	signals := map[segment.Type]string{}
	for _, src := range e.opts.Sources {
		state := filepath.Join(e.opts.StatePath, src.Signal)
		// Two states on one folder would load everything twice, so the folder itself has a lock too.
		own := filepath.Join(e.opts.Path, DefaultState, src.Signal)
		dirs := []string{own}
		if !same(own, state) {
			dirs = append(dirs, state)
		}
		for _, dir := range dirs {
			if err := os.MkdirAll(dir, 0o750); err != nil {
				return fmt.Errorf("state_path: %q can't be used: %w; make it writable, or configure another one", dir, err)
			}
			l, err := lock(dir, e.place())
			if err != nil {
				return err
			}
			locks = append(locks, l)
		}
		j, err := openJournal(e.opts.disk(), state, e.opts.Limits.JournalBytes)
		if err != nil {
			return fmt.Errorf("state_path: %w", err)
		}
		w := newWorker(&e.opts, src, j, &e.held)
		workers = append(workers, w)
		for _, t := range folders(src.Types) {
			catalogs[t], signals[t] = w.cat, src.Signal
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.quit:
		return errStopped
	default:
	}
	e.locks, e.workers = locks, workers
	e.watch = newWatcher(e.opts.disk(), e.opts.Path, e.opts.Limits.PollInterval, catalogs, signals, e.opts.Logger, e.opts.Observer)
	for _, w := range workers {
		e.done.Go(func() { w.run(e.ctx) })
		e.done.Go(w.retain.run)
	}
	e.watch.start()
	return nil
}

// folders lists the folders in which segments of the types may lie.
func folders(types []segment.Type) (all []segment.Type) {
	for _, t := range types {
		for _, name := range segment.Folders(t) {
			all = append(all, segment.Type(name))
		}
	}
	return all
}

func same(a, b string) bool {
	a, errA := filepath.Abs(a)
	b, errB := filepath.Abs(b)
	return errA == nil && errB == nil && a == b
}

// Pending is how far the source of a signal is behind; nothing while it stands by.
func (e *Engine) Pending(signal string) Pending {
	if w := e.worker(signal); w != nil {
		return w.cat.pending(time.Now())
	}
	return Pending{}
}

// worker is that of a signal; nil while the engine stands by, or has no such source.
func (e *Engine) worker(signal string) *worker {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.workers {
		if w.src.Signal == signal {
			return w
		}
	}
	return nil
}

// Active reports whether the folder is ours; false while another process uses it.
func (e *Engine) Active() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.watch != nil
}

// Shutdown looks at the folder once more, sends what is there, and ends. It stops sending at the time-out,
// when ctx ends, and for a source that fails: what is not answered then is sent again after the next
// start. Later calls return what the first one returned.
func (e *Engine) Shutdown(ctx context.Context, timeout time.Duration) error {
	e.stop.Do(func() { e.stopErr = e.shutdown(ctx, timeout) })
	return e.stopErr
}

func (e *Engine) shutdown(ctx context.Context, timeout time.Duration) error {
	e.mu.Lock()
	close(e.quit) // from here on nothing is taken over any more
	workers := e.workers
	e.mu.Unlock()
	if e.watch != nil {
		e.watch.stop()
		e.watch.scan()
	}
	for _, w := range workers {
		close(w.drain)
	}
	done := make(chan struct{})
	go func() {
		e.done.Wait()
		close(done)
	}()
	drained := make(chan struct{})
	go func() {
		for _, w := range workers {
			<-w.quit
		}
		close(drained)
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
	case <-ctx.Done():
	}
	for _, w := range workers {
		w.end()
	}
	e.cancel()
	select {
	case <-done:
	case <-time.After(max(time.Second, timeout)):
		return errors.New("the next consumer does not return although its context has ended; its batch is sent again after the next start")
	}
	var errs []error
	for _, w := range workers {
		errs = append(errs, w.journal.close())
	}
	for _, l := range e.locks {
		l.release()
	}
	return errors.Join(errs...)
}
