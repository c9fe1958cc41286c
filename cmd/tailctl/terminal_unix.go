// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// terminal is the controlling terminal of this process.
type terminal struct{ file *os.File }

// openTerminal returns nil without one.
func openTerminal() *terminal {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return &terminal{f}
}

// foreground says whether our process group is the one that the terminal's keys signal.
func (t *terminal) foreground() bool {
	group, err := unix.IoctlGetInt(int(t.file.Fd()), unix.TIOCGPGRP)
	return err == nil && group == syscall.Getpgrp()
}

// gone says whether the terminal was hung up: then the whole group was told.
func (t *terminal) gone() bool {
	_, err := unix.IoctlGetInt(int(t.file.Fd()), unix.TIOCGPGRP)
	return err != nil
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), ioctlGetTermios)
	return err == nil
}

// makeOutput returns what the command writes to, and where that comes out: a pty where our own stream is a terminal, else
// a pipe. Nobody's terminal is put into another mode: the pty changes no byte, our terminal treats them as it would have.
func makeOutput(own *os.File) (from, to *os.File, isPTY bool, err error) {
	if !isTerminal(own) {
		from, to, err = os.Pipe()
		return from, to, false, err
	}
	from, to, err = pty.Open()
	if err != nil {
		return nil, nil, false, fmt.Errorf("a terminal for the command: %w", err)
	}
	if mode, err := unix.IoctlGetTermios(int(own.Fd()), ioctlGetTermios); err == nil {
		mode.Oflag &^= unix.OPOST
		mode.Lflag &^= unix.ECHO
		_ = unix.IoctlSetTermios(int(to.Fd()), ioctlSetTermios, mode)
	}
	copySize(own, from)
	return from, to, true, nil
}

func copySize(from, to *os.File) {
	if size, err := pty.GetsizeFull(from); err == nil {
		_ = pty.Setsize(to, size)
	}
}

// trusted says whether a socket is there that we or the administrator made: its owner gets what the command prints.
func trusted(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (stat.Uid == 0 || int(stat.Uid) == os.Getuid())
}
