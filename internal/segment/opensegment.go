// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// errTampered: the file is not as long as we left it, so somebody else writes to it.
var errTampered = errors.New("the segment was changed by somebody else")

// state says how far the bytes of a segment can be trusted. It only ever gets worse.
type state int

const (
	stateGood state = iota
	// stateTorn: behind the last whole line there are bytes that could not be cut off yet.
	stateTorn
	// stateSuspect: an fsync failed. The system may have dropped pages that it had taken, and a later fsync that
	// succeeds says nothing about them; so the segment ends here and is published as a verified copy.
	stateSuspect
	// stateLost: the file was deleted under us.
	stateLost
)

// openSegment is one segment from its first record until it is published.
type openSegment struct {
	w      *Writer
	st     *stream
	id     string
	path   string
	newDir bool // the folder was created with it

	// Guarded by st.mu until the segment is sealed; then the publisher's.
	size      int64 // whole lines
	records   int64
	appends   int64 // frames, in a compressed segment
	reserved  int64
	noReserve bool
	created   time.Time
	lastWrite time.Time

	elem *list.Element // guarded by Writer.lruMu

	mu      sync.Mutex
	f       File // nil: closed to save descriptors
	st8     state
	written int64 // size, for those who don't hold st.mu
	synced  int64 // bytes that an fsync has covered
	named   bool  // the folder's entry is durable
	running chan struct{}
	gone    bool // published: synced to its end
}

func (s *openSegment) file() File {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.f
}

func (s *openSegment) state() state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.st8
}

func (s *openSegment) setState(st state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st8 = max(s.st8, st)
}

func (s *openSegment) grow(n, records int) {
	s.size += int64(n)
	s.appends++
	s.records += int64(records)
	s.lastWrite = time.Now()
	s.mu.Lock()
	s.written = s.size
	s.mu.Unlock()
	s.w.use.appended.Add(int64(n))
	s.w.use.bytes.Add(int64(n))
}

// ensureOpen reopens a segment whose descriptor was closed.
func (s *openSegment) ensureOpen() error {
	if s.file() != nil {
		s.w.touch(s)
		return nil
	}
	f, err := s.w.openFile(s.path, os.O_WRONLY|os.O_APPEND)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			s.setState(stateLost)
			return fmt.Errorf("%s: %w", s.path, ErrRemoved)
		}
		return err
	}
	if info, err := f.Stat(); err != nil || info.Size() != s.size {
		f.Close()
		if err == nil {
			s.setState(stateTorn)
			err = fmt.Errorf("%s: %d bytes, not %d: %w", s.path, info.Size(), s.size, errTampered)
		}
		return err
	}
	s.mu.Lock()
	s.f = f
	s.mu.Unlock()
	s.w.touch(s)
	return nil
}

func (s *openSegment) closeFile() {
	s.mu.Lock()
	f := s.f
	s.f = nil
	s.mu.Unlock()
	if f != nil {
		f.Close()
	}
}

// truncate cuts the file to size. A descriptor that can only append can't read, but can be truncated.
func (s *openSegment) truncate(size int64) error {
	if f := s.file(); f != nil {
		return f.Truncate(size)
	}
	f, err := s.w.fs.OpenFile(s.path, os.O_WRONLY, filePerm)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(size)
}

// syncTo returns when the first `to` bytes are on the disk. One caller does the fsync, for everything that is written by
// then; those who come meanwhile wait for it and, if it began too early for them, one of them does the next.
// A caller that gives up (ctx) leaves the fsync running for the others.
func (s *openSegment) syncTo(ctx context.Context, to int64) error {
	for {
		s.mu.Lock()
		switch {
		case s.synced >= to && s.named || s.gone:
			s.mu.Unlock()
			return nil
		case s.st8 >= stateSuspect:
			s.mu.Unlock()
			return fmt.Errorf("%s: an fsync failed", s.path)
		case s.running != nil:
			wait := s.running
			s.mu.Unlock()
			select {
			case <-wait:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		done := make(chan struct{})
		s.running = done
		target, f, named := s.written, s.f, s.named
		s.mu.Unlock()

		err := s.sync(f, named)

		s.mu.Lock()
		s.running = nil
		switch {
		case err == nil:
			s.synced, s.named = max(s.synced, target), true
		case errors.Is(err, os.ErrClosed):
			err = nil // evicted meanwhile: once more, with a descriptor of our own
		default:
			s.st8 = max(s.st8, stateSuspect)
		}
		s.mu.Unlock()
		close(done)
		if err != nil {
			return err
		}
	}
}

// sync does the fsync of the file, and of its folder the first time. f may be nil.
func (s *openSegment) sync(f File, named bool) error {
	if f == nil {
		// An error that this file had while it was closed is still reported to the first who opens it.
		var err error
		if f, err = s.w.fs.OpenFile(s.path, os.O_WRONLY, filePerm); err != nil {
			return err
		}
		defer f.Close()
	}
	if err := s.w.timed(f.Sync); err != nil {
		return err
	}
	if named {
		return nil
	}
	return s.w.syncNames(s.st.dir, s.newDir)
}

// syncNames makes the folder's entries durable, and with created also the folders above it, up to the base.
func (w *Writer) syncNames(dir string, created bool) error {
	if err := w.timed(func() error { return w.fs.SyncDir(dir) }); err != nil || !created {
		return err
	}
	return errors.Join(w.fs.SyncDir(filepath.Dir(dir)), w.fs.SyncDir(w.o.Dir))
}

func (w *Writer) timed(sync func() error) error {
	start := time.Now()
	err := sync()
	if !errors.Is(err, os.ErrClosed) {
		w.o.Observer.Fsync(time.Since(start), err)
	}
	return err
}

// copyAside replaces the file by a copy of its whole lines that was fsynced without an error, under the same name, so that
// whoever has read part of it finds the same bytes at the same offsets.
func (s *openSegment) copyAside() error { return s.replace(s.copyTo) }

// replace writes the segment's content anew with write, and gives the new file the name of the old one.
func (s *openSegment) replace(write func(dst io.Writer, src File) error) (err error) {
	src, err := s.w.fs.OpenFile(s.path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	tmp := filepath.Join(s.st.dir, s.id+suffixTemp)
	dst, err := s.w.fs.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, filePerm)
	if err != nil {
		return err
	}
	defer func() {
		dst.Close()
		if err != nil {
			err = errors.Join(err, s.w.fs.Remove(tmp))
		}
	}()
	if err := write(dst, src); err != nil {
		return err
	}
	if err := s.w.timed(dst.Sync); err != nil {
		return err
	}
	return s.w.fs.Rename(tmp, s.path)
}

// copyTo copies the file's bytes, and checks that they are what was written: whole lines, or whole frames.
func (s *openSegment) copyTo(dst io.Writer, src File) error {
	if s.w.o.Zstd {
		if end, err := lastFrameEnd(src, s.size); err != nil || end != s.size {
			return errors.Join(fmt.Errorf("%s: %d bytes do not end a frame: %w", s.path, s.size, errTampered), err)
		}
	}
	buf := make([]byte, 256<<10)
	var last []byte
	for off := int64(0); off < s.size; {
		n, err := src.ReadAt(buf[:min(int64(len(buf)), s.size-off)], off)
		if n == 0 {
			return fmt.Errorf("read back %s at %d: %w", s.path, off, err)
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return err
		}
		off += int64(n)
		last = buf[:n]
	}
	if !s.w.o.Zstd && !bytes.HasSuffix(last, []byte{'\n'}) {
		return fmt.Errorf("%s: %d bytes do not end a line: %w", s.path, s.size, errTampered)
	}
	return nil
}
