// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package runnercontrol

import (
	"errors"
	"net"
)

func peer(net.Conn) (int, error) { return 0, errors.ErrUnsupported }
