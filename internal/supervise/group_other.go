// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package supervise

import (
	"os"
	"syscall"
)

// Without process groups only the direct child can be ended, and only by killing it.

func childAttributes() *syscall.SysProcAttr { return nil }

func signalGroup(pid int, _ syscall.Signal) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return nil
	}
	_ = process.Kill()
	return process.Release()
}

func groupAlive(int) bool { return false }

func exitOf(state *os.ProcessState) Exit { return Exit{Code: state.ExitCode()} }

// SignalNumber turns a name such as "SIGTERM" into a signal; 0 for an unknown one.
func SignalNumber(name string) syscall.Signal {
	switch name {
	case "SIGTERM":
		return syscall.SIGTERM
	case "SIGINT":
		return syscall.SIGINT
	case "SIGKILL":
		return syscall.SIGKILL
	default:
		return 0
	}
}
