// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"bytes"
	"errors"
	"io"

	"github.com/cespare/xxhash/v2"
)

// readBuffer is the first size of a Reader's buffer; it grows up to the longest line that is allowed.
const readBuffer = 64 << 10

// Line is one line of a segment.
type Line struct {
	// From and To are the byte offsets in the file; To is behind the newline.
	From, To int64
	// Bytes is the line without its newline. It is valid until the next call of Next, and nil when TooLong.
	Bytes []byte
	// Sum is the hash of the line's bytes without the newline, also of a line that is too long.
	Sum uint64
	// TooLong says that the line is above the reader's limit, so its bytes were passed over.
	TooLong bool
}

// Reader reads the whole lines of a segment, also of one that is still being written: bytes behind the
// last newline are not a line yet and are never returned (see Final). A Reader holds one line in memory
// at most. It is not safe for concurrent use.
type Reader struct {
	// Final says that nothing will be written to the file any more, so that what stands behind the
	// last newline is a line too.
	Final bool

	src io.Reader
	max int
	off int64  // of buf[0]
	arr []byte // what buf is a part of
	buf []byte
	err error // of src, returned when buf holds no more line
}

// NewReader returns a Reader of src, whose first byte is the byte at offset of the file. Lines above
// maxLine bytes are passed over without being held.
func NewReader(src io.Reader, offset int64, maxLine int) *Reader {
	return &Reader{src: src, max: maxLine, off: offset}
}

// Next returns the next whole line. io.EOF says that there is none (yet); any other error is src's.
func (r *Reader) Next() (Line, error) {
	searched := 0
	for {
		if i := bytes.IndexByte(r.buf[searched:], '\n'); i >= 0 {
			return r.take(searched+i, 1), nil
		}
		searched = len(r.buf)
		if searched > r.max {
			return r.passOver()
		}
		if r.err != nil {
			if r.Final && errors.Is(r.err, io.EOF) && len(r.buf) > 0 {
				return r.take(len(r.buf), 0), nil
			}
			return Line{}, r.err
		}
		r.fill()
	}
}

// take cuts n bytes and the newline behind them off the buffer.
func (r *Reader) take(n, newline int) Line {
	line := Line{From: r.off, To: r.off + int64(n+newline), Bytes: r.buf[:n:n], Sum: xxhash.Sum64(r.buf[:n])}
	if n > r.max {
		line.Bytes, line.TooLong = nil, true
	}
	r.buf = r.buf[n+newline:]
	r.off = line.To
	return line
}

// fill reads more behind what the buffer holds, which moves to the front of the array: that ends the
// validity of the line returned last.
func (r *Reader) fill() {
	if held := len(r.buf); cap(r.arr)-held < readBuffer/2 {
		r.arr = make([]byte, max(2*held, readBuffer))
	}
	r.buf = r.arr[:copy(r.arr, r.buf)]
	n, err := r.src.Read(r.arr[len(r.buf):])
	r.buf, r.err = r.arr[:len(r.buf)+n], err
}

// passOver reads on to the end of a line that is too long, in constant memory.
func (r *Reader) passOver() (Line, error) {
	from, sum := r.off, xxhash.New()
	for {
		i := bytes.IndexByte(r.buf, '\n')
		if i < 0 && r.err != nil {
			if r.Final && errors.Is(r.err, io.EOF) {
				_, _ = sum.Write(r.buf)
				r.off += int64(len(r.buf))
				r.buf = r.buf[:0]
				return Line{From: from, To: r.off, Sum: sum.Sum64(), TooLong: true}, nil
			}
			return Line{}, r.err
		}
		if i >= 0 {
			_, _ = sum.Write(r.buf[:i])
			r.off += int64(i) + 1
			r.buf = r.buf[i+1:]
			return Line{From: from, To: r.off, Sum: sum.Sum64(), TooLong: true}, nil
		}
		_, _ = sum.Write(r.buf)
		r.off += int64(len(r.buf))
		r.buf = nil
		r.fill()
	}
}
