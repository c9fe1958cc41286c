// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Batch collects the records of one call in their flat form, outside of every lock, until Hub.Publish takes them.
// Not safe for concurrent use; after Publish it belongs to the hub again.
type Batch struct {
	buf    []byte
	groups []group
	recs   []pending
	limit  int // bytes a record
	seed   maphash.Seed

	start    int  // of the record being written
	stop     int  // where its variable data must end
	full     bool // it has reached limit
	content  maphash.Hash
	untimed  bool // a record without time of its own: the content of the batch can't tell a repetition
	identify bool // there are log records whose uid may have been stamped on the way
}

// group is a run of records of one source.
type group struct {
	source Source
	from   int // index into recs
}

type pending struct {
	off int
	key uint64 // identifies the record among repetitions; 0: it can't be told
}

func (b *Batch) reset() {
	const keep = 1 << 20 // a batch of unusual size is not kept for the next one
	if cap(b.buf) > keep {
		b.buf = nil
	}
	b.buf, b.groups, b.recs = b.buf[:0], b.groups[:0], b.recs[:0]
	b.untimed, b.identify = false, false
	b.content.SetSeed(b.seed)
}

// Len is the number of records in the batch.
func (b *Batch) Len() int { return len(b.recs) }

func (b *Batch) source(s Source) {
	b.groups = append(b.groups, group{source: s, from: len(b.recs)})
}

var zeroHeader [headerSize]byte

func (b *Batch) begin(signal Signal) {
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

// contentHash is the hash of what has been written of the record so far.
func (b *Batch) contentHash() uint64 { return maphash.Bytes(b.seed, b.buf[b.start:]) }

// end completes the record; key tells it from others, or 0.
func (b *Batch) end(key uint64) {
	binary.LittleEndian.PutUint32(b.buf[b.start+offLength:], uint32(len(b.buf)-b.start))
	b.recs = append(b.recs, pending{off: b.start, key: key})
}

// reserve is what is always left for the fixed fields that follow a cut one.
const reserve = 256

// room is how many bytes of variable data the record may still take.
func (b *Batch) room() int { return b.stop - len(b.buf) }

// putString writes s, cut at a character when the record is full.
func (b *Batch) putString(s string) {
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
		b.putMap(v.Map(), depth+1, "")
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

// putMap writes a count and the entries of m but skip. It stops, and marks the record, when the record is full.
func (b *Batch) putMap(m pcommon.Map, depth int, skip string) {
	at, n := len(b.buf), 0
	b.buf = append(b.buf, 0, 0)
	for k, v := range m.All() {
		if skip != "" && k == skip {
			continue
		}
		if b.full || n == math.MaxUint16 || len(k)+16 > b.room() {
			b.full = true
			b.flag(FlagTruncated)
			break
		}
		b.putString(k)
		b.putValue(v, depth)
		n++
	}
	putUint16(b.buf, at, n)
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
