// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
)

func TestStreamLiveWithFilter(t *testing.T) {
	h := newHub(t, nil)
	publish(h, lines("shop", "web-1", 0, 5)) // before: not shown
	r := newReader(t, h, access.Local())
	all := r.subscribe(livetail.Request{Channel: channel(t, "project:shop")})
	some := r.subscribe(livetail.Request{Channel: channel(t, "*"), Filter: filter(t, `{"text":"WEB-2"}`)})
	publish(h, lines("shop", "web-1", 5, 3))
	publish(h, lines("shop", "web-2", 0, 2))
	publish(h, lines("other", "web-9", 0, 4))
	r.upTo(all, 14)
	r.upTo(some, 14)
	require.Equal(t, uint64(5), r.begun[all].Seq)
	got := r.records(all)
	require.Len(t, got, 5)
	for i, s := range got {
		assert.Equal(t, uint64(6+i), s.Seq)
		assert.Equal(t, "log", s.Signal)
	}
	delivered, _, filtered := r.counts(some)
	assert.Equal(t, uint64(2), delivered)
	assert.Equal(t, uint64(7), filtered)
	assert.Equal(t, "web-2 line 0", r.records(some)[0].Body)
}

func TestStreamBackfillResumeSince(t *testing.T) {
	h := newHub(t, nil)
	for i := range 10 {
		publish(h, lines("shop", "web-1", i, 1))
		publish(h, lines("shop", "web-2", i, 1))
		publish(h, lines("other", "web-1", i, 1))
	}
	r := newReader(t, h, access.Local())
	newest := r.subscribe(livetail.Request{Channel: channel(t, "project:shop"), Backfill: 7})
	filtered := r.subscribe(livetail.Request{Channel: channel(t, "project:shop"), Backfill: 3, Filter: filter(t, `{"text":"web-1"}`)})
	since := r.subscribe(livetail.Request{Channel: channel(t, "server:web-2"), Since: epoch.Add(8 * time.Millisecond)})
	resumed := r.subscribe(livetail.Request{Channel: channel(t, "*"), Resume: &livetail.Position{Epoch: h.Epoch(), Seq: 25}})
	foreign := r.subscribe(livetail.Request{Channel: channel(t, "*"), Resume: &livetail.Position{Epoch: "another", Seq: 25}})
	publish(h, lines("shop", "web-2", 10, 1))
	bodies := func(sub uint32) (out []string) {
		r.upTo(sub, 31)
		for _, s := range r.records(sub) {
			out = append(out, s.Project+" "+s.Body)
		}
		return out
	}
	assert.Equal(t, []string{
		"shop web-2 line 6", "shop web-1 line 7", "shop web-2 line 7", "shop web-1 line 8", "shop web-2 line 8", "shop web-1 line 9",
		"shop web-2 line 9", "shop web-2 line 10",
	}, bodies(newest))
	assert.Equal(t, []string{"shop web-1 line 7", "shop web-1 line 8", "shop web-1 line 9"}, bodies(filtered))
	assert.Equal(t, []string{"shop web-2 line 8", "shop web-2 line 9", "shop web-2 line 10"}, bodies(since))
	assert.Equal(t, []string{
		"shop web-2 line 8", "other web-1 line 8", "shop web-1 line 9", "shop web-2 line 9", "other web-1 line 9", "shop web-2 line 10",
	}, bodies(resumed))
	assert.True(t, r.begun[resumed].Recovered)
	assert.False(t, r.begun[foreign].Recovered)
	assert.Equal(t, livetail.ReasonEvicted, r.begun[foreign].Gap.Reason)
	assert.Len(t, bodies(foreign), 31, "all of this epoch is new to it")
}

// What the ring has lost is told before what it still holds, with when it arrived.
func TestStreamResumeBeyondTheRing(t *testing.T) {
	h := newHub(t, func(o *livetail.Options) { o.RingRecords = 100 })
	publish(h, lines("shop", "quiet", 0, 5))   // 1 to 5
	publish(h, lines("shop", "noisy", 0, 300)) // 6 to 305, of which 206 on are left
	r := newReader(t, h, access.Local())
	sub := r.subscribe(livetail.Request{Channel: channel(t, "*"), Resume: &livetail.Position{Epoch: h.Epoch(), Seq: 2}})
	assert.False(t, r.begun[sub].Recovered)
	r.upTo(sub, 305)
	first := r.parts[sub][0]
	require.NotNil(t, first.gap)
	assert.Equal(t, livetail.ReasonEvicted, first.gap.Reason)
	assert.True(t, first.gap.Known)
	assert.Equal(t, uint64(200), first.gap.Dropped)
	assert.Equal(t, uint64(200), first.gap.BySeverity[3])
	assert.Equal(t, uint64(2), first.gap.After)
	assert.Equal(t, uint64(2), first.gap.Last, "the quiet server's records are still there")
	assert.Equal(t, uint64(305), first.gap.Until, "those of the noisy one are missing in what follows")
	assert.False(t, first.gap.From.IsZero())
	got := r.records(sub)
	require.Len(t, got, 3+100)
	assert.Equal(t, "quiet line 2", got[0].Body)
	assert.Equal(t, uint64(206), got[3].Seq)
}

// A client that takes nothing costs its budget, is told by severity what it lost, and others lose nothing.
func TestStreamStalled(t *testing.T) {
	const batches, perBatch = 300, 20
	h := newHub(t, func(o *livetail.Options) { o.ClientBytes = 64 << 10 })
	stalled, lively := newReader(t, h, access.Local()), newReader(t, h, access.Local())
	slow := stalled.subscribe(livetail.Request{Channel: channel(t, "server:web-1")})
	fast := lively.subscribe(livetail.Request{Channel: channel(t, "server:web-1")})
	for b := range batches {
		publish(h, lines("shop", "web-1", b*perBatch, perBatch))
		lively.await(func() bool { return len(lively.records(fast)) == (b+1)*perBatch })
	}
	stalled.upTo(slow, batches*perBatch)
	delivered, dropped, _ := stalled.counts(slow)
	assert.Equal(t, uint64(batches*perBatch), delivered+dropped)
	require.NotNil(t, stalled.parts[slow][0].gap)
	gap := stalled.parts[slow][0].gap
	assert.Equal(t, dropped, gap.Dropped)
	assert.Equal(t, dropped, gap.BySeverity[3], "all were info")
	assert.Equal(t, livetail.ReasonSlow, gap.Reason)
	assert.Less(t, delivered, uint64(64<<10)/100)
	s := h.Stats()
	assert.Equal(t, s.Matched, s.Delivered+s.DroppedSlow)
	assert.Equal(t, dropped, s.DroppedSlow)
}

func TestStreamPauseUpdateUnsubscribe(t *testing.T) {
	h := newHub(t, nil)
	r := newReader(t, h, access.Local())
	sub := r.subscribe(livetail.Request{Channel: channel(t, "server:web-1")})
	changed := func(name string) func(uint64) []byte { return func(uint64) []byte { return []byte(name) } }
	publish(h, lines("shop", "web-1", 0, 5))
	r.upTo(sub, 5)
	require.NoError(t, r.stream.Pause(sub, changed("paused")))
	publish(h, lines("shop", "web-1", 5, 5))
	require.Eventually(t, func() bool { r.takeAll(); return len(r.replies) == 2 }, waitFor, tick)
	assert.Len(t, r.records(sub), 5)
	require.NoError(t, r.stream.Resume(sub, changed("resumed")))
	require.NoError(t, r.stream.Resume(sub, changed("resumed"))) // twice is once
	r.upTo(sub, 10)
	assert.Len(t, r.records(sub), 10)
	require.NoError(t, r.stream.Update(sub, func(req *livetail.Request) { req.Filter = filter(t, `{"text":"line 11"}`) }, changed("updated")))
	publish(h, lines("shop", "web-1", 10, 5))
	r.upTo(sub, 15)
	got := r.records(sub)
	require.Len(t, got, 11)
	assert.Equal(t, "web-1 line 11", got[10].Body)
	require.NoError(t, r.stream.Ack(sub, 15))
	require.Error(t, r.stream.Ack(sub, 16))
	require.NoError(t, r.stream.Unsubscribe(sub, []byte("unsubscribed")))
	publish(h, lines("shop", "web-1", 15, 5))
	require.ErrorIs(t, r.stream.Pause(sub, changed("")), livetail.ErrNoSubscription)
	require.ErrorIs(t, r.stream.Ack(sub, 1), livetail.ErrNoSubscription)
	h.Close()
	r.takeAll()
	assert.Len(t, r.records(sub), 11)
	assert.Equal(t, []string{"subscribed", "paused", "resumed", "resumed", "updated", "unsubscribed"}, r.replies)
	assert.Zero(t, h.Stats().Subscriptions)
}

// Above its max_rate a client sees an even choice, and exact numbers of what it does not see.
func TestStreamSampled(t *testing.T) {
	h := newHub(t, nil)
	r := newReader(t, h, access.Local())
	sub := r.subscribe(livetail.Request{Channel: channel(t, "server:web-1"), MaxRate: 40, Filter: filter(t, `{"min_severity":"info"}`)})
	const total = 2000
	publish(h, lines("shop", "web-1", 0, total))
	r.upTo(sub, total)
	delivered, dropped, _ := r.counts(sub)
	assert.Equal(t, uint64(total), delivered+dropped)
	assert.Positive(t, dropped)
	assert.LessOrEqual(t, delivered, uint64(40))
	got := r.records(sub)
	assert.Greater(t, got[len(got)-1].Seq, uint64(total/4), "not only the begin of the burst")
	for _, p := range r.parts[sub] {
		if p.gap != nil {
			assert.Equal(t, livetail.ReasonSampled, p.gap.Reason)
			assert.Equal(t, p.gap.Dropped, p.gap.BySeverity[3])
		}
	}
	s := h.Stats()
	assert.Equal(t, s.Matched, s.Delivered+s.DroppedSampled)
}

// A window of samples may take several blocks, of which a slow client loses some: each gap tells of its own range.
func TestStreamSampledAndSlow(t *testing.T) {
	for _, f := range modelFilters[:2] {
		h := newHub(t, func(o *livetail.Options) { o.ClientBytes = 80 << 10 })
		r := newReader(t, h, access.Local())
		req := livetail.Request{Channel: channel(t, "*"), MaxRate: 2400}
		if f.text != "" {
			req.Filter = filter(t, f.text)
		}
		sub := modelSub{id: r.subscribe(req), channel: modelChannels[0], filters: []modelFilter{f}, from: []uint64{0}}
		var m history
		rng := rand.New(rand.NewPCG(1, 2))
		m.publishAtOnce(h, rng, 2000) // one window, however slow the machine is
		matching := uint64(0)
		for _, p := range m.all {
			if f.match(p) {
				matching++
			}
		}
		require.Eventually(t, func() bool { return h.Stats().Matched == matching }, waitFor, tick)
		r.upTo(sub.id, uint64(len(m.all)))
		stats := h.Stats()
		require.Positive(t, stats.DroppedSlow, "blocks were dropped")
		require.Positive(t, stats.DroppedSampled)
		sub.check(t, r, m.all, func(published) bool { return true })
	}
}

func TestStreamOverloadIsCounted(t *testing.T) {
	const total = 1500
	opts := livetail.DefaultOptions()
	opts.ClientBytes = 1 << 30
	opts.AppendRecord = (&counting{}).append
	h := livetail.New(opts) // not started
	defer h.Close()
	r := newReader(t, h, access.Local())
	sub := r.subscribe(livetail.Request{Channel: channel(t, "project:shop"), Filter: filter(t, `{"regex":"x+y"}`)})
	body := make([]byte, 100_000)
	for i := range body {
		body[i] = 'x'
	}
	for i := range total {
		publish(h, bigLog(string(body), 0, fmt.Sprint("uid-", i)))
	}
	h.Start()
	r.upTo(sub, total)
	delivered, dropped, filtered := r.counts(sub)
	assert.Zero(t, delivered)
	assert.Positive(t, dropped, "what was not looked at counts as lost")
	assert.Equal(t, uint64(total), dropped+filtered)
	assert.Equal(t, dropped, h.Stats().DroppedBusy)
}

func TestStreamClosed(t *testing.T) {
	h := newHub(t, nil)
	r := newReader(t, h, access.Local())
	r.subscribe(livetail.Request{Channel: channel(t, "*")})
	publish(h, lines("shop", "web-1", 0, 7))
	require.Eventually(t, func() bool { return h.Stats().Matched == 7 }, waitFor, tick)
	r.stream.Close()
	r.stream.Close()
	s := h.Stats()
	assert.Equal(t, uint64(7), s.DroppedClosed)
	assert.Zero(t, s.Subscribers)
	assert.Zero(t, s.Subscriptions)
	r.takeAll()
	assert.Empty(t, r.parts)
}
