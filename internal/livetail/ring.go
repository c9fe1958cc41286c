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
}

// ring holds the newest records of one source. Guarded by the hub's lock.
type ring struct {
	source Source

	head, tail *chunk
	headOff    int // where the oldest record stands in head
	headGone   int // records of head that were evicted
	records    int
	bytes      int // capacity of all chunks: what the ring costs
	lastSeq    uint64
	freed      []byte // of the chunk that was evicted last

	// channels is the ring's part of the subscribed channels, valid while generation is the hub's.
	channels   []*channel
	generation uint64
}

// append copies rec, which has its sequence number, into the ring and returns the copy. It takes spare for a new chunk
// if that fits.
func (g *ring) append(rec []byte, spare *[]byte) Record {
	c := g.tail
	if c == nil || cap(c.buf)-len(c.buf) < len(rec) {
		size := minChunk
		if c != nil {
			size = min(2*cap(c.buf), maxChunk)
		}
		size = max(size, len(rec))
		next := &chunk{}
		if cap(*spare) == size {
			next.buf, *spare = (*spare)[:0], nil
		} else {
			next.buf = make([]byte, 0, size)
		}
		if c == nil {
			g.head = next
		} else {
			c.next = next
		}
		g.tail = next
		g.bytes += cap(next.buf)
		c = next
	}
	from := len(c.buf)
	c.buf = append(c.buf, rec...)
	c.n++
	c.lastSeq = Record(rec).Seq()
	g.lastSeq = c.lastSeq
	g.records++
	return Record(c.buf[from:len(c.buf):len(c.buf)])
}

// dropRecord evicts the oldest record.
func (g *ring) dropRecord() {
	g.headOff += recordLen(g.head.buf[g.headOff:])
	g.headGone++
	g.records--
	if g.headGone == g.head.n && g.head != g.tail {
		g.unlinkHead()
	}
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
	g.head = c.next
	if g.head == nil {
		g.tail = nil
	}
	// A reader that still stands on c must not keep everything after it alive.
	c.next, c.evicted = nil, true
	g.bytes -= cap(c.buf)
	g.freed = c.buf
	g.headOff, g.headGone = 0, 0
}

func recordLen(b []byte) int { return int(binary.LittleEndian.Uint32(b)) }
