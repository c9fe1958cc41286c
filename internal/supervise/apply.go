// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"reflect"
	"slices"
)

// Why a life ends, as the events tell it.
const (
	whyChanged = "its definition has changed"
	whyRemoved = "its definition was removed"
	whyAsked   = "asked for by the control API"
	whyStops   = "the collector stops"
)

// Suspend is called before another owner takes the supervisor over: a full queue waits for its sink, also when
// it has none, and nobody is told of failures. Apply ends it.
func (s *Supervisor) Suspend() {
	s.outlet.hold(true)
	s.failures.mu.Lock()
	defer s.failures.mu.Unlock()
	options := *s.opts.Load()
	options.OnFailure = nil
	s.opts.Store(&options)
}

// Apply replaces the Options. It returns at once; what has to end or start does so then, each server on
// its own: a server that is no longer there is stopped, a new one is started, one whose process would be another is
// stopped and started again. Names, dependencies, restart policy and health check are replaced without that, and so are the options
// of the supervisor; MaxLineBytes counts from the next start of a process. What was stopped by StopServer stays
// stopped, and what has ended stays so unless its process would be another. A new build, and one that would do something
// else, runs if it has OnStart. It does nothing after Stop.
func (s *Supervisor) Apply(options Options) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return
	}
	s.failures.mu.Lock()
	s.opts.Store(&options)
	s.failures.mu.Unlock()
	s.outlet.setLimit(options.BufferBytes)
	s.outlet.hold(false)
	s.ports.setRange(options.Ports)
	s.defineServers(options.Servers)
	s.defineBuilds(options.Builds)
	s.failures.replay(s)
}

// defineServers needs mu.
func (s *Supervisor) defineServers(specs []Server) {
	var all []*server
	for _, spec := range specs {
		if known := s.server(spec.Source.Server); known != nil {
			known.redefine(spec)
			all = append(all, known)
			continue
		}
		added := s.newServer(spec)
		all = append(all, added)
		added.ask(false, "", func(w *wanted) { w.run, w.turn = true, 1 })
	}
	for _, known := range s.all {
		if !slices.Contains(all, known) {
			known.ask(true, whyRemoved, func(w *wanted) { w.run, w.remove = false, true })
			all = append(all, known) // until it has ended
		}
	}
	s.all = all
}

func (s *Supervisor) newServer(spec Server) *server {
	added := &server{
		id: spec.Source.Server, spec: spec, sup: s, queue: s.outlet.serverQueue(spec), hot: make(chan struct{}, 1),
		want: wanted{spec: spec},
	}
	added.live.describe(spec)
	return added
}

// redefine needs Supervisor.mu.
func (s *server) redefine(spec Server) {
	s.mu.Lock()
	before, back := s.want.spec, s.want.remove
	s.mu.Unlock()
	if reflect.DeepEqual(before.Source, spec.Source) {
		spec.Source = before.Source // and with it the queue
	}
	of := s.options().Ports
	port := s.live.assigned()
	moved := spec.AssignPort && port != 0 && (port < of.From || port > of.To)
	if !back && !moved && sameProcess(before, spec) {
		s.ask(false, "", func(w *wanted) { w.spec = spec })
		return
	}
	s.ask(true, whyChanged, func(w *wanted) {
		w.spec = spec
		if back { // it was about to be removed
			w.remove, w.run = false, true
		}
		if w.run {
			w.turn++
		}
	})
}

// sameProcess says whether a process that was started for a is what b asks for.
func sameProcess(a, b Server) bool {
	return a.Source == b.Source && slices.Equal(a.Command, b.Command) && a.Dir == b.Dir && slices.Equal(a.Env, b.Env) &&
		a.EnvFile == b.EnvFile && a.EnvFileSum == b.EnvFileSum && sameSet(a.EnvFixed, b.EnvFixed) &&
		a.AssignPort == b.AssignPort && reflect.DeepEqual(a.Rights, b.Rights)
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
