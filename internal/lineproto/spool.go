// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package lineproto

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

const (
	// memoryBytes bounds the messages that are kept in memory where no file can be written.
	memoryBytes = 4 << 20
	// restartBytes is how large a file with nothing to send in it may get before it is replaced.
	restartBytes = 256 << 10
	ackedFile    = "acked"
	infoFile     = "run.json"
	lockFile     = "lock"
	segmentGlob  = "*.ndjson"
)

// spool keeps the messages of one run, in the form in which they are sent, until they are acknowledged: in files of a folder, which
// a kill of this process does not touch, or in memory where no file can be written. It is bounded: the oldest go
// first. Files are not synced: they outlive this process, not the machine.
type spool struct {
	dir     string // empty: memory only
	max     int64  // bytes, of files and memory together
	segment int64  // bytes of a file before the next one begins

	mu     sync.Mutex
	segs   []*segment // oldest first; the last one is written to
	bytes  int64
	last   uint64 // number of the last message, also of one that was lost
	acked  uint64
	memory int64    // bytes in memory
	ackTo  *os.File // nil: none
	err    error    // why files can't be written, the last time
	more   chan struct{}
	closed bool
	nextID int
}

// segment is a file, or memory, with messages.
type segment struct {
	first, last uint64 // 0 while empty
	size        int64
	file        *os.File
	data        []byte // when file is nil
	id          int    // increases
}

func newSpool(dir string, limit int64) *spool {
	s := &spool{dir: dir, max: limit, segment: min(max(limit/16, 64<<10), 4<<20), more: make(chan struct{}, 1)}
	if dir == "" {
		s.max = min(s.max, memoryBytes)
		return s
	}
	var err error
	if s.ackTo, err = os.OpenFile(filepath.Join(dir, ackedFile), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		s.err = err
	}
	return s
}

// openSpool reads the spool that another process left. It may be added to.
func openSpool(dir string) (*spool, error) {
	s := newSpool(dir, 1<<62)
	if s.ackTo != nil {
		b, _ := io.ReadAll(io.LimitReader(s.ackTo, 32))
		s.acked, _ = strconv.ParseUint(string(b), 10, 64)
	}
	s.last = s.acked
	names, err := filepath.Glob(filepath.Join(dir, segmentGlob)) // sorted, as their numbers are
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		seg := &segment{id: s.nextID}
		s.nextID++
		if seg.file, err = os.OpenFile(name, os.O_RDWR, 0); err == nil {
			err = seg.scan()
		}
		if err != nil {
			s.close()
			return nil, err
		}
		if seg.first == 0 {
			seg.remove()
			continue
		}
		s.last = max(s.last, seg.last)
		s.bytes += seg.size
		s.segs = append(s.segs, seg)
	}
	return s, nil
}

// scan finds the messages of a file. What stands behind the last whole one, because the process was killed while it wrote, is cut off.
func (g *segment) scan() error {
	err := eachLine(g.file, func(line []byte) bool {
		seq, ok := readSeq(line)
		if !ok {
			return false
		}
		if g.first == 0 {
			g.first = seq
		}
		g.last = seq
		g.size += int64(len(line))
		return true
	})
	return errors.Join(err, g.file.Truncate(g.size))
}

// eachLine calls f with each whole line of r, with its end, until f returns false.
func eachLine(r io.Reader, f func(line []byte) bool) error {
	in := bufio.NewReaderSize(r, 256<<10)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil || !f(line) {
			return err
		}
	}
}

// append adds messages with the numbers first to last. It keeps nothing of b. What can't be kept is lost: the numbers
// show it.
func (s *spool) append(b []byte, first, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = last
	if s.closed {
		return
	}
	seg := s.current(int64(len(b)))
	if seg.file != nil {
		if _, err := seg.file.WriteAt(b, seg.size); err != nil {
			s.err = err
			_ = seg.file.Truncate(seg.size) // the sender does not read behind size anyway
			seg = s.add(nil)
		}
	}
	if seg.file == nil {
		seg.data = append(seg.data, b...)
		s.memory += int64(len(b))
	}
	if seg.first == 0 {
		seg.first = first
	}
	seg.last = last
	seg.size += int64(len(b))
	s.bytes += int64(len(b))
	for i := 0; i < len(s.segs)-1; {
		if s.bytes > s.max || s.memory > memoryBytes && s.segs[i].file == nil {
			s.dropAt(i)
		} else {
			i++
		}
	}
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// current returns the segment to write n bytes to. Needs mu.
func (s *spool) current(n int64) *segment {
	if len(s.segs) > 0 {
		seg := s.segs[len(s.segs)-1]
		limit := s.segment
		if seg.file == nil {
			limit = min(limit, memoryBytes/8)
		}
		if seg.size == 0 || seg.size+n <= limit {
			return seg
		}
	}
	if s.dir == "" {
		return s.add(nil)
	}
	file, err := os.OpenFile(filepath.Join(s.dir, fmt.Sprintf("%020d.ndjson", s.last)), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		s.err = err
	}
	return s.add(file)
}

func (s *spool) add(file *os.File) *segment {
	// Never the id of another one, also when that is gone: cursors point to it.
	seg := &segment{file: file, id: s.nextID}
	s.nextID++
	if last := len(s.segs) - 1; last >= 0 && file == nil && s.segs[last].size == 0 {
		s.dropAt(last)
	}
	s.segs = append(s.segs, seg)
	return seg
}

func (s *spool) dropAt(i int) {
	seg := s.segs[i]
	s.bytes -= seg.size
	if seg.file == nil {
		s.memory -= seg.size
	}
	seg.remove()
	s.segs = append(s.segs[:i:i], s.segs[i+1:]...)
}

func (g *segment) remove() {
	if g.file != nil {
		_ = os.Remove(g.file.Name())
		_ = g.file.Close()
	}
	g.data = nil
}

// ack forgets what is acknowledged.
func (s *spool) ack(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq <= s.acked || s.closed {
		return
	}
	s.acked = seq
	if s.ackTo != nil {
		_, _ = s.ackTo.WriteAt(fmt.Appendf(nil, "%020d", seq), 0) // if it fails, more is sent again
	}
	for len(s.segs) > 0 && s.segs[0].size > 0 && s.segs[0].last <= seq && (len(s.segs) > 1 || s.segs[0].size >= restartBytes) {
		s.dropAt(0)
	}
}

// cursor is a place in a spool.
type cursor struct {
	segment int
	offset  int64
	known   bool
}

// read returns whole messages from behind the cursor and moves it; none: there is nothing yet. It reads into b, or into a
// larger buffer if a message needs it.
func (s *spool) read(at *cursor, b []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segs {
		if at.known && seg.id < at.segment {
			continue
		}
		if !at.known || seg.id > at.segment {
			*at = cursor{segment: seg.id, known: true}
		}
		for at.offset < seg.size {
			got := b[:min(int64(len(b)), seg.size-at.offset)]
			if seg.file == nil {
				copy(got, seg.data[at.offset:])
			} else if _, err := seg.file.ReadAt(got, at.offset); err != nil {
				return nil, err
			}
			if end := bytes.LastIndexByte(got, '\n'); end >= 0 {
				at.offset += int64(end) + 1
				return got[:end+1], nil
			}
			if int64(len(got)) == seg.size-at.offset {
				return nil, errors.New("the end of the last message is missing")
			}
			b = make([]byte, 2*len(b))
		}
	}
	return nil, nil
}

// skip gives up a file that can't be read: its lines are lost, and the numbers show it.
func (s *spool) skip(at *cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, seg := range s.segs {
		if seg.id == at.segment {
			s.dropAt(i)
			return
		}
	}
}

// state returns the number of the last message, that of the last one acknowledged, and why files can't be written.
func (s *spool) state() (last, acked uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.acked, s.err
}

// pending says whether anything is left to send. What was lost at the end does not count.
func (s *spool) pending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.segs) > 0 && s.segs[len(s.segs)-1].last > s.acked
}

// close closes the files; they stay.
func (s *spool) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, seg := range s.segs {
		if seg.file != nil {
			_ = seg.file.Close()
		}
	}
	s.segs = nil
	if s.ackTo != nil {
		_ = s.ackTo.Close()
		s.ackTo = nil
	}
}
