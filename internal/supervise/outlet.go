// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"context"
	"errors"
	"sync"

	"github.com/oklog/ulid/v2"
)

const (
	// batchBytes and batchEntries end the collecting of a batch; the queue that reaches them is taken whole.
	batchBytes   = 1 << 20
	batchEntries = 8192
	// entryOverhead is what an entry costs beside its text, so that empty lines are not free.
	entryOverhead = 128
)

var errAttached = errors.New("its output already goes to another receiver")

// outlet collects the entries of all queues and hands them to the sink, one batch at a time: at once
// when the sink is idle, and everything that has come meanwhile when it was busy.
type outlet struct {
	limit int // bytes a queue

	mu       sync.Mutex
	uids     uidSource
	ready    []*queue // with entries, in the order in which they are served
	pending  Batch    // given to a sink that ended before it had accepted it
	busy     bool     // a batch is with the sink
	sink     Sink
	held     bool  // another sink will come: push waits for it
	closed   bool  // nothing is taken any more
	dropped  int64 // entries
	buffered int64 // bytes in queues
	changed  chan struct{}
}

func newOutlet(limit int) *outlet {
	return &outlet{limit: limit, changed: make(chan struct{})}
}

// push adds entries, in order, gives each its UID, and keeps the slice; it returns an empty one to use instead.
// While the queue is full and somebody reads, or will (hold), it waits, or drops the oldest entries, as the queue wants it. What
// is pushed to a full queue that nobody reads, or after close, is dropped. What is dropped is counted, and but at the end
// told where it is missing.
func (o *outlet) push(q *queue, entries []Entry) (empty []Entry) {
	if len(entries) == 0 {
		return entries
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for q.bytes >= o.limit && !q.dropOldest && (o.sink != nil || o.held) && !o.closed {
		q.space.Wait()
	}
	if o.closed || q.bytes >= o.limit && !q.dropOldest {
		o.dropped += int64(len(entries))
		if o.closed {
			q.dropped += int64(len(entries))
		} else {
			q.behind.add(q, entries, o.uids.next(entries[0].Time))
		}
		clear(entries)
		return entries[:0]
	}
	freed := 0
	for q.bytes >= o.limit {
		n, bytes := q.dropChunk()
		if n == 0 && bytes == 0 {
			break // only events are left
		}
		o.dropped += int64(n)
		freed += bytes
	}
	o.buffered -= int64(freed)
	return o.add(q, entries)
}

// pushEvent adds an event. Events are few and never wait: a change of state must not be held up by output.
func (o *outlet) pushEvent(q *queue, entry Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		o.dropped++
		return
	}
	o.add(q, []Entry{entry})
}

// offerEvent adds an event that repeats itself, if it can be taken: it must not gather while nobody reads.
func (o *outlet) offerEvent(q *queue, entry Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.sink == nil || q.bytes >= o.limit {
		return
	}
	o.add(q, []Entry{entry})
}

func (o *outlet) add(q *queue, entries []Entry) (empty []Entry) {
	before := q.bytes
	q.closeGap()
	size := 0
	for i := range entries {
		entries[i].UID = o.uids.at(ulid.Timestamp(entries[i].Time))
		size += len(entries[i].Line) + len(entries[i].Raw) + entryOverhead
	}
	empty = q.append(entries, size)
	o.buffered += int64(q.bytes - before)
	if !q.listed {
		q.listed = true
		o.ready = append(o.ready, q)
		o.notify()
	}
	return empty
}

// notify wakes everybody who waits for a change. Needs mu.
func (o *outlet) notify() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// attach starts the delivery to sink.
func (o *outlet) attach(sink Sink) (func(), error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sink != nil {
		return nil, errAttached
	}
	o.sink = sink
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.deliver(ctx, sink)
	}()
	return sync.OnceFunc(func() {
		cancel()
		<-done
		o.mu.Lock()
		defer o.mu.Unlock()
		o.sink = nil
		for _, q := range o.ready {
			q.space.Broadcast()
		}
		o.notify()
	}), nil
}

func (o *outlet) deliver(ctx context.Context, sink Sink) {
	var queues []*queue
	for {
		var batch Batch
		batch, queues = o.take(ctx, queues[:0])
		if batch == nil {
			return
		}
		err := sink.Deliver(ctx, batch)
		o.done(batch, queues, err)
		if err != nil {
			return
		}
	}
}

// take waits for entries and returns them with their queues; nil when ctx or the outlet ended.
func (o *outlet) take(ctx context.Context, queues []*queue) (Batch, []*queue) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for ctx.Err() == nil && !o.closed {
		if batch := o.pending; batch != nil {
			o.pending = nil
			o.busy = true
			return batch, queues
		}
		if len(o.ready) > 0 {
			return o.collect(queues)
		}
		changed := o.changed
		o.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		o.mu.Lock()
	}
	return nil, queues
}

// collect returns one group for each chunk of the queues it takes, and their queues.
func (o *outlet) collect(queues []*queue) (Batch, []*queue) {
	var batch Batch
	size, count := 0, 0
	for len(o.ready) > 0 && size < batchBytes && count < batchEntries {
		q := o.ready[0]
		o.ready[0] = nil
		o.ready = o.ready[1:]
		size += q.bytes
		o.buffered -= int64(q.bytes)
		for _, chunk := range q.take() {
			batch = append(batch, Group{Source: q.source, Entries: chunk.entries})
			queues = append(queues, q)
			count += len(chunk.entries)
		}
		q.space.Broadcast()
	}
	o.busy = true
	return batch, queues
}

// done ends the delivery of a batch. queues is empty for a batch that came again.
func (o *outlet) done(batch Batch, queues []*queue, err error) {
	if err == nil {
		for i := range queues {
			clear(batch[i].Entries) // not under the lock: it takes a while
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.busy = false
	switch {
	case err == nil:
		for i, q := range queues {
			q.reuse(batch[i].Entries)
		}
	case o.closed:
		o.drop(batch)
	default:
		o.pending = batch
	}
	o.notify()
}

// drop counts a batch that nobody takes any more.
func (o *outlet) drop(batch Batch) { o.dropped += int64(batch.Len()) }

// drain waits until everything is accepted, or nobody reads it; the error is that of ctx.
func (o *outlet) drain(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.busy || o.pending != nil || len(o.ready) > 0 {
		if o.sink == nil || o.closed {
			return nil
		}
		changed := o.changed
		o.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = ctx.Err()
		}
		o.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// close drops and counts what is left, and lets everybody go who waits. A batch that is with the sink
// counts when the sink gives it back.
func (o *outlet) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.closed = true
	o.drop(o.pending)
	o.pending = nil
	for _, q := range o.ready {
		o.buffered -= int64(q.bytes)
		for _, chunk := range q.take() {
			o.dropped += int64(len(chunk.entries))
			q.dropped += int64(len(chunk.entries))
		}
		q.space.Broadcast()
	}
	o.ready = nil
	o.notify()
}

// hold says whether a full queue waits for a sink where there is none.
func (o *outlet) hold(held bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = held
	for _, q := range o.ready {
		q.space.Broadcast()
	}
}

// setLimit changes how many bytes a queue may hold.
func (o *outlet) setLimit(limit int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.limit = limit
	for _, q := range o.ready {
		q.space.Broadcast()
	}
}

func (o *outlet) attached() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sink != nil
}
