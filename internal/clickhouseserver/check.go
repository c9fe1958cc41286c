// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

// prepareFolder creates the data folder and proves that it can be written to.
func prepareFolder(l layout) error {
	err := os.MkdirAll(l.root, 0o700)
	if err == nil {
		err = os.MkdirAll(l.data, 0o700)
	}
	if err == nil {
		err = proveWritable(l.root)
	}
	if err == nil {
		err = proveWritable(l.data)
	}
	if err != nil {
		return folderError(l, err)
	}
	return nil
}

func folderError(l layout, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("path: the disk of the data folder %s is full (%w): free space, or set `path` to a folder on another disk", l.root, err)
	default:
		return fmt.Errorf("path: the data folder %s can not be written to (%w): give this user the right to, or set `path` to another folder", l.root, err)
	}
}

// proveWritable writes as much as a disk that is just full would refuse.
func proveWritable(dir string) error {
	f, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 64<<10))
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// openPorts opens tcp_port for the guard, unless it is open already, and finds a port for ClickHouse to listen on
// behind it. The error says which port another program holds. It is called with the folder's locks in hand, so
// that a predecessor on this folder can not be that program.
//
// All ports are held at the same time, so that the kernel can not give out one of ours. Between their release and
// ClickHouse's bind anybody may take one: ClickHouse fails to start then, see [Server.run].
func (s *Server) openPorts() (inner int, err error) {
	err = s.portError("tcp_port", s.cfg.TCPPort, s.guard.Listen(s.Addr()))
	http, httpErr := net.Listen("tcp", s.HTTPAddr())
	if err := errors.Join(err, s.portError("http_port", s.cfg.HTTPPort, httpErr)); err != nil {
		if httpErr == nil {
			_ = http.Close()
		}
		return 0, err
	}
	defer func() { _ = http.Close() }()
	return s.opts.innerPort()
}

func (s *Server) portError(key string, port int, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: port %d is in use by another program: end that program (`ss -ltnp` or `lsof -i :%d` shows it), or set `%s` to a free port", key, port, port, key)
	default:
		return fmt.Errorf("%s: port %d can not be opened: %w", key, port, err)
	}
}

// freeInnerPort returns a port of 127.0.0.1 that is free now.
func freeInnerPort() (int, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return 0, fmt.Errorf("find a free port for ClickHouse: %w", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	return port, listener.Close()
}

// portTaken is true when nobody can listen on a port of 127.0.0.1, because somebody does.
func portTaken(port int) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if err == nil {
		_ = listener.Close()
	}
	return errors.Is(err, syscall.EADDRINUSE)
}
