// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"slices"
	"time"
)

// clock knows about when sequence numbers were given, to the second, so that what a ring has lost can be asked of the
// store. It remembers an hour. Guarded by Hub.mu.
type clock struct {
	ticks []clockTick
}

type clockTick struct {
	seq uint64 // the last one before
	at  int64  // Unix nanoseconds
}

const maxTicks = 3600

// note is called before records are numbered; seq is the last number given.
func (c *clock) note(seq uint64, now int64) {
	if n := len(c.ticks); n > 0 && now-c.ticks[n-1].at < int64(time.Second) {
		return
	}
	if len(c.ticks) >= maxTicks {
		c.ticks = slices.Delete(c.ticks, 0, maxTicks/4)
	}
	c.ticks = append(c.ticks, clockTick{seq, now})
}

// between returns times between which the records of (after, last] arrived; zero: not known.
func (c *clock) between(after, last uint64) (from, to time.Time) {
	i, found := slices.BinarySearchFunc(c.ticks, after, func(t clockTick, seq uint64) int {
		switch {
		case t.seq < seq:
			return -1
		case t.seq > seq:
			return 1
		default:
			return 0
		}
	})
	if found {
		from = time.Unix(0, c.ticks[i].at)
	} else if i > 0 {
		from = time.Unix(0, c.ticks[i-1].at)
	}
	for ; i < len(c.ticks); i++ {
		if c.ticks[i].seq >= last && c.ticks[i].seq > after {
			return from, time.Unix(0, c.ticks[i].at)
		}
	}
	return from, time.Time{}
}
