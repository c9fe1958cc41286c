// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

const testMaxLine = 1000

func testServer(id, mode string) Server {
	return Server{
		Source:  &Source{Project: "shop", Deployment: "web", Server: id, Service: "web", Executable: "test"},
		Name:    "servers[0] (" + id + ")",
		Command: []string{os.Args[0]},
		// The race detector would hold up each end of a child by a second.
		Env:     []string{childMode + "=" + mode, "GORACE=atexit_sleep_ms=0"},
		Restart: RestartNever,
	}
}

func testOptions(servers ...Server) Options {
	return Options{
		Servers: servers, StopSignal: syscall.SIGTERM, GracePeriod: 5 * time.Second, DrainTimeout: 5 * time.Second,
		MaxLineBytes: testMaxLine, BufferBytes: 256 << 10, Logger: zap.NewNop(),
		Backoff: Backoff{Initial: time.Millisecond, Max: 50 * time.Millisecond, Reset: time.Hour},
	}
}

func start(t *testing.T, options Options, sink Sink) *Supervisor {
	s := New(options)
	if sink != nil {
		detach, err := s.Attach(sink)
		require.NoError(t, err)
		t.Cleanup(detach)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	s.Start()
	return s
}

// run starts one server, waits for its end and returns all it said.
func run(t *testing.T, server Server) []Entry {
	sink := &recorder{}
	s := start(t, testOptions(server), sink)
	s.servers.Wait()
	require.NoError(t, s.Stop(t.Context()))
	assert.Zero(t, s.Stats().Dropped)
	return sink.of(server.Source)
}

func output(entries []Entry, stream Stream) []Entry {
	var out []Entry
	for _, e := range entries {
		if e.Event == nil && e.Stream == stream {
			out = append(out, e)
		}
	}
	return out
}

func states(entries []Entry) []string {
	var out []string
	for _, e := range entries {
		if e.Event != nil {
			out = append(out, map[EventKind]string{Lifecycle: "", Health: "health ", DeploymentStatus: "deployment ", BuildStatus: "build "}[e.Event.Kind]+e.Event.State)
		}
	}
	return out
}

func lastEvent(entries []Entry, kind EventKind) *Event {
	var event *Event
	for _, e := range entries {
		if e.Event != nil && e.Event.Kind == kind {
			event = e.Event
		}
	}
	return event
}

func waitFor(t *testing.T, sink *recorder, source *Source, text string) Entry {
	var found Entry
	require.Eventually(t, func() bool {
		for _, e := range sink.of(source) {
			if strings.HasPrefix(e.Line, text) {
				found = e
				return true
			}
		}
		return false
	}, patience, time.Millisecond, "waiting for the line %q", text)
	return found
}

func pidOf(t *testing.T, e Entry) int {
	pid, err := strconv.Atoi(strings.TrimPrefix(e.Line, "child "))
	require.NoError(t, err)
	return pid
}

// requireGone waits until a process has ended; a zombie that nobody waits for has ended, too.
func requireGone(t *testing.T, pid int) {
	require.Eventually(t, func() bool {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return true
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err == nil && strings.Contains(string(stat), ") Z ")
	}, patience, 5*time.Millisecond, "process %d still runs", pid)
}
