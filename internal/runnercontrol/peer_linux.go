// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnercontrol

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// peer is the user at the other end.
func peer(conn net.Conn) (uid int, err error) {
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, errors.New("not a Unix socket")
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var credentials *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		credentials, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if failed != nil {
		return 0, failed
	}
	return int(credentials.Uid), nil
}
