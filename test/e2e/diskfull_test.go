// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e && linux

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
)

// A full disk is answered with a retryable error; the live tail goes on, and shows what the sender repeats once. When there is
// room again the collector goes on by itself, and every acknowledged record is stored once.
func TestFullDisk(t *testing.T) {
	p := newProduct(t, "config/otlp-only.yaml")
	onSmallDisk(p)
	p.start()
	p.waitReady()
	disk := fmt.Sprintf("/proc/%d/root%s", p.cmd.Process.Pid, filepath.Join(p.data, "jsonl"))
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)

	v := p.watch("logs:full")
	body, err := plogotlp.NewExportRequestFromLogs(logs("full", "f", 2000)).MarshalProto()
	require.NoError(t, err)
	for range 3 {
		code, answer, err := p.post("/v1/logs", protobuf, body)
		require.NoError(t, err)
		require.Equal(t, http.StatusServiceUnavailable, code, "a retryable answer: %s", answer)
	}
	require.NoError(t, p.healthy())

	require.NoError(t, os.Remove(ballast))
	p.await(10*time.Second, "accepted", func() error { return acknowledged(p.post("/v1/logs", protobuf, body)) })
	p.awaitCount(20*time.Second, 2000, "SELECT uniqExact(Body) FROM tailrace.otel_logs WHERE ResourceAttributes['project.id'] = 'full'")
	p.awaitCount(1*time.Second, 2000, "SELECT count() FROM tailrace.otel_logs WHERE ResourceAttributes['project.id'] = 'full'")
	shown := map[string]int{}
	for _, m := range v.all() {
		if m.Type == "log" {
			shown[m.field("body")]++
		}
	}
	assert.Len(t, shown, 2000)
	for body, n := range shown {
		require.Equal(t, 1, n, "%s was shown %d times", body, n)
	}
	p.stop()
}

// onSmallDisk gives the collector a JSONL folder that is a file system of 8 MiB, in a mount namespace of its own.
func onSmallDisk(p *product) {
	dir := filepath.Join(p.data, "jsonl")
	require.NoError(p.t, os.MkdirAll(dir, 0o750))
	p.wrap = func(cmd *exec.Cmd) {
		script := fmt.Sprintf(`mount -t tmpfs -o size=8m tmpfs '%s' && exec '%s' "$@"`, dir, p.binary)
		cmd.Path = "/bin/sh"
		cmd.Args = append([]string{"sh", "-c", script, "sh"}, cmd.Args[1:]...)
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS // makes the mount private
		if uid := os.Getuid(); uid != 0 {
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
	}
}

// fill writes a file until the disk is full to the last byte.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.WriteString(strings.Repeat("x", size)); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			size /= 2
		}
	}
}
