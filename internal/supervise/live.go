// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"sync"
	"time"
)

// live is the present state of a server, for others than its own goroutine.
type live struct {
	mu      sync.Mutex
	pid     int // 0: no process
	started time.Time
	health  string
	cpu     time.Duration // of the processes that have ended
	highest time.Duration // CPU time seen of the present process tree, which may shrink as it loses members
	// ran: it has run. completed: it has ended by itself and well. over: it will not start again.
	ran, completed, over bool
	changed              chan struct{} // nil while nobody waits
}

// wait returns what is closed at the next change. Needs mu.
func (l *live) wait() <-chan struct{} {
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// notify needs mu.
func (l *live) notify() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

func (l *live) setOver() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	l.notify()
}

func (l *live) running(p *process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pid, l.started, l.ran = p.pid, p.started, true
	l.notify()
}

func (l *live) ended(p *process, completed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cpu += max(l.highest, p.cmd.ProcessState.UserTime()+p.cmd.ProcessState.SystemTime())
	l.pid, l.highest = 0, 0
	l.completed = l.completed || completed
	l.notify()
}

func (l *live) setHealth(status string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.health = status
	l.notify()
}

// ServerStats are of one server, now.
type ServerStats struct {
	Source  *Source
	Running bool
	Health  string // empty before the first start
	Uptime  time.Duration
	// CPU is the time used since the start of the supervisor by all processes of the server. It never decreases.
	CPU time.Duration
	// Usage is nil when no process runs and where it can't be known.
	Usage *Usage
	// Dropped counts the records of the server that were not kept.
	Dropped int64
}

// Servers tells about all servers, in the order of Options. It may be called at any time.
func (s *Supervisor) Servers() []ServerStats {
	all := make([]ServerStats, len(s.all))
	for i, server := range s.all {
		all[i] = server.stats()
	}
	return all
}

// ServerIDs returns the ids of all servers, in the order of Options.
func (s *Supervisor) ServerIDs() []string {
	ids := make([]string, len(s.all))
	for i, server := range s.all {
		ids[i] = server.spec.Source.Server
	}
	return ids
}

func (s *server) stats() ServerStats {
	l := &s.live
	l.mu.Lock()
	defer l.mu.Unlock()
	stats := ServerStats{Source: s.spec.Source, Health: l.health, CPU: l.cpu + l.highest, Dropped: s.sup.outlet.droppedOf(s.queue)}
	if l.pid == 0 {
		return stats
	}
	stats.Running, stats.Uptime = true, time.Since(l.started)
	if usage, _, ok := s.sup.sampler.of(l.pid); ok {
		l.highest = max(l.highest, usage.CPU)
		stats.CPU, stats.Usage = l.cpu+l.highest, &usage
	}
	return stats
}
