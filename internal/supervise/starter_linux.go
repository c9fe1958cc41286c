// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/tailrace/tailrace/internal/bytesize"
	"github.com/tailrace/tailrace/internal/supervise/guardian"
)

// starter starts processes through a guardian, which it starts with the first one, and again when it was killed.
type starter struct {
	options func() *Options

	mu       sync.Mutex
	closed   bool
	guardian *guardian.Guardian
}

func newStarter(options func() *Options) *starter { return &starter{options: options} }

// current returns the guardian that starts processes now. Before the first one starts, what a predecessor left is ended.
func (s *starter) current() (*guardian.Guardian, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, guardian.ErrLost
	}
	if s.guardian != nil {
		select {
		case <-s.guardian.Done():
		default:
			return s.guardian, nil
		}
	} else if s.options().Owner != "" {
		ended, err := guardian.EndOrphans(s.options().Owner, s.options().StopSignal, s.options().OrphanGrace)
		s.tell("Ended processes that a predecessor had left: it and the guardian of its processes were killed", ended, err)
	}
	g, err := guardian.Start(guardian.Options{Owner: s.options().Owner, Grace: s.options().OrphanGrace, Lost: s.lost})
	if err != nil {
		return nil, err
	}
	s.guardian = g
	return g, nil
}

// lost is called when the guardian was killed.
func (s *starter) lost(pid int, ended []guardian.Orphan, err error) {
	s.options().Logger.Error("The guardian of the servers' processes has ended, and they with it; the restart policy of each server decides what starts again",
		zap.Int("guardian", pid))
	s.tell("Ended processes that outlived the guardian", ended, err)
}

func (s *starter) tell(message string, ended []guardian.Orphan, err error) {
	if len(ended) == 0 && err == nil {
		return
	}
	var all []string
	for _, o := range ended {
		all = append(all, fmt.Sprintf("%d (%s)", o.PID, o.Name))
	}
	s.options().Logger.Warn(message, zap.Strings("processes", all), zap.Error(err))
}

func (s *starter) start(c command) (tree, error) {
	wanted := guardian.Command{
		Path: c.path, Args: c.args, Dir: c.dir, Env: c.env, Credential: c.account.credential,
		Umask: c.rights.Umask, OpenFiles: c.rights.OpenFiles, Memory: c.rights.Memory, Cgroup: c.rights.Cgroup, Stdout: c.stdout, Stderr: c.stderr,
		StopSignal: cmp.Or(c.signal, s.options().StopSignal), Grace: c.grace,
	}
	for {
		g, err := s.current()
		if err != nil {
			return nil, err
		}
		p, err := g.Start(wanted)
		if errors.Is(err, guardian.ErrLost) {
			<-g.Done()
			continue
		}
		if err != nil {
			return nil, err
		}
		return guarded{p: p, memory: c.rights.Memory}, nil
	}
}

func (s *starter) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.guardian == nil {
		return nil
	}
	return s.guardian.Close()
}

// guarded is a tree below the guardian.
type guarded struct {
	p      *guardian.Process
	memory uint64
}

func (g guarded) pid() int { return g.p.PID }

func (g guarded) exited() <-chan struct{} { return g.p.Exited() }

func (g guarded) status() status {
	end := g.p.Status()
	s := status{exit: Exit{Code: end.Wait.ExitStatus()}, cpu: end.CPU}
	if end.Wait.Signaled() {
		s.exit.Signal = unix.SignalName(end.Wait.Signal())
	}
	switch {
	case end.Lost:
		s.because = "the guardian process had ended"
	case end.OutOfMemory:
		s.because = fmt.Sprintf("the kernel had killed a process of it at limits::memory (%s)", bytesize.Size(g.memory))
	}
	return s
}

func (g guarded) end(signal syscall.Signal, grace time.Duration) error { return g.p.End(signal, grace) }
