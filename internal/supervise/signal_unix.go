// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package supervise

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// SignalNumber turns a name such as "SIGTERM" into a signal; 0 for an unknown one.
func SignalNumber(name string) syscall.Signal { return unix.SignalNum(name) }
