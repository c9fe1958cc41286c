// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/unfinished"
)

// Batch collects the records of one call in their flat form, outside of every lock, until Hub.Publish takes them.
// Not safe for concurrent use; after Publish it belongs to the hub again.
type Batch struct {
	buf    []byte   // the piece being written
	pieces [][]byte // that are full: each has whole records, and one that is all a ring's becomes a chunk of it
	free   [][]byte // empty ones
	groups []group
	recs   []pending
	limit  int // bytes a record
	seed   maphash.Seed

	start    int    // of the record being written
	stop     int    // where its variable data must end
	full     bool   // it has reached limit
	content  uint64 // of all log records so far
	untimed  bool   // a record without time of its own: the content of the batch can't tell a repetition
	partial  bool   // there are events about open spans, which come again and again and are no repetition
	remote   bool   // the records are of another hub
	identify bool   // there are log records whose uid may have been stamped on the way
}

// group is a run of records of one source.
type group struct {
	source Source
	from   int // index into recs
}

// pending is a record of a batch; small, since there are many.
type pending struct {
	key uint64 // identifies the record among repetitions; 0: it can't be told
	// every is how often the sender of an open span says that it still runs; 0: it does not.
	every time.Duration
	off   uint32
	piece uint16 // index into pieces; the last one is buf
	again bool   // it was seen before
}

func (b *Batch) reset() {
	const keep = 16 // a batch of unusual size is not kept for the next one
	for _, p := range append(b.pieces, b.buf) {
		if cap(p) == maxChunk && len(b.free) < keep {
			b.free = append(b.free, p[:0])
		}
	}
	clear(b.pieces)
	b.buf, b.pieces, b.groups, b.recs = nil, b.pieces[:0], b.groups[:0], b.recs[:0]
	b.untimed, b.identify, b.partial, b.remote = false, false, false, false
	b.content = 0
}

// Len is the number of records in the batch.
func (b *Batch) Len() int { return len(b.recs) }

// piece is one of the runs of whole records.
func (b *Batch) piece(i uint16) *[]byte {
	if int(i) == len(b.pieces) {
		return &b.buf
	}
	return &b.pieces[i]
}

// record is one that has been completed.
func (b *Batch) record(p *pending) Record {
	rec := Record((*b.piece(p.piece))[p.off:])
	return rec[:recordLen(rec):recordLen(rec)]
}

// room for the usual record must be left in a piece; a bigger one makes it grow.
const usualRecord = 1 << 10

// next begins another piece when the one being written is full.
func (b *Batch) next() {
	if len(b.buf) > 0 {
		b.pieces = append(b.pieces, b.buf)
	}
	if n := len(b.free); n > 0 {
		b.buf, b.free[n-1] = b.free[n-1], nil
		b.free = b.free[:n-1]
	} else {
		b.buf = make([]byte, 0, maxChunk)
	}
}

func (b *Batch) source(s Source) {
	b.groups = append(b.groups, group{source: s, from: len(b.recs)})
}

var zeroHeader [headerSize]byte

func (b *Batch) begin(signal Signal) {
	if len(b.buf)+usualRecord > cap(b.buf) {
		b.next()
	}
	b.start, b.full = len(b.buf), false
	b.stop = b.start + b.limit - reserve
	b.buf = append(b.buf, zeroHeader[:]...)
	b.buf[b.start+offSignal] = byte(signal)
}

func (b *Batch) header() []byte { return b.buf[b.start : b.start+headerSize] }

func (b *Batch) flag(f Flag) { b.buf[b.start+offFlags] |= byte(f) }

func (b *Batch) putTimes(t, t2 uint64) {
	binary.LittleEndian.PutUint64(b.buf[b.start+offTime:], t)
	binary.LittleEndian.PutUint64(b.buf[b.start+offTime2:], t2)
}

// drop forgets the record being written.
func (b *Batch) drop() { b.buf = b.buf[:b.start] }

// contentHash is the hash of what has been written of the record so far.
func (b *Batch) contentHash() uint64 { return maphash.Bytes(b.seed, b.buf[b.start:]) }

// end completes the record; key tells it from others, or 0.
func (b *Batch) end(key uint64) {
	binary.LittleEndian.PutUint32(b.buf[b.start+offLength:], uint32(len(b.buf)-b.start))
	b.recs = append(b.recs, pending{piece: uint16(len(b.pieces)), off: uint32(b.start), key: key})
}

// reserve is what is always left for the fixed fields that follow a cut one.
const reserve = 256

// room is how many bytes of variable data the record may still take.
func (b *Batch) room() int { return b.stop - len(b.buf) }

// putString writes s, cut at a character when the record is full.
func (b *Batch) putString(s string) {
	if s == "" {
		b.buf = append(b.buf, 0)
		return
	}
	b.putText(s)
}

func (b *Batch) putText(s string) {
	buf := b.buf // one store into the batch instead of one for every append
	if room := b.stop - len(buf); len(s) > room {
		s = cut(s, max(room, 0))
		b.full = true
		b.flag(FlagTruncated)
	}
	if len(s) < 0x80 {
		buf = append(buf, byte(len(s)))
	} else {
		buf = binary.AppendUvarint(buf, uint64(len(s)))
	}
	buf = append(buf, s...)
	b.buf = buf
}

// putKey writes an identifier that must not be cut; callers make sure that it is short.
func (b *Batch) putKey(s string) {
	b.buf = binary.AppendUvarint(b.buf, uint64(len(s)))
	b.buf = append(b.buf, s...)
}

func cut(s string, n int) string {
	if n >= len(s) {
		return s
	}
	for back := 0; n > 0 && back < utf8.UTFMax && !utf8.RuneStart(s[n]); back++ {
		n--
	}
	return s[:n]
}

// maxDepth bounds nested values; pdata itself has no bound that we want to recurse to.
const maxDepth = 32

func (b *Batch) putValue(v pcommon.Value, depth int) {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		b.buf = append(b.buf, tagString)
		b.putString(v.Str())
	case pcommon.ValueTypeBool:
		c := byte(0)
		if v.Bool() {
			c = 1
		}
		b.buf = append(b.buf, tagBool, c)
	case pcommon.ValueTypeInt:
		b.buf = append(b.buf, tagInt)
		b.buf = binary.LittleEndian.AppendUint64(b.buf, uint64(v.Int()))
	case pcommon.ValueTypeDouble:
		b.buf = append(b.buf, tagDouble)
		b.buf = binary.LittleEndian.AppendUint64(b.buf, math.Float64bits(v.Double()))
	case pcommon.ValueTypeMap:
		if depth >= maxDepth {
			b.putCut()
			return
		}
		b.buf = append(b.buf, tagMap)
		b.putMap(v.Map(), depth+1)
	case pcommon.ValueTypeSlice:
		if depth >= maxDepth {
			b.putCut()
			return
		}
		b.buf = append(b.buf, tagSlice)
		b.putSlice(v.Slice(), depth+1)
	case pcommon.ValueTypeBytes:
		b.buf = append(b.buf, tagBytes)
		raw := v.Bytes()
		n := min(raw.Len(), max(b.room(), 0))
		if n < raw.Len() {
			b.full = true
			b.flag(FlagTruncated)
		}
		b.buf = binary.AppendUvarint(b.buf, uint64(n))
		for i := range n {
			b.buf = append(b.buf, raw.At(i))
		}
	default:
		b.buf = append(b.buf, tagEmpty)
	}
}

func (b *Batch) putCut() {
	b.flag(FlagTruncated)
	b.buf = append(b.buf, tagEmpty)
}

// putMap writes a count and the entries of m. It stops, and marks the record, when the record is full.
func (b *Batch) putMap(m pcommon.Map, depth int) {
	at, n := len(b.buf), 0
	b.buf = append(b.buf, 0, 0)
	for k, v := range m.All() {
		if !b.putEntry(k, v, depth, n) {
			break
		}
		n++
	}
	putUint16(b.buf, at, n)
}

// putLogAttributes is putMap for the attributes of a log record: it notes what they say about it, and leaves out the uid.
func (b *Batch) putLogAttributes(m pcommon.Map, marks *marks) {
	at, n := len(b.buf), 0
	b.buf = append(b.buf, 0, 0)
	buf := b.buf // one store into the batch instead of one for every append
	for k, v := range m.All() {
		switch k {
		case identity.AttrEventName, identity.AttrLogStream, unfinished.AttrEvent:
			marks.note(k, v)
		case identity.AttrLogUID:
			marks.note(k, v)
			continue
		}
		// Short strings, which most attributes are, are copied without a look at the room for each part.
		if s := v.Str(); s != "" && len(k) < 0x80 && len(s) < 0x80 {
			if !b.full && n < math.MaxUint16 && len(buf)+len(k)+len(s)+3 <= b.stop-16 {
				buf = append(buf, byte(len(k)))
				buf = append(buf, k...)
				buf = append(buf, tagString, byte(len(s)))
				buf = append(buf, s...)
				n++
				continue
			}
		}
		b.buf = buf
		if !b.putEntry(k, v, 0, n) {
			break
		}
		buf = b.buf
		n++
	}
	b.buf = buf
	putUint16(b.buf, at, n)
}

// putEntry writes entry n of a map, and reports whether there was room for it.
func (b *Batch) putEntry(k string, v pcommon.Value, depth, n int) bool {
	if b.full || n == math.MaxUint16 || len(k)+16 > b.room() {
		b.full = true
		b.flag(FlagTruncated)
		return false
	}
	// Short strings and integers, which most attributes are, are copied without a look at the room for each part.
	at := len(b.buf)
	switch room := min(b.room(), cap(b.buf)-at); v.Type() {
	case pcommon.ValueTypeStr:
		s := v.Str()
		if need := len(k) + len(s) + 3; len(k) < 0x80 && len(s) < 0x80 && need <= room {
			b.buf = b.buf[:at+need]
			p := b.buf[at:]
			p[0] = byte(len(k))
			p = p[1+copy(p[1:], k):]
			p[0], p[1] = tagString, byte(len(s))
			copy(p[2:], s)
			return true
		}
	case pcommon.ValueTypeInt:
		if need := len(k) + 10; len(k) < 0x80 && need <= room {
			b.buf = b.buf[:at+need]
			p := b.buf[at:]
			p[0] = byte(len(k))
			p = p[1+copy(p[1:], k):]
			p[0] = tagInt
			binary.LittleEndian.PutUint64(p[1:], uint64(v.Int()))
			return true
		}
	}
	b.putString(k)
	b.putValue(v, depth)
	return true
}

func (b *Batch) putSlice(s pcommon.Slice, depth int) {
	at, n := len(b.buf), 0
	b.buf = append(b.buf, 0, 0)
	for _, v := range s.All() {
		if b.full || n == math.MaxUint16 || b.room() < 16 {
			b.full = true
			b.flag(FlagTruncated)
			break
		}
		b.putValue(v, depth)
		n++
	}
	putUint16(b.buf, at, n)
}
