//go:build !unix

// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment

import "errors"

// SyncDir does nothing: folders can't be synced here, the system journals names by itself.
func (osFS) SyncDir(string) error { return nil }

func (f osFile) SyncAll() error { return errors.ErrUnsupported }

// Lock does nothing here: two exporters on one folder are not noticed on this platform.
func (osFS) Lock(File) error { return nil }

func (f osFile) Reserve(int64, int64) error { return errors.ErrUnsupported }

// Unlinked is never true: open files can't be removed here.
func (f osFile) Unlinked() (bool, error) { return false, nil }
