// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package guardian

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Each packet of the socket is one gob. A command, which may be larger than a packet, comes in a memory file.

type operation uint8

const (
	opStart operation = iota + 1 // with the files: command, stdout, stderr
	opEnd
)

type request struct {
	ID     uint64 // of the answer
	Op     operation
	Tree   int
	Signal syscall.Signal
	Grace  time.Duration
}

type reply struct {
	ID    uint64 // 0: nobody asked
	Tree  int
	PID   int
	Ready bool // the first packet
	// Exited says that the direct child has ended.
	Exited bool
	Status syscall.WaitStatus
	CPU    time.Duration
	// OutOfMemory is of Exited.
	OutOfMemory bool
	Error       string
	Errno       syscall.Errno // joins Error
	Survivors   []int         // what could not be ended
}

func (r *reply) err() error {
	switch {
	case r.Errno != 0:
		return fmt.Errorf("%s: %w", r.Error, r.Errno)
	case r.Error != "":
		return errors.New(r.Error)
	case len(r.Survivors) > 0:
		return fmt.Errorf("processes %v can't be ended", r.Survivors)
	default:
		return nil
	}
}

// fail fills in an error so that its errno can be recognised on the other side.
func (r *reply) fail(what string, err error) {
	r.Error = what
	if !errors.As(err, &r.Errno) {
		r.Error += ": " + err.Error()
	}
}

// command is Command on the wire. Gob does not tell a pointer to zero from nil.
type command struct {
	Path       string
	Args       []string
	Dir        string
	Env        []string
	Credential syscall.Credential
	HasCred    bool
	Umask      int
	HasUmask   bool
	OpenFiles  uint64
	Memory     uint64
	Cgroup     string
	Signal     syscall.Signal
	Grace      time.Duration
}

func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(value)
	return b.Bytes(), err
}

func decode(data []byte, value any) error { return gob.NewDecoder(bytes.NewReader(data)).Decode(value) }

// memoryFile returns a file without a name that holds value.
func memoryFile(value any) (*os.File, error) {
	data, err := encode(value)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("command", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	file := os.NewFile(uintptr(fd), "command")
	if _, err = file.Write(data); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// readMemoryFile does not move the offset, which both sides share.
func readMemoryFile(fd int, value any) error {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	data := make([]byte, stat.Size)
	for got := 0; got < len(data); {
		n, err := unix.Pread(fd, data[got:], int64(got))
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		got += n
	}
	return decode(data, value)
}
