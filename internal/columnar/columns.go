// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package columnar

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/ClickHouse/ch-go/proto"
)

// column is one of ch-go's input columns that can be used again.
type column interface {
	proto.ColInput
	Reset()
	// size is about how many bytes it keeps.
	size() int
}

// The types of ClickHouse that are not ch-go's constants.
const (
	typeDict = proto.ColumnType("LowCardinality(String)")
	typeMap  = proto.ColumnType("Map(LowCardinality(String), String)")
)

// text is a String column, kept as it is sent: each row its length as uvarint, then its bytes.
type text struct {
	buf  []byte
	rows int
	last int // where the last row begins
}

func (*text) Type() proto.ColumnType         { return proto.ColumnTypeString }
func (c *text) Rows() int                    { return c.rows }
func (c *text) EncodeColumn(b *proto.Buffer) { b.PutRaw(c.buf) }
func (c *text) WriteColumn(w *proto.Writer)  { w.ChainWrite(c.buf) }
func (c *text) Reset()                       { c.buf, c.rows, c.last = c.buf[:0], 0, 0 }
func (c *text) size() int                    { return cap(c.buf) }

func (c *text) append(s string) {
	c.last = len(c.buf)
	c.buf = append(binary.AppendUvarint(c.buf, uint64(len(s))), s...)
	c.rows++
}

// appendHex appends an id as lower case hex digits.
func (c *text) appendHex(id []byte) {
	c.last = len(c.buf)
	c.buf = append(c.buf, byte(2*len(id))) // ids have 8 or 16 bytes, so the length is one byte
	c.buf = hex.AppendEncode(c.buf, id)
	c.rows++
}

// repeat appends the last row again.
func (c *text) repeat() {
	from := c.last
	c.last = len(c.buf)
	c.buf = append(c.buf, c.buf[from:c.last]...)
	c.rows++
}

// dict is a LowCardinality(String) column: the distinct values, and for each row which one it is.
type dict struct {
	values text
	index  map[string]uint32
	rows   []uint32

	prev    string // the value of the last row
	narrow8 []uint8
	narrow  []uint16
}

func (*dict) Type() proto.ColumnType { return typeDict }
func (c *dict) Rows() int            { return len(c.rows) }
func (c *dict) size() int {
	return c.values.size() + 4*cap(c.rows) + cap(c.narrow8) + 2*cap(c.narrow) + 64*len(c.index)
}

func (c *dict) Reset() {
	c.values.Reset()
	clear(c.index) // it holds on to strings of the batch
	c.rows, c.prev = c.rows[:0], ""
}

// key returns the number of a value in the dictionary.
func (c *dict) key(s string) uint32 {
	if k, ok := c.index[s]; ok {
		return k
	}
	if c.index == nil {
		c.index = map[string]uint32{}
	}
	k := uint32(c.values.rows)
	c.values.append(s)
	c.index[s] = k
	return k
}

func (c *dict) append(s string) {
	if n := len(c.rows); n > 0 && s == c.prev {
		c.rows = append(c.rows, c.rows[n-1])
		return
	}
	c.prev = s
	c.rows = append(c.rows, c.key(s))
}

// The first number of a LowCardinality column says that the dictionary follows with each block; the second, that it is complete,
// and how wide the keys are.
const (
	dictVersion = 1
	dictMeta    = 1<<9 | 1<<10
)

// EncodeState implements proto.StateEncoder.
func (c *dict) EncodeState(b *proto.Buffer) { b.PutInt64(dictVersion) }

// keys returns the rows in the narrowest width, and the number that says which it is.
func (c *dict) keys() (width int64, keys proto.ColInput) {
	switch n := c.values.rows; {
	case n <= 1<<8:
		c.narrow8 = c.narrow8[:0]
		for _, k := range c.rows {
			c.narrow8 = append(c.narrow8, uint8(k))
		}
		return 0, proto.ColUInt8(c.narrow8)
	case n <= 1<<16:
		c.narrow = c.narrow[:0]
		for _, k := range c.rows {
			c.narrow = append(c.narrow, uint16(k))
		}
		return 1, proto.ColUInt16(c.narrow)
	}
	return 2, proto.ColUInt32(c.rows)
}

func (c *dict) EncodeColumn(b *proto.Buffer) {
	if len(c.rows) == 0 {
		return
	}
	width, keys := c.keys()
	b.PutInt64(dictMeta | width)
	b.PutInt64(int64(c.values.rows))
	c.values.EncodeColumn(b)
	b.PutInt64(int64(len(c.rows)))
	keys.EncodeColumn(b)
}

func (c *dict) WriteColumn(w *proto.Writer) {
	if len(c.rows) == 0 {
		return
	}
	width, keys := c.keys()
	w.ChainBuffer(func(b *proto.Buffer) {
		b.PutInt64(dictMeta | width)
		b.PutInt64(int64(c.values.rows))
	})
	c.values.WriteColumn(w)
	w.ChainBuffer(func(b *proto.Buffer) { b.PutInt64(int64(len(c.rows))) })
	keys.WriteColumn(w)
}

// array is Array(T): where each row ends in the column of its elements. Columns of one Nested share the ends.
type array struct {
	ends *ends
	of   column
}

// ends are the ends of the rows of arrays, counted in elements.
type ends struct{ at proto.ColUInt64 }

func (e *ends) append(n int) {
	last := uint64(0)
	if len(e.at) > 0 {
		last = e.at[len(e.at)-1]
	}
	e.at = append(e.at, last+uint64(n))
}

func (c array) Type() proto.ColumnType { return proto.ColumnTypeArray.Sub(c.of.Type()) }
func (c array) Rows() int              { return len(c.ends.at) }
func (c array) Reset()                 { c.ends.at = c.ends.at[:0]; c.of.Reset() }
func (c array) size() int              { return 8*cap(c.ends.at) + c.of.size() }

// EncodeState implements proto.StateEncoder.
func (c array) EncodeState(b *proto.Buffer) {
	if s, ok := c.of.(proto.StateEncoder); ok {
		s.EncodeState(b)
	}
}

func (c array) EncodeColumn(b *proto.Buffer) {
	c.ends.at.EncodeColumn(b)
	c.of.EncodeColumn(b)
}

func (c array) WriteColumn(w *proto.Writer) {
	c.ends.at.WriteColumn(w)
	c.of.WriteColumn(w)
}
