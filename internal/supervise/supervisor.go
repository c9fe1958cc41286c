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
	options     Options
	outlet      *outlet
	deployments *deployments
	starter     *starter // set by Start
	sampler     sampler
	ports       ports
	all         []*server
	stop        chan struct{}
	servers     sync.WaitGroup
	running     atomic.Int64
	restarts    atomic.Int64
	streams     [2]streamCounters // stdout, stderr

	mu       sync.Mutex
	started  bool
	stopping bool
	stopped  chan struct{}
	stopErr  error
}

// New returns a supervisor that does nothing until Start.
func New(options Options) *Supervisor {
	out := newOutlet(options.BufferBytes)
	s := &Supervisor{
		options: options, outlet: out, deployments: newDeployments(out, options.Servers),
		ports: ports{of: options.Ports},
		stop:  make(chan struct{}), stopped: make(chan struct{}),
	}
	for _, spec := range options.Servers {
		s.all = append(s.all, &server{
			spec: spec, sup: s, queue: out.serverQueue(spec),
			log: options.Logger.With(zap.String("server", spec.Source.Server)),
		})
	}
	return s
}

// Attach implements Output. It works before Start, too: nothing is missed.
func (s *Supervisor) Attach(sink Sink) (func(), error) { return s.outlet.attach(sink) }

// Attached says whether somebody takes the output.
func (s *Supervisor) Attached() bool { return s.outlet.attached() }

// Start starts all servers, at the same time, and returns at once. It does nothing the second time, and
// after Stop.
func (s *Supervisor) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.stopping {
		return
	}
	s.started = true
	s.starter = newStarter()
	for _, server := range s.all {
		s.servers.Add(1)
		go server.run()
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
	s.mu.Unlock()
	close(s.stop)
	defer close(s.stopped)
	if !started {
		s.outlet.close()
		return nil
	}
	s.stopErr = s.stopServers(ctx)
	return s.stopErr
}

func (s *Supervisor) stopServers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.GracePeriod+killWait+s.options.DrainTimeout)
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
		s.starter.close()
	case <-time.After(stuckWait):
		err = errors.Join(err, errors.New("a process does not end even after SIGKILL"))
	}
	if dropped := s.Stats().Dropped; dropped > 0 {
		s.options.Logger.Warn("Output of the servers was dropped",
			zap.Int64("records", dropped), zap.Int64("of_which_at_the_end", dropped-before))
	}
	return err
}

func (s *Supervisor) failed(source *Source, err error) {
	if s.options.OnFailure != nil {
		s.options.OnFailure(source, err)
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
