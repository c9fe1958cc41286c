// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package lineproto

import (
	"errors"
	"io/fs"
	"net"
)

// ListenUnix is not there on this system.
func ListenUnix(string, fs.FileMode) (net.Listener, error) {
	return nil, errors.New("listen::socket needs a Unix system: use listen::tcp")
}
