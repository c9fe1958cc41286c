// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	dirPerm  = 0o750
	filePerm = 0o640
	// reserveStep is how far ahead of a growing segment disk space is reserved at most.
	reserveStep = 1 << 20
)

// stream is the sequence of segments of one type and project.
type stream struct {
	w   *Writer
	key streamKey
	dir string

	mu        sync.Mutex
	seg       *openSegment // nil: the next record opens one
	last      time.Time    // the time in the newest name; the next one is later, whatever the clock says
	used      time.Time
	forgotten bool
}

// prepare makes sure that p can be written: the right segment is open and, where a failure could leave part of
// a batch behind (several files or several lines), the space for it is reserved. st.mu is held.
func (st *stream) prepare(p Part, several bool) error {
	now := time.Now()
	st.used = now
	if s := st.seg; s != nil {
		r := st.w.o.Rotation
		switch {
		case r.MaxBytes > 0 && s.size > 0 && s.size+int64(len(p.Data)) > r.MaxBytes,
			r.MaxRecords > 0 && s.records > 0 && s.records+int64(p.Records) > r.MaxRecords,
			st.due(now), s.state() != stateGood:
			st.seal()
		}
	}
	if st.seg == nil {
		if err := st.create(now); err != nil {
			return err
		}
	}
	s := st.seg
	if err := s.ensureOpen(); err != nil {
		if errors.Is(err, ErrRemoved) || errors.Is(err, errTampered) {
			st.seal() // the next attempt opens another one
		}
		return err
	}
	need := s.size + int64(len(p.Data))
	if need <= s.reserved || s.noReserve {
		return nil
	}
	if !several && (st.w.o.Zstd || bytes.IndexByte(p.Data, '\n') == len(p.Data)-1) {
		return nil // one line, or one frame: whole, or torn and cut off
	}
	to := max(need, s.size+min(s.size, reserveStep))
	err := s.file().Reserve(s.size, to)
	if to > need && errors.Is(err, syscall.ENOSPC) {
		to = need
		err = s.file().Reserve(s.size, to)
	}
	switch {
	case err == nil:
		s.reserved = to
	case errors.Is(err, errors.ErrUnsupported):
		s.noReserve = true
	default:
		return fmt.Errorf("reserve %d bytes: %w", to-s.size, err)
	}
	return nil
}

// due reports whether the open segment is complete by time.
func (st *stream) due(now time.Time) bool {
	r := st.w.o.Rotation
	return st.seg.records > 0 &&
		(r.MaxAge > 0 && now.Sub(st.seg.created) >= r.MaxAge || r.Idle > 0 && now.Sub(st.seg.lastWrite) >= r.Idle)
}

// create opens a new segment. Its name is later than all earlier ones of the stream.
func (st *stream) create(now time.Time) error {
	stamp := now.Truncate(time.Millisecond)
	if !stamp.After(st.last) {
		stamp = st.last.Add(time.Millisecond)
	}
	id := NewID(stamp)
	if st.key.table != "" {
		id += "." + st.key.table
	}
	path := filepath.Join(st.dir, Name{ID: id, Open: true, Zstd: st.w.o.Zstd}.String())
	s := &openSegment{w: st.w, st: st, id: id, path: path, created: now, lastWrite: now}
	f, err := st.w.openFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL)
	if errors.Is(err, os.ErrNotExist) {
		if err := st.w.fs.MkdirAll(st.dir, dirPerm); err != nil {
			return err
		}
		s.newDir = true
		f, err = st.w.openFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL)
	}
	if err != nil {
		return err
	}
	st.last = stamp
	st.seg = s
	s.f = f
	st.w.use.open.Add(1)
	st.w.touch(s)
	return nil
}

// write appends p to the prepared segment. st.mu is held.
func (st *stream) write(p Part) error {
	s := st.seg
	n, err := s.file().Write(p.Data)
	if err == nil {
		if gone, uerr := s.file().Unlinked(); uerr != nil || gone {
			// The bytes are in a file without a name: they die with the descriptor.
			s.setState(stateLost)
			st.seal()
			return errors.Join(fmt.Errorf("%s: %w", s.path, ErrRemoved), uerr)
		}
		s.grow(n, p.Records)
		return nil
	}
	// Whole lines stay (see Append), a torn one must not be joined by the next line. A frame is whole or nothing.
	whole := n
	switch {
	case !st.w.o.Zstd:
		whole = bytes.LastIndexByte(p.Data[:n], '\n') + 1
	case n < len(p.Data):
		whole = 0
	}
	records := p.Records
	if whole < len(p.Data) {
		records = min(bytes.Count(p.Data[:whole], []byte{'\n'}), p.Records)
	}
	if whole > 0 {
		s.grow(whole, records)
	}
	if n > whole {
		if terr := s.truncate(s.size); terr != nil {
			s.setState(stateTorn)
			st.seal()
			return errors.Join(err, terr)
		}
	}
	if s.size == 0 {
		st.seal() // nothing but a name: removed
	}
	return err
}

// seal hands the open segment to the publisher. st.mu is held.
func (st *stream) seal() {
	if st.seg == nil {
		return
	}
	s := st.seg
	st.seg = nil
	st.w.use.open.Add(-1)
	st.w.untouch(s)
	st.w.pub.add(s)
}

// openFile opens a file, and once more after closing idle ones if there are too many.
func (w *Writer) openFile(path string, flag int) (File, error) {
	w.evict(w.o.MaxOpenFiles - 1)
	f, err := w.fs.OpenFile(path, flag, filePerm)
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		w.lruMu.Lock()
		half := w.lru.Len() / 2
		w.lruMu.Unlock()
		w.evict(half)
		f, err = w.fs.OpenFile(path, flag, filePerm)
	}
	return f, err
}

// touch notes that s has a file descriptor and was used just now.
func (w *Writer) touch(s *openSegment) {
	w.lruMu.Lock()
	defer w.lruMu.Unlock()
	if s.elem == nil {
		s.elem = w.lru.PushFront(s)
	} else {
		w.lru.MoveToFront(s.elem)
	}
}

func (w *Writer) untouch(s *openSegment) {
	w.lruMu.Lock()
	defer w.lruMu.Unlock()
	if s.elem != nil {
		w.lru.Remove(s.elem)
		s.elem = nil
	}
}

// evict closes the descriptors that were not used for longest until at most keep are left. Those of
// streams that are locked are in use and stay.
func (w *Writer) evict(keep int) {
	w.lruMu.Lock()
	defer w.lruMu.Unlock()
	for e := w.lru.Back(); e != nil && w.lru.Len() > keep; {
		s := e.Value.(*openSegment)
		before := e.Prev()
		if s.st.mu.TryLock() {
			s.closeFile()
			w.lru.Remove(e)
			s.elem = nil
			s.st.mu.Unlock()
		}
		e = before
	}
}
