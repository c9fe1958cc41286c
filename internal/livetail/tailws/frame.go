// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailws

import (
	"bytes"
	"encoding/binary"
	"net"
	"sync"

	"github.com/klauspost/compress/flate"
)

// First bytes of frames: opcodes, each with the bit of a final fragment.
const (
	opText     = 0x81
	opDeflated = 0xc1 // text, with the bit of permessage-deflate
	opClose    = 0x88
	opPing     = 0x89
	opPong     = 0x8a
)

// appendFrameHead appends what stands before n bytes of an unmasked frame (RFC 6455, section 5.2).
func appendFrameHead(dst []byte, op byte, n int) []byte {
	switch {
	case n < 126:
		return append(dst, op, byte(n))
	case n < 1<<16:
		return append(dst, op, 126, byte(n>>8), byte(n))
	default:
		dst = append(dst, op, 127)
		return binary.BigEndian.AppendUint64(dst, uint64(n))
	}
}

func appendFrame(dst []byte, op byte, data []byte) []byte {
	return append(appendFrameHead(dst, op, len(data)), data...)
}

// gather collects what one write takes: bytes of its own, and big pieces that are shared with others and not copied.
type gather struct {
	own     []byte
	pieces  []piece
	vectors net.Buffers
	size    int
	frames  int
}

// piece is a shared piece and where in own it stands.
type piece struct {
	at   int
	data []byte
}

// copyBelow is the size up to which copying is cheaper than one more vector.
const copyBelow = 4 << 10

var gathers = sync.Pool{New: func() any { return &gather{} }}

func newGather() *gather { return gathers.Get().(*gather) }

// free gives the gather back. A buffer of unusual size is not kept.
func (g *gather) free() {
	if cap(g.own) > 64<<10 {
		g.own = nil
	}
	clear(g.pieces)
	g.own, g.pieces, g.size, g.frames = g.own[:0], g.pieces[:0], 0, 0
	gathers.Put(g)
}

func (g *gather) shared(data []byte) {
	if len(data) < copyBelow {
		g.own = append(g.own, data...)
		return
	}
	g.pieces = append(g.pieces, piece{len(g.own), data})
	g.size += len(data)
}

func (g *gather) text(msg []byte) {
	g.own = appendFrameHead(g.own, opText, len(msg))
	g.shared(msg)
	g.frames++
}

func (g *gather) len() int { return g.size + len(g.own) }

// writeTo writes everything. On a TCP connection that is one call however many pieces there are.
func (g *gather) writeTo(w net.Conn) (int64, error) {
	if len(g.pieces) == 0 {
		n, err := w.Write(g.own)
		return int64(n), err
	}
	all := g.vectors[:0]
	from := 0
	for _, p := range g.pieces {
		if p.at > from {
			all = append(all, g.own[from:p.at])
		}
		all = append(all, p.data)
		from = p.at
	}
	if from < len(g.own) {
		all = append(all, g.own[from:])
	}
	g.vectors = all
	n, err := all.WriteTo(w) // moves along all
	clear(g.vectors)
	return n, err
}

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}}

// deflate compresses data into whole deflate blocks that end on a byte, without a last block.
func deflate(data []byte) []byte {
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	var out bytes.Buffer
	out.Grow(len(data) / 4)
	w.Reset(&out)
	if _, err := w.Write(data); err != nil {
		return nil // a bytes.Buffer takes everything
	}
	if err := w.Flush(); err != nil {
		return nil
	}
	return bytes.Clone(out.Bytes())
}

// appendStored appends data as a stored deflate block (RFC 1951, section 3.2.4). It may stand wherever a byte begins.
func appendStored(dst, data []byte) []byte {
	n := uint16(len(data))
	dst = append(dst, 0)
	dst = binary.LittleEndian.AppendUint16(dst, n)
	dst = binary.LittleEndian.AppendUint16(dst, ^n)
	return append(dst, data...)
}

const storedHead = 5

// deflated adds a message of three parts, of which the middle one, compressed, is shared by many (RFC 7692, section 7.2.1).
func (g *gather) deflated(head, middle []byte, tail string) {
	// The last byte is the begin of an empty stored block; what follows of it, 00 00 ff ff, is left out by the protocol.
	n := storedHead + len(head) + len(middle) + storedHead + len(tail) + 1
	g.own = appendFrameHead(g.own, opDeflated, n)
	g.own = appendStored(g.own, head)
	g.shared(middle)
	g.own = appendStored(g.own, []byte(tail))
	g.own = append(g.own, 0)
	g.frames++
}
