// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"crypto/rand"
	"encoding/binary"
	"sync"

	"github.com/oklog/ulid/v2"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

// UIDs hands out ULIDs for log.record.uid: unique, and in the order of their creation also as text, within one
// millisecond and when the clock steps back too. Safe for concurrent use; the zero value is ready.
type UIDs struct {
	mu     sync.Mutex
	ms     uint64
	hi     uint16 // the upper 16 of the 80 bits after the time
	lo     uint64
	now    func() uint64        // tests replace it
	random func(entropy []byte) // tests replace it
}

// Range is a block of consecutive ULIDs that belongs to its holder alone. Not safe for concurrent use.
type Range struct {
	ms   uint64
	hi   uint16
	lo   uint64
	left int
}

// Reserve returns n ULIDs. Those that are not used are lost, which costs nothing.
func (u *UIDs) Reserve(n int) Range {
	now := ulid.Now
	if u.now != nil {
		now = u.now
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	// After a new millisecond, and when this one's 80 bits would run out (the clock then runs ahead a little).
	if t := now(); t > u.ms {
		u.restart(t)
	} else if u.hi == 1<<16-1 && u.lo+uint64(n) < u.lo {
		u.restart(u.ms + 1)
	}
	r := Range{ms: u.ms, hi: u.hi, lo: u.lo, left: n}
	u.lo += uint64(n)
	if u.lo < r.lo {
		u.hi++
	}
	return r
}

func (u *UIDs) restart(ms uint64) {
	var entropy [10]byte
	if u.random != nil {
		u.random(entropy[:])
	} else {
		_, _ = rand.Read(entropy[:]) // never fails
	}
	// The top bit stays free: room to count up within the millisecond.
	u.ms, u.hi, u.lo = ms, binary.BigEndian.Uint16(entropy[:2])&0x7fff, binary.BigEndian.Uint64(entropy[2:])
}

// Time is when the range was reserved, to the millisecond; it is the time in its ULIDs.
func (r *Range) Time() pcommon.Timestamp { return pcommon.Timestamp(r.ms * 1e6) }

// Next returns the next ULID as its 26 characters. It panics when the range is used up.
func (r *Range) Next() string {
	if r.left == 0 {
		panic("identity: more uids taken than reserved")
	}
	r.left--
	var id ulid.ULID
	_ = id.SetTime(r.ms) // fails after the year 10889
	binary.BigEndian.PutUint16(id[6:8], r.hi)
	binary.BigEndian.PutUint64(id[8:], r.lo)
	if r.lo++; r.lo == 0 {
		r.hi++
	}
	return id.String()
}
