// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package segment

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func (f osFile) SyncAll() error {
	return os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd())))
}

func (f osFile) Reserve(from, to int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, from, to-from)
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINTR):
		return errors.ErrUnsupported
	case err != nil:
		return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
	}
	return nil
}
