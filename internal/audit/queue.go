// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tailrace/tailrace/internal/identity"
)

const (
	// maxWaiting bounds the events that wait for a sink; beyond it the oldest are lost, counted and told.
	maxWaiting = 4096
	// maxBatch bounds one delivery.
	maxBatch = 256
	// maxKinds bounds the kinds of refusals that are counted apart.
	maxKinds = 1024
	// DefaultWindow is how long refusals alike are counted before the next record of them.
	DefaultWindow = time.Minute
)

// Queue keeps events until a sink has them, in order. Refusals alike become one record in each window, with their count: somebody who
// knocks a thousand times a second must not push everything else out. Safe for concurrent use.
type Queue struct {
	window  time.Duration
	dropped func(Event) // an event is lost
	uids    identity.UIDs
	wake    chan struct{} // something is there for the sink

	mu       sync.Mutex
	waiting  []Event
	refusals map[kind]*repeated
	swept    time.Time // when tellOld last looked
	attached bool
}

var _ interface {
	AttachAudit(Sink) (func(), error)
} = (*Queue)(nil)

// kind are refusals alike.
type kind struct{ name, reason, client, subject string }

type repeated struct {
	last  Event // the last of those that are not told yet; valid when count > 0
	count int   // not told yet
	since time.Time
}

// NewQueue makes a queue. dropped is told each event that is lost; it must return soon, and may be called by many.
func NewQueue(window time.Duration, dropped func(Event)) *Queue {
	return &Queue{window: window, dropped: dropped, wake: make(chan struct{}, 1), refusals: map[kind]*repeated{}}
}

// Add takes an event; it never waits.
func (q *Queue) Add(e Event) {
	e.clean()
	e.Count = max(e.Count, 1)
	q.mu.Lock()
	defer q.mu.Unlock()
	if e.Time.Sub(q.swept) >= q.window/8 { // a walk through all, so not each time
		q.tellOld(e.Time)
	}
	if e.Outcome == Refused {
		k := kind{e.Name, e.Reason, e.Client, e.Subject}
		if _, known := q.refusals[k]; !known && len(q.refusals) >= maxKinds {
			k = kind{name: e.Name, reason: e.Reason} // whoever they are
		}
		if r, known := q.refusals[k]; known {
			r.last = e
			r.count += e.Count
			return
		}
		q.refusals[k] = &repeated{since: e.Time}
	}
	q.put(e)
}

// tellOld makes a record of refusals whose window is over. q.mu is held.
func (q *Queue) tellOld(now time.Time) {
	q.swept = now
	for k, r := range q.refusals {
		if now.Sub(r.since) < q.window {
			continue
		}
		if r.count == 0 {
			delete(q.refusals, k)
			continue
		}
		r.last.Count = r.count
		q.put(r.last)
		r.count, r.since = 0, now
	}
}

func (q *Queue) put(e Event) {
	uids := q.uids.Reserve(1)
	e.UID = uids.Next()
	if len(q.waiting) >= maxWaiting {
		q.dropped(q.waiting[0])
		q.waiting = append(q.waiting[:0], q.waiting[1:]...)
	}
	q.waiting = append(q.waiting, e)
	select {
	case q.wake <- struct{}{}:
	default: // it knows already
	}
}

// AttachAudit implements Source.
func (q *Queue) AttachAudit(sink Sink) (detach func(), err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.attached {
		return nil, ErrAttached
	}
	q.attached = true
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		q.deliver(ctx, sink)
	}()
	return sync.OnceFunc(func() {
		cancel()
		<-done
		q.mu.Lock()
		q.attached = false
		q.mu.Unlock()
	}), nil
}

func (q *Queue) deliver(ctx context.Context, sink Sink) {
	tick := time.NewTicker(max(q.window/4, time.Millisecond))
	defer tick.Stop()
	for {
		batch := q.next()
		if len(batch) > 0 {
			if sink.Deliver(ctx, batch) != nil {
				q.putBack(batch)
				return
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		case <-tick.C:
			q.mu.Lock()
			q.tellOld(time.Now())
			q.mu.Unlock()
		}
	}
}

func (q *Queue) next() []Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.waiting), maxBatch)
	batch := append([]Event(nil), q.waiting[:n]...)
	q.waiting = append(q.waiting[:0], q.waiting[n:]...)
	return batch
}

func (q *Queue) putBack(batch []Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := slices.Concat(batch, q.waiting)
	for len(all) > maxWaiting {
		q.dropped(all[0])
		all = all[1:]
	}
	q.waiting = all
}

// Attached reports whether a sink reads.
func (q *Queue) Attached() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.attached
}

// Waiting is the number of events that wait.
func (q *Queue) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// Take removes and returns what waits, refusals that were only counted included.
func (q *Queue) Take() []Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range q.refusals {
		if r.count > 0 {
			r.last.Count = r.count
			r.count = 0
			q.put(r.last)
		}
	}
	all := q.waiting
	q.waiting = nil
	return all
}
