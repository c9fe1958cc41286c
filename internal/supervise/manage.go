// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"slices"

	"go.uber.org/zap"
)

// wanted is what was asked for a server. Guarded by server.mu.
type wanted struct {
	spec   Server
	run    bool
	remove bool
	turn   int // counts the lives asked for
}

// ask changes what is wanted of the server; end says that its present life has to end for that, and why. Needs
// Supervisor.mu, and does not wait.
func (s *server) ask(end bool, why string, change func(*wanted)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.want)
	if end && s.active && !s.ending {
		s.ending, s.why = true, why
		close(s.stop)
	}
	select {
	case s.hot <- struct{}{}:
	default: // it looks already
	}
	if s.sup.started && !s.managed && (s.want.remove || s.want.turn != s.lived) {
		s.managed = true
		s.sup.servers.Add(1)
		go s.manage()
	}
}

// manage lives the lives that are asked for, one after the other, and ends when there is nothing to do.
func (s *server) manage() {
	defer s.sup.servers.Done()
	for s.begin() {
		s.run()
		s.mu.Lock()
		s.active = false
		s.mu.Unlock()
		s.live.setOver()
	}
}

// begin prepares the next life; false when there is none.
func (s *server) begin() bool {
	s.sup.mu.Lock()
	defer s.sup.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.want.remove {
		s.managed = false
		s.sup.all = slices.DeleteFunc(slices.Clone(s.sup.all), func(other *server) bool { return other == s })
		s.sup.ports.release(s)
		s.leave()
		s.live.gone()
		return false
	}
	if s.want.turn == s.lived || !s.want.run {
		s.managed = false
		s.lived = s.want.turn
		s.live.touch()
		return false
	}
	s.lived = s.want.turn
	if s.want.spec.Source != s.queue.source {
		s.leave()
		s.queue = s.sup.outlet.serverQueue(s.want.spec)
	}
	s.spec = s.want.spec
	s.live.describe(s.spec)
	select {
	case <-s.hot: // what changed is taken over already
	default:
	}
	s.stop = make(chan struct{})
	s.active, s.ending, s.why = true, false, ""
	if s.live.begins() {
		s.restarts++
		s.sup.restarts.Add(1)
	}
	return true
}

// leave takes the server, as it was, out of what is derived from it.
func (s *server) leave() {
	s.sup.failed(s.queue.source, nil)
	s.sup.deployments.remove(s.queue.source)
}

// refresh takes over what may change while a process runs.
func (s *server) refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ending {
		s.spec = s.want.spec
		s.live.describe(s.spec)
	}
}

// reason says why the present life ends, where it was told.
func (s *server) reason() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

func (s *server) isStopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

func (s *server) options() *Options { return s.sup.opts.Load() }

func (s *server) log() *zap.Logger { return s.options().Logger.With(zap.String("server", s.id)) }
