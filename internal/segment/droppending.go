// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"go.uber.org/zap"
)

// dropOldest deletes pending segments, the oldest of all projects first, until there is room for need bytes and a little
// more, so that a folder that stays full is not listed for every batch. Open segments stay.
func (w *Writer) dropOldest(need int64) {
	w.use.dropping.Lock()
	defer w.use.dropping.Unlock()
	limit := w.o.MaxDiskBytes
	if w.use.bytes.Load()+need <= limit {
		return // somebody else has just made room
	}
	type pending struct {
		t        Type
		id, path string
	}
	var all []pending
	if err := eachProject(w.fs, w.o.Dir, func(t Type, dir string) error {
		entries, err := w.fs.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if n, ok := Parse(e.Name()); ok && !n.Open && e.Type().IsRegular() {
				all = append(all, pending{t, n.ID, filepath.Join(dir, e.Name())})
			}
		}
		return nil
	}); err != nil {
		w.log.Warn("Cannot look at everything that is pending", zap.Error(err))
	}
	slices.SortFunc(all, func(a, b pending) int { return cmp.Compare(a.id, b.id) })

	var bytes int64
	files := 0
	var failed error
	for _, p := range all {
		if w.use.bytes.Load()+need <= limit-limit/20 {
			break
		}
		info, err := w.fs.Stat(p.path)
		if err == nil {
			err = w.fs.Remove(p.path)
		}
		if errors.Is(err, os.ErrNotExist) {
			continue // loaded meanwhile; the next look at the folder counts it
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		w.use.bytes.Add(-info.Size())
		w.use.files.Add(-1)
		w.o.Observer.Dropped(p.t, info.Size())
		bytes += info.Size()
		files++
	}
	w.log.Warn("max_disk_bytes is reached: the oldest pending segments were deleted, what they held is lost",
		zap.String("path", w.o.Dir), zap.Int("segments", files), zap.Int64("bytes", bytes), zap.Error(failed))
}
