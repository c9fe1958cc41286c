// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/oklog/ulid/v2"
)

// uidSource makes ULIDs that strictly increase, also within a millisecond and when the clock is set
// back. Not safe for concurrent use.
type uidSource struct {
	ms   uint64
	high uint16
	low  uint64
}

func (u *uidSource) next(now time.Time) ulid.ULID { return u.at(ulid.Timestamp(now)) }

// at is next for a time in milliseconds since 1970.
func (u *uidSource) at(ms uint64) ulid.ULID {
	if ms > u.ms {
		u.ms = ms
		u.seed()
	} else if u.low++; u.low == 0 {
		if u.high++; u.high == 0 {
			u.ms++
		}
	}
	var id ulid.ULID
	// A ULID is 48 bits of milliseconds and 80 bits that are random at first and counted up from there.
	binary.BigEndian.PutUint64(id[:8], u.ms<<16|uint64(u.high))
	binary.BigEndian.PutUint64(id[8:], u.low)
	return id
}

func (u *uidSource) seed() {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	u.high = binary.BigEndian.Uint16(b[:])
	u.low = binary.BigEndian.Uint64(b[2:])
}
