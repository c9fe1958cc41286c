// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os/signal"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	ioctlGetTermios = unix.TCGETS
	ioctlSetTermios = unix.TCSETS
)

// childAttributes has the kernel kill the command with us: nobody would read its output.
func childAttributes(ownGroup bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: ownGroup, Pdeathsig: syscall.SIGKILL}
}

// waitsFirst says whether waitable returns when the child has ended.
const waitsFirst = true

// waitable waits until a child has ended, without taking its status.
func waitable(pid int) bool {
	err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
	return !errors.Is(err, unix.EINTR)
}

// dieOf ends this process by a signal, as the command was: shells and supervisors tell that from an exit code. It
// returns where that can't be, as in process 1.
func dieOf(s syscall.Signal) {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // the command has left its core, if any
	signal.Reset(s)
	// Go keeps handlers of its own for signals such as SIGQUIT and SIGSEGV, which print stacks.
	var byDefault [64]byte // a struct sigaction of zeros
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&byDefault)), 0, 8, 0, 0)
	if unix.Kill(unix.Getpid(), s) == nil && unix.Getpid() != 1 {
		time.Sleep(time.Second)
	}
}
