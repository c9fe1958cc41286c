// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"context"
	"errors"
	"fmt"
)

// What an operation on a server or a build can fail with, to be found with errors.Is.
var (
	ErrUnknown  = errors.New("is not defined")
	ErrStopping = errors.New("the runner is stopping")
	ErrBusy     = errors.New("is running or queued already")
	ErrIdle     = errors.New("is neither running nor queued")
)

// StartServer starts a server that has ended, was stopped, has failed or waits for a restart; it does nothing for
// one that is running. Like the others it does not wait, see WaitServer.
func (s *Supervisor) StartServer(id string) error {
	return s.control(id, func(server *server) {
		server.mu.Lock()
		alive := server.active && !server.ending && server.want.run
		server.mu.Unlock()
		if alive && server.live.is(StateBackoff) {
			alive = false
		}
		if alive {
			return
		}
		server.ask(true, whyAsked, func(w *wanted) {
			w.run = true
			w.turn++
		})
	})
}

// StopServer stops a server. It stays stopped, also when its definition changes, until it is started.
func (s *Supervisor) StopServer(id string) error {
	return s.control(id, func(server *server) {
		server.ask(true, whyAsked, func(w *wanted) { w.run = false })
	})
}

// RestartServer stops a server that is running, and starts it.
func (s *Supervisor) RestartServer(id string) error {
	return s.control(id, func(server *server) {
		server.ask(true, whyAsked, func(w *wanted) {
			w.run = true
			w.turn++
		})
	})
}

func (s *Supervisor) control(id string, do func(*server)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping || !s.started {
		return ErrStopping
	}
	server := s.server(id)
	if server == nil || server.leaves() {
		return fmt.Errorf("server %q %w", id, ErrUnknown)
	}
	do(server)
	return nil
}

func (s *server) leaves() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.want.remove
}

// WaitServer returns when the server is settled or not defined any more, or ctx ends; the error is that of ctx or ErrUnknown.
func (s *Supervisor) WaitServer(ctx context.Context, id string) (ServerStats, error) {
	for {
		s.mu.Lock()
		server := s.server(id)
		s.mu.Unlock()
		if server == nil {
			return ServerStats{}, fmt.Errorf("server %q %w", id, ErrUnknown)
		}
		changed := server.live.waitNow() // before the look: no change is missed
		stats := server.stats()
		if stats.Settled {
			return stats, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return stats, ctx.Err()
		}
	}
}

// StartBuild queues a build; ErrBusy when it is running or queued.
func (s *Supervisor) StartBuild(id string) error {
	return s.controlBuild(id, func(b *build) error {
		if !b.ended() {
			return fmt.Errorf("build %q %w", id, ErrBusy)
		}
		b.enqueue()
		s.dispatch()
		return nil
	})
}

// CancelBuild takes a build out of the queue, or stops it; ErrIdle when there is nothing to cancel.
func (s *Supervisor) CancelBuild(id string) error {
	return s.controlBuild(id, func(b *build) error {
		if b.ended() {
			return fmt.Errorf("build %q %w", id, ErrIdle)
		}
		b.again = false
		b.cancel(whyAsked)
		return nil
	})
}

func (s *Supervisor) controlBuild(id string, do func(*build) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping || !s.started {
		return ErrStopping
	}
	b := s.build(id)
	if b == nil || b.removed {
		return fmt.Errorf("build %q %w", id, ErrUnknown)
	}
	return do(b)
}

// WaitBuild returns when the build has ended or is not defined any more, or ctx ends; the error is that of ctx or ErrUnknown.
func (s *Supervisor) WaitBuild(ctx context.Context, id string) (BuildStats, error) {
	for {
		s.mu.Lock()
		b := s.build(id)
		if b == nil {
			s.mu.Unlock()
			return BuildStats{}, fmt.Errorf("build %q %w", id, ErrUnknown)
		}
		stats, changed := b.stats(), b.wait()
		s.mu.Unlock()
		if stats.Settled {
			return stats, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return stats, ctx.Err()
		}
	}
}

func (l *live) is(state string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state == state
}
