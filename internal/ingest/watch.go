// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/segment"
)

// coalesce is how long notifications are collected before the files are looked at.
const coalesce = 5 * time.Millisecond

// watcher tells the catalogs what is in the folder: by the file system's notifications at once, and by a look
// at everything now and then. processed/ and failed/ are neither watched nor listed.
type watcher struct {
	d        disk
	base     string
	poll     time.Duration
	catalogs map[segment.Type]*catalog
	signals  map[segment.Type]string
	log      *zap.Logger
	obs      Observer

	notes   *fsnotify.Watcher // nil where there are no notifications
	watched map[string]bool
	blind   bool               // a folder could not be watched, and that was told
	asked   chan chan struct{} // for a look at everything; what comes is closed after it
	quit    chan struct{}
	done    sync.WaitGroup
	once    sync.Once
}

func newWatcher(d disk, base string, poll time.Duration, catalogs map[segment.Type]*catalog, signals map[segment.Type]string,
	log *zap.Logger, obs Observer) *watcher {
	return &watcher{d: d, base: base, poll: poll, catalogs: catalogs, signals: signals, log: log, obs: obs,
		watched: map[string]bool{}, asked: make(chan chan struct{}), quit: make(chan struct{})}
}

func (w *watcher) start() {
	notes, err := fsnotify.NewWatcher()
	if err != nil {
		w.goBlind(w.base, err)
	} else {
		w.notes = notes
	}
	w.done.Go(w.run)
}

// stop ends the watching; scan can still be called.
func (w *watcher) stop() {
	w.once.Do(func() {
		close(w.quit)
		w.done.Wait()
		if w.notes != nil {
			_ = w.notes.Close()
			w.notes = nil
		}
	})
}

func (w *watcher) run() {
	tick := time.NewTicker(w.poll)
	defer tick.Stop()
	var events chan fsnotify.Event
	var failures chan error
	if w.notes != nil {
		events, failures = w.notes.Events, w.notes.Errors
	}
	w.scan()
	changed := map[Key]struct{}{}
	var flush <-chan time.Time
	for {
		select {
		case <-w.quit:
			return
		case ev := <-events:
			w.event(ev, changed)
			if flush == nil && len(changed) > 0 {
				flush = time.After(coalesce)
			}
		case <-flush:
			flush = nil
			for k := range changed {
				w.refresh(k)
			}
			clear(changed)
		case err := <-failures:
			// The queue of notifications ran over, or one was lost in another way: look at everything.
			w.log.Warn("file notifications were lost, the whole folder is read", zap.Error(err))
			w.scan()
		case <-tick.C:
			w.scan()
		case looked := <-w.asked:
			w.scan()
			close(looked)
		}
	}
}

// event handles a notification: a folder is listed after the watch on it has begun, so nothing falls in between.
func (w *watcher) event(ev fsnotify.Event, changed map[Key]struct{}) {
	if ev.Has(fsnotify.Remove) || ev.Has(fsnotify.Rename) {
		delete(w.watched, ev.Name)
	}
	rel, err := filepath.Rel(w.base, ev.Name)
	if err != nil {
		return
	}
	parts := strings.Split(filepath.ToSlash(rel), "/")
	t := segment.Type(parts[0])
	if w.catalogs[t] == nil {
		return
	}
	switch len(parts) {
	case 1:
		w.scanType(t, nil)
	case 2:
		w.scanProject(t, parts[1], nil)
	case 3:
		if n, ok := segment.Parse(parts[2]); ok {
			changed[keyOf(t, parts[1], n.ID)] = struct{}{}
		}
	}
}

// scan looks at everything.
func (w *watcher) scan() {
	_ = w.add(w.base)
	seen := map[Key]struct{}{}
	for t := range w.catalogs {
		w.scanType(t, seen)
	}
	for t, c := range w.catalogs {
		for _, k := range c.keys() {
			if kt, _, _ := k.split(); kt != t {
				continue
			}
			if _, ok := seen[k]; !ok {
				w.refresh(k)
			}
		}
	}
}

func (w *watcher) scanType(t segment.Type, seen map[Key]struct{}) {
	dir := filepath.Join(w.base, string(t))
	for _, e := range w.list(dir) {
		if e.IsDir() {
			w.scanProject(t, e.Name(), seen)
		}
	}
}

func (w *watcher) scanProject(t segment.Type, project string, seen map[Key]struct{}) {
	if project == segment.DirProcessed || project == segment.DirFailed {
		return
	}
	for _, e := range w.list(filepath.Join(w.base, string(t), project)) {
		n, ok := segment.Parse(e.Name())
		if !ok || e.IsDir() {
			continue
		}
		k := keyOf(t, project, n.ID)
		if seen != nil {
			if _, twice := seen[k]; twice {
				continue
			}
			seen[k] = struct{}{}
		}
		w.refresh(k)
	}
}

// list watches a folder and then lists it, in name order.
func (w *watcher) list(dir string) []os.DirEntry {
	if info, err := w.d.lstat(dir); err != nil || !info.IsDir() {
		return nil // not there yet, or a link that would lead elsewhere
	}
	_ = w.add(dir)
	entries, err := w.d.readDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.log.Warn("a folder can't be read", zap.String("folder", dir), zap.Error(err))
		w.trouble(dir, "folder")
	}
	return entries
}

func (w *watcher) add(dir string) error {
	if w.notes == nil || w.watched[dir] {
		return nil
	}
	err := w.notes.Add(dir)
	switch {
	case err == nil:
		w.watched[dir] = true
	case !errors.Is(err, fs.ErrNotExist):
		w.goBlind(dir, err)
	}
	return err
}

func (w *watcher) goBlind(dir string, err error) {
	if w.blind {
		return
	}
	w.blind = true
	w.log.Warn("folders can't be watched, so new data is noticed by polling only; on Linux raise "+
		"fs.inotify.max_user_watches and fs.inotify.max_user_instances, or lower poll_interval",
		zap.String("folder", dir), zap.Duration("poll_interval", w.poll), zap.Error(err))
	w.trouble(dir, "watch")
}

func (w *watcher) refresh(k Key) {
	t, _, _ := k.split()
	if problem := w.catalogs[t].refresh(k); problem != "" {
		w.log.Error("a segment can't be loaded as it is", zap.String("segment", string(k)), zap.String("reason", problem))
		w.obs.Trouble(w.signals[t], "segment")
	}
}

func (w *watcher) trouble(dir, kind string) {
	rel, _ := filepath.Rel(w.base, dir)
	t, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
	w.obs.Trouble(w.signals[segment.Type(t)], kind)
}
