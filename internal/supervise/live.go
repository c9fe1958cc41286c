// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"slices"
	"sync"
	"time"
)

// live is the present state of a server, for others than its own goroutine.
type live struct {
	mu      sync.Mutex
	spec    Server
	pid     int // 0: no process
	port    int // 0: none was assigned
	started time.Time
	health  string
	cpu     time.Duration // of the processes that have ended
	highest time.Duration // CPU time seen of the present process tree, which may shrink as it loses members
	// state is that of the last event of Lifecycle, or one that events do not tell; since is when it began.
	state    string
	since    time.Time
	reason   string
	restarts int
	exit     *Exit // of the last process
	// ran: it has run. completed: it has ended by itself and well. over: it will not start again by itself.
	ran, completed, over, removed bool
	changed                       chan struct{} // nil while nobody waits
}

// States that no event tells.
const (
	StateDefined  = "defined"  // before the supervisor is started
	StateWaiting  = "waiting"  // for its dependencies
	StateBackoff  = "backoff"  // before a restart
	StateStopping = "stopping" // until the process has ended
)

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

// change runs f and tells everybody.
func (l *live) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	l.notify()
}

func (l *live) touch() { l.change(func() {}) }

func (l *live) gone() { l.change(func() { l.removed, l.over = true, true }) }

func (l *live) describe(spec Server) { l.change(func() { l.spec = spec }) }

func (l *live) setPort(port int) { l.change(func() { l.port = port }) }

func (l *live) setState(state string) {
	l.change(func() { l.state, l.since = state, time.Now() })
}

// tell keeps what an event of Lifecycle says.
func (l *live) tell(event *Event) {
	l.change(func() {
		l.state, l.since, l.reason, l.restarts = event.State, time.Now(), event.Reason, event.Restarts
		if event.Exit != nil {
			l.exit = event.Exit
		}
	})
}

// begins a life; it says whether there was a process before.
func (l *live) begins() (again bool) {
	l.change(func() { l.over = false })
	return l.hasRun()
}

func (l *live) hasRun() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ran
}

func (l *live) assigned() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.port
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
	l.cpu += max(l.highest, p.tree.status().cpu)
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
	// State is one of the states of Lifecycle, or StateDefined, StateWaiting, StateBackoff, StateStopping; Since is when it began,
	// Reason why, where that is known.
	State  string
	Since  time.Time
	Reason string
	Health string // empty before the first start
	// Settled says that nothing is on its way: it will stay as it is unless it fails, heals or is asked for something.
	Settled  bool
	PID      int // 0: no process
	Port     int // 0: none was assigned
	Restarts int
	Exit     *Exit // of the last process that has ended
	Uptime   time.Duration
	// CPU is the time used since the start of the supervisor by all processes of the server. It never decreases.
	CPU time.Duration
	// Usage is nil when no process runs and where it can't be known.
	Usage *Usage
	// Dropped counts the records of the server that were not kept.
	Dropped int64
}

// Reporter is the side of a supervisor that tells what its servers use.
type Reporter interface {
	// ServerStats may be called at any time, also concurrently.
	ServerStats() []ServerStats
}

// Servers tells about all servers, in the order of Options. It may be called at any time.
func (s *Supervisor) Servers() []ServerStats {
	s.mu.Lock()
	servers := slices.Clone(s.all)
	s.mu.Unlock()
	all := make([]ServerStats, len(servers))
	for i, server := range servers {
		all[i] = server.stats()
	}
	return all
}

// ServerIDs returns the ids of all servers, in the order of Options.
func (s *Supervisor) ServerIDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, len(s.all))
	for i, server := range s.all {
		ids[i] = server.id
	}
	return ids
}

func (s *server) stats() ServerStats {
	s.mu.Lock()
	settled := s.want.turn == s.lived && !s.want.remove && (s.want.run || !s.active)
	idle := !s.want.run && !s.managed
	queue := s.queue
	s.mu.Unlock()
	dropped := s.sup.outlet.droppedOf(queue)
	l := &s.live
	l.mu.Lock()
	defer l.mu.Unlock()
	stats := ServerStats{
		Source: l.spec.Source, State: l.state, Since: l.since, Reason: l.reason, Health: l.health,
		PID: l.pid, Port: l.port, Restarts: l.restarts, Exit: l.exit, CPU: l.cpu + l.highest, Dropped: dropped,
	}
	switch stats.State {
	case "":
		stats.State, stats.Settled = StateDefined, idle
	case StateRunning:
		stats.Settled = settled && (l.health == HealthHealthy || l.health == HealthUnhealthy)
	case StateBackoff:
		stats.Settled = settled
	case StateStopped, StateExited, StateFailed:
		stats.Settled = settled && l.over
	}
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
