// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"bytes"
	"unicode/utf8"
)

// minLineBytes is the smallest limit of a framer: a part must have room for one UTF-8 character.
const minLineBytes = utf8.UTFMax

// keepPending is how much of its buffer a framer keeps after a long line.
const keepPending = 64 << 10

// frame is a line or a part of one. text is only valid during the call that hands it out.
type frame struct {
	text []byte
	part int // from 1 for parts of an over-long line, 0 for a whole line
	last bool
}

// framer cuts a stream into lines, whatever the chunks look like in which it arrives.
//
// A line ends with LF or CR LF, which are not part of it; what stands after the last LF is a line too. A
// line of more than max bytes is handed out in parts of at most max bytes, cut between UTF-8 characters.
// The result depends on the bytes only, never on how they were chunked. It holds back at most max+1
// bytes, because a CR counts only when it turns out not to be a line end.
type framer struct {
	max     int
	emit    func(frame)
	pending []byte // the part of a line that is here already
	part    int    // parts of the current line handed out so far
}

// write takes the next chunk. It does not keep chunk.
func (f *framer) write(chunk []byte) {
	for len(chunk) > 0 {
		end := bytes.IndexByte(chunk, '\n')
		if end < 0 {
			f.hold(chunk)
			return
		}
		line := chunk[:end]
		chunk = chunk[end+1:]
		if len(f.pending) > 0 {
			f.hold(line)
			line = f.pending
		}
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		f.finish(line)
	}
}

// close hands out what stands after the last LF.
func (f *framer) close() {
	if len(f.pending) > 0 {
		f.finish(f.pending)
	}
}

// hold keeps the beginning of a line, and hands out what is certain to be a part.
func (f *framer) hold(b []byte) {
	f.pending = append(f.pending, b...)
	rest := f.pending
	for len(rest) >= f.max+2 {
		n := cut(rest, f.max)
		f.part++
		f.emit(frame{text: rest[:n], part: f.part})
		rest = rest[n:]
	}
	f.pending = f.pending[:copy(f.pending, rest)]
}

func (f *framer) finish(line []byte) {
	for len(line) > f.max {
		n := cut(line, f.max)
		f.part++
		f.emit(frame{text: line[:n], part: f.part})
		line = line[n:]
	}
	if f.part > 0 {
		f.part++
	}
	f.emit(frame{text: line, part: f.part, last: f.part > 0})
	f.part = 0
	if cap(f.pending) > keepPending {
		f.pending = nil
	}
	f.pending = f.pending[:0]
}

// cut returns the length of the longest head of line of at most limit bytes that does not end within a
// UTF-8 character. line is longer than limit, and limit at least minLineBytes.
func cut(line []byte, limit int) int {
	for i := limit - 1; i > limit-utf8.UTFMax; i-- {
		if utf8.RuneStart(line[i]) {
			if utf8.FullRune(line[i:limit]) {
				return limit
			}
			return i
		}
	}
	return limit
}
