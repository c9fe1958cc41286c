// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
)

// Condition is what a server waits for before its first start.
type Condition string

// The conditions. A server without a HealthCheck is healthy when it is running.
const (
	ConditionRunning   Condition = "running" // or has run
	ConditionHealthy   Condition = "healthy"
	ConditionCompleted Condition = "completed" // it has ended by itself with exit code 0
	ConditionSucceeded Condition = "succeeded" // of a build: the commands of its last run have
)

// Dependency is a condition of another server or, with ConditionSucceeded, of a build of the same supervisor.
type Dependency struct {
	Server    string // the id of it
	Condition Condition
}

// met says whether the condition holds, and whether it can still come to hold. Needs mu.
func (l *live) met(c Condition) (met, possible bool) {
	switch c {
	case ConditionRunning:
		met = l.ran // which may be over already
	case ConditionCompleted:
		met = l.completed
	default:
		met = l.pid != 0 && l.health == HealthHealthy
	}
	return met, !l.over
}

// await returns true when all dependencies of the server have been met, one after the other; false when it must not
// start any more. A server that has run waits no more.
func (s *server) await() bool {
	if s.live.hasRun() {
		return true
	}
	for i := 0; i < len(s.spec.DependsOn); i++ {
		d := s.spec.DependsOn[i]
		told := false
		for {
			met, possible, changed := s.sup.condition(d)
			if met {
				break
			}
			what := fmt.Sprintf("server %s to be %s", d.Server, d.Condition)
			if d.Condition == ConditionSucceeded {
				what = fmt.Sprintf("build %s to succeed", d.Server)
			}
			if !possible && !s.isStopping() {
				err := fmt.Errorf("%s: depends_on: waited for %s, which can't happen any more", s.spec.Name, what)
				s.couldNotStart(err)
				return false
			}
			if !told {
				told = true
				s.log().Info("Server waits", zap.String("for", what))
				s.emit(0, Event{Kind: Lifecycle, State: StateStarting, Text: "waits for " + what, Reason: "waits for " + what})
				s.live.setState(StateWaiting)
			}
			select {
			case <-changed:
			case <-s.hot:
				before := s.spec.DependsOn
				if s.refresh(); !slices.Equal(before, s.spec.DependsOn) {
					return s.await()
				}
			case <-s.stop:
				s.stopped("was stopped while it waited for " + what)
				return false
			}
		}
	}
	return true
}

// condition says whether a dependency is met, whether it can still come to be, and what is closed when that may have changed.
func (s *Supervisor) condition(d Dependency) (met, possible bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.Condition == ConditionSucceeded {
		if b := s.build(d.Server); b != nil {
			return b.ready, !b.ended(), b.wait()
		}
		return false, false, nil
	}
	other := s.server(d.Server)
	if other == nil {
		return false, false, nil
	}
	l := &other.live
	l.mu.Lock()
	defer l.mu.Unlock()
	met, possible = l.met(d.Condition)
	return met, possible, l.wait()
}

// server needs mu.
func (s *Supervisor) server(id string) *server {
	for _, server := range s.all {
		if server.id == id {
			return server
		}
	}
	return nil
}

// longestGrace is the longest grace period of a server or a build.
func (o *Options) longestGrace() time.Duration {
	longest := o.GracePeriod
	for _, spec := range o.Servers {
		_, grace := o.endOf(spec)
		longest = max(longest, grace)
	}
	return longest
}

// stopTime is the time in which all servers have ended: the wait for those that depend on a server, and its own grace period.
func (o *Options) stopTime() time.Duration {
	for _, spec := range o.Servers {
		if len(spec.DependsOn) > 0 {
			return 2 * o.longestGrace()
		}
	}
	return o.longestGrace()
}

// awaitDependents returns when all servers that depend on this one have ended for good, or this one has, or after the longest grace
// period: all servers together have that time, however long the chain is.
func (s *server) awaitDependents(ended <-chan struct{}) {
	options := s.options()
	bound := time.NewTimer(options.longestGrace())
	defer bound.Stop()
	for _, spec := range options.Servers {
		if !slices.ContainsFunc(spec.DependsOn, func(d Dependency) bool { return d.Condition != ConditionSucceeded && d.Server == s.id }) {
			continue
		}
		for {
			over, changed := s.sup.isOver(spec.Source.Server)
			if over {
				break
			}
			select {
			case <-changed:
			case <-ended:
				return
			case <-bound.C:
				return
			}
		}
	}
}

// isOver says whether a server will not start again by itself, and what is closed when that may have changed.
func (s *Supervisor) isOver(id string) (over bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	other := s.server(id)
	if other == nil {
		return true, nil
	}
	l := &other.live
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over, l.wait()
}
