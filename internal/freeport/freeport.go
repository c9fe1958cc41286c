// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package freeport finds ports of 127.0.0.1 for programs that tests and benchmarks start and that can only be told a number.
//
// A port that the kernel has chosen for a listener (port 0) is no answer: from the moment that the listener is closed the kernel gives
// it to anybody, to the next who asks or to an outgoing connection. So the ports are from below the range of outgoing connections
// (32768 and up on Linux, 49152 and up elsewhere), and each is reserved by a UDP socket on the same number, which does not stand in the
// way of a TCP listener and goes with the process whatever its end: no two processes that use this package get the same port at the
// same time, and no process gets a port twice.
package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	host        = "127.0.0.1"
	first, last = 10240, 32767
	tries       = 1000
)

var (
	mu       sync.Mutex
	reserved []net.PacketConn // guarded by mu; open until the process ends
)

// Take reserves a TCP port of 127.0.0.1 on which nobody listens for as long as this process runs.
func Take() (int, error) {
	var err error
	for range tries {
		var port int
		if port, err = try(first + rand.IntN(last-first+1)); err == nil {
			return port, nil
		}
	}
	return 0, errors.Join(errors.New("no free port found"), err)
}

func try(port int) (int, error) {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	reservation, err := net.ListenPacket("udp4", addr)
	if err != nil {
		return 0, err
	}
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		return 0, errors.Join(err, reservation.Close())
	}
	mu.Lock()
	reserved = append(reserved, reservation)
	mu.Unlock()
	return port, l.Close()
}

// For is Take for a test, which it fails when there is none.
func For(tb testing.TB) int {
	tb.Helper()
	port, err := Take()
	require.NoError(tb, err)
	return port
}

// Address is For as 127.0.0.1:port.
func Address(tb testing.TB) string {
	tb.Helper()
	return net.JoinHostPort(host, strconv.Itoa(For(tb)))
}
