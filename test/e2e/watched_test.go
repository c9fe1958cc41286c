// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// watched is a process that is not a child of the test. A pidfd tells when all its threads have ended
// and its files are closed; /proc calls it a zombie earlier, and its pid may be given to another.
type watched struct {
	fd   int // -1: it had ended before
	what string
}

func watch(pid, what string) watched {
	number, err := strconv.Atoi(pid)
	if err != nil {
		return watched{fd: -1, what: what}
	}
	fd, err := unix.PidfdOpen(number, 0)
	if err != nil {
		fd = -1
	}
	return watched{fd: fd, what: what}
}

// wait reports whether the process ended in time. When it did, w is of no more use.
func (w watched) wait(timeout time.Duration) bool {
	if w.fd < 0 {
		return true
	}
	deadline := time.Now().Add(timeout)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}, int(max(0, time.Until(deadline)).Milliseconds()))
		if n > 0 {
			_ = unix.Close(w.fd)
			return true
		}
		if err != unix.EINTR {
			return false
		}
	}
}

func (w watched) kill() {
	_ = unix.PidfdSendSignal(w.fd, unix.SIGKILL, nil, 0)
	w.wait(5 * time.Second)
}
