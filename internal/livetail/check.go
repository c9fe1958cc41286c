// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"encoding/binary"
	"errors"
)

// LayoutVersion names the flat layout of records between hubs. It changes with every change of the layout.
const LayoutVersion = 1

var errLayout = errors.New("not a record of the known layout")

// CheckRecord cuts the first record off b, which another process has made. A record that passes can be read by everything here, whatever its
// sender had in mind.
func CheckRecord(b []byte) (rec Record, rest []byte, err error) {
	if len(b) < headerSize {
		return nil, nil, errLayout
	}
	n := recordLen(b)
	if n < headerSize || n > len(b) {
		return nil, nil, errLayout
	}
	rec = Record(b[:n:n])
	c := checker{b: rec[headerSize:]}
	c.strings(3)
	switch signal := rec.Signal(); signal {
	case SignalLog, SignalScore:
		c.value(0)
		c.attributes(0)
		c.strings(1)
	case SignalSpan:
		c.attributes(0)
		for range c.count() {
			c.skip(8)
			c.strings(1)
			c.attributes(0)
		}
	case SignalMetric:
		c.point(rec.MetricType())
		c.attributes(0)
	default:
		return nil, nil, errLayout
	}
	if c.bad || len(c.b) > 0 || rec.Severity() > 24 {
		return nil, nil, errLayout
	}
	return rec, b[n:], nil
}

// checker reads as Fields does, and notes when it would have read beyond the end.
type checker struct {
	b   []byte
	bad bool
}

func (c *checker) skip(n int) {
	if c.bad || n > len(c.b) {
		c.bad, c.b = true, nil
		return
	}
	c.b = c.b[n:]
}

func (c *checker) strings(n int) {
	for range n {
		size, w := binary.Uvarint(c.b)
		if w <= 0 || size > uint64(len(c.b)-w) {
			c.bad, c.b = true, nil
			return
		}
		c.b = c.b[w+int(size):]
	}
}

// count is 0 when there is none, so that loops end.
func (c *checker) count() int {
	if c.bad || len(c.b) < 2 {
		c.bad, c.b = true, nil
		return 0
	}
	n := int(binary.LittleEndian.Uint16(c.b))
	c.b = c.b[2:]
	return n
}

func (c *checker) attributes(depth int) {
	for range c.count() {
		c.strings(1)
		if c.value(depth); c.bad {
			return
		}
	}
}

func (c *checker) value(depth int) {
	if c.bad || len(c.b) == 0 || depth > maxDepth {
		c.bad, c.b = true, nil
		return
	}
	tag := c.b[0]
	c.b = c.b[1:]
	switch tag {
	case tagEmpty:
	case tagString, tagBytes:
		c.strings(1)
	case tagBool:
		c.skip(1)
	case tagInt, tagDouble:
		c.skip(8)
	case tagMap:
		c.attributes(depth + 1)
	case tagSlice:
		for range c.count() {
			if c.value(depth + 1); c.bad {
				return
			}
		}
	default:
		c.bad, c.b = true, nil
	}
}

// point is what stands between the name and the attributes of a data point.
func (c *checker) point(kind MetricType) {
	switch kind {
	case MetricGauge, MetricSum:
		c.value(maxDepth)
	case MetricHistogram, MetricSummary:
		c.skip(4 * 8)
		c.skip(8 * c.count())
		c.skip(8 * c.count())
	case MetricExponentialHistogram:
		c.skip(6 * 8)
	default:
		c.bad = true
	}
}
