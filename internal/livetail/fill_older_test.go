// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/livetail"
)

// olderAfter asks for the newest lines of a server, without waiting for the store.
func olderAfter(t *testing.T, r *reader, records int) uint32 {
	t.Helper()
	sub := r.subscribe(livetail.Request{Channel: channel(t, "server:web-1"), Backfill: records, OlderAfter: true})
	assert.True(t, r.begun[sub].Filling)
	assert.True(t, r.begun[sub].Older)
	return sub
}

// inOrder puts what is older before the rest.
func (r *reader) inOrder(t *testing.T, sub uint32) (all []int, older int) {
	t.Helper()
	got, stored := r.numbers(sub)
	i := 0
	for _, p := range r.parts[sub] {
		require.Equal(t, p.stored, p.older)
		if p.older {
			all = slices.Insert(all, older, got[i:i+len(p.records)]...)
			older += len(p.records)
		} else {
			all = append(all, got[i:i+len(p.records)]...)
		}
		i += len(p.records)
	}
	require.Equal(t, stored, older)
	return all, older
}

// What the rings hold does not wait for the store, and neither does what is live: what is older comes when it is there, and says so.
func TestFilledOlderAfter(t *testing.T) {
	s := &shelf{unlocked: make(chan struct{})}
	s.add(lines("shop", "web-1", 0, 110))
	h := newHub(t, withHistory(s, 1000))
	publish(h, lines("shop", "web-1", 95, 10))
	r := newReader(t, h, viewer("shop"))
	sub := olderAfter(t, r, 30)
	r.upTo(sub, 10)
	publish(h, lines("shop", "web-1", 105, 7))
	r.upTo(sub, 17)
	got, _ := r.numbers(sub)
	assert.Equal(t, upTo(112)[95:], got)
	assert.Nil(t, r.filled(sub))

	close(s.unlocked)
	r.await(func() bool { return r.filled(sub) != nil })
	got, older := r.inOrder(t, sub)
	assert.Equal(t, upTo(112)[75:], got, "none twice")
	assert.Equal(t, 20, older)
	assert.Equal(t, &livetail.Filled{
		Records: 20, Signals: []livetail.Signal{livetail.SignalLog, livetail.SignalSpan}, Complete: true, Older: true,
	}, r.filled(sub))

	olderAfter(t, r, 40)
	r.await(func() bool { return r.filled(sub+1) != nil })
	assert.Equal(t, 1, s.settles, "what an earlier run has left is settled once for all")
	stats := h.Stats()
	assert.Equal(t, stats.Matched, stats.Delivered)
}

// Between the pages of a store that is slow a ring may turn over: what comes from both then can't be told apart, and is left out.
func TestFilledOlderTurnsOver(t *testing.T) {
	s := &shelf{}
	s.add(lines("shop", "web-1", 0, 60))
	h := newHub(t, withHistory(s, 10))
	publish(h, lines("shop", "web-1", 40, 5))
	next := 45
	s.onRead = func() {
		publish(h, lines("shop", "web-1", next, 15))
		next += 15
	}
	r := newReader(t, h, viewer("shop"))
	sub := olderAfter(t, r, 30)
	r.await(func() bool { return r.filled(sub) != nil })
	r.upTo(sub, uint64(next-40))
	got, older := r.inOrder(t, sub)
	assert.Zero(t, older)
	assert.Equal(t, len(got), len(slices.Compact(slices.Clone(got))), "none twice")
	assert.Contains(t, r.filled(sub).Problem, "faster")
	assert.False(t, r.filled(sub).Complete)
}

// A store that fails costs what is older, which is said; nothing of the rings is missing, so there is no gap.
func TestFilledOlderIncompletely(t *testing.T) {
	s := &shelf{broken: errors.New("refused")}
	h := newHub(t, withHistory(s, 1000))
	publish(h, lines("shop", "web-1", 0, 5))
	r := newReader(t, h, viewer("shop"))
	sub := olderAfter(t, r, 30)
	r.await(func() bool { return r.filled(sub) != nil && r.at[sub] == 5 })
	assert.False(t, r.filled(sub).Complete)
	assert.True(t, r.filled(sub).Older)
	assert.Zero(t, r.gaps(sub))

	// Rights that change while it is read end it.
	s.mu.Lock()
	s.broken, s.unlocked = nil, make(chan struct{})
	s.mu.Unlock()
	s.add(lines("shop", "web-1", 0, 5))
	sub = olderAfter(t, r, 30)
	r.upTo(sub, 5)
	r.stream.SetCaller(viewer("bank"))
	close(s.unlocked)
	r.await(func() bool { return r.filled(sub) != nil })
	_, older := r.inOrder(t, sub)
	assert.Zero(t, older)
	assert.False(t, r.filled(sub).Complete)
}
