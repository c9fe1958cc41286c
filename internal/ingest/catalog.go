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

// Why a file is left alone.
const (
	problemLoaded = "it was loaded already: processed/ holds a file of this name"
	problemShort  = "it is shorter than what was read of it"
)

// file is a segment that is not moved away yet.
type file struct {
	key    Key
	stream *stream
	id     string

	open    bool // its name ends in .open
	zstd    bool // it is compressed
	seen    bool // it was seen while it was open, so its renaming is its writer's word that it is complete
	present bool
	info    fs.FileInfo // as it was seen last
	size    int64       // of its lines; of a compressed one as far as it was looked at
	looked  int64       // of a compressed one: bytes of the file that size is about
	mark    place       // of a compressed one: where reading can begin
	mtime   time.Time

	committed int64 // answered by the next consumer
	read      int64 // put into a batch; ≥ committed
	searched  int64 // no newline between read and here; ≥ read
	behind    time.Time
	twice     bool      // an open and a complete one were there at once, and that was told
	busy      bool      // the builder is reading it
	bad       string    // why it is left alone for good; empty when it is not
	damaged   bool      // bad, as long as the file stays as it is: its writer may cut it
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
	d    disk
	base string
	wake chan struct{} // capacity 1; something became readable
	move chan struct{} // capacity 1; something can be moved away

	mu      sync.Mutex
	files   map[Key]*file
	streams map[string]*stream
	ready   []*stream     // with something to read, in the order in which they get their turn
	offsets map[Key]int64 // of files that are not in files: not seen yet, or vanished and may come back
}

func newCatalog(d disk, base string) *catalog {
	return &catalog{d: d, base: base, wake: make(chan struct{}, 1), move: make(chan struct{}, 1),
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
	info       fs.FileInfo // nil: it is not there
	open, zstd bool
	more       bool // there are other files of this id
	done       bool // processed/ holds a segment of this id
	err        error
}

// states are the names that a segment may have, the one that counts before the others.
var states = []segment.Name{{}, {Zstd: true}, {Open: true}, {Open: true, Zstd: true}}

// named is the file name of a segment in a state.
func named(state segment.Name, id string) string {
	state.ID = id
	return state.String()
}

// look reads the state of a segment. The renaming from open to complete may happen at any moment.
func look(d disk, base string, k Key, isNew bool) found {
	_, _, id := k.split()
	dir := k.dir(base)
	stat := func(name string) (fs.FileInfo, error) {
		info, err := d.lstat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) || (err == nil && info.IsDir()) {
			return nil, nil
		}
		return info, err
	}
	var f found
	for range 2 { // it may be renamed in between
		for _, state := range states {
			info, err := stat(named(state, id))
			switch {
			case err != nil:
				if f.err == nil && f.info == nil && !state.Open {
					f.err = err
				}
			case info == nil:
			case f.info != nil:
				f.more = true
			default:
				f.info, f.open, f.zstd = info, state.Open, state.Zstd
			}
		}
		if f.info != nil || f.err != nil {
			break
		}
	}
	if isNew && f.err == nil {
		f.done, f.err = loadedBefore(d, dir, segment.DirProcessed, id)
	}
	return f
}

// loadedBefore reports whether a folder beside the segments holds one of this id.
func loadedBefore(d disk, dir, sub, id string) (bool, error) {
	for _, state := range states[:2] {
		info, err := d.lstat(filepath.Join(dir, sub, named(state, id)))
		if err == nil && !info.IsDir() {
			return true, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return false, nil
}

// refresh brings what is known of a segment up to date with the disk. It returns a problem that is new.
func (c *catalog) refresh(k Key) (problem string) {
	c.mu.Lock()
	var read int64
	known := c.files[k]
	if known != nil {
		read = known.read
	}
	c.mu.Unlock()
	on := look(c.d, c.base, k, known == nil)

	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.files[k]
	if on.info == nil {
		if f != nil && on.err == nil {
			f.present = false
			c.dropIfIdle(f)
		}
		return ""
	}
	if f == nil {
		if on.err != nil {
			return "" // whether it was loaded before can't be told now
		}
		f = c.add(k)
	}
	f.see(on)
	short := !f.zstd && f.size < read
	if !f.zstd && !short {
		f.size = max(f.size, f.read) // the builder has read what was written since the look
	}
	switch {
	case f.bad != "":
		if f.damaged {
			notify(c.move)
		}
		return ""
	case !on.info.Mode().IsRegular():
		f.bad = "it is not a regular file"
	case on.done:
		f.bad = problemLoaded
	case short:
		f.bad = problemShort
	default:
		c.enqueue(f)
		if on.more && !f.twice {
			// The first of states counts; the others come to light when it is moved away.
			f.twice = true
			return "another file of the same name is ignored"
		}
		return ""
	}
	notify(c.move)
	return f.bad
}

// see takes in what is on the disk.
func (f *file) see(on found) {
	old, wasOpen := f.info, f.open
	f.present, f.open, f.zstd, f.info, f.mtime = true, on.open, on.zstd, on.info, on.info.ModTime()
	f.seen = f.seen || on.open
	if !f.zstd {
		f.size = on.info.Size()
		return
	}
	same := old != nil && os.SameFile(old, on.info)
	if wasOpen && !f.open {
		f.looked = 0 // now it has to end with a whole frame
	}
	if !same || on.info.Size() < f.looked {
		f.looked, f.mark = 0, place{} // small frames were put together, or its end was cut off
	}
	if f.damaged && (!same || on.info.Size() != old.Size()) {
		f.bad, f.damaged = "", false
	}
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

// taken is a file that is to be moved away, as it was when that was found out.
type taken struct {
	key       Key
	file      *file
	id, name  string // of the segment, of the file
	size      int64  // of the file
	committed int64
	bad       string // why it goes to failed/; empty: it is loaded
}

// keeps reports whether the offset is remembered although the file is moved away: of what goes to failed/ after a part of it was
// loaded, so that it goes on behind that part when it is mended and put back.
func (t taken) keeps() bool { return t.bad != "" && t.committed > 0 }

// takeable returns the files that can be moved away: those that are done with, and complete ones that
// must be left alone.
func (c *catalog) takeable(limit int) (all []taken) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.files {
		if len(all) >= limit {
			break
		}
		if c.finished(f) || (f.present && f.bad != "" && !f.open && f.read == f.committed && c.complete(f)) {
			all = append(all, taken{
				key: f.key, file: f, id: f.id, name: named(segment.Name{Zstd: f.zstd}, f.id), size: f.info.Size(), committed: f.committed, bad: f.bad,
			})
		}
	}
	return all
}

// remove forgets files that were moved away.
func (c *catalog) remove(files []taken) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range files {
		c.drop(t.file)
		if !t.keeps() {
			delete(c.offsets, t.key)
		}
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
		if !f.present || (f.open && f.committed >= f.size && !f.unlooked()) {
			continue
		}
		p.Files++
		n := f.size - f.committed
		if f.unlooked() {
			n = max(n, 0) + f.info.Size() - f.looked
		}
		if n > 0 {
			p.Bytes += n
			if !f.behind.IsZero() {
				p.Oldest = max(p.Oldest, now.Sub(f.behind))
			}
		}
	}
	return p
}
