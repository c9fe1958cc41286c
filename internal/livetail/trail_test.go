// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
)

// What was lost can be counted when all of it would have been shown, and as long as the ring remembers.
func TestStreamCountsWhatTheRingLost(t *testing.T) {
	h := newHub(t, func(o *livetail.Options) { o.RingRecords = 100 })
	publish(h, lines("shop", "web-1", 0, 300))
	for name, tc := range map[string]struct {
		from    uint64
		filter  string
		dropped any
	}{
		"from within":       {from: 123, dropped: uint64(77)},
		"all of it":         {from: 0, dropped: uint64(200)},
		"the last one":      {from: 199, dropped: uint64(1)},
		"none":              {from: 200},
		"an empty filter":   {from: 10, filter: "{}", dropped: uint64(190)},
		"filter can't tell": {from: 10, filter: `{"text":"line"}`, dropped: "not known"},
	} {
		r := newReader(t, h, access.Local())
		req := livetail.Request{Channel: channel(t, "server:web-1"), Resume: &livetail.Position{Epoch: h.Epoch(), Seq: tc.from}}
		if tc.filter != "" {
			req.Filter = filter(t, tc.filter)
		}
		sub := r.subscribe(req)
		r.upTo(sub, 300)
		require.Len(t, r.records(sub), 100, name)
		gap := r.parts[sub][0].gap
		switch want := tc.dropped.(type) {
		case nil:
			assert.Nil(t, gap, name)
		case string:
			assert.False(t, gap.Known, name)
		default:
			require.True(t, gap.Known, name)
			assert.Equal(t, want, gap.Dropped, name)
			assert.Equal(t, uint64(200), gap.Last, name)
		}
		r.stream.Close()
	}
	for i := range 2000 { // what is remembered is bounded
		publish(h, lines("shop", "web-1", 300+i*100, 100))
	}
	r := newReader(t, h, access.Local())
	sub := r.subscribe(livetail.Request{Channel: channel(t, "server:web-1"), Resume: &livetail.Position{Epoch: h.Epoch(), Seq: 100}})
	r.upTo(sub, 200_300)
	assert.False(t, r.parts[sub][0].gap.Known)
	assert.Equal(t, h.Stats().Matched, h.Stats().Delivered+h.Stats().DroppedEvicted)
}
