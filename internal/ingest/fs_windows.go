// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

func openNoFollow(name string) (*os.File, error) { return os.Open(name) }

// syncDir does nothing: Windows has no way to sync a folder; its file systems log the names themselves.
func syncDir(string) error { return nil }

func tryLock(f *os.File) (bool, error) {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{OffsetHigh: 1})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}
