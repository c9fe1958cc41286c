// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// ErrFrame says that what stands in a compressed segment is not a zstd frame, or not what was compressed: it is damaged.
var ErrFrame = errors.New("not a whole zstd frame")

// errTorn says that a frame has not ended yet.
var errTorn = errors.New("the frame is not whole")

const (
	// compactBelow is the mean size of frames up to which a complete segment is compressed once more, and
	// compactFrom the number of them.
	compactBelow = 64 << 10
	compactFrom  = 8
	// compactFrame is how many bytes of lines go into one frame then.
	compactFrame = 1 << 20
	// maxWindow is what a foreign frame may ask of memory: what the zstd tool accepts by default.
	maxWindow = 128 << 20
)

// compressor makes frames. Safe for concurrent use.
type compressor struct {
	fast, dense *zstd.Encoder
	buffers     sync.Pool // of *[]byte
}

func newCompressor() (*compressor, error) {
	fast, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, err
	}
	dense, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	c := &compressor{fast: fast, dense: dense}
	c.buffers.New = func() any { return new([]byte) }
	return c, nil
}

func (c *compressor) close() { _, _ = c.fast.Close(), c.dense.Close() }

// pack returns the parts with one frame each for data. They are valid until release.
func (c *compressor) pack(parts []Part) (packed []Part, release func()) {
	packed = make([]Part, 0, len(parts))
	held := make([]*[]byte, 0, len(parts))
	for _, p := range parts {
		if len(p.Data) == 0 {
			continue
		}
		buf := c.buffers.Get().(*[]byte)
		*buf = c.fast.EncodeAll(p.Data, (*buf)[:0])
		held = append(held, buf)
		p.Data = *buf
		packed = append(packed, p)
	}
	return packed, func() {
		for _, buf := range held {
			if cap(*buf) <= compactFrame {
				c.buffers.Put(buf)
			}
		}
	}
}

// wantsCompaction reports whether the segment is made of many small frames, which compress badly.
func (s *openSegment) wantsCompaction() bool {
	return s.w.o.Zstd && s.appends >= compactFrom && s.size/s.appends < compactBelow
}

// compact replaces the file by one with the same lines in larger frames, fsynced, under the same name. Positions count
// in the lines' bytes, so whoever has read part of it goes on where it was.
func (s *openSegment) compact() error {
	var size int64
	if err := s.replace(func(dst io.Writer, src File) (err error) {
		size, err = s.recompress(dst, src)
		return err
	}); err != nil {
		return err
	}
	s.closeFile() // it is the old one
	s.size, s.reserved, s.appends = size, 0, 0
	s.mu.Lock()
	s.synced = max(s.synced, s.written) // who waits does so for positions in the old file
	s.mu.Unlock()
	if !s.w.o.Group {
		return nil
	}
	// Who waits relies on the name as well.
	if err := s.w.syncNames(s.st.dir, s.newDir); err != nil {
		s.setState(stateSuspect)
		return err
	}
	s.mu.Lock()
	s.named = true
	s.mu.Unlock()
	return nil
}

func (s *openSegment) recompress(dst io.Writer, src File) (size int64, err error) {
	c, err := NewContent(src, s.size, true)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if c.behind != s.size {
		return 0, fmt.Errorf("%s: %d bytes do not end a frame: %w", s.path, s.size, errTampered)
	}
	r := io.NewSectionReader(c, 0, c.Size())
	var lines, frame []byte
	var read int64
	chunk := make([]byte, compactFrame)
	for {
		n, err := io.ReadFull(r, chunk)
		lines = append(lines, chunk[:n]...)
		read += int64(n)
		end := bytes.LastIndexByte(lines, '\n') + 1
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, err
		}
		if err != nil && end < len(lines) {
			return 0, fmt.Errorf("%s does not end a line: %w", s.path, errTampered)
		}
		if end > 0 {
			frame = s.w.comp.dense.EncodeAll(lines[:end], frame[:0])
			if _, err := dst.Write(frame); err != nil {
				return 0, err
			}
			size += int64(len(frame))
			lines = append(lines[:0], lines[end:]...)
		}
		if err != nil {
			break
		}
	}
	if read != c.Size() {
		return 0, fmt.Errorf("%s: read back %d of %d bytes: %w", s.path, read, c.Size(), io.ErrUnexpectedEOF)
	}
	return size, nil
}

// frame is where a zstd frame begins: in the file, and in what it holds.
type frame struct{ at, content int64 }

// frameScanner finds out where frames end, without decompressing them. It reads the headers of their blocks, of which
// there is one for at most 128 KiB.
type frameScanner struct {
	r    io.ReaderAt
	size int64 // of the file
	buf  []byte
	from int64 // of buf
}

// bytes returns n bytes at an offset; errTorn if the file ends before.
func (s *frameScanner) bytes(at int64, n int) ([]byte, error) {
	if at+int64(n) > s.size {
		return nil, errTorn
	}
	if at < s.from || at+int64(n) > s.from+int64(len(s.buf)) {
		if s.buf == nil {
			s.buf = make([]byte, 0, 32<<10)
		}
		want := s.buf[:min(int64(cap(s.buf)), s.size-at)]
		got, err := s.r.ReadAt(want, at)
		s.buf, s.from = want[:got], at
		if got < n {
			if err == nil || errors.Is(err, io.EOF) {
				err = errTorn // it became shorter
			}
			return nil, err
		}
	}
	return s.buf[at-s.from:][:n], nil
}

// next returns where the frame that begins at an offset ends, and how many bytes it holds, -1 if it does not say. Errors:
// errTorn, ErrFrame, or the file's.
func (s *frameScanner) next(at int64) (end, content int64, err error) {
	head, err := s.bytes(at, 4)
	if err != nil {
		return 0, 0, err
	}
	magic := binary.LittleEndian.Uint32(head)
	if magic&0xFFFFFFF0 == 0x184D2A50 { // skippable: anybody's, and nothing for us
		if head, err = s.bytes(at, 8); err != nil {
			return 0, 0, err
		}
		end = at + 8 + int64(binary.LittleEndian.Uint32(head[4:]))
		if end > s.size {
			return 0, 0, errTorn
		}
		return end, 0, nil
	}
	if magic != 0xFD2FB528 {
		return 0, 0, fmt.Errorf("offset %d: %w", at, ErrFrame)
	}
	pos, content, checksum, err := s.header(at)
	if err != nil {
		return 0, 0, err
	}
	for {
		b, err := s.bytes(pos, 3)
		if err != nil {
			return 0, 0, err
		}
		h := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		size := int64(h >> 3)
		switch h >> 1 & 3 {
		case 1: // one byte, repeated
			size = 1
		case 3:
			return 0, 0, fmt.Errorf("offset %d: a block of unknown kind: %w", pos, ErrFrame)
		}
		pos += 3 + size
		if h&1 == 1 {
			break
		}
	}
	if checksum {
		pos += 4
	}
	if pos > s.size {
		return 0, 0, errTorn
	}
	return pos, content, nil
}

// header reads the header of the frame at an offset.
func (s *frameScanner) header(at int64) (end, content int64, checksum bool, err error) {
	b, err := s.bytes(at+4, 1)
	if err != nil {
		return 0, 0, false, err
	}
	descriptor := b[0]
	single := descriptor&0x20 != 0
	if descriptor&0x08 != 0 {
		return 0, 0, false, fmt.Errorf("offset %d: %w", at, ErrFrame)
	}
	skip := []int{0, 1, 2, 4}[descriptor&3]
	if !single {
		skip++
	}
	width := []int{0, 2, 4, 8}[descriptor>>6]
	if width == 0 && single {
		width = 1
	}
	if b, err = s.bytes(at+5, skip+width); err != nil {
		return 0, 0, false, err
	}
	field := b[skip:]
	content = -1
	switch width {
	case 1:
		content = int64(field[0])
	case 2:
		content = int64(binary.LittleEndian.Uint16(field)) + 256
	case 4:
		content = int64(binary.LittleEndian.Uint32(field))
	case 8:
		if content = int64(binary.LittleEndian.Uint64(field)); content < 0 {
			return 0, 0, false, fmt.Errorf("offset %d: its size is absurd: %w", at, ErrFrame)
		}
	}
	return at + 5 + int64(skip+width), content, descriptor&0x04 != 0, nil
}

// lastFrameEnd returns the offset behind the last whole frame of a file of the given size, 0 if there is none. What is not a
// frame is an ErrFrame, but for zeros up to the end, which a power failure leaves: those are torn.
func lastFrameEnd(f io.ReaderAt, size int64) (int64, error) {
	return scanFrames(f, size, func(int64) {})
}

// lastSoundEnd is lastFrameEnd, but passes over frames at the end that can't be decompressed: a power failure may leave
// zeros in the midst of what was never synced.
func lastSoundEnd(f File, size int64) (int64, error) {
	starts := make([]int64, 0, 64) // the last ones
	end, err := scanFrames(f, size, func(at int64) {
		if len(starts) == cap(starts) {
			starts = starts[:copy(starts, starts[1:])]
		}
		starts = append(starts, at)
	})
	if err != nil {
		return end, err
	}
	for i := len(starts) - 1; i >= 0; i-- {
		c, err := NewContent(io.NewSectionReader(f, starts[i], end-starts[i]), end-starts[i], true)
		if err != nil {
			return 0, err
		}
		n, err := io.Copy(io.Discard, io.NewSectionReader(c, 0, c.Size()))
		whole := err == nil && n == c.Size()
		c.Close()
		if whole {
			break
		}
		if err != nil && !errors.Is(err, ErrFrame) {
			return 0, err // it can't be read now, which says nothing about what stands there
		}
		end = starts[i]
	}
	return end, nil
}

// scanFrames is lastFrameEnd, and calls each with the offset of every whole frame.
func scanFrames(f io.ReaderAt, size int64, each func(at int64)) (int64, error) {
	s := &frameScanner{r: f, size: size}
	at := int64(0)
	for at < size {
		end, _, err := s.next(at)
		if errors.Is(err, errTorn) {
			return at, nil
		}
		if errors.Is(err, ErrFrame) {
			begun := at
			for _, m := range []byte{0x28, 0xB5, 0x2F} { // the first bytes of a frame may have been written
				if b, berr := s.bytes(begun, 1); berr != nil || b[0] != m {
					break
				}
				begun++
			}
			if zero, zerr := zeros(f, begun, size); zerr != nil || zero {
				return at, zerr
			}
		}
		if err != nil {
			return at, err
		}
		each(at)
		at = end
	}
	return at, nil
}

func zeros(f io.ReaderAt, from, to int64) (bool, error) {
	buf := make([]byte, 32<<10)
	for from < to {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), to-from)], from)
		if n == 0 {
			return false, err
		}
		if len(bytes.Trim(buf[:n], "\x00")) > 0 {
			return false, nil
		}
		from += int64(n)
	}
	return true, nil
}
