// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/clickhouseserver/deduplog"
)

const (
	// readyPoll is how often a starting ClickHouse is asked, pingEvery a running one.
	readyPoll = 20 * time.Millisecond
	pingEvery = 5 * time.Second
	// slowStart is when a start that goes on is worth a word: many tables may take minutes.
	slowStart = 30 * time.Second
	// lastGasp is how long a crashing process may still write its log.
	lastGasp = 100 * time.Millisecond
	// pingFailures in a row mean that it hangs.
	pingFailures = 3
)

// process is one ClickHouse from start to end.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	log   *logWriter
	// port is where it listens for the guard.
	port int
	// crashing is done once ClickHouse has said so.
	crashing context.Context
	// exited is closed after err is set.
	exited chan struct{}
	err    error
	// crashed is set by watch when it did not wait for the end of a crash.
	crashed bool
}

// errInnerPortTaken: another program took the port between our choice and ClickHouse's bind.
var errInnerPortTaken = errors.New("another program took the port meant for ClickHouse")

// run runs ClickHouse once: it returns when the process is gone, with the reason and how long it was ready.
func (s *Server) run(ctx, forced context.Context) (time.Duration, error) {
	s.set(Starting, nil)
	lock, err := s.predecessor(ctx)
	if err != nil {
		return 0, err
	}
	defer lock.Close() // from the start on, the child's copy of it counts

	writePid(lock, 0)
	inner, err := s.openPorts()
	if err != nil {
		return 0, err
	}
	if err := writeConfig(s.layout, s.cfg); err != nil {
		return 0, fmt.Errorf("path: write the configuration: %w", err)
	}
	s.mend()
	p, err := s.spawn(lock, inner)
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", s.engine.program, err)
	}
	writePid(lock, p.cmd.Process.Pid)
	_ = lock.Close()

	readyFor := s.watch(ctx, p)
	s.guard.Shut()
	if ctx.Err() != nil {
		s.guard.StopAccepting() // those who are connected are told by ClickHouse, as it ends
	}
	p.stop(forced, s.cfg.ShutdownTimeout, s.opts.Logger)
	if readyFor == 0 && ctx.Err() == nil && portTaken(inner) {
		return 0, fmt.Errorf("%w (%d); %w", errInnerPortTaken, inner, p.reason())
	}
	return readyFor, p.reason()
}

// mend takes back what an insert has claimed that the end of the previous process cut off.
func (s *Server) mend() {
	taken, err := deduplog.Mend(s.layout.data)
	if taken > 0 {
		s.opts.Logger.Info("Inserts that the end of the previous ClickHouse cut off can be repeated", zap.Int("blocks", taken))
	}
	if err != nil {
		s.opts.Logger.Warn("A deduplication log can't be checked: an insert that the end of the previous ClickHouse cut off may be taken for a duplicate", zap.Error(err))
	}
}

func (s *Server) spawn(lock *os.File, inner int) (*process, error) {
	crashing, fatal := context.WithCancel(context.Background())
	p := &process{
		cmd:      exec.Command(s.engine.program, s.engine.arguments(s.layout, s.cfg, inner)...),
		port:     inner,
		log:      &logWriter{logger: s.opts.Logger, fatal: fatal},
		crashing: crashing,
		exited:   make(chan struct{}),
	}
	p.cmd.Dir = s.layout.root
	p.cmd.Env = s.engine.environment(s.opts.finder.getenv)
	p.cmd.Stderr = p.log // standard output has only the result of the last boot query
	p.cmd.WaitDelay = time.Second
	detach(p.cmd, lock)
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		fatal()
		return nil, err
	}
	p.stdin = stdin
	if err := p.cmd.Start(); err != nil {
		fatal()
		return nil, err
	}
	go func() {
		defer close(p.exited)
		defer fatal()
		p.err = p.cmd.Wait()
		p.log.flush()
	}()
	return p, nil
}

// watch follows a process until it dies or ctx ends, and returns how long it was ready.
func (s *Server) watch(ctx context.Context, p *process) time.Duration {
	began, told := time.Now(), false
	var version string
	for version == "" {
		if s.probe.ping(ctx) == nil {
			var err error
			if version, err = s.probe.version(ctx); err == nil {
				break
			}
		}
		if !told && time.Since(began) > slowStart {
			told = true
			s.set(Failed, errors.New("ClickHouse takes long to start"))
			s.opts.Logger.Warn("ClickHouse takes long to start", zap.Duration("so far", time.Since(began)))
		}
		select {
		case <-p.exited:
			return 0
		case <-ctx.Done():
			return 0
		case <-p.crashing.Done():
			p.hasten()
			return 0
		case <-time.After(readyPoll):
		}
	}

	ready := time.Now()
	s.opts.Logger.Info("ClickHouse is ready", zap.String("version", version), zap.Int("pid", p.cmd.Process.Pid),
		zap.String("native", s.Addr()), zap.Int("native_inner_port", p.port), zap.String("http", s.HTTPAddr()), zap.Duration("after", ready.Sub(began)))
	if r, err := newRecord(s.engine, version); err == nil {
		if err := r.write(s.layout.record); err != nil {
			s.opts.Logger.Warn("The version of ClickHouse can not be recorded", zap.Error(err))
		}
	}
	s.guard.Open(net.JoinHostPort(loopback, strconv.Itoa(p.port)))
	s.set(Ready, nil)

	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for failed := 0; ; {
		select {
		case <-p.exited:
			return time.Since(ready)
		case <-ctx.Done():
			return time.Since(ready)
		case <-p.crashing.Done():
			s.guard.Shut()
			p.hasten()
			return time.Since(ready)
		case <-ticker.C:
		}
		if err := s.probe.ping(ctx); err == nil {
			failed = 0
			s.set(Ready, nil)
		} else if failed++; failed >= pingFailures && ctx.Err() == nil {
			s.set(Failed, fmt.Errorf("ClickHouse (pid %d) runs but does not answer: %w", p.cmd.Process.Pid, err))
		}
	}
}

// hasten ends a process that is crashing: it would keep its ports and its folder for four seconds more, and
// refuse to answer all the while. A moment is left to it for what it has to say.
func (p *process) hasten() {
	select {
	case <-p.exited:
	case <-time.After(lastGasp):
		p.crashed = true
		killGroup(p.cmd.Process.Pid)
		<-p.exited
	}
}

// stop ends the process and returns when it is gone.
func (p *process) stop(forced context.Context, timeout time.Duration, logger *zap.Logger) {
	_ = p.stdin.Close()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.exited:
		return
	case <-forced.Done():
	case <-timer.C:
	}
	logger.Warn("ClickHouse does not end in time; killing it", zap.Int("pid", p.cmd.Process.Pid))
	killGroup(p.cmd.Process.Pid)
	<-p.exited
}

// reason says why it ended, for people.
func (p *process) reason() error {
	text := "it ended by itself" // its exit code is 0 after most errors, too
	var exit *exec.ExitError
	switch {
	case p.crashed:
		text = "it crashed, as it does when a program goes past `tcp_port` to its inner port and is refused or reset there"
	case errors.As(p.err, &exit):
		text = exit.String()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
			text += " (by somebody, or because memory ran out)"
		}
	case p.err != nil:
		text = p.err.Error()
	}
	if last := p.log.lastWords(); last != "" {
		text += "; its last words: " + last
	}
	return fmt.Errorf("ClickHouse (pid %d) died: %s", p.cmd.Process.Pid, text)
}
