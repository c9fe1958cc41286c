// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package guardian

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tailrace/tailrace/internal/supervise/cgroup"
)

// fork starts a command in a process group of its own. Everything that it changes belongs to the whole process, so
// it must run where nothing else is started: on the one thread that does all work of the guardian.
func (w *ward) fork(c *command, tree int, stdout, stderr int, memory *cgroup.Group) (int, *reply) {
	failed := &reply{}
	if w.tagged {
		tag := w.tag(tree)
		if err := unix.Setrlimit(rlimitLocks, &tag); err != nil {
			failed.fail("guardian: setrlimit", err)
			return 0, failed
		}
		defer func() {
			own := w.tag(0)
			_ = unix.Setrlimit(rlimitLocks, &own)
		}()
	}
	if c.HasUmask {
		defer syscall.Umask(syscall.Umask(c.Umask))
	}
	attributes := &syscall.SysProcAttr{
		Setpgid: true, Pdeathsig: syscall.SIGKILL,
		// A traced child stops when its program is loaded, before the first instruction: so the program never
		// runs without its limits. Its tracer is this thread.
		Ptrace: c.OpenFiles != 0 || memory != nil,
	}
	if c.HasCred {
		attributes.Credential = &c.Credential
	}
	pid, err := syscall.ForkExec(c.Path, c.Args, &syscall.ProcAttr{
		Dir: c.Dir, Env: append(c.Env, Variable+"="+w.mark(tree)), Files: []uintptr{0, uintptr(stdout), uintptr(stderr)}, Sys: attributes,
	})
	if err != nil {
		failed.fail("fork/exec "+c.Path, err)
		return 0, failed
	}
	if !attributes.Ptrace {
		return pid, nil
	}
	err = limitStopped(pid, c.OpenFiles, memory)
	if err == nil {
		return pid, nil
	}
	var step *stepError
	if !errors.As(err, &step) {
		failed.fail("limits", err)
		return 0, failed
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	for {
		if _, err := syscall.Wait4(pid, nil, 0, nil); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	failed.fail(step.step, step.err)
	return 0, failed
}

// stepError is of a step after which the child still exists.
type stepError struct {
	step string
	err  error
}

func (e *stepError) Error() string { return fmt.Sprintf("%s: %v", e.step, e.err) }

// limitStopped waits until a traced child has stopped, limits it and lets it run.
func limitStopped(pid int, files uint64, memory *cgroup.Group) error {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EINTR) {
			return &stepError{"limits: wait", err}
		}
	}
	if !status.Stopped() {
		return errors.New("the process has ended before it could be limited")
	}
	if files != 0 {
		limit := unix.Rlimit{Cur: files, Max: files}
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
			return &stepError{"limits::nofile: prlimit", err}
		}
	}
	if memory != nil {
		if err := memory.Add(pid); err != nil {
			return &stepError{"limits::memory: the control group does not take the process", err}
		}
	}
	if err := syscall.PtraceDetach(pid); err != nil {
		return &stepError{"limits: detach", err}
	}
	return nil
}
