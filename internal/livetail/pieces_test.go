// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
)

// Batches that are big enough to become chunks of a ring, between small ones and with repetitions, come out in order, and what the ring loses is
// counted.
func TestPiecesBecomeChunks(t *testing.T) {
	h := newHub(t, func(o *livetail.Options) { o.RingRecords = 3000 })
	next := 0
	add := func(n int) {
		publish(h, lines("shop", "web-1", next, n))
		next += n
	}
	for range 2 { // without readers the memory of chunks is used again
		add(5000)
		add(3)
	}
	r := newReader(t, h, access.Local())
	live := r.subscribe(livetail.Request{Channel: channel(t, "server:web-1")})
	add(1500)
	publish(h, lines("shop", "web-1", next-1000, 1700)) // of which 1000 are known
	next += 700
	add(1)
	r.upTo(live, uint64(next))
	got, _ := r.numbers(live)
	assert.Equal(t, upTo(next)[next-2201:], got)

	resumed := r.subscribe(livetail.Request{Channel: channel(t, "server:web-1"), Resume: &livetail.Position{Epoch: h.Epoch()}})
	r.upTo(resumed, uint64(next))
	got, _ = r.numbers(resumed)
	assert.Equal(t, upTo(next)[next-3000:], got)
	_, dropped, _ := r.counts(resumed)
	if assert.Equal(t, 1, r.gaps(resumed)) && r.parts[resumed][0].gap.Known {
		assert.Equal(t, uint64(next-3000), dropped)
	}
	s := h.Stats()
	assert.Equal(t, 3000, s.RingRecords)
	assert.Equal(t, uint64(1000), s.Duplicates)
}
