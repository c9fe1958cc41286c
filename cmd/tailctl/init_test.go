// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// As process 1 of a container it waits for orphans, which nobody else would, forwards signals that the kernel does not act on there, and
// returns the code of the command.
func TestAsProcess1(t *testing.T) {
	p := newPlace(t)
	// The shell between is not waited for its child: the child becomes ours when it ends.
	cmd := p.tailctl("-q", "--", "sh", "-c", `trap 'echo told; exit 9' TERM; sh -c 'sleep 0.1 & echo orphan $!'; sleep 0.3; echo ready; while :; do sleep 0.05; done`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	}
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan())
	require.True(t, strings.HasPrefix(lines.Text(), "orphan "), lines.Text())
	require.True(t, lines.Scan())
	require.Equal(t, "ready", lines.Text())
	require.Eventually(t, func() bool {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		require.NoError(t, err)
		return len(strings.Fields(string(children))) == 1 // the command
	}, wait, tick, "a zombie is left")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.True(t, lines.Scan())
	require.Equal(t, "told", lines.Text())
	require.False(t, lines.Scan())
	assert.Equal(t, 9, code(t, cmd.Wait()))
}
