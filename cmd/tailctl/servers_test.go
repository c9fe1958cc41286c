// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/runnercontrol"
)

// fake is a runner with three servers and two builds.
type fake struct {
	mu      sync.Mutex
	servers map[string]runnercontrol.Server
	builds  map[string]runnercontrol.Build
}

func newFake() *fake {
	since := time.Now().Add(-90 * time.Second)
	return &fake{
		servers: map[string]runnercontrol.Server{
			"web": {ID: "web", Project: "shop", Deployment: "shop-web", State: "running", Health: "healthy", Settled: true, PID: 42, Port: 4111,
				Restarts: 2, Since: &since, Usage: &runnercontrol.Usage{CPU: 1.25, Memory: 3 << 20}},
			"bad":  {ID: "bad", State: "failed", Settled: true, Reason: "command:\nnot found"},
			"over": {ID: "over", State: "exited", Settled: true, Exit: &runnercontrol.Exit{Code: 0}},
		},
		builds: map[string]runnercontrol.Build{
			"good":   {ID: "good", Phase: "succeeded", Settled: true, Runs: 1, Duration: 61.25},
			"failed": {ID: "failed", Phase: "failed", Settled: true, Reason: "command exited with code 3"},
		},
	}
}

func (f *fake) Servers() []runnercontrol.Server {
	f.mu.Lock()
	defer f.mu.Unlock()
	return []runnercontrol.Server{f.servers["web"], f.servers["bad"], f.servers["over"]}
}

func (f *fake) Builds() []runnercontrol.Build {
	return []runnercontrol.Build{f.builds["good"], f.builds["failed"]}
}

func (f *fake) ControlServer(id, action string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	state, ok := f.servers[id]
	if !ok {
		return runnercontrol.NewProblem(runnercontrol.CodeUnknown, "server %q is not defined", id)
	}
	if action == "stop" {
		state.State, state.PID, state.Health = "stopped", 0, "stopping"
		f.servers[id] = state
	}
	return nil
}

func (f *fake) ControlBuild(string, string) error { return nil }

func (f *fake) WaitServer(_ context.Context, id string) (runnercontrol.Server, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.servers[id], nil
}

func (f *fake) WaitBuild(_ context.Context, id string) (runnercontrol.Build, error) {
	return f.builds[id], nil
}

func (f *fake) PutServer(string, []byte) (bool, error) { return false, errors.New("not here") }
func (f *fake) PutBuild(string, []byte) (bool, error)  { return false, errors.New("not here") }
func (f *fake) DeleteServer(string) error              { return errors.New("not here") }
func (f *fake) DeleteBuild(string) error               { return errors.New("not here") }

func serve(t *testing.T) string {
	folder, err := os.MkdirTemp("/tmp", "tailctl")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	path := filepath.Join(folder, "s.sock")
	listener, err := runnercontrol.Listen(path)
	require.NoError(t, err)
	server := runnercontrol.NewServer(newFake())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		// It waits for connections that the server lets linger.
		assert.NoError(t, server.Shutdown(context.Background()))
		assert.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
	return path
}

func tailctl(t *testing.T, args ...string) (string, error) {
	command := newServersCommand()
	if args[0] == "builds" {
		command = newBuildsCommand()
	}
	command.SilenceErrors, command.SilenceUsage = true, true
	var out bytes.Buffer
	command.SetOut(&out)
	command.SetErr(&out)
	command.SetArgs(args[1:])
	err := command.ExecuteContext(t.Context())
	return out.String(), err
}

func TestServersAreATable(t *testing.T) {
	t.Setenv(runnercontrol.EnvSocket, serve(t))
	for _, args := range [][]string{{"servers"}, {"servers", "list"}} {
		out, err := tailctl(t, args...)
		require.NoError(t, err)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		require.Len(t, lines, 4, out)
		assert.Equal(t, []string{"ID", "PROJECT", "DEPLOYMENT", "STATE", "HEALTH", "PID", "PORT", "RESTARTS", "FOR", "CPU", "MEMORY", "REASON"}, strings.Fields(lines[0]))
		web := strings.Fields(lines[1])
		assert.Equal(t, []string{"web", "shop", "shop-web", "running", "healthy", "42", "4111", "2"}, web[:8])
		assert.Regexp(t, `^1m3\ds$|^[2-9]m`, web[8])
		assert.Equal(t, []string{"1.2s", "3.0", "MiB", "-"}, web[9:])
		assert.Contains(t, lines[2], "command: not found")
		assert.Contains(t, lines[3], "exit code 0")
	}
	out, err := tailctl(t, "servers", "list", "bad", "--json")
	require.NoError(t, err)
	var all []runnercontrol.Server
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	assert.Equal(t, []runnercontrol.Server{newFake().servers["bad"]}, all)
	_, err = tailctl(t, "servers", "list", "nobody")
	require.EqualError(t, err, `server "nobody" is not defined`)
	assert.Equal(t, exitFailed, exitCode(err))
}

func TestBuildsAreATable(t *testing.T) {
	out, err := tailctl(t, "builds", "--socket", serve(t))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 3, out)
	assert.Equal(t, []string{"good", "-", "-", "succeeded", "-", "-", "1", "1m1.3s", "-", "-"}, strings.Fields(lines[1]))
	assert.Contains(t, lines[2], "command exited with code 3")
}

func TestExitCodesOfServers(t *testing.T) {
	socket := serve(t)
	for _, test := range []struct {
		args string
		code int
		text string
	}{
		{"servers start web --wait", 0, ""},
		{"servers start bad", 0, ""},
		{"servers restart web bad over --wait", exitOutcome, "server bad is failed: command:\nnot found"},
		{"servers stop web --wait", 0, ""},
		{"servers stop nobody web", exitFailed, `server "nobody" is not defined`},
		{"servers start", exitUsage, "servers start needs the id of a server; `tailctl servers list` shows them"},
		{"servers explode", exitUsage, "servers has no command"},
		{"servers --nonsense", exitUsage, "unknown flag"},
		{"servers start web --wait --timeout 0s", exitUsage, "--timeout must be more than 0s"},
		{"builds start good --wait", 0, ""},
		{"builds start failed --wait", exitOutcome, "build failed is failed: command exited with code 3"},
		{"builds cancel failed --wait", 0, ""},
		{"builds cancel", exitUsage, "needs the id of a build"},
	} {
		_, err := tailctl(t, append(strings.Fields(test.args), "--socket", socket)...)
		assert.Equal(t, test.code, exitCode(err), "%s: %v", test.args, err)
		if test.text != "" {
			assert.ErrorContains(t, err, test.text, test.args)
		}
	}
}

func TestTheSocketHasToBeNamedAndThere(t *testing.T) {
	t.Setenv(runnercontrol.EnvSocket, "")
	_, err := tailctl(t, "servers")
	require.ErrorContains(t, err, "control: {socket: /path/to.sock}")
	assert.Equal(t, exitUsage, exitCode(err))
	_, err = tailctl(t, "servers", "--socket", "/tmp/no-such-socket")
	require.ErrorContains(t, err, "there is no socket /tmp/no-such-socket")
	assert.Equal(t, exitFailed, exitCode(err))
}
