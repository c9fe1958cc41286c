// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
	"github.com/oklog/ulid/v2"

	"github.com/tailrace/tailrace/internal/livetail"
)

// The form of a message with records; docs/protocol/live-tail-cluster.md specifies it.
//
//	byte     version of the form and of the layout of records
//	byte     1: the body is compressed (S2, block format)
//	[16]     origin, a ULID
//	byte     signal
//	string   project
//	uvarint  7 of them: how many records of the topic the origin had before these, by severity
//	uvarint  number of records, 0: the message only tells how far the origin is
//	body     runs of a source: strings deployment, server, build; uint32 number of records; the records
const (
	messageVersion  = livetail.LayoutVersion
	flagCompressed  = 1
	maxDecompressed = 64 << 20
	compressAbove   = 512
	// overhead is what may stand around the records of a message.
	overhead = 8 << 10
)

// message is a read message.
type message struct {
	origin ulid.ULID
	topic  livetail.Topic
	before livetail.Severities
	n      uint64
	body   []byte
}

// appendMessage makes a message of records; scratch is used for the compressed body.
func appendMessage(dst []byte, m *message, scratch []byte) (out, newScratch []byte) {
	body, flags := m.body, byte(0)
	if len(body) >= compressAbove {
		if max := s2.MaxEncodedLen(len(body)); cap(scratch) < max {
			scratch = make([]byte, 0, max)
		}
		if packed := s2.Encode(scratch[:cap(scratch)], body); len(packed) < len(body)*7/8 {
			body, flags = packed, flagCompressed
		}
	}
	dst = append(dst, messageVersion, flags)
	dst = append(dst, m.origin[:]...)
	dst = append(dst, byte(m.topic.Signal))
	dst = appendString(dst, m.topic.Project)
	for _, n := range m.before {
		dst = binary.AppendUvarint(dst, n)
	}
	dst = binary.AppendUvarint(dst, m.n)
	return append(dst, body...), scratch
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// errVersion says that the sender is of another version.
var errVersion = errors.New("the message is of another version of Tailrace")

var errForm = errors.New("the message has not the known form")

// readMessage reads all but the records.
func readMessage(b []byte) (m message, err error) {
	r := cutter{b: b}
	version, flags := r.byte(), r.byte()
	if version != messageVersion {
		return m, errVersion
	}
	copy(m.origin[:], r.bytes(16))
	m.topic.Signal = livetail.Signal(r.byte())
	m.topic.Project = string(r.bytes(r.uvarint()))
	for i := range m.before {
		m.before[i] = r.uvarint()
	}
	m.n = r.uvarint()
	if r.bad || signalTokens[m.topic.Signal] == "" {
		return m, errForm
	}
	m.body = r.b
	if flags&flagCompressed != 0 {
		if n, err := s2.DecodedLen(m.body); err != nil || n > maxDecompressed {
			return m, errForm
		}
		if m.body, err = s2.Decode(nil, m.body); err != nil {
			return m, errForm
		}
	}
	return m, nil
}

// each calls do with every record, after skipping some.
func (m *message) each(skip uint64, do func(livetail.Source, livetail.Record)) error {
	r := cutter{b: m.body}
	total := uint64(0)
	for len(r.b) > 0 && !r.bad {
		src := livetail.Source{Project: m.topic.Project, Signal: m.topic.Signal}
		src.Deployment, src.Server, src.Build = string(r.bytes(r.uvarint())), string(r.bytes(r.uvarint())), string(r.bytes(r.uvarint()))
		count := uint32(0)
		if b := r.bytes(4); len(b) == 4 {
			count = binary.LittleEndian.Uint32(b)
		}
		for range count {
			rec, rest, err := livetail.CheckRecord(r.b)
			if err != nil || rec.Signal() != m.topic.Signal {
				return errForm
			}
			r.b = rest
			if total++; total > skip {
				do(src, rec)
			}
		}
	}
	if r.bad || total != m.n {
		return fmt.Errorf("%w: %d records of %d", errForm, total, m.n)
	}
	return nil
}

// cutter cuts pieces off a message, and notes when there is not enough.
type cutter struct {
	b   []byte
	bad bool
}

func (c *cutter) bytes(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cutter) byte() byte {
	if b := c.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (c *cutter) uvarint() uint64 {
	n, w := binary.Uvarint(c.b)
	if w <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[w:]
	return n
}
