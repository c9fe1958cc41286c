// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package lineproto

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/oklog/ulid/v2"
)

// UID returns the id of a record that is made of message seq of a run; nth (0 to 3) tells the records of one message apart.
// The same message always gets the same id. The ids of a run increase with seq as long as its times do not step back.
//
// 48 bits are the time in ms, 40 a hash of the run, 38 seq and 2 nth.
func UID(run string, seq uint64, nth int, at time.Time) ulid.ULID {
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(at)) // fails after the year 10889
	sum := sha256.Sum256([]byte(run))
	copy(id[6:11], sum[:5])
	var low [8]byte
	binary.BigEndian.PutUint64(low[:], seq<<2|uint64(nth&3))
	copy(id[11:], low[3:])
	return id
}

// Seq returns the number that UID was given.
func Seq(id ulid.ULID) uint64 {
	var low [8]byte
	copy(low[3:], id[11:])
	return binary.BigEndian.Uint64(low[:]) >> 2
}
