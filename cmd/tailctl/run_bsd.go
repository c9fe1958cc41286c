// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package main

import (
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	ioctlGetTermios = unix.TIOCGETA
	ioctlSetTermios = unix.TIOCSETA
)

func childAttributes(ownGroup bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: ownGroup}
}

// waitsFirst says whether waitable returns when the child has ended.
const waitsFirst = false

// waitable does not know; the wait that follows does it all.
func waitable(int) bool { return true }

// dieOf ends this process by a signal, as the command was. It returns where that can't be.
func dieOf(s syscall.Signal) {
	switch s {
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGKILL:
		signal.Reset(s)
		if syscall.Kill(syscall.Getpid(), s) == nil {
			time.Sleep(time.Second)
		}
	}
}
