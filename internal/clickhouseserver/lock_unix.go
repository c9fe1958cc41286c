//go:build unix

// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// tryLock opens the file and takes its lock, which belongs to the open file and so to every process that
// inherits it. It returns nil, nil when somebody else has it.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, err
	}
	return f, nil
}

// detach keeps a terminal's Ctrl-C away from the child: it is stopped by us, after those who still write to it.
// The child inherits the lock.
func detach(cmd *exec.Cmd, lock *os.File) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.ExtraFiles = []*os.File{lock}
}

// killGroup ends a process group that detach made, if it is still there.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }
