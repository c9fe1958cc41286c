// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package lineproto

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxSocketPath is what every Unix takes (Linux: 108 with the end of the string, macOS and BSD: 104).
const maxSocketPath = 103

// ListenUnix listens on a socket of its own: a file beside it (path.lock) is locked as long, so that two never share
// it, and a socket that a killed predecessor left is replaced. The folder is made when missing. Nobody but those whom mode lets can
// connect, at no time. Closing the listener removes the socket.
func ListenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the path of a Unix socket may have %d bytes, %q has %d: use a shorter one, such as /run/tailrace/runner.sock",
			maxSocketPath, path, len(path))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("%s: another collector listens there (it holds %s.lock): %w", path, path, err)
	}
	l, err := listenLocked(path, mode)
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	return &lockedListener{Listener: l, path: path, lock: lock}, nil
}

func listenLocked(path string, mode fs.FileMode) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("%s: exists and is no socket: remove it, or use another path", path)
		}
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			_ = c.Close()
			return nil, fmt.Errorf("%s: somebody else listens there", path)
		} else if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%s: exists, and cannot be tried: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	// Not net.Listen: the mode has to be set before anybody can connect, which is before listen, not before bind.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	unix.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, fmt.Errorf("%s: bind: %w", path, err)
	}
	if err = os.Chmod(path, mode); err == nil {
		err = unix.Listen(fd, unix.SOMAXCONN)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return net.FileListener(file)
}

type lockedListener struct {
	net.Listener
	path string
	lock *os.File
	once sync.Once
}

// Close removes the socket before the lock: a successor may come at once. The lock file stays; removing it would let two hold
// locks of the same name.
func (l *lockedListener) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() {
		if e := os.Remove(l.path); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
		_ = l.lock.Close()
	})
	return err
}
