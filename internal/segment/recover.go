// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// suffixTemp is the suffix of a copy in the making (openSegment.copyAside). Recovery removes it.
const suffixTemp = ".jsonl.tmp"

// recoverWorkers is how many files are looked at at the same time.
const recoverWorkers = 8

// recover publishes what a dead predecessor left open: a torn last line is cut off (it was never acknowledged),
// the file is synced and renamed. It returns the newest time in the names of each folder. The lock is held, so
// nobody writes to these files; readers may follow them, up to the last whole line, which stays.
func (w *Writer) recover() (map[string]time.Time, error) {
	last := map[string]time.Time{}
	type found struct {
		t         Type
		dir, path string
	}
	var open []found
	err := eachProject(w.fs, w.o.Dir, func(t Type, dir string) error {
		entries, err := w.fs.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := e.Name()
			if !e.Type().IsRegular() {
				continue
			}
			if strings.HasSuffix(name, suffixTemp) {
				if err := w.fs.Remove(filepath.Join(dir, name)); err != nil {
					w.log.Warn("Cannot remove an unfinished copy", zap.String("file", name), zap.Error(err))
				}
				continue
			}
			n, ok := Parse(name)
			if !ok {
				continue
			}
			if at, err := stampOf(n.ID); err == nil && at.After(last[dir]) {
				last[dir] = at
			}
			if n.Open {
				open = append(open, found{t, dir, filepath.Join(dir, name)})
			}
		}
		return nil
	})
	if err != nil {
		// What can't be read now stays as it is for the next start; new segments don't depend on it.
		w.log.Error("Cannot look at everything that is to be recovered", zap.Error(err))
	}
	if len(open) == 0 {
		return last, nil
	}

	start := time.Now()
	all := len(open) > manyFiles
	ready := make([]bool, len(open))
	eachParallel(len(open), func(i int) {
		keep, err := w.cutTorn(open[i].path, !all)
		if err != nil {
			w.log.Error("Cannot recover a segment; it stays as it is until the next start", zap.String("segment", open[i].path), zap.Error(err))
		}
		ready[i] = keep && err == nil
	})
	if all {
		if err := w.timed(w.lock.syncAll); err != nil {
			eachParallel(len(open), func(i int) {
				if ready[i] {
					ready[i] = w.syncFile(open[i].path) == nil
				}
			})
		}
	}
	dirs := map[string]bool{}
	recovered := 0
	for i, o := range open {
		if !ready[i] {
			continue
		}
		if err := w.fs.Rename(o.path, strings.TrimSuffix(o.path, suffixBusy)); err != nil {
			w.log.Error("Cannot publish a recovered segment; it stays as it is until the next start", zap.String("segment", o.path), zap.Error(err))
			continue
		}
		dirs[o.dir] = true
		recovered++
		w.o.Observer.Recovered(o.t)
	}
	// A rename that does not reach the disk is done again by the next recovery.
	if len(dirs) <= manyFiles || w.timed(w.lock.syncAll) != nil {
		for dir := range dirs {
			if err := w.fs.SyncDir(dir); err != nil {
				w.log.Warn("Cannot sync a folder after recovery", zap.String("path", dir), zap.Error(err))
			}
		}
	}
	w.log.Info("Recovered the segments that the last run left open",
		zap.Int("segments", recovered), zap.Int("found", len(open)), zap.Duration("took", time.Since(start)))
	return last, nil
}

// cutTorn cuts a file behind its last whole line (or frame), and removes it if there is none; then keep is false.
func (w *Writer) cutTorn(path string, sync bool) (keep bool, err error) {
	f, err := w.fs.OpenFile(path, os.O_RDWR, filePerm)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	lastEnd := lastLineEnd
	if strings.HasSuffix(path, SuffixZstdOpen) {
		lastEnd = lastSoundEnd
	}
	end, err := lastEnd(f, info.Size())
	if errors.Is(err, ErrFrame) {
		// Not torn but damaged: whole frames may follow. Nothing is cut; readers say what they can't read.
		w.log.Error("A compressed segment is damaged; it is published as it is", zap.String("segment", path), zap.Error(err))
		end, err = info.Size(), nil
	}
	if err != nil {
		return false, err
	}
	if end == 0 {
		return false, w.fs.Remove(path)
	}
	if end < info.Size() {
		w.log.Info("Cut a torn last line", zap.String("segment", path), zap.Int64("offset", end), zap.Int64("bytes", info.Size()-end))
	}
	// Also when nothing is torn: space may be reserved behind the end.
	if err := f.Truncate(end); err != nil {
		return false, err
	}
	if sync {
		return true, w.timed(f.Sync)
	}
	return true, nil
}

func (w *Writer) syncFile(path string) error {
	f, err := w.fs.OpenFile(path, os.O_WRONLY, filePerm)
	if err != nil {
		return err
	}
	defer f.Close()
	return w.timed(f.Sync)
}

// lastLineEnd returns the offset behind the last '\n' of a file of the given size, 0 if there is none.
func lastLineEnd(f File, size int64) (int64, error) {
	buf := make([]byte, min(size, 64<<10))
	for end := size; end > 0; {
		n := min(int64(len(buf)), end)
		from := end - n
		if _, err := f.ReadAt(buf[:n], from); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
		end = from
	}
	return 0, nil
}

// stampOf returns the time in a segment id.
func stampOf(id string) (time.Time, error) {
	stamp, _, _ := strings.Cut(id, "_")
	return time.Parse(timeLayout, stamp)
}

func eachParallel(n int, f func(i int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(recoverWorkers, n) {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}
