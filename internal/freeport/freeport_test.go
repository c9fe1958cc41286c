// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package freeport

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// many is so many that two who choose at random, without reservations, would all but surely meet (a thousand and a thousand of 22528).
const many = 500

const helper = "TAILRACE_FREEPORT_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helper) == "" {
		os.Exit(m.Run())
	}
	for range many {
		port, err := Take()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(port)
	}
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // holds its ports until the test has its own
}

func TestNoPortIsGivenTwice(t *testing.T) {
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), helper+"=1")
	other.Stderr = os.Stderr
	in, err := other.StdinPipe()
	require.NoError(t, err)
	out, err := other.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, other.Start())

	seen := map[int]bool{}
	for range many {
		port := For(t)
		assert.False(t, seen[port], "%d was given twice", port)
		seen[port] = true
		assert.Less(t, port, 32768, "a port of outgoing connections")
	}
	lines := bufio.NewScanner(out)
	for range many {
		require.True(t, lines.Scan(), "the other process has ended early")
		port, err := strconv.Atoi(lines.Text())
		require.NoError(t, err)
		assert.False(t, seen[port], "%d was given to two processes, or twice to the other one", port)
		seen[port] = true
	}
	require.NoError(t, in.Close())
	require.NoError(t, other.Wait())
}

func TestAPortIsFree(t *testing.T) {
	l, err := net.Listen("tcp", Address(t))
	require.NoError(t, err)
	assert.NoError(t, l.Close())
}

func TestAPortInUseIsNotGiven(t *testing.T) {
	l, err := net.Listen("tcp", Address(t))
	require.NoError(t, err)
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	_, err = try(port)
	assert.Error(t, err, "it is reserved")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, err = try(taken.Addr().(*net.TCPAddr).Port)
	assert.ErrorContains(t, err, "in use")
}
