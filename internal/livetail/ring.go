// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import "encoding/binary"

// Chunks of a ring start small, so that ten thousand quiet sources cost megabytes, and double up to maxChunk.
const (
	minChunk = 1 << 10
	maxChunk = 64 << 10
)

// chunk is a piece of a ring. buf only grows within its capacity and is never written again, so whoever learnt of a
// record under the hub's lock may read it without.
type chunk struct {
	buf     []byte
	n       int // records, evicted ones included
	lastSeq uint64
	next    *chunk // nil for the newest, and for one that left the ring
	evicted bool
	trail   trail // guarded by the hub's lock
}

// ring holds the newest records of one source. Guarded by the hub's lock.
type ring struct {
	source Source

	head, tail *chunk
	headGone   int // records of head that were evicted
	records    int
	bytes      int // capacity of all chunks: what the ring costs
	lastSeq    uint64
	freed      []byte // of the chunk that was evicted last

	// Where the ring begins is only worked out when somebody reads it: the oldest record has long left the processor's
	// caches, and a publisher would wait for it. These stand behind headRead records of head; see settle.
	headOff    int
	headRead   int
	evictedSeq uint64

	trails     []trail // of evicted chunks, oldest first
	trailBytes int
	forgot     uint64 // what was lost up to it can't be counted any more
	spareSteps []byte

	// channels is the ring's part of the subscribed channels, valid while generation is the hub's.
	channels   []*channel
	generation uint64
}

// spares is the memory of evicted chunks that nobody reads. Guarded by the hub's lock.
type spares [][]byte

const maxSpares = 16

func (s *spares) put(buf []byte) {
	if cap(buf) == maxChunk && len(*s) < maxSpares {
		*s = append(*s, buf[:0])
	}
}

// take returns memory for a chunk of a size, nil: there is none.
func (s *spares) take(size int) (buf []byte) {
	if n := len(*s); n > 0 && size == maxChunk {
		buf = (*s)[n-1]
		(*s)[n-1], *s = nil, (*s)[:n-1]
	}
	return buf
}

// append copies rec, which has its sequence number, into the ring and returns the copy. A new chunk takes
// memory that came free, if there is any.
func (g *ring) append(rec []byte, free *spares) Record {
	c := g.tail
	if c == nil || cap(c.buf)-len(c.buf) < len(rec) {
		size := minChunk
		if c != nil {
			size = min(2*cap(c.buf), maxChunk)
		}
		size = max(size, len(rec))
		buf := free.take(size)
		if buf == nil {
			buf = make([]byte, 0, size)
		}
		c = g.link(buf)
	}
	from := len(c.buf)
	c.buf = append(c.buf, rec...)
	c.note(rec)
	g.lastSeq = c.lastSeq
	g.records++
	return Record(c.buf[from:len(c.buf):len(c.buf)])
}

// take makes buf, which has n records, the newest chunk.
func (g *ring) take(buf []byte, n int) {
	c := g.link(buf)
	for b := buf; len(b) > 0; {
		rec := Record(b[:recordLen(b)])
		b = b[len(rec):]
		c.note(rec)
	}
	g.lastSeq = c.lastSeq
	g.records += n
}

// link adds a chunk.
func (g *ring) link(buf []byte) *chunk {
	c := &chunk{buf: buf, trail: trail{steps: g.spareSteps}}
	g.spareSteps = nil
	if g.tail == nil {
		g.head = c
	} else {
		g.tail.next = c
	}
	g.tail = c
	g.bytes += cap(buf)
	return c
}

// note counts a record that is in buf.
func (c *chunk) note(rec Record) {
	c.n++
	c.lastSeq = rec.Seq()
	c.trail.add(c.lastSeq, rec.severityClass())
}

// dropRecord evicts the oldest record.
func (g *ring) dropRecord() {
	g.headGone++
	g.records--
	if g.headGone == g.head.n && g.head != g.tail {
		g.unlinkHead()
	}
}

// settle passes over what was evicted from head.
func (g *ring) settle() {
	for ; g.headRead < g.headGone; g.headRead++ {
		rec := Record(g.head.buf[g.headOff:])
		g.evictedSeq = rec.Seq()
		g.headOff += recordLen(rec)
	}
}

// oldest returns the chunk that the oldest record is in, nil when there is none, and where it stands.
func (g *ring) oldest() (*chunk, int) {
	g.settle()
	return g.head, g.headOff
}

// lost is the sequence number of the newest record that the ring has evicted.
func (g *ring) lost() uint64 {
	g.settle()
	return g.evictedSeq
}

// dropChunk evicts the oldest chunk with all its records and returns the bytes that came free.
func (g *ring) dropChunk() int {
	if g.head == nil {
		return 0
	}
	before := g.bytes
	g.records -= g.head.n - g.headGone
	g.unlinkHead()
	return before - g.bytes
}

func (g *ring) unlinkHead() {
	c := g.head
	g.evictedSeq = c.lastSeq
	g.head = c.next
	if g.head == nil {
		g.tail = nil
	}
	// A reader that still stands on c must not keep everything after it alive.
	c.next, c.evicted = nil, true
	g.bytes -= cap(c.buf)
	g.remember(c.trail)
	c.trail = trail{}
	g.freed = c.buf
	g.headOff, g.headGone, g.headRead = 0, 0, 0
}

func recordLen(b []byte) int { return int(binary.LittleEndian.Uint32(b)) }
