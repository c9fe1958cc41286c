// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// A group whose leader has ended is looked at after firstPoll, then ever less often.
const (
	firstPoll   = 2 * time.Millisecond
	longestPoll = 50 * time.Millisecond
)

// killWait bounds the wait for a group after SIGKILL: only a process in an uninterruptible system call
// outlives it.
const killWait = time.Second

// starter starts processes from one thread that lives as long as it does. The parent-death signal of
// Linux is sent when the thread ends that started the child, not the process, and Go ends threads at will.
type starter struct {
	requests chan startRequest
	done     chan struct{}
	unshared bool // the thread has a umask of its own
}

type startRequest struct {
	cmd    *exec.Cmd
	rights Rights
	result chan error
}

func newStarter() *starter {
	s := &starter{requests: make(chan startRequest), done: make(chan struct{})}
	go s.run()
	return s
}

func (s *starter) run() {
	// Never unlocked: the thread ends with the goroutine, and the kernel kills what is left of its children.
	runtime.LockOSThread()
	defer close(s.done)
	for request := range s.requests {
		request.result <- s.startLimited(request.cmd, request.rights)
	}
}

// start starts a command with the limits of rights; its account is the business of the caller.
func (s *starter) start(cmd *exec.Cmd, rights Rights) error {
	result := make(chan error, 1)
	s.requests <- startRequest{cmd: cmd, rights: rights, result: result}
	return <-result
}

func (s *starter) close() {
	close(s.requests)
	<-s.done
}

// process is a running process group with the readers of its output.
type process struct {
	cmd     *exec.Cmd
	pid     int
	started time.Time
	exited  chan struct{} // the leader has ended
	readers [2]*reader
}

// startProcess starts the command of spec in a group of its own. The pipes are read from the moment
// read is called.
func startProcess(spec Server, path string, env []string, as account, s *starter) (*process, [2]*os.File, error) {
	var ends [2]*os.File
	cmd := &exec.Cmd{
		Path: path, Args: spec.Command, Dir: spec.Dir, Env: env,
		SysProcAttr: as.attributes(),
	}
	stdout, childStdout, err := os.Pipe()
	if err != nil {
		return nil, ends, fmt.Errorf("stdout: %w", err)
	}
	stderr, childStderr, err := os.Pipe()
	if err != nil {
		return nil, ends, errors.Join(fmt.Errorf("stderr: %w", err), stdout.Close(), childStdout.Close())
	}
	// Files, not writers: exec would copy through a goroutine of its own, and its Wait closes pipes that
	// are not read to the end yet.
	cmd.Stdout, cmd.Stderr = childStdout, childStderr
	err = s.start(cmd, spec.Rights)
	_ = childStdout.Close()
	_ = childStderr.Close()
	if err != nil {
		_ = stdout.Close()
		_ = stderr.Close()
		return nil, ends, fmt.Errorf("command: %w", as.explain(err))
	}
	p := &process{cmd: cmd, pid: cmd.Process.Pid, started: time.Now(), exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		// The error repeats what ProcessState says.
		_ = cmd.Wait()
	}()
	return p, [2]*os.File{stdout, stderr}, nil
}

func (p *process) read(readers [2]*reader) {
	p.readers = readers
	for _, r := range readers {
		go r.run()
	}
}

// stop asks the group to end, and kills what is left of it after the grace period.
func (p *process) stop(signal syscall.Signal, grace time.Duration) error {
	err := signalGroup(p.pid, signal)
	deadline := time.NewTimer(grace)
	defer deadline.Stop()
	select {
	case <-p.exited:
		return errors.Join(err, p.endGroup(deadline.C))
	case <-deadline.C:
	}
	err = errors.Join(err, signalGroup(p.pid, syscall.SIGKILL))
	<-p.exited
	return err
}

// endGroup waits until the rest of a group has ended whose leader has, and kills it at the deadline.
func (p *process) endGroup(deadline <-chan time.Time) error {
	poll := time.NewTimer(firstPoll)
	defer poll.Stop()
	for wait := firstPoll; groupAlive(p.pid); wait = min(2*wait, longestPoll) {
		poll.Reset(wait)
		select {
		case <-poll.C:
		case <-deadline:
			return signalGroup(p.pid, syscall.SIGKILL)
		}
	}
	return nil
}

// finish is called when the group has ended or was killed: it reads what the pipes still hold. It
// reports whether a process outside of the group still held one.
func (p *process) finish() (held bool) {
	deadline := time.NewTimer(killWait)
	defer deadline.Stop()
	_ = p.endGroup(deadline.C)
	for _, r := range p.readers {
		r.release()
	}
	for _, r := range p.readers {
		<-r.done
		held = held || r.abandoned.Load()
	}
	return held
}
