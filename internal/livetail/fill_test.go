// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
)

// shelf is a history of lines; its pages have 7.
type shelf struct {
	mu       sync.Mutex // guards what follows
	lines    []plog.Logs
	settled  error
	settles  int
	broken   error
	reads    int
	queries  []livetail.HistoryQuery
	onRead   func()
	unlocked chan struct{} // Read waits for it, nil: not
}

func (s *shelf) add(ld plog.Logs) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, lr := range ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
		one := plog.NewLogs()
		rl := one.ResourceLogs().AppendEmpty()
		ld.ResourceLogs().At(0).Resource().CopyTo(rl.Resource())
		to := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		lr.CopyTo(to)
		to.Attributes().PutStr("process.pid", "4242") // as it is stored
		s.lines = append(s.lines, one)
	}
}

func (s *shelf) Settle(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settles++
	return s.settled
}

func at(ld plog.Logs) time.Time {
	return ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Timestamp().AsTime()
}

func (s *shelf) Read(ctx context.Context, q livetail.HistoryQuery) (livetail.HistoryPage, error) {
	s.mu.Lock()
	wait := s.unlocked
	s.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return livetail.HistoryPage{}, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	s.queries = append(s.queries, q)
	page := livetail.HistoryPage{Logs: plog.NewLogs(), Spans: ptrace.NewTraces()}
	if s.broken != nil || q.Signal == livetail.SignalSpan {
		return page, s.broken
	}
	var all []plog.Logs
	for _, l := range s.lines {
		project, _ := l.ResourceLogs().At(0).Resource().Attributes().Get("project.id")
		if q.Caller.MayRead(project.Str()) && !at(l).Before(q.From) && at(l).Before(q.To) {
			all = append(all, l)
		}
	}
	if q.Newest {
		slices.Reverse(all)
	}
	from, _ := strconv.Atoi(q.Cursor)
	for _, l := range all[from:min(from+7, len(all))] {
		l.ResourceLogs().At(0).CopyTo(page.Logs.ResourceLogs().AppendEmpty())
	}
	if from+7 < len(all) {
		page.Next = strconv.Itoa(from + 7)
	}
	if s.onRead != nil {
		s.onRead()
	}
	return page, nil
}

// numbers are those of the lines that a subscription got, and whether each came from the history.
func (r *reader) numbers(sub uint32) (all []int, stored int) {
	for _, p := range r.parts[sub] {
		for _, rec := range p.records {
			_, n, _ := strings.Cut(rec.Body, " line ")
			i, err := strconv.Atoi(n)
			require.NoError(r.tb, err)
			all = append(all, i)
			if p.stored {
				require.Zero(r.tb, rec.Seq, "it has no place")
				stored++
			}
		}
	}
	return all, stored
}

func (r *reader) filled(sub uint32) *livetail.Filled {
	for _, p := range r.parts[sub] {
		if p.end != nil {
			return p.end
		}
	}
	return nil
}

func (r *reader) gaps(sub uint32) (n int) {
	for _, p := range r.parts[sub] {
		if p.gap != nil {
			n++
		}
	}
	return n
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

func withHistory(s *shelf, ring int) func(*livetail.Options) {
	return func(o *livetail.Options) { o.History, o.RingRecords = s, ring }
}

// What an earlier run had is filled in, what both have comes once, and then it goes on live.
func TestFilledFromAnotherEpoch(t *testing.T) {
	s := &shelf{}
	s.add(lines("shop", "web-1", 0, 40))
	h := newHub(t, withHistory(s, 1000))
	publish(h, lines("shop", "web-1", 30, 20)) // 30 to 39 were sent again
	r := newReader(t, h, viewer("shop"))
	sub := r.subscribe(livetail.Request{Channel: channel(t, "server:web-1"), Resume: &livetail.Position{Epoch: "other", Seq: 99, At: epoch}})
	assert.True(t, r.begun[sub].Filling)
	assert.Nil(t, r.begun[sub].Gap)
	r.upTo(sub, 20)
	publish(h, lines("shop", "web-1", 50, 5))
	r.upTo(sub, 25)
	got, stored := r.numbers(sub)
	assert.Equal(t, upTo(55), got)
	assert.Equal(t, 30, stored)
	assert.Equal(t, &livetail.Filled{Records: 30, Signals: []livetail.Signal{livetail.SignalLog, livetail.SignalSpan}, Complete: true}, r.filled(sub))
	assert.Zero(t, r.gaps(sub))
	stats := h.Stats()
	assert.Equal(t, uint64(30), stats.Stored)
	assert.Equal(t, uint64(25), stats.Matched, "what is stored is beside it")
	assert.Equal(t, epoch.Add(-10*time.Second), s.queries[0].From)
}

// Whether other collectors have stored all of theirs is not known: what comes is shown, and it is said that more may be missing.
func TestFilledIsNotCompleteWithOtherCollectors(t *testing.T) {
	s := &shelf{}
	s.add(lines("shop", "web-1", 0, 40))
	h := newHub(t, func(o *livetail.Options) {
		withHistory(s, 1000)(o)
		o.Peers = &tapped{}
	})
	publish(h, lines("shop", "web-1", 30, 20))
	r := newReader(t, h, viewer("shop"))
	sub := r.subscribe(livetail.Request{Channel: channel(t, "server:web-1"), Resume: &livetail.Position{Epoch: "other", Seq: 99, At: epoch}})
	r.upTo(sub, 20)
	got, stored := r.numbers(sub)
	assert.Equal(t, upTo(50), got)
	assert.Equal(t, 30, stored)
	assert.False(t, r.filled(sub).Complete)
	assert.Contains(t, r.filled(sub).Problem, "other collectors")
	assert.Equal(t, 1, r.gaps(sub))
}

func TestFilledWhatTheRingHasLost(t *testing.T) {
	s := &shelf{}
	fresh := freshLines(0, 100)
	h := newHub(t, withHistory(s, 20))
	s.add(fresh)
	publish(h, fresh)
	r := newReader(t, h, viewer("shop"))
	sub := r.subscribe(livetail.Request{
		Channel: channel(t, "project:shop"), Resume: &livetail.Position{Epoch: h.Epoch(), Seq: 0},
		Filter: filter(t, `{"attributes":{"process.pid":4242},"not":{"regex":"[13579]$"}}`),
	})
	r.upTo(sub, 100)
	got, stored := r.numbers(sub)
	var want []int
	for i := 0; i < 100; i += 2 {
		want = append(want, i)
	}
	assert.Equal(t, want, got, "a number matches what has become a string")
	assert.Equal(t, 40, stored)
	assert.Zero(t, r.gaps(sub))
	assert.True(t, r.filled(sub).Complete)
}

// freshLines are lines of now, so that the hub's clock knows when they came.
func freshLines(first, n int) plog.Logs {
	ld := plog.NewLogs()
	lines("shop", "web-1", first, n).CopyTo(ld)
	now := time.Now()
	for i, lr := range ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
		lr.SetTimestamp(pcommon.NewTimestampFromTime(now.Add(time.Duration(i) * time.Microsecond)))
	}
	return ld
}

// What the rings held when a fill looked, and have lost before they were read, is filled in by the next.
func TestFilledWhatTheRingLosesMeanwhile(t *testing.T) {
	for name, req := range map[string]livetail.Request{
		"resume": {Resume: &livetail.Position{Epoch: "other", Seq: 99, At: time.Now()}},
		"since":  {Since: time.Now().Add(-time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shelf{}
			h := newHub(t, withHistory(s, 20))
			both := func(first, n int) {
				ld := freshLines(first, n)
				publish(h, ld)
				s.add(ld)
			}
			both(0, 20)
			s.onRead = func() {
				if s.reads != 3 { // the first page has been compared with the ring
					return
				}
				s.mu.Unlock()
				both(20, 25)
				s.mu.Lock()
			}
			r := newReader(t, h, viewer("shop"))
			req.Channel = channel(t, "server:web-1")
			sub := r.subscribe(req)
			r.upTo(sub, 45)
			got, _ := r.numbers(sub)
			slices.Sort(got)
			assert.Equal(t, upTo(45), got)
			assert.Zero(t, r.gaps(sub))
		})
	}
}

func TestFilledBackfill(t *testing.T) {
	s := &shelf{}
	s.add(lines("shop", "web-1", 0, 100))
	s.add(lines("bank", "web-1", 100, 100))
	h := newHub(t, withHistory(s, 1000))
	publish(h, lines("shop", "web-1", 95, 10))
	r := newReader(t, h, viewer("shop"))
	sub := r.subscribe(livetail.Request{Channel: channel(t, "*"), Backfill: 30})
	r.upTo(sub, 10)
	got, stored := r.numbers(sub)
	assert.Equal(t, upTo(105)[75:], got, "the newest, the oldest of them first; nothing of the bank")
	assert.Equal(t, 20, stored)

	sub = r.subscribe(livetail.Request{Channel: channel(t, "*"), Since: epoch.Add(50 * time.Millisecond)})
	r.upTo(sub, 10)
	got, _ = r.numbers(sub)
	assert.Equal(t, upTo(105)[50:], got)

	reads := s.reads
	sub = r.subscribe(livetail.Request{Channel: channel(t, "*"), Backfill: 10})
	r.upTo(sub, 10)
	sub = r.subscribe(livetail.Request{Channel: channel(t, "metrics:shop"), Backfill: 10})
	assert.False(t, r.begun[sub].Filling, "metrics are not filled in")
	assert.Equal(t, reads, s.reads, "the ring had it all")
}

// Whatever goes wrong, it is as without a history, and said.
func TestFilledIncompletely(t *testing.T) {
	for name, spoil := range map[string]func(*shelf){
		"not settled": func(s *shelf) { s.settled = errors.New("behind") },
		"away":        func(s *shelf) { s.broken = errors.New("refused") },
	} {
		t.Run(name, func(t *testing.T) {
			s := &shelf{}
			s.add(lines("shop", "web-1", 0, 20))
			spoil(s)
			h := newHub(t, withHistory(s, 1000))
			publish(h, lines("shop", "web-1", 20, 5))
			r := newReader(t, h, viewer("shop"))
			sub := r.subscribe(livetail.Request{Channel: channel(t, "*"), Resume: &livetail.Position{Epoch: "other", Seq: 9, At: epoch}})
			r.upTo(sub, 5)
			require.NotNil(t, r.filled(sub))
			assert.False(t, r.filled(sub).Complete)
			assert.NotEmpty(t, r.filled(sub).Problem)
			assert.Equal(t, 1, r.gaps(sub))
			got, _ := r.numbers(sub)
			assert.Equal(t, []int{20, 21, 22, 23, 24}, got[len(got)-5:])
		})
	}
}

// A caller whose rights are taken away while the store is read gets nothing of what was read by the old ones.
func TestFillRevoked(t *testing.T) {
	s := &shelf{unlocked: make(chan struct{})}
	s.add(lines("bank", "web-1", 0, 20))
	h := newHub(t, withHistory(s, 1000))
	r := newReader(t, h, viewer("bank", "shop"))
	sub := r.subscribe(livetail.Request{Channel: channel(t, "*"), Resume: &livetail.Position{Epoch: "other", Seq: 9, At: epoch}})
	r.takeAll()
	r.stream.SetCaller(viewer("shop"))
	close(s.unlocked)
	publish(h, lines("shop", "web-1", 0, 3))
	r.upTo(sub, 3)
	got, stored := r.numbers(sub)
	assert.Equal(t, upTo(3), got)
	assert.Zero(t, stored)
	assert.False(t, r.filled(sub).Complete)
	assert.Equal(t, 1, r.gaps(sub))
}

// A record that is stored and comes live while the store is read comes once.
func TestFillWhilePublishing(t *testing.T) {
	s := &shelf{}
	h := newHub(t, withHistory(s, 1000))
	next := 0
	s.onRead = func() { // it is in the store just before the page is returned, and in the ring just after
		if next < 50 {
			publish(h, lines("shop", fmt.Sprint("s", next%3), next, 1))
			next++
		}
	}
	for i := range 60 {
		s.add(lines("shop", fmt.Sprint("s", i%3), i, 1))
	}
	r := newReader(t, h, viewer(access.All))
	sub := r.subscribe(livetail.Request{Channel: channel(t, "*"), Resume: &livetail.Position{Epoch: "other", Seq: 9, At: epoch}})
	r.await(func() bool { return r.filled(sub) != nil && r.at[sub] == h.Stats().Seen })
	got, _ := r.numbers(sub)
	slices.Sort(got)
	assert.Equal(t, upTo(60), got)
}

// Streams and hubs may end while the store is read.
func TestFillEnds(t *testing.T) {
	s := &shelf{unlocked: make(chan struct{})}
	h := newHub(t, withHistory(s, 1000))
	for i := range 4 {
		r := newReader(t, h, viewer("shop"))
		sub := r.subscribe(livetail.Request{Channel: channel(t, "*"), Resume: &livetail.Position{Epoch: "other", Seq: 9, At: epoch}})
		r.takeAll()
		if i == 0 {
			require.NoError(t, r.stream.Unsubscribe(sub, nil))
		}
		if i < 3 {
			r.stream.Close()
		}
	}
	h.Close()
}
