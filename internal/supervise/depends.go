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
)

// Dependency is a condition of another server of the same supervisor.
type Dependency struct {
	Server    string // its id
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
// start any more.
func (s *server) await() bool {
	for _, d := range s.spec.DependsOn {
		told := false
		for {
			l := &s.sup.byID(d.Server).live
			l.mu.Lock()
			met, possible := l.met(d.Condition)
			changed := l.wait()
			l.mu.Unlock()
			if met {
				break
			}
			what := fmt.Sprintf("server %s to be %s", d.Server, d.Condition)
			if !possible && !s.sup.isStopping() {
				err := fmt.Errorf("%s: depends_on: waited for %s, which can't happen any more", s.spec.Name, what)
				s.couldNotStart(err)
				return false
			}
			if !told {
				told = true
				s.log.Info("Server waits", zap.String("for", what))
				s.emit(0, Event{Kind: Lifecycle, State: StateStarting, Text: "waits for " + what, Reason: "waits for " + what})
			}
			select {
			case <-changed:
			case <-s.sup.stop:
				s.emit(0, Event{Kind: Lifecycle, State: StateStopped, Text: "was stopped while it waited for " + what})
				s.status(DeploymentStopped)
				return false
			}
		}
	}
	return true
}

func (s *Supervisor) isStopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

func (s *Supervisor) byID(id string) *server {
	for _, server := range s.all {
		if server.spec.Source.Server == id {
			return server
		}
	}
	return nil
}

// longestGrace is the longest grace period of a server.
func (s *Supervisor) longestGrace() time.Duration {
	longest := time.Duration(0)
	for _, server := range s.all {
		longest = max(longest, *server.spec.GracePeriod)
	}
	return longest
}

// stopTime is the time in which all servers have ended: the wait for those that depend on a server, and its own grace period.
func (s *Supervisor) stopTime() time.Duration {
	for _, server := range s.all {
		if len(server.spec.DependsOn) > 0 {
			return 2 * s.longestGrace()
		}
	}
	return s.longestGrace()
}

// awaitDependents returns when all servers that depend on this one have ended for good, or this one has, or after the longest grace
// period: all servers together have that time, however long the chain is.
func (s *server) awaitDependents(ended <-chan struct{}) {
	bound := time.NewTimer(s.sup.longestGrace())
	defer bound.Stop()
	for _, other := range s.sup.all {
		if !slices.ContainsFunc(other.spec.DependsOn, func(d Dependency) bool { return d.Server == s.spec.Source.Server }) {
			continue
		}
		for {
			l := &other.live
			l.mu.Lock()
			over, changed := l.over, l.wait()
			l.mu.Unlock()
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
