// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package ingest

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// openNoFollow opens a file for reading, but never through a symbolic link, and never waits for a pipe.
func openNoFollow(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}

// syncDir makes the names in a folder durable.
func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// tryLock takes an exclusive lock that ends with the process. False means that somebody else has it.
func tryLock(f *os.File) (bool, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
