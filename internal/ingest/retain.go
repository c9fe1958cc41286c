// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/segment"
)

// Retain bounds what stays in processed/. 0 is no bound.
type Retain struct {
	// MaxAge is how long a segment stays after it was written last.
	MaxAge time.Duration
	// MaxBytes is what the segments of a source may take together.
	MaxBytes int64
	// Every is the time between two looks; 0 is a second.
	Every time.Duration
}

const (
	// deleteAtOnce bounds how many segments go at one look, and headNames how many names of a project are held.
	deleteAtOnce, headNames = 256, 4096
	// ageCheck is the time between two looks at the age of each project's oldest segment.
	ageCheck = time.Minute
)

// retainer deletes loaded segments, oldest first, from the project that holds most. It reads all folders once, at the start, and
// then only those that it deletes from: what moves into them is told by the worker.
type retainer struct {
	opts   *Options
	signal string
	types  []segment.Type
	log    *zap.Logger
	quit   <-chan struct{}

	mu       sync.Mutex
	projects map[string]*kept // by processed/ folder
	total    int64
	late     map[string]int64 // moved before the folder was read; nil when all were
}

// kept is what a project has in processed/.
type kept struct {
	bytes  int64
	head   []string // the oldest names, sorted; read again when empty
	check  time.Time
	unread bool // files came behind the end of head, or it was never read
}

func newRetainer(opts *Options, src Source, log *zap.Logger, quit <-chan struct{}) *retainer {
	return &retainer{opts: opts, signal: src.Signal, types: src.Types, log: log, quit: quit, projects: map[string]*kept{},
		late: map[string]int64{}}
}

// moved tells that a segment was moved to a folder. Before the folder was read at the start, reading it will count the
// segment; while it is read, the segment may count twice, until it is deleted.
func (r *retainer) moved(dir string, bytes int64) {
	if !r.wanted() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.late != nil && r.projects[dir] == nil {
		r.late[dir] += bytes
		return
	}
	r.add(dir, bytes)
}

func (r *retainer) add(dir string, bytes int64) {
	k := r.projects[dir]
	if k == nil {
		k = &kept{}
		r.projects[dir] = k
	}
	k.bytes += bytes
	k.unread = true
	r.total += bytes
}

// wanted reports whether anything is ever deleted.
func (r *retainer) wanted() bool {
	return !r.opts.Delete && (r.opts.Retain.MaxAge > 0 || r.opts.Retain.MaxBytes > 0)
}

func (r *retainer) run() {
	limits := r.opts.Retain
	if !r.wanted() {
		return
	}
	r.scan()
	every := limits.Every
	if every <= 0 {
		every = time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		r.sweep(time.Now())
		select {
		case <-tick.C:
		case <-r.quit:
			return
		}
	}
}

// scan adds up what is there.
func (r *retainer) scan() {
	for _, t := range folders(r.types) {
		projects, err := os.ReadDir(filepath.Join(r.opts.Path, string(t)))
		if err != nil {
			continue // not there yet
		}
		for _, p := range projects {
			dir := filepath.Join(r.opts.Path, string(t), p.Name(), segment.DirProcessed)
			if !p.IsDir() {
				continue
			}
			r.mu.Lock()
			r.add(dir, 0) // from here on what is moved there is counted
			r.mu.Unlock()
			var sum int64
			for _, f := range segments(dir) {
				select {
				case <-r.quit:
					return
				default:
				}
				if info, err := f.Info(); err == nil {
					sum += info.Size()
				}
			}
			r.mu.Lock()
			r.add(dir, sum)
			r.mu.Unlock()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for dir, bytes := range r.late {
		if r.projects[dir] == nil { // a project that is new since
			r.add(dir, bytes)
		}
	}
	r.late = nil
}

// segments lists the loaded segments of a folder, oldest first.
func segments(dir string) []fs.DirEntry {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		n, ok := segment.Parse(e.Name())
		return !ok || n.Open || !e.Type().IsRegular()
	})
}

// sweep deletes what is too much, a bounded number of segments at a time.
func (r *retainer) sweep(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left, files, bytes := deleteAtOnce, 0, int64(0)
	drop := func(dir string, k *kept, until func(fs.FileInfo) bool) bool {
		n, ok := r.drop(dir, k, until)
		if ok {
			files++
			bytes += n
			left--
		}
		return ok
	}
	if limit := r.opts.Retain.MaxBytes; limit > 0 {
		for r.total > limit && left > 0 {
			dir, most := "", &kept{}
			for d, k := range r.projects {
				if k.bytes > most.bytes {
					dir, most = d, k
				}
			}
			if dir == "" || !drop(dir, most, nil) {
				break
			}
		}
	}
	if age := r.opts.Retain.MaxAge; age > 0 {
		old := func(info fs.FileInfo) bool { return now.Sub(info.ModTime()) > age }
		for dir, k := range r.projects {
			if left <= 0 {
				break // the others have their turn at the next look: maps are walked in random order
			}
			if now.Before(k.check) {
				continue
			}
			for left > 0 && drop(dir, k, old) {
			}
			if left > 0 {
				k.check = now.Add(min(ageCheck, age/10+1))
			}
		}
	}
	if files > 0 {
		r.opts.Observer.Expired(r.signal, files, bytes)
	}
}

// drop deletes the oldest segment of a folder when it may.
func (r *retainer) drop(dir string, k *kept, may func(fs.FileInfo) bool) (int64, bool) {
	for {
		if len(k.head) == 0 {
			if !k.unread {
				return 0, false
			}
			k.unread = false
			for i, e := range segments(dir) {
				if i == headNames {
					k.unread = true
					break
				}
				k.head = append(k.head, e.Name())
			}
			if len(k.head) == 0 { // somebody else emptied it
				r.total -= k.bytes
				delete(r.projects, dir)
				return 0, false
			}
		}
		name := filepath.Join(dir, k.head[0])
		info, err := r.opts.disk().lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			k.head = k.head[1:]
			continue
		}
		if err == nil && may != nil && !may(info) {
			return 0, false
		}
		if err == nil {
			err = r.opts.disk().remove(name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.log.Warn("a loaded segment can't be deleted, it is tried again", zap.String("file", name), zap.Error(err))
			r.opts.Observer.Trouble(r.signal, "retain")
			return 0, false
		}
		k.head = k.head[1:]
		size := min(info.Size(), k.bytes)
		k.bytes -= size
		r.total -= size
		return info.Size(), true
	}
}
