// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/clickhouseserver/guard"
)

const (
	// lockPoll is how often a lock that a dying process holds is tried.
	lockPoll = 20 * time.Millisecond
	// healthyAfter is how long a process has to be ready for the back-off to begin anew.
	healthyAfter = 10 * time.Second
	// innerPortTries is how often another port is tried at once, after somebody took the one meant for ClickHouse.
	innerPortTries = 5
)

// Server keeps one ClickHouse process running. Its methods may be called from any goroutine.
type Server struct {
	cfg    Config
	opts   Options
	layout layout
	engine engine
	probe  *probe
	guard  *guard.Guard

	state atomic.Int32

	mu     sync.Mutex
	cancel context.CancelFunc // guarded by mu; nil before Start
	force  context.CancelFunc // guarded by mu; ends the graceful part of a stop
	done   chan struct{}      // guarded by mu; closed when nothing runs any more
}

// New returns a server that does nothing yet.
func New(cfg Config, opts Options) *Server {
	s := &Server{cfg: cfg, opts: opts.withDefaults(), probe: newProbe(cfg)}
	s.guard = guard.New(guard.Config{
		Username: cfg.Username, Password: cfg.Password, DatabaseExists: s.probe.databaseExists, HTTPPort: cfg.HTTPPort,
		Logger: s.opts.Logger, OnConnection: s.opts.OnConnection, OnRefused: s.opts.OnRefused,
	})
	return s
}

// Addr is host:port of the native protocol, which the guard listens on.
func (s *Server) Addr() string { return net.JoinHostPort(loopback, strconv.Itoa(s.cfg.TCPPort)) }

// HTTPAddr is host:port of the HTTP interface.
func (s *Server) HTTPAddr() string { return net.JoinHostPort(loopback, strconv.Itoa(s.cfg.HTTPPort)) }

// State is what the server is doing now.
func (s *Server) State() State { return State(s.state.Load()) }

// Start checks what can be known at once and fails when it could never work: no engine, an unusable folder,
// an engine older than the folder. Everything else happens in the background and is reported by
// [Options.OnState]: Start waits neither for ClickHouse nor for a predecessor. It is called once.
func (s *Server) Start() error {
	l, err := newLayout(s.cfg.Path)
	if err != nil {
		return fmt.Errorf("path: %w", err)
	}
	s.layout = l
	candidates, findErr := s.opts.finder.candidates(s.cfg)
	if err := errors.Join(findErr, prepareFolder(l)); err != nil {
		return err
	}
	if s.engine, err = choose(candidates, l, s.opts.finder.getenv); err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(context.Background())
	forced, force := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.mu.Lock()
	s.cancel, s.force, s.done = cancel, force, done
	s.mu.Unlock()
	go func() {
		defer close(done)
		defer force()
		s.supervise(ctx, forced)
	}()
	return nil
}

// Stop ends ClickHouse gracefully, with SIGKILL after ShutdownTimeout or when ctx ends, and returns when
// nothing of it runs any more. It may be called without Start and more than once.
func (s *Server) Stop(ctx context.Context) {
	s.mu.Lock()
	cancel, force, done := s.cancel, s.force, s.done
	s.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	select {
	case <-done:
	case <-ctx.Done():
		force()
		<-done
	}
}

// supervise runs ClickHouse again and again until ctx ends.
func (s *Server) supervise(ctx, forced context.Context) {
	owner, err := s.own(ctx)
	if err != nil {
		return // stopped while waiting
	}
	defer owner.Close()
	defer s.guard.Close() // ClickHouse is gone: what is left are clients who wait

	backoff := s.opts.MinBackoff
	for ctx.Err() == nil {
		readyFor, err := s.run(ctx, forced)
		for again := 0; errors.Is(err, errInnerPortTaken) && again < innerPortTries && ctx.Err() == nil; again++ {
			readyFor, err = s.run(ctx, forced)
		}
		if ctx.Err() != nil {
			break
		}
		if readyFor >= healthyAfter {
			backoff = s.opts.MinBackoff
		}
		s.set(Failed, err)
		s.opts.Logger.Error("ClickHouse does not run; trying again", zap.Error(err), zap.Duration("in", backoff))
		if !sleep(ctx, backoff) {
			break
		}
		backoff = min(2*backoff, s.opts.MaxBackoff)
		s.opts.OnRestart()
	}
	s.set(Stopped, nil)
}

// own takes the folder for this process, and waits while another process has it.
func (s *Server) own(ctx context.Context) (*os.File, error) {
	for {
		lock, err := tryLock(s.layout.collectorLock)
		if lock != nil {
			writePid(lock, os.Getpid())
			return lock, nil
		}
		if err == nil {
			err = fmt.Errorf("path: the data folder %s is in use by another running process%s: stop that, or set `path` to another folder", s.layout.root, holder(s.layout.collectorLock))
		}
		if s.State() != Failed {
			s.opts.Logger.Error("ClickHouse can not be started; waiting", zap.Error(err))
		}
		s.set(Failed, err)
		if !sleep(ctx, s.opts.MinBackoff) {
			s.set(Stopped, nil)
			return nil, ctx.Err()
		}
	}
}

// predecessor waits for a ClickHouse whose parent has died, and returns its lock. Its standard input has
// ended, so it is about to go; one that does not is killed.
func (s *Server) predecessor(ctx context.Context) (*os.File, error) {
	began, told := time.Now(), false
	for {
		lock, err := tryLock(s.layout.engineLock)
		if err != nil {
			return nil, fmt.Errorf("path: lock the data folder: %w", err)
		}
		if lock != nil {
			return lock, nil
		}
		if !told && time.Since(began) > 200*time.Millisecond {
			told = true
			s.opts.Logger.Info("Waiting for the previous ClickHouse on this folder to end", zap.String("path", s.layout.root))
		}
		if time.Since(began) > s.cfg.ShutdownTimeout {
			// The holder of the lock is the process whose pid is in it: it is written after the start of the
			// child and removed before, so that it never names anyone else.
			if pid := readPid(s.layout.engineLock); pid > 0 {
				s.opts.Logger.Warn("The previous ClickHouse does not end; killing it", zap.Int("pid", pid))
				killGroup(pid)
			}
			began = time.Now()
		}
		if !sleep(ctx, lockPoll) {
			return nil, ctx.Err()
		}
	}
}

// set reports a change of state.
func (s *Server) set(state State, err error) {
	if old := State(s.state.Swap(int32(state))); old != state {
		s.opts.OnState(state, err)
	}
}

// sleep returns false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
