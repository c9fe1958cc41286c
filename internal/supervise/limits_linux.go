// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// startLimited starts a child with the limits of rights. It must run on the thread of the starter.
func (s *starter) startLimited(cmd *exec.Cmd, rights Rights) error {
	if rights.Umask != nil {
		// The mask belongs to the process, unless a thread takes a copy for itself. Children inherit that of the thread.
		if !s.unshared {
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return fmt.Errorf("umask: unshare: %w", err)
			}
			s.unshared = true
		}
		before := syscall.Umask(*rights.Umask)
		defer syscall.Umask(before)
	}
	if rights.OpenFiles == 0 {
		return cmd.Start()
	}
	// A traced child stops when its program is loaded, before the first instruction: so the program never
	// sees another limit. Its tracer is this thread.
	cmd.SysProcAttr.Ptrace = true
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := limitStopped(cmd.Process.Pid, rights.OpenFiles); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return fmt.Errorf("limits::nofile: %w", err)
	}
	return nil
}

// limitStopped waits until a traced child has stopped, limits it and lets it run.
func limitStopped(pid int, files uint64) error {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("wait: %w", err)
		}
	}
	if !status.Stopped() {
		return errors.New("the process has ended before it could be limited")
	}
	limit := unix.Rlimit{Cur: files, Max: files}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		return fmt.Errorf("prlimit: %w", err)
	}
	if err := syscall.PtraceDetach(pid); err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	return nil
}
