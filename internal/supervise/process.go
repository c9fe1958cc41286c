// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// killWait bounds the wait for a process after SIGKILL: only one in an uninterruptible system call outlives it.
const killWait = time.Second

// command is what a starter starts.
type command struct {
	path           string // absolute
	args, env      []string
	dir            string // empty: ours
	account        account
	rights         Rights // without the account
	stdout, stderr *os.File
	// signal and grace are for the end without us.
	signal syscall.Signal
	grace  time.Duration
}

// tree is a process that a starter has started, with all that it starts in turn. Whoever has one calls end once.
type tree interface {
	pid() int
	// exited is closed when the process itself has ended.
	exited() <-chan struct{}
	// status may be called after exited.
	status() status
	// end asks the process group to end, and after it whatever else is left of the tree; after grace it kills what is left. It
	// returns when the process has ended, and nothing is left that can be ended.
	end(signal syscall.Signal, grace time.Duration) error
}

// status says how a process ended.
type status struct {
	exit Exit
	cpu  time.Duration // with that of the children that it waited for
	// because says why it ended so, when nobody asked for it; mostly empty.
	because string
}

func (s status) String() string {
	if s.because == "" {
		return s.exit.String()
	}
	return s.exit.String() + ", because " + s.because
}

// process is a running process with the readers of its output.
type process struct {
	tree    tree
	pid     int
	started time.Time
	exited  <-chan struct{} // the process itself has ended
	readers [2]*reader
}

// startProcess starts the command of spec in a group of its own. The pipes are read from the moment
// read is called.
func startProcess(spec Server, path string, env []string, as account, o *Options, s *starter) (*process, [2]*os.File, error) {
	var ends [2]*os.File
	stdout, childStdout, err := os.Pipe()
	if err != nil {
		return nil, ends, fmt.Errorf("stdout: %w", err)
	}
	stderr, childStderr, err := os.Pipe()
	if err != nil {
		return nil, ends, errors.Join(fmt.Errorf("stderr: %w", err), stdout.Close(), childStdout.Close())
	}
	// Files, not writers: what copies in between would lose what a pipe still holds at the end.
	signal, grace := o.endOf(spec)
	t, err := s.start(command{
		path: path, args: spec.Command, env: env, dir: spec.Dir, account: as, rights: spec.Rights,
		stdout: childStdout, stderr: childStderr, signal: signal, grace: grace,
	})
	_ = childStdout.Close()
	_ = childStderr.Close()
	if err != nil {
		_ = stdout.Close()
		_ = stderr.Close()
		return nil, ends, fmt.Errorf("command: %w", as.explain(err))
	}
	return &process{tree: t, pid: t.pid(), started: time.Now(), exited: t.exited()}, [2]*os.File{stdout, stderr}, nil
}

func (p *process) read(readers [2]*reader) {
	p.readers = readers
	for _, r := range readers {
		go r.run()
	}
}

// stop ends the whole tree. Where the process has ended by itself, that is the rest of it, which would hold the ports and the pipes of
// a successor.
func (p *process) stop(signal syscall.Signal, grace time.Duration) error {
	return p.tree.end(signal, grace)
}

// finish is called after stop: it reads what the pipes still hold. It reports whether a process that could not be ended still held one.
func (p *process) finish() (held bool) {
	for _, r := range p.readers {
		r.release()
	}
	for _, r := range p.readers {
		<-r.done
		held = held || r.abandoned.Load()
	}
	return held
}
