// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment

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
)

const (
	checkEvery  = time.Second      // folder, lock, what failed to be published
	scanEvery   = 10 * time.Second // what is pending
	rescanAfter = 200 * time.Millisecond
	// forgetAfter is how long a stream without a segment is remembered.
	forgetAfter = 5 * time.Minute
	probeBytes  = 4096
)

// housekeeping completes segments by time and heals what can be healed.
func (w *Writer) housekeeping() {
	defer w.loops.Done()
	tick := 250 * time.Millisecond
	for _, d := range []time.Duration{w.o.Rotation.Idle, w.o.Rotation.MaxAge} {
		if d > 0 {
			tick = max(min(tick, d/4), 10*time.Millisecond)
		}
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var checked time.Time
	scanned := time.Now()
	for {
		select {
		case <-w.stop:
			return
		case <-ticker.C:
		}
		w.rotate(time.Now())
		if time.Since(checked) >= checkEvery {
			w.checkFolder()
			checked = time.Now()
		}
		if time.Since(scanned) >= scanEvery {
			if _, err := w.scanUsage(); err != nil {
				w.log.Debug("Cannot measure what is pending", zap.Error(err))
			}
			scanned = time.Now()
		}
	}
}

// rotate seals what is due. A stream that is locked is being written to and looks at the time itself.
func (w *Writer) rotate(now time.Time) {
	for _, st := range w.snapshot() {
		if !st.mu.TryLock() {
			continue
		}
		forget := false
		switch {
		case st.seg == nil:
			forget = now.Sub(st.used) >= forgetAfter
		case st.due(now):
			st.seal()
		}
		st.forgotten = forget
		st.mu.Unlock()
		if forget {
			w.forget(st, now)
		}
	}
}

func (w *Writer) forget(st *stream, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.streams[st.key] == st {
		delete(w.streams, st.key)
	}
	known := w.lastStamp[st.dir] // perhaps another stream's of the same folder
	if st.last.After(known) {
		known = st.last
	}
	if known.After(now.Add(-time.Minute)) {
		w.lastStamp[st.dir] = known // the clock went back: the next name must still be later
	} else {
		delete(w.lastStamp, st.dir)
	}
}

func (w *Writer) checkFolder() {
	changed, err := w.lock.check()
	if changed {
		w.log.Error("The folder was deleted or replaced; going on in a new one", zap.String("path", w.o.Dir))
		for _, st := range w.snapshot() {
			st.mu.Lock()
			st.seal()
			st.mu.Unlock()
		}
	}
	w.health.set(causeLock, err)
	w.pub.retry()
	if err == nil && w.health.bad(causeWrite) {
		// Nobody may be sending just now; the status should heal all the same.
		if w.admit(1) == nil && probe(w.fs, w.o.Dir, probeBytes) == nil {
			w.health.set(causeWrite, nil)
		}
	}
}

// syncing forces to the disk every SyncEvery what has been acknowledged since.
func (w *Writer) syncing() {
	defer w.loops.Done()
	ticker := time.NewTicker(w.o.SyncEvery)
	defer ticker.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-ticker.C:
			w.syncDirty()
		}
	}
}

func (w *Writer) syncDirty() {
	var dirty []syncMark
	for _, st := range w.snapshot() {
		st.mu.Lock()
		if s := st.seg; s != nil {
			s.mu.Lock()
			if s.synced < s.written {
				dirty = append(dirty, syncMark{s, s.written})
			}
			s.mu.Unlock()
		}
		st.mu.Unlock()
	}
	if len(dirty) > manyFiles && w.timed(w.lock.syncAll) == nil {
		for _, m := range dirty {
			m.seg.mu.Lock()
			m.seg.synced, m.seg.named = max(m.seg.synced, m.to), true
			m.seg.mu.Unlock()
		}
		return
	}
	for _, m := range dirty {
		if err := w.syncOrSeal(context.Background(), m); err != nil && !errors.Is(err, os.ErrNotExist) {
			w.log.Error("An fsync failed; going on in a new segment", zap.String("segment", m.seg.path), zap.Error(err))
		}
	}
}

// usage counts what is open and pending.
type usage struct {
	bytes, files atomic.Int64
	appended     atomic.Int64 // bytes since the start
	open         atomic.Int64 // segments being written
	oldest       atomic.Int64 // milliseconds since 1970; 0: nothing is pending
	dropping     sync.Mutex   // held while the oldest segments are deleted

	mu      sync.Mutex
	scanned time.Time // guarded by mu
}

// admit refuses what would take the folder above MaxDiskBytes.
func (w *Writer) admit(need int64) error {
	limit := w.o.MaxDiskBytes
	if limit <= 0 || w.use.bytes.Load()+need <= limit {
		return nil
	}
	if need > limit {
		return fmt.Errorf("jsonl: %w: %d bytes, and %d are allowed in %q; raise max_disk_bytes or send smaller batches", ErrTooLarge, need, limit, w.o.Dir)
	}
	// A reader may have made room since the last look. One caller looks, the others take the answer there is.
	if w.use.mu.TryLock() {
		due := time.Since(w.use.scanned) >= rescanAfter
		w.use.mu.Unlock()
		if due {
			if _, err := w.scanUsage(); err != nil {
				w.log.Debug("Cannot measure what is pending", zap.Error(err))
			}
		}
	}
	if w.o.DropOldest && w.use.bytes.Load()+need > limit {
		w.dropOldest(need)
	}
	if used := w.use.bytes.Load(); used+need > limit {
		return fmt.Errorf("jsonl: %w: %d of %d bytes are pending in %q, and %d more do not fit; nothing is accepted until they are loaded or removed",
			ErrFull, used, limit, w.o.Dir, need)
	}
	return nil
}

// scanUsage measures open and pending segments. What is appended meanwhile may count twice until the next scan.
func (w *Writer) scanUsage() (int64, error) {
	w.use.mu.Lock()
	defer w.use.mu.Unlock()
	before := w.use.appended.Load()
	var bytes, files, oldest int64
	err := eachProject(w.fs, w.o.Dir, func(_ Type, dir string) error {
		entries, err := w.fs.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			n, ok := Parse(e.Name())
			if !ok || !e.Type().IsRegular() {
				continue
			}
			if info, err := e.Info(); err == nil {
				bytes += info.Size()
				files++
			}
			if at, err := stampOf(n.ID); err == nil && (oldest == 0 || at.UnixMilli() < oldest) {
				oldest = at.UnixMilli()
			}
		}
		return nil
	})
	w.use.scanned = time.Now()
	if err != nil {
		return 0, err
	}
	w.use.bytes.Store(bytes + w.use.appended.Load() - before)
	w.use.files.Store(files)
	w.use.oldest.Store(oldest)
	return bytes, nil
}

// eachProject calls f with every project's folder of every type. What is not there is skipped.
func eachProject(fsys FS, base string, f func(t Type, dir string) error) error {
	var errs error
	for _, t := range Types() {
		entries, err := fsys.ReadDir(filepath.Join(base, string(t)))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		for _, e := range entries {
			if !e.IsDir() {
				continue
			}
			if err := f(t, filepath.Join(base, string(t), e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = errors.Join(errs, err)
			}
		}
	}
	return errs
}

// cause names what a Writer can suffer from, independently of each other.
type cause int

const (
	causeWrite cause = iota
	causePublish
	causeLock
	causes
)

// health reports when the first cause appears and when the last one is gone.
type health struct {
	report func(error)
	sick   [causes]atomic.Bool
	mu     sync.Mutex
	errs   [causes]error
}

func (h *health) bad(c cause) bool { return h.sick[c].Load() }

func (h *health) set(c cause, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return // the caller's impatience says nothing about the folder
	}
	if err == nil && !h.sick[c].Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	was := errors.Join(h.errs[:]...)
	h.errs[c] = err
	h.sick[c].Store(err != nil)
	is := errors.Join(h.errs[:]...)
	if (was == nil) != (is == nil) && h.report != nil {
		h.report(is)
	}
}
