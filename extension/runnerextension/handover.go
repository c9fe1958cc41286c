// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
)

// adoptWait is how long the servers of a runner that a reload has ended wait for its successor. It is there within
// moments, unless the new configuration has none, or is broken and the collector ends.
const adoptWait = 15 * time.Second

// handovers holds what outlives a reload, from the end of a runner to the start of the next one with the same ID. It
// is the one package-level variable here: the collector keeps nothing else from one service to the next.
var handovers = registry{wait: adoptWait}

// registry is safe for concurrent use.
type registry struct {
	wait   time.Duration
	mu     sync.Mutex
	parked map[component.ID]*parked
}

type parked struct {
	children *childrenState
	timer    *time.Timer
	ended    chan struct{} // the servers were stopped, because nobody came
}

// park keeps children for the next runner of this ID. When none comes they are stopped as at the end of the collector.
func (r *registry) park(id component.ID, children *childrenState) {
	entry := &parked{children: children, ended: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	if other := r.parked[id]; other != nil && other.timer.Stop() { // of another collector in this process
		go r.expire(id, other)
	}
	if r.parked == nil {
		r.parked = map[component.ID]*parked{}
	}
	r.parked[id] = entry
	entry.timer = time.AfterFunc(r.wait, func() { r.expire(id, entry) })
}

func (r *registry) expire(id component.ID, entry *parked) {
	entry.children.logger.Warn("No runner took the servers over after the reload; they are stopped")
	_ = entry.children.supervisor.Stop(context.Background()) // nobody is there to be told
	r.mu.Lock()
	if r.parked[id] == entry {
		delete(r.parked, id)
	}
	r.mu.Unlock()
	close(entry.ended)
}

// take returns what was parked under id, nil without. If it is just being stopped, take waits for that: nothing must
// run twice.
func (r *registry) take(id component.ID) *childrenState {
	r.mu.Lock()
	entry := r.parked[id]
	if entry == nil {
		r.mu.Unlock()
		return nil
	}
	if entry.timer.Stop() {
		delete(r.parked, id)
		r.mu.Unlock()
		return entry.children
	}
	r.mu.Unlock()
	<-entry.ended
	return nil
}
