// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// A cursor is a place in the order of one question's rows. It is opaque to clients: the base64 (URL alphabet, no
// padding) of
//
//	version 1 | hash of the question 8 | start 8 | end 8 | width 4 | time 8 | keys | scope | CRC-32 of all that 4
//
// where start and end are the range that the first page saw (relative times would move on), width is the
// slice of time that the walk was at, in minutes, and keys and scope are lists of strings, each with a uvarint
// before it that says how long it is. The CRC finds accidents, not forgers: a forged cursor only is another place in rows
// that its bearer may read anyway, because each query is restricted anew.
type cursor struct {
	hash       [8]byte
	start, end time.Time // zero: open
	width      time.Duration
	at         position
	scope      []string
}

// position is the place of a row: its time, and what tells it from others of the same time.
type position struct {
	time int64 // ns since 1970
	keys []string
}

const (
	cursorVersion = 1
	maxCursor     = 4096
)

var errCursor = errors.New("not a cursor that this server made for this question (the filters must stay the same from page to page); ask again without it")

func (c cursor) String() string {
	b := []byte{cursorVersion}
	b = append(b, c.hash[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(nanos(c.start)))
	b = binary.BigEndian.AppendUint64(b, uint64(nanos(c.end)))
	b = binary.BigEndian.AppendUint32(b, uint32(min(c.width/time.Minute, 1<<31)))
	b = binary.BigEndian.AppendUint64(b, uint64(c.at.time))
	for _, list := range [][]string{c.at.keys, c.scope} {
		b = append(b, byte(len(list)))
		for _, s := range list {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// parseCursor reads a cursor of the question with this hash, whose positions have this many keys.
func parseCursor(text string, hash [8]byte, keys int) (cursor, error) {
	var c cursor
	if len(text) > maxCursor {
		return c, errCursor
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	const fixed = 1 + 8 + 8 + 8 + 4 + 8
	if err != nil || len(b) < fixed+2+4 || b[0] != cursorVersion {
		return c, errCursor
	}
	body, sum := b[:len(b)-4], b[len(b)-4:]
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(sum) || !bytes.Equal(body[1:9], hash[:]) {
		return c, errCursor
	}
	c.hash = hash
	c.start = fromNanos(int64(binary.BigEndian.Uint64(body[9:])))
	c.end = fromNanos(int64(binary.BigEndian.Uint64(body[17:])))
	c.width = time.Duration(binary.BigEndian.Uint32(body[25:])) * time.Minute
	c.at.time = int64(binary.BigEndian.Uint64(body[29:]))
	rest := body[fixed:]
	for _, list := range []*[]string{&c.at.keys, &c.scope} {
		if len(rest) == 0 {
			return c, errCursor
		}
		n := int(rest[0])
		rest = rest[1:]
		for range n {
			size, used := binary.Uvarint(rest)
			if used <= 0 || size > uint64(len(rest)-used) {
				return c, errCursor
			}
			*list = append(*list, string(rest[used:used+int(size)]))
			rest = rest[used+int(size):]
		}
	}
	if len(rest) != 0 || len(c.at.keys) != keys || (len(c.scope) != 0 && len(c.scope) != scopeSize) {
		return c, errCursor
	}
	return c, nil
}

// scopeSize is how many strings a scope has, when there is one: column and value, project.
const scopeSize = 3
