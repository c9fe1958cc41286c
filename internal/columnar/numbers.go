// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package columnar

import (
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Columns of numbers are ch-go's, with the size that they keep.
type (
	u8   struct{ proto.ColUInt8 }
	u32  struct{ proto.ColUInt32 }
	u64  struct{ proto.ColUInt64 }
	i32  struct{ proto.ColInt32 }
	f64  struct{ proto.ColFloat64 }
	flag struct{ proto.ColBool }
)

func (c *u8) size() int   { return cap(c.ColUInt8) }
func (c *u32) size() int  { return 4 * cap(c.ColUInt32) }
func (c *u64) size() int  { return 8 * cap(c.ColUInt64) }
func (c *i32) size() int  { return 4 * cap(c.ColInt32) }
func (c *f64) size() int  { return 8 * cap(c.ColFloat64) }
func (c *flag) size() int { return cap(c.ColBool) }

// nanos is a DateTime64(9) column.
type nanos struct{ proto.ColDateTime64 }

func newNanos() *nanos {
	c := &nanos{}
	c.WithPrecision(proto.PrecisionNano)
	return c
}

func (c *nanos) size() int { return 8 * cap(c.Data) }

// append keeps what is beyond the year 2262 as the number that it is to ClickHouse: a time before 1970.
func (c *nanos) append(ts pcommon.Timestamp) { c.Data = append(c.Data, proto.DateTime64(ts)) }

// secs is a DateTime column.
type secs struct{ proto.ColDateTime }

func (c *secs) size() int { return 4 * cap(c.Data) }

func (c *secs) append(ts pcommon.Timestamp) {
	n := int64(ts)
	s := n / int64(time.Second)
	if n%int64(time.Second) < 0 {
		s--
	}
	c.Data = append(c.Data, proto.DateTime(s))
}

// Infer keeps ch-go from taking over the precision of the table: the numbers here are always nanoseconds, and the server
// converts them.
func (*nanos) Infer(proto.ColumnType) error { return nil }
