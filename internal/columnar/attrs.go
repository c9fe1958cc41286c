// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package columnar

import (
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/ClickHouse/ch-go/proto"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

// attrs is a Map(LowCardinality(String), String) column. Each row is sorted by key, as contrib's exporter sorts it.
//
// Records of one kind have the same keys in the same order. So the keys of rows are remembered as shapes, and a row whose keys are
// those of a shape needs neither sorting nor a look into the dictionary.
type attrs struct {
	ends   ends
	keys   dict
	values text

	lastKey, lastValue int        // where the last row begins in keys and in the bytes of values
	shapes             [][]*shape // by the number of keys
	row                []attr     // of the row that is being appended
}

type attr struct {
	key   string
	value pcommon.Value
}

// shape is a sequence of keys.
type shape struct {
	keys   []string
	order  []int    // the places of the keys, sorted by key
	sorted []uint32 // the keys as numbers of the dictionary, sorted by key
}

const (
	shapesPerLength = 8  // what is not among so many of the newest is sorted anew
	shapeLength     = 64 // longer rows are sorted each time
)

func (*attrs) Type() proto.ColumnType { return typeMap }
func (c *attrs) Rows() int            { return len(c.ends.at) }
func (c *attrs) size() int            { return 8*cap(c.ends.at) + c.keys.size() + c.values.size() }

func (c *attrs) Reset() {
	c.ends.at = c.ends.at[:0]
	c.keys.Reset()
	c.values.Reset()
	c.lastKey, c.lastValue = 0, 0
	clear(c.shapes) // they hold numbers of the dictionary, and strings of the batch
	clear(c.row[:cap(c.row)])
}

// EncodeState implements proto.StateEncoder.
func (c *attrs) EncodeState(b *proto.Buffer) { c.keys.EncodeState(b) }

func (c *attrs) EncodeColumn(b *proto.Buffer) {
	c.ends.at.EncodeColumn(b)
	c.keys.EncodeColumn(b)
	c.values.EncodeColumn(b)
}

func (c *attrs) WriteColumn(w *proto.Writer) {
	c.ends.at.WriteColumn(w)
	c.keys.WriteColumn(w)
	c.values.WriteColumn(w)
}

func (c *attrs) append(m pcommon.Map) {
	c.lastKey, c.lastValue = len(c.keys.rows), len(c.values.buf)
	c.row = c.row[:0]
	for k, v := range m.All() {
		c.row = append(c.row, attr{k, v})
	}
	c.ends.append(len(c.row))
	if len(c.row) == 0 {
		return
	}
	s := c.shape()
	c.keys.rows = append(c.keys.rows, s.sorted...)
	for _, i := range s.order {
		c.values.appendValue(c.row[i].value)
	}
}

// repeat appends the last row again.
func (c *attrs) repeat() {
	keys, values := c.keys.rows[c.lastKey:], c.values.buf[c.lastValue:]
	c.lastKey, c.lastValue = len(c.keys.rows), len(c.values.buf)
	c.ends.append(len(keys))
	c.keys.rows = append(c.keys.rows, keys...)
	c.values.buf = append(c.values.buf, values...)
	c.values.rows += len(keys)
}

// shape finds or makes the shape of the row.
func (c *attrs) shape() *shape {
	n := len(c.row)
	if n > shapeLength {
		return c.newShape()
	}
	if n >= len(c.shapes) {
		c.shapes = append(c.shapes, make([][]*shape, n+1-len(c.shapes))...)
	}
	known := c.shapes[n]
	for i, s := range known {
		if s.fits(c.row) {
			if i > 0 { // what comes often is found at once
				known[i-1], known[i] = s, known[i-1]
			}
			return s
		}
	}
	s := c.newShape()
	if len(known) < shapesPerLength {
		c.shapes[n] = append(known, s)
	} else {
		known[n%shapesPerLength] = s
	}
	return s
}

func (s *shape) fits(row []attr) bool {
	for i := range row {
		if row[i].key != s.keys[i] {
			return false
		}
	}
	return true
}

func (c *attrs) newShape() *shape {
	s := &shape{keys: make([]string, len(c.row)), order: make([]int, len(c.row)), sorted: make([]uint32, len(c.row))}
	for i, a := range c.row {
		s.keys[i], s.order[i] = a.key, i
	}
	// Stable: what has a key twice keeps the order of the two.
	slices.SortStableFunc(s.order, func(i, j int) int {
		switch a, b := s.keys[i], s.keys[j]; {
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	})
	for i, from := range s.order {
		s.sorted[i] = c.keys.key(s.keys[from])
	}
	return s
}

// appendValue appends what Value.AsString returns.
func (c *text) appendValue(v pcommon.Value) {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		c.append(v.Str())
	case pcommon.ValueTypeInt:
		c.appendInt(v.Int())
	case pcommon.ValueTypeBool:
		c.append(strconv.FormatBool(v.Bool()))
	default:
		c.append(v.AsString())
	}
}

func (c *text) appendInt(n int64) {
	if n >= 0 && n < 10 {
		c.last = len(c.buf)
		c.buf = append(c.buf, 1, byte('0'+n))
		c.rows++
		return
	}
	var digits [20]byte
	d := strconv.AppendInt(digits[:0], n, 10)
	c.last = len(c.buf)
	c.buf = append(binary.AppendUvarint(c.buf, uint64(len(d))), d...)
	c.rows++
}
