// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

const (
	// A read asks for firstRead bytes, and for more when it got all of them, up to readBytes: what most processes
	// print at once is small.
	firstRead = 4 << 10
	readBytes = 64 << 10
	// blockBytes is the size of the strings that the lines of one read share. What keeps one line keeps its whole
	// block, so it is small; a line of more than ownBytes has a string of its own.
	blockBytes = 4 << 10
	ownBytes   = 1 << 10
	// quietTime is how long a pipe has to be silent, after all known writers have ended, before it is
	// given up: then only a process that left the group still holds it.
	quietTime = 300 * time.Millisecond
	// lastWords and lastTime bound what is still read from such a process: more than a pipe can hold.
	lastWords = 1 << 20
	lastTime  = time.Second
)

// StreamStats count what came from one stream of all servers since the start.
type StreamStats struct {
	Bytes    int64 // read from the pipe
	Lines    int64 // whole lines, however many parts they were cut into
	Cut      int64 // lines that were longer than the limit
	Repaired int64 // lines or parts with invalid UTF-8
}

type streamCounters struct{ bytes, lines, cut, repaired atomic.Int64 }

func (c *streamCounters) stats() StreamStats {
	return StreamStats{Bytes: c.bytes.Load(), Lines: c.lines.Load(), Cut: c.cut.Load(), Repaired: c.repaired.Load()}
}

// reader turns one stream of one process into entries.
type reader struct {
	pipe    *os.File
	out     *outlet
	queue   *queue
	stats   *streamCounters
	stream  Stream
	pid     int
	framer  framer
	now     time.Time
	entries []Entry // of the current chunk
	block   strings.Builder
	left    int // bytes of the current chunk that are not in a block yet, about
	lines   int64

	abandoned atomic.Bool // somebody still held the pipe at the end
	done      chan struct{}
}

func newReader(pipe *os.File, stream Stream, pid, maxLine int, out *outlet, q *queue, stats *streamCounters) *reader {
	r := &reader{pipe: pipe, out: out, queue: q, stats: stats, stream: stream, pid: pid, done: make(chan struct{})}
	r.framer = framer{max: maxLine, emit: r.frame}
	return r
}

// run reads to the end of the stream.
func (r *reader) run() {
	defer close(r.done)
	defer r.pipe.Close()
	chunk := make([]byte, firstRead)
	for {
		n, err := r.pipe.Read(chunk)
		if n > 0 {
			r.take(chunk[:n])
		}
		if err == nil {
			if n == len(chunk) && n < readBytes {
				chunk = make([]byte, min(4*n, readBytes))
			}
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			r.readLastWords(chunk)
		}
		break
	}
	r.now = time.Now()
	r.framer.close()
	r.flush()
}

// readLastWords reads what the pipe still holds after release. A deadline may pass while push waits, and
// Read then refuses to give what is there: so each Read gets a deadline of its own, and only the time
// spent in Read counts.
func (r *reader) readLastWords(chunk []byte) {
	var spent time.Duration
	for left := lastWords; left > 0 && spent < lastTime; {
		start := time.Now()
		if r.pipe.SetReadDeadline(start.Add(quietTime)) != nil {
			return
		}
		n, err := r.pipe.Read(chunk)
		spent += time.Since(start)
		if n > 0 {
			left -= n
			r.take(chunk[:n])
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return
		}
	}
	r.abandoned.Store(true)
}

func (r *reader) take(chunk []byte) {
	r.stats.bytes.Add(int64(len(chunk)))
	r.now = time.Now()
	r.left = len(chunk) + len(r.framer.pending)
	r.framer.write(chunk)
	r.flush()
	r.block = strings.Builder{}
}

// text returns b as a string. Lines of one chunk share their memory in blocks.
func (r *reader) text(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if len(b) > ownBytes {
		return string(b)
	}
	if r.block.Cap()-r.block.Len() < len(b) {
		r.block = strings.Builder{}
		r.block.Grow(max(len(b), min(r.left, blockBytes)))
	}
	// A Builder only appends, so what it has returned before does not change.
	start := r.block.Len()
	r.block.Write(b)
	r.left -= len(b)
	return r.block.String()[start:]
}

// release says that all processes of the group have ended: whatever the pipe holds is still read, but
// nothing is waited for.
func (r *reader) release() { _ = r.pipe.SetReadDeadline(time.Now()) }

func (r *reader) frame(f frame) {
	if len(r.entries) == chunkEntries {
		r.flush()
	}
	r.entries = append(r.entries, Entry{
		Time: r.now, PID: r.pid, Stream: r.stream, Line: r.text(f.text), Part: f.part, Last: f.last,
	})
	if entry := &r.entries[len(r.entries)-1]; !utf8.ValidString(entry.Line) {
		entry.Raw = entry.Line
		entry.Line = strings.ToValidUTF8(entry.Raw, "\uFFFD")
		entry.Repaired = true
		r.stats.repaired.Add(1)
	}
	if f.part == 0 || f.last {
		r.lines++
	}
	if f.last {
		r.stats.cut.Add(1)
	}
}

func (r *reader) flush() {
	if len(r.entries) == 0 {
		return
	}
	r.stats.lines.Add(r.lines)
	r.lines = 0
	r.entries = r.out.push(r.queue, r.entries)
}
