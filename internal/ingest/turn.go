// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"io/fs"
	"os"
	"time"
)

// enqueue gives a stream a turn when the file has bytes that were not looked at.
func (c *catalog) enqueue(f *file) {
	if (f.committed < f.size || f.unlooked()) && f.behind.IsZero() {
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
	return f.unlooked() || f.searched < f.size || (f.read < f.size && c.complete(f))
}

// unlooked reports whether a compressed file has bytes that were not looked at.
func (f *file) unlooked() bool { return f.zstd && f.looked != f.info.Size() }

// complete reports whether nothing will be written to the file any more.
func (c *catalog) complete(f *file) bool {
	return !f.open && (f.seen || time.Since(f.mtime) >= quiet)
}

func (c *catalog) finished(f *file) bool {
	return f.present && f.bad == "" && !f.unlooked() && f.committed == f.size && c.complete(f)
}

// turn is what the builder gets to read: a file from where on.
type turn struct {
	file     *file
	key      Key
	size     int64
	from     int64
	searched int64
	mark     place // where reading of a compressed file may begin
	info     fs.FileInfo
	final    bool // nothing will be written to it any more
}

// progress is how far a turn came.
type progress struct {
	read     int64 // whole lines were taken up to here
	searched int64 // there is no newline between read and here
	// Of a compressed file:
	info   fs.FileInfo // which file it was
	size   int64       // how many bytes of lines it has
	looked int64       // how many bytes of the file these are
	mark   place
	damage string // why what stands behind read can't be read
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
			return turn{file: f, key: f.key, size: f.size, from: f.read, searched: f.searched, mark: f.mark, info: f.info, final: c.complete(f)}, true
		}
	}
	if len(s.files) == 0 && c.streams[s.dir] == s {
		delete(c.streams, s.dir)
	}
	return turn{}, false
}

// took records what the builder read. With
// more it returns the next file of the same stream; otherwise the stream goes to the end of the queue
// when it has more.
func (c *catalog) took(t turn, p progress, more bool) (turn, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := t.file
	f.busy = false
	f.read, f.searched = max(p.read, f.read), max(p.searched, p.read, f.searched)
	// What was read counts when it was of the file that is known, or of a newer one that has replaced it since (small frames were put
	// together): then the builder was faster than the watcher, and at the end no watcher comes after it.
	replaced := p.info != nil && os.SameFile(t.info, f.info) && !os.SameFile(p.info, f.info)
	if p.info != nil && f.zstd && (replaced || os.SameFile(p.info, f.info)) {
		if replaced || p.info.Size() > f.info.Size() {
			f.info = p.info
		}
		f.size, f.looked, f.mark = p.size, p.looked, p.mark
		if p.size < f.read && p.damage == "" {
			p.damage = problemShort
		}
		// What is damaged now is judged again when the file has changed: recovery may cut it.
		if p.damage != "" && p.info.Size() == f.info.Size() {
			f.bad, f.damaged = p.damage, true
			if c.complete(f) {
				notify(c.move)
			}
		}
	}
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
	c.took(t, progress{read: read, searched: read}, false)
}
