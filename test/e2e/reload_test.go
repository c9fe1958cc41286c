// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/runnercontrol"
)

// reloaded is the shipped collector with a configuration that the test changes under it.
type reloaded struct {
	t      *testing.T
	folder string
	client *runnercontrol.Client
	cmd    *exec.Cmd
	log    bytes.Buffer // valid after exited
	exited chan struct{}
}

// counts prints a line a millisecond, and ends at once at SIGTERM.
const counts = `exec 2>/dev/null; i=0; while :; do echo "line $i"; i=$((i+1)); sleep 0.001; done`

func startReloaded(t *testing.T, servers, receivers string) *reloaded {
	binary, err := filepath.Abs("../../_build/tailrace")
	require.NoError(t, err)
	folder, err := os.MkdirTemp("/tmp", "reload") // short enough for a socket
	require.NoError(t, err)
	r := &reloaded{
		t: t, folder: folder, client: runnercontrol.NewClient(filepath.Join(folder, "control.sock")),
		exited: make(chan struct{}),
	}
	r.configure(servers, receivers)
	r.cmd = exec.Command(binary, "--config", filepath.Join(folder, "config.yaml"))
	r.cmd.Stdout, r.cmd.Stderr = &r.log, &r.log
	require.NoError(t, r.cmd.Start())
	go func() {
		defer close(r.exited)
		_ = r.cmd.Wait() // ProcessState says it
	}()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.exited
		r.client.Close()
		_ = os.RemoveAll(folder)
	})
	return r
}

func (r *reloaded) configure(servers, receivers string) {
	config := fmt.Sprintf(`
extensions:
  runner:
    control: {socket: %[1]s/control.sock}
    servers:%[2]s
receivers:
  runner_log: {runner: runner}%[3]s
exporters:
  jsonl: {path: %[1]s/data, rotation: {max_age: 1s}}
service:
  extensions: [runner]
  telemetry: {metrics: {level: none}}
  pipelines:
    logs: {receivers: [runner_log%[4]s], exporters: [jsonl]}
`, r.folder, servers, receivers, map[bool]string{true: ", otlp"}[receivers != ""])
	require.NoError(r.t, os.WriteFile(filepath.Join(r.folder, "config.yaml"), []byte(config), 0o600))
}

func entry(id, script, env string) string {
	return fmt.Sprintf("\n      - {id: %s, project: shop, command: [/bin/sh, -c, '%s'], env: {A: %q}}", id, script, env)
}

// pids are those of all servers, once they are as many as wanted and run.
func (r *reloaded) pids(want ...string) map[string]int {
	var pids map[string]int
	require.Eventually(r.t, func() bool {
		ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
		defer cancel()
		servers, err := r.client.Servers(ctx) // the socket is away while the collector reloads
		if err != nil || len(servers) != len(want) {
			return false
		}
		pids = map[string]int{}
		for _, server := range servers {
			if !server.Settled || server.State != "running" {
				return false
			}
			pids[server.ID] = server.PID
		}
		for _, id := range want {
			if pids[id] == 0 {
				return false
			}
		}
		return true
	}, 60*time.Second, 20*time.Millisecond, "waiting for %v to run", want)
	return pids
}

func (r *reloaded) signal(signal syscall.Signal) { require.NoError(r.t, r.cmd.Process.Signal(signal)) }

// end waits for the end of the collector and returns its log.
func (r *reloaded) end() string {
	select {
	case <-r.exited:
	case <-time.After(60 * time.Second):
		r.t.Fatal("the collector does not end")
	}
	return r.log.String()
}

func (r *reloaded) lines() []string {
	var found []string
	files, err := filepath.Glob(filepath.Join(r.folder, "data", "logs", "shop", "*.jsonl"))
	require.NoError(r.t, err)
	for _, file := range files { // their names sort by time
		text, err := os.ReadFile(file)
		require.NoError(r.t, err)
		for _, match := range regexp.MustCompile(`"line (\d+)"`).FindAllSubmatch(text, -1) {
			found = append(found, string(match[1]))
		}
	}
	return found
}

func gone(t *testing.T, pid int) {
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	}, 30*time.Second, 10*time.Millisecond, "process %d still runs", pid)
}

func TestReloadRestartsOnlyWhatChanged(t *testing.T) {
	same := entry("same", counts, "1")
	r := startReloaded(t, same+entry("changed", "exec sleep 1000", "1")+entry("removed", "exec sleep 1000", "1"), "")
	before := r.pids("same", "changed", "removed")
	r.configure(entry("added", "exec sleep 1000", "1")+same+entry("changed", "exec sleep 1000", "2"), "")
	r.signal(syscall.SIGHUP)
	require.Eventually(t, func() bool { return r.pids("same", "changed", "added")["changed"] != before["changed"] }, 60*time.Second, 20*time.Millisecond)
	gone(t, before["removed"])
	gone(t, before["changed"])
	// Some more, while it prints.
	for range 3 {
		seen := len(r.lines())
		r.signal(syscall.SIGHUP)
		require.Eventually(t, func() bool { return len(r.lines()) > seen+50 }, 60*time.Second, 20*time.Millisecond)
	}
	after := r.pids("same", "changed", "added")
	assert.Equal(t, before["same"], after["same"])
	r.signal(syscall.SIGTERM)
	log := r.end()
	// Signals that come faster than they are handled may become one.
	assert.GreaterOrEqual(t, strings.Count(log, "Config updated, restart service"), 2, log)
	assert.True(t, r.cmd.ProcessState.Success(), log)
	for i, line := range r.lines() {
		require.Equal(t, fmt.Sprint(i), line, "no line is lost or comes twice")
	}
	for _, pid := range after {
		gone(t, pid)
	}
}

func TestReloadThatDoesNotStartStopsTheServersProperly(t *testing.T) {
	web := entry("web", "exec sleep 1000", "1")
	r := startReloaded(t, web, "")
	pid := r.pids("web")["web"]
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	r.configure(web, fmt.Sprintf("\n  otlp: {protocols: {http: {endpoint: %q}}}", busy.Addr().String()))
	r.signal(syscall.SIGHUP)
	log := r.end()
	assert.Contains(t, log, "address already in use")
	assert.Contains(t, log, "Server was stopped and was ended by SIGTERM")
	gone(t, pid)
}

func TestReloadWithABrokenConfigurationLeavesNoProcess(t *testing.T) {
	r := startReloaded(t, entry("web", "exec sleep 1000", "1"), "")
	pid := r.pids("web")["web"]
	r.configure("\n      - {id: web, comand: [sleep]}", "")
	r.signal(syscall.SIGHUP)
	assert.Contains(t, r.end(), "unknown key")
	gone(t, pid)
}

// As systemd does it with SendSIGHUP=yes.
func TestSIGHUPAfterSIGTERMIsNoReload(t *testing.T) {
	r := startReloaded(t, entry("web", "exec sleep 1000", "1"), "")
	pid := r.pids("web")["web"]
	r.signal(syscall.SIGTERM)
	_ = r.cmd.Process.Signal(syscall.SIGHUP) // it may have ended
	assert.Contains(t, r.end(), "Server was stopped and was ended by SIGTERM")
	gone(t, pid)
}
