// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package segment

import (
	"errors"
)

func (f osFile) SyncAll() error { return errors.ErrUnsupported }

func (f osFile) Reserve(int64, int64) error { return errors.ErrUnsupported }
