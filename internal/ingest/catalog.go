// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tailrace/tailrace/internal/segment"
)

// quiet is how long a complete file that was not seen while it was open has to rest before it counts as complete:
// somebody may be copying it into the folder. A segment that was renamed under our eyes is complete at once.
const quiet = 2 * time.Second

const problemLoaded = "it was loaded already: processed/ holds a file of this name"

// file is a segment that is not moved away yet.
type file struct {
	key    Key
	stream *stream
	id     string

	open    bool // its name ends in .open
	seen    bool // it was seen while it was open, so its renaming is its writer's word that it is complete
	present bool
	size    int64
	mtime   time.Time

	committed int64 // answered by the next consumer
	read      int64 // put into a batch; ≥ committed
	searched  int64 // no newline between read and here; ≥ read
	behind    time.Time
	twice     bool      // an open and a complete one were there at once, and that was told
	busy      bool      // the builder is reading it
	bad       string    // why it is left alone for good; empty when it is not
	retry     time.Time // not read before, after an error
}

// stream is the segments of one type and project, in the order of their names.
type stream struct {
	dir    string
	files  []*file
	from   int // no file before this index has anything to read
	queued bool
}

func (s *stream) index(id string) (int, bool) {
	return slices.BinarySearchFunc(s.files, id, func(f *file, id string) int { return strings.Compare(f.id, id) })
}

// catalog is what is known of the segments of one source. The watcher tells it what is on disk, the
// builder takes what is readable from it, the sender tells it what was answered. Safe for concurrent use.
type catalog struct {
	base string
	wake chan struct{} // capacity 1; something became readable
	move chan struct{} // capacity 1; something can be moved away

	mu      sync.Mutex
	files   map[Key]*file
	streams map[string]*stream
	ready   []*stream     // with something to read, in the order in which they get their turn
	offsets map[Key]int64 // of files that are not in files: not seen yet, or vanished and may come back
}

func newCatalog(base string) *catalog {
	return &catalog{base: base, wake: make(chan struct{}, 1), move: make(chan struct{}, 1),
		files: map[Key]*file{}, streams: map[string]*stream{}, offsets: map[Key]int64{}}
}

func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// found is what refresh saw on the disk.
type found struct {
	open, complete fs.FileInfo
	done           bool // processed/ holds a segment of this id
	err            error
}

// look reads the state of a segment. The renaming from open to complete may happen at any moment.
func look(base string, k Key, isNew bool) found {
	_, _, id := k.split()
	dir := k.dir(base)
	stat := func(name string) (fs.FileInfo, error) {
		info, err := os.Lstat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) || (err == nil && info.IsDir()) {
			return nil, nil
		}
		return info, err
	}
	var f found
	f.complete, f.err = stat(id + segment.SuffixPending)
	f.open, _ = stat(id + segment.SuffixOpen)
	if f.complete == nil && f.open == nil && f.err == nil { // renamed in between, or gone
		f.complete, f.err = stat(id + segment.SuffixPending)
	}
	if isNew {
		info, _ := stat(filepath.Join(segment.DirProcessed, id+segment.SuffixPending))
		f.done = info != nil
	}
	return f
}

// refresh brings what is known of a segment up to date with the disk. It returns a problem that is new.
func (c *catalog) refresh(k Key) (problem string) {
	c.mu.Lock()
	_, known := c.files[k]
	c.mu.Unlock()
	on := look(c.base, k, !known)

	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.files[k]
	info, open := on.complete, false
	if info == nil {
		info, open = on.open, true
	}
	if info == nil {
		if f != nil && on.err == nil {
			f.present = false
			c.dropIfIdle(f)
		}
		return ""
	}
	if f == nil {
		f = c.add(k)
	}
	f.present, f.open, f.size, f.mtime = true, open, info.Size(), info.ModTime()
	f.seen = f.seen || open
	switch {
	case f.bad != "":
		return ""
	case !info.Mode().IsRegular():
		f.bad = "it is not a regular file"
	case on.done:
		f.bad = problemLoaded
	case f.size < f.read:
		f.bad = "it is shorter than what was read of it"
	default:
		c.enqueue(f)
		if on.open != nil && on.complete != nil && !f.twice {
			// The complete one counts; the open one comes to light when the complete one is moved away.
			f.twice = true
			return "an open segment of the same name is ignored"
		}
		return ""
	}
	notify(c.move)
	return f.bad
}

func (c *catalog) add(k Key) *file {
	dir := k.dir(c.base)
	s := c.streams[dir]
	if s == nil {
		s = &stream{dir: dir}
		c.streams[dir] = s
	}
	_, _, id := k.split()
	f := &file{key: k, id: id, stream: s, committed: c.offsets[k]}
	f.read, f.searched = f.committed, f.committed
	delete(c.offsets, k)
	c.files[k] = f
	i, _ := s.index(id)
	s.files = slices.Insert(s.files, i, f)
	if i < s.from {
		s.from++
	}
	return f
}

// drop forgets a file that is no longer there, but not its offset: it may come back.
func (c *catalog) drop(f *file) {
	if c.files[f.key] != f {
		return
	}
	delete(c.files, f.key)
	if f.committed > 0 {
		c.offsets[f.key] = f.committed
	}
	if i, ok := f.stream.index(f.id); ok {
		f.stream.files = slices.Delete(f.stream.files, i, i+1)
		if i < f.stream.from {
			f.stream.from--
		}
	}
	if len(f.stream.files) == 0 && !f.stream.queued {
		delete(c.streams, f.stream.dir)
	}
}

// dropIfIdle drops a file that vanished, unless a part of it is in a batch that is on its way.
func (c *catalog) dropIfIdle(f *file) {
	if !f.present && !f.busy && f.read == f.committed {
		c.drop(f)
	}
}

// enqueue gives a stream a turn when the file has bytes that were not looked at.
func (c *catalog) enqueue(f *file) {
	if f.committed < f.size && f.behind.IsZero() {
		f.behind = f.mtime
	}
	if c.finished(f) {
		notify(c.move)
	}
	if !c.unread(f) {
		return
	}
	if i, ok := f.stream.index(f.id); ok {
		f.stream.from = min(f.stream.from, i)
	}
	c.queue(f.stream)
}

func (c *catalog) queue(s *stream) {
	if !s.queued {
		s.queued = true
		c.ready = append(c.ready, s)
	}
	notify(c.wake)
}

// unread reports whether it is worth opening the file: it has bytes that no newline was searched in, or a
// last line without newline that will not grow any more.
func (c *catalog) unread(f *file) bool {
	if !f.present || f.bad != "" || time.Now().Before(f.retry) {
		return false
	}
	return f.searched < f.size || (f.read < f.size && c.complete(f))
}

// complete reports whether nothing will be written to the file any more.
func (c *catalog) complete(f *file) bool {
	return !f.open && (f.seen || time.Since(f.mtime) >= quiet)
}

func (c *catalog) finished(f *file) bool {
	return f.present && f.bad == "" && f.committed == f.size && c.complete(f)
}

// turn is what the builder gets to read: a file from where on.
type turn struct {
	file     *file
	key      Key
	size     int64
	from     int64
	searched int64
	final    bool // nothing will be written to it any more
}

// next takes the next stream and the first of its files that has something to read. False: nothing is readable.
func (c *catalog) next() (turn, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.ready) > 0 {
		s := c.ready[0]
		c.ready[0] = nil
		c.ready = c.ready[1:]
		s.queued = false
		if t, ok := c.first(s); ok {
			return t, true
		}
	}
	return turn{}, false
}

func (c *catalog) first(s *stream) (turn, bool) {
	for ; s.from < len(s.files); s.from++ {
		if f := s.files[s.from]; c.unread(f) {
			f.busy = true
			return turn{file: f, key: f.key, size: f.size, from: f.read, searched: f.searched, final: c.complete(f)}, true
		}
	}
	if len(s.files) == 0 && c.streams[s.dir] == s {
		delete(c.streams, s.dir)
	}
	return turn{}, false
}

// took records what the builder read: whole lines up to read, no further newline up to searched. With
// more it returns the next file of the same stream; otherwise the stream goes to the end of the queue
// when it has more.
func (c *catalog) took(t turn, read, searched int64, more bool) (turn, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := t.file
	f.busy = false
	f.read, f.searched = max(read, f.read), max(searched, read, f.searched)
	c.dropIfIdle(f)
	if c.finished(f) {
		notify(c.move)
	}
	next, ok := c.first(f.stream)
	if ok && !more {
		next.file.busy = false
		c.queue(f.stream)
		return turn{}, false
	}
	return next, ok
}

// failed makes a file wait after it could not be read, while the others of its stream go on.
func (c *catalog) failed(t turn, read int64, until time.Time) {
	c.mu.Lock()
	t.file.retry = until
	c.mu.Unlock()
	c.took(t, read, read, false)
}

// commit records the answer to a batch.
func (c *catalog) commit(cuts []Cut) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cut := range cuts {
		f := c.files[cut.File]
		if f == nil {
			c.offsets[cut.File] = cut.To // a batch of an earlier process, of a file not looked at yet
			continue
		}
		f.committed = cut.To
		f.read, f.searched = max(f.read, cut.To), max(f.searched, cut.To)
		f.behind = time.Time{}
		if f.committed < f.size {
			f.behind = time.Now()
		}
		c.dropIfIdle(f)
	}
}

// takeable returns the files that can be moved away: those that are done with, and complete ones that
// must be left alone.
func (c *catalog) takeable(limit int) (done, bad []*file) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.files {
		switch {
		case len(done)+len(bad) >= limit:
			return done, bad
		case c.finished(f):
			done = append(done, f)
		case f.present && f.bad != "" && !f.open && f.read == f.committed && c.complete(f):
			bad = append(bad, f)
		}
	}
	return done, bad
}

// remove forgets files that were moved away.
func (c *catalog) remove(files []*file) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range files {
		c.drop(f)
		delete(c.offsets, f.key)
	}
}

// keys returns the names of all files that are known.
func (c *catalog) keys() []Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.files))
}

// Pending is how far a source is behind.
type Pending struct {
	Files  int64         // with bytes that are not answered, or not moved away yet
	Bytes  int64         // not answered
	Oldest time.Duration // how long the oldest of them have been waiting
}

func (c *catalog) pending(now time.Time) (p Pending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.files {
		if !f.present || (f.open && f.committed >= f.size) {
			continue
		}
		p.Files++
		if n := f.size - f.committed; n > 0 {
			p.Bytes += n
			if !f.behind.IsZero() {
				p.Oldest = max(p.Oldest, now.Sub(f.behind))
			}
		}
	}
	return p
}
