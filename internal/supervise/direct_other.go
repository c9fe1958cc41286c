// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package supervise

import (
	"errors"
	"os/exec"
	"syscall"
	"time"
)

// A group whose leader has ended is looked at after firstPoll, then ever less often.
const (
	firstPoll   = 2 * time.Millisecond
	longestPoll = 50 * time.Millisecond
)

// starter starts processes as our children. There is no guardian here: they outlive us when we are killed, and a process that leaves
// its group outlives its tree.
type starter struct{}

func newStarter(func() *Options) *starter { return &starter{} }

func (*starter) close() error { return nil }

func (*starter) start(c command) (tree, error) {
	if c.rights.Umask != nil || c.rights.OpenFiles != 0 || c.rights.Memory != 0 {
		return nil, errors.New("umask, limits::nofile, limits::memory: are known on Linux only")
	}
	cmd := &exec.Cmd{
		Path: c.path, Args: c.args, Dir: c.dir, Env: c.env, SysProcAttr: c.account.attributes(), Stdout: c.stdout, Stderr: c.stderr,
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &direct{cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(d.ended)
		// The error repeats what ProcessState says.
		_ = cmd.Wait()
	}()
	return d, nil
}

// direct is a process group whose leader is our child.
type direct struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

func (d *direct) pid() int { return d.cmd.Process.Pid }

func (d *direct) exited() <-chan struct{} { return d.ended }

func (d *direct) status() status {
	state := d.cmd.ProcessState
	return status{exit: exitOf(state), cpu: state.UserTime() + state.SystemTime()}
}

func (d *direct) end(signal syscall.Signal, grace time.Duration) error {
	select {
	case <-d.ended:
		if !groupAlive(d.pid()) {
			return nil
		}
	default:
	}
	err := signalGroup(d.pid(), signal)
	deadline := time.NewTimer(grace)
	defer deadline.Stop()
	select {
	case <-d.ended:
		if d.wait(deadline.C) {
			return err
		}
	case <-deadline.C:
	}
	err = errors.Join(err, signalGroup(d.pid(), syscall.SIGKILL))
	<-d.ended
	last := time.NewTimer(killWait)
	defer last.Stop()
	d.wait(last.C)
	return err
}

// wait returns true when the rest of the group, whose leader has ended, has ended before the deadline.
func (d *direct) wait(deadline <-chan time.Time) bool {
	poll := time.NewTimer(firstPoll)
	defer poll.Stop()
	for wait := firstPoll; groupAlive(d.pid()); wait = min(2*wait, longestPoll) {
		poll.Reset(wait)
		select {
		case <-poll.C:
		case <-deadline:
			return false
		}
	}
	return true
}
