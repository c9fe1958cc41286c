// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// stuckWait bounds the wait for goroutines after everything was killed and the queues were closed.
const stuckWait = 2 * time.Second

// Supervisor runs the servers of Options. Safe for concurrent use.
type Supervisor struct {
	opts        atomic.Pointer[Options]
	outlet      *outlet
	deployments *deployments
	starter     *starter // set by Start
	sampler     sampler
	ports       ports
	servers     sync.WaitGroup // and builds, while they do something
	running     atomic.Int64
	restarts    atomic.Int64
	streams     [2]streamCounters // stdout, stderr
	failures    failures

	mu       sync.Mutex
	all      []*server // never changed in place
	builds   []*build  // never changed in place
	waiting  []*build  // in the order in which they will run
	building int       // builds that run
	started  bool
	stopping bool
	stopped  chan struct{}
	stopErr  error
}

// New returns a supervisor that does nothing until Start.
func New(options Options) *Supervisor {
	out := newOutlet(options.BufferBytes)
	s := &Supervisor{
		outlet: out, deployments: newDeployments(out), ports: ports{of: options.Ports},
		stopped: make(chan struct{}),
	}
	s.opts.Store(&options)
	s.defineServers(options.Servers)
	s.defineBuilds(options.Builds)
	return s
}

// Attach implements Output. It works before Start, too: nothing is missed.
func (s *Supervisor) Attach(sink Sink) (func(), error) { return s.outlet.attach(sink) }

// Attached says whether somebody takes the output.
func (s *Supervisor) Attached() bool { return s.outlet.attached() }

// Start starts all servers and the builds with OnStart, at the same time, and returns at once. It does nothing the
// second time, and after Stop.
func (s *Supervisor) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.stopping {
		return
	}
	s.started = true
	s.starter = newStarter(s.opts.Load)
	s.dispatch()
	for _, server := range s.all {
		server.ask(false, "", func(*wanted) {})
	}
}

// Stop asks all servers to end, kills what has not ended after the grace period, and returns when all
// processes have ended, their output is read to the end and the sink has accepted it: or when the
// drain time-out or ctx ends before; what is left then is dropped, counted and told by the error. It may
// be called without Start and several times; all calls return the same.
func (s *Supervisor) Stop(ctx context.Context) error {
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		<-s.stopped
		return s.stopErr
	}
	s.stopping = true
	started := s.started
	for _, server := range s.all {
		server.ask(true, whyStops, func(w *wanted) { w.run = false })
	}
	for _, build := range s.builds {
		build.cancel(whyStops)
	}
	s.mu.Unlock()
	defer close(s.stopped)
	s.outlet.hold(false)
	if !started {
		s.outlet.close()
		return nil
	}
	s.stopErr = s.stopServers(ctx)
	return s.stopErr
}

func (s *Supervisor) stopServers(ctx context.Context) error {
	options := s.opts.Load()
	ctx, cancel := context.WithTimeout(ctx, options.stopTime()+killWait+options.DrainTimeout)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.servers.Wait()
	}()
	var err error
	select {
	case <-ended:
		err = s.outlet.drain(ctx)
	case <-ctx.Done():
		err = ctx.Err()
	}
	before := s.Stats().Dropped
	s.outlet.close()
	if err != nil {
		err = fmt.Errorf("the servers' last output was not accepted in time: %w", err)
	}
	select {
	case <-ended:
		err = errors.Join(err, s.starter.close())
	case <-time.After(stuckWait):
		err = errors.Join(err, errors.New("a process does not end even after SIGKILL"))
		go func() {
			<-ended
			_ = s.starter.close()
		}()
	}
	if dropped := s.Stats().Dropped; dropped > 0 {
		options.Logger.Warn("Output of the servers was dropped",
			zap.Int64("records", dropped), zap.Int64("of_which_at_the_end", dropped-before))
	}
	return err
}

func (s *Supervisor) failed(source *Source, err error) {
	s.failures.mu.Lock()
	defer s.failures.mu.Unlock()
	if err == nil {
		delete(s.failures.of, source)
	} else {
		if s.failures.of == nil {
			s.failures.of = map[*Source]error{}
		}
		s.failures.of[source] = err
	}
	if tell := s.opts.Load().OnFailure; tell != nil {
		tell(source, err)
	}
}

// failures are those of the servers that have failed and do not run again.
type failures struct {
	mu sync.Mutex
	of map[*Source]error
}

// replay tells a new listener.
func (f *failures) replay(s *Supervisor) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tell := s.opts.Load().OnFailure
	for source, err := range f.of {
		if tell != nil {
			tell(source, err)
		}
	}
}

// Stats are counters since the start, but Running and Buffered, which are of now.
type Stats struct {
	Running  int64 // processes
	Restarts int64
	Stdout   StreamStats
	Stderr   StreamStats
	Buffered int64 // bytes that wait for the sink
	Dropped  int64 // records
}

// Stats may be called at any time.
func (s *Supervisor) Stats() Stats {
	s.outlet.mu.Lock()
	defer s.outlet.mu.Unlock()
	return Stats{
		Running: s.running.Load(), Restarts: s.restarts.Load(),
		Stdout: s.streams[0].stats(), Stderr: s.streams[1].stats(),
		Buffered: s.outlet.buffered, Dropped: s.outlet.dropped,
	}
}
