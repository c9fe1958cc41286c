// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recorder is a sink that keeps what it gets, once it may.
type recorder struct {
	gate chan struct{} // nil or closed: open

	mu      sync.Mutex
	entries map[*Source][]Entry
	batches int
}

func (r *recorder) Deliver(ctx context.Context, batch Batch) error {
	if r.gate != nil {
		select {
		case <-r.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entries == nil {
		r.entries = map[*Source][]Entry{}
	}
	r.batches++
	for _, group := range batch {
		r.entries[group.Source] = append(r.entries[group.Source], group.Entries...)
	}
	return nil
}

func (r *recorder) of(source *Source) []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Entry(nil), r.entries[source]...)
}

func (r *recorder) all() []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Entry
	for _, entries := range r.entries {
		all = append(all, entries...)
	}
	return all
}

func lines(entries []Entry) []string {
	var texts []string
	for _, e := range entries {
		texts = append(texts, e.Line)
	}
	return texts
}

func attach(t *testing.T, o *outlet, sink Sink) func() {
	detach, err := o.attach(sink)
	require.NoError(t, err)
	t.Cleanup(detach)
	return detach
}

func line(format string, args ...any) []Entry {
	return []Entry{{Time: time.Now(), Line: fmt.Sprintf(format, args...)}}
}

func TestOutletBatchesWhileTheSinkIsBusy(t *testing.T) {
	o := newOutlet(1 << 20)
	q := o.newQueue(&Source{Server: "a"})
	sink := &recorder{gate: make(chan struct{})}
	attach(t, o, sink)
	var want []string
	for i := range 500 {
		o.push(q, line("%d", i))
		want = append(want, fmt.Sprint(i))
	}
	close(sink.gate)
	require.NoError(t, o.drain(t.Context()))
	got := sink.of(q.source)
	assert.Equal(t, want, lines(got))
	assert.LessOrEqual(t, sink.batches, 2, "what came while the sink was busy is one batch")
	for i := 1; i < len(got); i++ {
		require.Less(t, got[i-1].UID.Compare(got[i].UID), 0, "uids must increase")
	}
}

func TestOutletHoldsTheWriterBackWhileTheSinkRefuses(t *testing.T) {
	o := newOutlet(10 * entryOverhead)
	q := o.newQueue(&Source{Server: "a"})
	sink := &recorder{gate: make(chan struct{})}
	attach(t, o, sink)
	pushed := make(chan int, 1000)
	go func() {
		defer close(pushed)
		for i := range 1000 {
			o.push(q, line(""))
			pushed <- i
		}
	}()
	// One batch with the sink, one queue full: then nothing more is taken.
	require.Eventually(t, func() bool {
		n := len(pushed)
		time.Sleep(20 * time.Millisecond)
		return n > 0 && n == len(pushed)
	}, 5*time.Second, time.Millisecond)
	require.LessOrEqual(t, len(pushed), 22)
	close(sink.gate)
	require.Eventually(t, func() bool { return len(sink.of(q.source)) == 1000 }, 5*time.Second, time.Millisecond)
	assert.Zero(t, o.dropped)
	require.NoError(t, o.drain(t.Context()))
}

func TestOutletWithoutASinkKeepsWhatFitsAndCountsTheRest(t *testing.T) {
	o := newOutlet(10 * entryOverhead)
	q := o.newQueue(&Source{Server: "a"})
	for i := range 100 {
		o.push(q, line("%d", i)) // must not wait
	}
	assert.EqualValues(t, 90, o.dropped)
	sink := &recorder{}
	attach(t, o, sink)
	require.NoError(t, o.drain(t.Context()))
	got := sink.of(q.source)
	require.Len(t, got, 11)
	last := got[10]
	require.NotNil(t, last.Event, "the gap is told where it is")
	assert.Equal(t, OutputDropped, last.Event.Kind)
	assert.EqualValues(t, 90, last.Event.DroppedLines)
	assert.EqualValues(t, 180, last.Event.DroppedBytes)
	assert.Equal(t, "90 lines of server a were dropped here", last.Line)
	o.push(q, line("after"))
	require.NoError(t, o.drain(t.Context()))
	assert.Equal(t, "after", sink.of(q.source)[11].Line)
	requireIncreasing(t, sink.of(q.source))
}

func requireIncreasing(t *testing.T, entries []Entry) {
	t.Helper()
	for i := 1; i < len(entries); i++ {
		require.Less(t, entries[i-1].UID.Compare(entries[i].UID), 0, "uids must increase")
	}
}

func TestOutletDropsTheOldestWhereAsked(t *testing.T) {
	o := newOutlet(10 * entryOverhead)
	q := o.newQueue(&Source{Server: "a"})
	q.dropOldest = true
	sink := &recorder{gate: make(chan struct{})}
	attach(t, o, sink)
	o.push(q, line("with the sink"))
	require.Eventually(t, func() bool { o.mu.Lock(); defer o.mu.Unlock(); return o.busy }, 20*time.Second, time.Millisecond)
	o.pushEvent(q, Entry{Time: time.Now(), Line: "before the gap", Event: &Event{Kind: Health}})
	const n = 1000
	for i := range n {
		o.push(q, many("%d.", i, 3)) // must not wait
		if i == 500 {
			o.pushEvent(q, Entry{Time: time.Now(), Line: "an event", Event: &Event{Kind: Health}})
		}
	}
	close(sink.gate)
	require.NoError(t, o.drain(t.Context()))
	got := sink.of(q.source)
	requireIncreasing(t, got)
	require.Greater(t, len(got), 4)
	assert.Equal(t, "with the sink", got[0].Line)
	assert.Equal(t, "before the gap", got[1].Line, "events are never dropped")
	assert.Equal(t, OutputDropped, got[2].Event.Kind)
	assert.Equal(t, "an event", got[3].Line, "events are never dropped")
	rest := got[4:]
	assert.EqualValues(t, 3*n-len(rest), got[2].Event.DroppedLines, "every line is delivered or counted")
	assert.Equal(t, got[2].Event.DroppedLines, q.dropped)
	assert.Equal(t, q.dropped, o.dropped)
	assert.Equal(t, lines(many("%d.", n-1, 3))[2], rest[len(rest)-1].Line, "the newest is there")
	assert.Zero(t, o.buffered)
}

// many returns n lines.
func many(format string, value, n int) []Entry {
	entries := make([]Entry, n, 2*smallPush)
	for i := range entries {
		entries[i] = Entry{Time: time.Now(), Line: fmt.Sprintf(format+"%d", value, i)}
	}
	return entries
}

func TestOutletGivesTheNextSinkWhatTheLastOneDidNotAccept(t *testing.T) {
	o := newOutlet(1 << 20)
	q := o.newQueue(&Source{Server: "a"})
	stuck := &recorder{gate: make(chan struct{})}
	detach := attach(t, o, stuck)
	o.push(q, line("first"))
	require.Eventually(t, func() bool { o.mu.Lock(); defer o.mu.Unlock(); return o.busy }, time.Second, time.Millisecond)
	_, err := o.attach(&recorder{})
	require.ErrorIs(t, err, errAttached)
	detach()
	o.push(q, line("second"))
	next := &recorder{}
	attach(t, o, next)
	require.NoError(t, o.drain(t.Context()))
	assert.Equal(t, []string{"first", "second"}, lines(next.of(q.source)))
	assert.Empty(t, stuck.of(q.source))
}

func TestOutletCloseFreesWritersAndCounts(t *testing.T) {
	o := newOutlet(entryOverhead)
	q := o.newQueue(&Source{Server: "a"})
	stuck := &recorder{gate: make(chan struct{})}
	detach := attach(t, o, stuck)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 10 {
			o.push(q, line("x"))
		}
	}()
	require.Eventually(t, func() bool { o.mu.Lock(); defer o.mu.Unlock(); return o.busy && q.bytes > 0 }, time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, o.drain(ctx), context.DeadlineExceeded)
	o.close()
	o.close()
	<-done
	detach()
	assert.EqualValues(t, 10, o.dropped)
	assert.Zero(t, o.buffered)
}

func TestUIDsIncreaseWhenTheClockIsSetBack(t *testing.T) {
	var u uidSource
	now := time.Now()
	last := u.next(now)
	assert.Equal(t, ulid.Timestamp(now), last.Time())
	u.low, u.high = ^uint64(0), ^uint16(0)
	for _, step := range []time.Duration{0, -time.Hour, 0, time.Microsecond, time.Second} {
		next := u.next(now.Add(step))
		assert.Less(t, last.Compare(next), 0)
		last = next
	}
}

func BenchmarkOutlet(b *testing.B) {
	o := newOutlet(256 << 10)
	q := o.newQueue(&Source{Server: "a"})
	detach, err := o.attach(&discard{})
	if err != nil {
		b.Fatal(err)
	}
	defer detach()
	entries := make([]Entry, 300)
	for i := range entries {
		entries[i] = Entry{Time: time.Now(), Line: "a line of output that is about one hundred bytes long, as most lines of most servers are, not more"}
	}
	b.SetBytes(int64(len(entries) * len(entries[0].Line)))
	b.ReportAllocs()
	var next []Entry
	for b.Loop() {
		next = o.push(q, append(next, entries...))
	}
}

type discard struct{}

func (*discard) Deliver(context.Context, Batch) error { return nil }
