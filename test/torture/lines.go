// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package torture

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// Plan is what a torture child does.
type Plan struct {
	Seed  uint64 `json:"seed"`
	Lines int    `json:"lines"` // of each stream
	First int    `json:"first"` // the length of the first line of stdout, 0 for a random one
	Kill  bool   `json:"kill"`  // it ends by SIGKILL, in the middle of the last line of each stream
}

// Streams of a child.
const (
	Stdout = iota
	Stderr
)

// Lines is the sequence of lines of one stream: the same for the same seed, stream and count.
type Lines struct {
	random *rand.Rand
	left   int
	first  int // the length of the first line, 0: any
	pools  [][]byte
	buf    []byte
}

// Line is one line of a stream.
type Line struct {
	Text []byte // valid until the next line
	End  string // LF, CR LF, or nothing at the end of the stream
}

// Want is what is left of l when its end is cut off: a CR before the LF belongs to the end.
func (l Line) Want() []byte {
	if l.End == "\n" {
		return bytes.TrimSuffix(l.Text, []byte("\r"))
	}
	return l.Text
}

const poolBytes = 1 << 16

// NewLines returns the lines of a stream. first is the length of the first one, 0 for a random one.
func NewLines(seed uint64, stream, count, first int) *Lines {
	random := rand.New(rand.NewPCG(seed, uint64(stream)))
	l := &Lines{random: random, left: count, first: first}
	for _, pieces := range [][]string{
		{"GET /api/orders ", "request completed ", "worker ", "0123456789", ", ", "=", "[", "] "},
		{"äöü", "日本語", "🦊", "e\u0301", "\u2028", "x", "👩‍👩‍👧 ", "\ufffd"},
		{"\x1b[31mred\x1b[0m ", "\x1b]0;title\x07", "\x1b[2K", "plain ", "\x1b"},
		{"\x00", "a", "\x00\x00", "\x01\x7f", "\t"},
		{"\xff", "ok", "\xc3", "\xed\xa0\x80", "\xf0\x9f\xa6", "ä", "\xfe\xff"},
		{"10 %\r", "20 %\r\r", "done ", "\r", "#####"},
		{`{"level":30,"msg":"`, `\"quoted\"`, `","n":`, "17", "}", "{"},
		{"Error: no ", "    at f (a.js:1:1)", "panic: ", "goroutine 1 [running]:", "Traceback (most recent call last):", "\tat a.B.c(B.java:1)"},
	} {
		pool := make([]byte, 0, poolBytes+64)
		for len(pool) < poolBytes {
			pool = append(pool, pieces[random.IntN(len(pieces))]...)
		}
		l.pools = append(l.pools, pool)
	}
	return l
}

// Next returns the next line, false behind the last one.
func (l *Lines) Next() (Line, bool) {
	if l.left == 0 {
		return Line{}, false
	}
	l.left--
	end := "\n"
	switch {
	case l.left == 0:
		end = ""
	case l.random.IntN(10) == 0:
		end = "\r\n"
	}
	size := l.first
	if size == 0 {
		size = l.size()
	}
	if l.left == 0 {
		size = max(size, 1) // an empty line without an end is none
	}
	l.fill(size, size == l.first)
	l.first = 0
	return Line{Text: l.buf, End: end}, true
}

// size draws a length: most lines are short, few are very long.
func (l *Lines) size() int {
	switch n := l.random.IntN(1_000_000); {
	case n < 20_000:
		return 0
	case n < 900_000:
		return 1 + l.random.IntN(200)
	case n < 980_000:
		return 200 + l.random.IntN(800)
	case n < 999_000:
		return 1000 + l.random.IntN(7000)
	case n < 999_997:
		return 8000 + l.random.IntN(92_000)
	default:
		return 1<<20 + l.random.IntN(4<<20)
	}
}

// fill makes the text of a line: whole forms that parsers know, or any part of a pool.
func (l *Lines) fill(size int, exact bool) {
	l.buf = l.buf[:0]
	form := l.random.IntN(16)
	if exact {
		form = -1
	}
	switch form {
	case 0:
		l.buf = fmt.Appendf(l.buf, `{"level":40,"msg":"line %d","nested":{"a":[1,2]},"x":%q}`, l.left, "é\u0000")
	case 1:
		l.buf = append(l.buf, "    at main (/app/a.mjs:9:2)"...)
	case 2:
		l.buf = append(l.buf, "TypeError: no card"...)
	default:
		pool := l.pools[0]
		if n := l.random.IntN(3 * len(l.pools)); n < len(l.pools) {
			pool = l.pools[n]
		}
		for len(l.buf) < size {
			from := l.random.IntN(poolBytes)
			l.buf = append(l.buf, pool[from:min(len(pool), from+size-len(l.buf))]...)
		}
	}
}
