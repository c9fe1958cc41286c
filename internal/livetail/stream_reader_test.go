// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
)

// viewer is a caller of some projects.
func viewer(projects ...access.Pattern) *access.Caller {
	return access.NewCaller("ada", "token", time.Time{}, []access.Grant{{Role: access.RoleViewer, Projects: projects}})
}

func filter(tb testing.TB, text string) *livetail.Filter {
	tb.Helper()
	f, err := livetail.ParseFilter([]byte(text))
	require.NoError(tb, err)
	return f
}

// shown is a record as a stream shows it.
type shown struct {
	Seq     uint64 `json:"seq"`
	Signal  string `json:"signal"`
	State   string `json:"state"`
	Project string `json:"project"`
	Server  string `json:"server"`
	Body    string `json:"body"`
	Name    string `json:"name"`
	SpanID  string `json:"spanId"`
}

// part is a batch or a gap.
type part struct {
	after, last uint64
	filtered    uint64
	records     []shown
	gap         *livetail.Gap
	stored      bool
	older       bool
	end         *livetail.Filled
}

// reader is a client of a stream that checks, whatever comes, that the ranges of each subscription join.
type reader struct {
	tb      testing.TB
	stream  *livetail.Stream
	wake    chan struct{}
	replies []string
	begun   map[uint32]livetail.Subscribed
	at      map[uint32]uint64
	parts   map[uint32][]part
	taken   livetail.StreamTaken
}

func newReader(tb testing.TB, h *livetail.Hub, caller *access.Caller) *reader {
	tb.Helper()
	r := &reader{
		tb: tb, wake: make(chan struct{}, 1), begun: map[uint32]livetail.Subscribed{}, at: map[uint32]uint64{}, parts: map[uint32][]part{},
	}
	r.stream = h.NewStream(caller, notify(r.wake))
	tb.Cleanup(r.stream.Close)
	return r
}

func (r *reader) subscribe(req livetail.Request) uint32 {
	r.tb.Helper()
	var id uint32
	require.NoError(r.tb, r.stream.Subscribe(req, func(s livetail.Subscribed) []byte {
		id = s.Sub
		r.begun[id], r.at[id] = s, s.Seq
		return []byte("subscribed")
	}))
	return id
}

// take reads one piece, and reports whether there is more.
func (r *reader) take(bytes int) bool {
	r.tb.Helper()
	more := r.stream.Take(&r.taken, bytes)
	for _, out := range r.taken.Outputs {
		switch {
		case out.Control != nil:
			r.replies = append(r.replies, string(out.Control))
		case out.Filled != nil:
			r.parts[out.Sub] = append(r.parts[out.Sub], part{after: r.at[out.Sub], last: r.at[out.Sub], end: out.Filled})
		case out.Gap != nil:
			g := out.Gap
			require.Equal(r.tb, r.at[out.Sub], g.After, "a gap begins where the last range ended")
			require.GreaterOrEqual(r.tb, g.Last, g.After)
			r.at[out.Sub] = g.Last
			r.parts[out.Sub] = append(r.parts[out.Sub], part{after: g.After, last: g.Last, filtered: g.Filtered, gap: g})
		default:
			require.Equal(r.tb, r.at[out.Sub], out.After, "a batch begins where the last range ended")
			p := part{after: out.After, last: out.Last, filtered: out.Filtered, stored: out.Stored, older: out.Older}
			require.Equal(r.tb, out.Stored, out.Last == out.After, "only what is stored lies in no range")
			for i := range out.Block.Records() {
				var s shown
				require.NoError(r.tb, json.Unmarshal(out.Block.Record(i), &s), "%s", out.Block.Record(i))
				require.Equal(r.tb, s.Seq, out.Block.Seq(i))
				require.True(r.tb, out.Stored || s.Seq > out.After && s.Seq <= out.Last, "%d is outside of (%d, %d]", s.Seq, out.After, out.Last)
				p.records = append(p.records, s)
			}
			r.at[out.Sub] = out.Last
			r.parts[out.Sub] = append(r.parts[out.Sub], p)
		}
	}
	r.stream.Sent(r.taken.Records)
	return more
}

func (r *reader) takeAll() {
	r.tb.Helper()
	for r.take(1 << 16) {
		continue
	}
}

// await takes until done.
func (r *reader) await(done func() bool) {
	r.tb.Helper()
	timeout := time.After(waitFor)
	for r.takeAll(); !done(); r.takeAll() {
		select {
		case <-r.wake:
		case <-timeout:
			require.FailNow(r.tb, "timed out", "%v", r.parts)
		}
	}
}

// upTo waits until a subscription is told that it has everything up to seq.
func (r *reader) upTo(sub uint32, seq uint64) {
	r.tb.Helper()
	timeout := time.Now().Add(waitFor)
	for r.takeAll(); r.at[sub] < seq; r.takeAll() {
		r.stream.Progress()
		require.True(r.tb, time.Now().Before(timeout), "is at %d, not at %d", r.at[sub], seq)
		time.Sleep(tick)
	}
}

func (r *reader) records(sub uint32) (out []shown) {
	for _, p := range r.parts[sub] {
		out = append(out, p.records...)
	}
	return out
}

// counts are delivered, dropped (of gaps that know), filtered.
func (r *reader) counts(sub uint32) (delivered, dropped, filtered uint64) {
	for _, p := range r.parts[sub] {
		delivered += uint64(len(p.records))
		filtered += p.filtered
		if p.gap != nil {
			dropped += p.gap.Dropped
		}
	}
	return delivered, dropped, filtered
}
