// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package supervise

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTortureArrivesCompleteAndInOrder(t *testing.T) {
	for seed := range uint64(2) {
		server := testServer("web-1", fmt.Sprint("torture:", seed))
		entries := run(t, server)
		for i, stream := range []Stream{Stdout, Stderr} {
			want := split(string(torture(seed+uint64(i))), testMaxLine)
			var got []piece
			for _, e := range output(entries, stream) {
				got = append(got, piece{text: e.Line, part: e.Part, last: e.Last})
				require.False(t, e.Repaired)
				require.NotZero(t, e.PID)
				require.WithinDuration(t, time.Now(), e.Time, time.Minute)
			}
			require.Equal(t, len(want), len(got), "seed %d, %s", seed, stream)
			require.Equal(t, want, got, "seed %d, %s", seed, stream)
		}
		for i := 1; i < len(entries); i++ {
			require.Less(t, entries[i-1].UID.Compare(entries[i].UID), 0)
		}
		require.Equal(t, []string{"starting", "health starting", "running", "health healthy", "exited", "health stopping"}, states(entries))
	}
}

func TestKilledMidLineKeepsThePartLine(t *testing.T) {
	entries := run(t, testServer("web-1", "midline"))
	assert.Equal(t, []string{"whole", "half"}, lines(output(entries, Stdout)))
	last := lastEvent(entries, Lifecycle)
	assert.Equal(t, StateExited, last.State)
	assert.Equal(t, &Exit{Code: -1, Signal: "SIGKILL"}, last.Exit)
	assert.True(t, last.Failure)
	assert.Equal(t, HealthUnhealthy, lastEvent(entries, Health).State)
}

func TestExitsAtOnceAfterPrinting(t *testing.T) {
	for range 15 {
		entries := run(t, testServer("web-1", "exit:7"))
		require.Equal(t, []string{"gone at once"}, lines(output(entries, Stdout)))
		require.Equal(t, 7, lastEvent(entries, Lifecycle).Exit.Code)
	}
}

func TestInvalidUTF8IsReplacedAndMarked(t *testing.T) {
	server := testServer("web-1", "")
	server.Command = []string{"/bin/sh", "-c", `printf 'a\377b\nfine\n'`}
	got := output(run(t, server), Stdout)
	require.Len(t, got, 2)
	assert.Equal(t, "a\uFFFDb", got[0].Line)
	assert.True(t, got[0].Repaired)
	assert.False(t, got[1].Repaired)
}

func TestEnvironmentOfTheChild(t *testing.T) {
	t.Setenv("TAILRACE_TEST_SECRET", "geheim")
	server := testServer("web-1", "env")
	server.Env = Environ(os.Environ(), []string{"PATH"}, map[string]string{childMode: "env"}, nil)
	entries := output(run(t, server), Stdout)
	var names []string
	for _, e := range entries {
		name, value, _ := strings.Cut(e.Line, "=")
		names = append(names, name)
		assert.NotEqual(t, "geheim", value)
	}
	want := []string{"PATH", childMode}
	if runtime.GOOS == "linux" {
		want = append(want, "TAILRACE_RUN")
	}
	assert.ElementsMatch(t, want, names)
}

func TestStreamsOfTheChildBlockAndStdinIsEmpty(t *testing.T) {
	if runtime.GOOS != "linux" {
		return
	}
	server := testServer("web-1", "")
	server.Env = []string{"PATH=/usr/bin:/bin"}
	server.Command = []string{"/bin/sh", "-c", `readlink /proc/$$/fd/0; grep flags /proc/$$/fdinfo/1 /proc/$$/fdinfo/2`}
	got := lines(output(run(t, server), Stdout))
	require.Len(t, got, 3)
	assert.Equal(t, "/dev/null", got[0])
	for _, line := range got[1:] {
		flags, err := strconv.ParseInt(line[strings.LastIndexAny(line, "\t ")+1:], 8, 64)
		require.NoError(t, err)
		// Programs that do not expect EAGAIN would lose output.
		assert.Zero(t, flags&syscall.O_NONBLOCK, line)
	}
}

func TestStopTakesTheLastWords(t *testing.T) {
	server := testServer("web-1", "polite")
	sink := &recorder{}
	s := start(t, testOptions(server), sink)
	waitFor(t, sink, server.Source, "ready")
	require.NoError(t, s.Stop(t.Context()))
	entries := sink.of(server.Source)
	assert.Equal(t, []string{"ready", "flushing"}, lines(output(entries, Stdout)))
	assert.Equal(t, []string{"last words"}, lines(output(entries, Stderr)))
	assert.Equal(t, []string{"starting", "health starting", "running", "health healthy", "health stopping", "stopped"}, states(entries))
	assert.Equal(t, 0, lastEvent(entries, Lifecycle).Exit.Code)
	assert.False(t, lastEvent(entries, Lifecycle).Failure)
	assert.NotZero(t, lastEvent(entries, Lifecycle).Uptime)
	assert.Zero(t, s.Stats().Running)
}

func TestStubbornChildIsKilledAfterTheGracePeriod(t *testing.T) {
	server := testServer("web-1", "stubborn")
	sink := &recorder{}
	options := testOptions(server)
	options.GracePeriod = 50 * time.Millisecond
	s := start(t, options, sink)
	waitFor(t, sink, server.Source, "ready")
	require.NoError(t, s.Stop(t.Context()))
	assert.Equal(t, "SIGKILL", lastEvent(sink.of(server.Source), Lifecycle).Exit.Signal)
}

func TestGrandchildIsEndedWithItsGroup(t *testing.T) {
	server := testServer("web-1", "parent")
	options := testOptions(server)
	options.GracePeriod = 50 * time.Millisecond
	sink := &recorder{}
	s := start(t, options, sink)
	pid := pidOf(t, waitFor(t, sink, server.Source, "child "))
	s.servers.Wait() // the leader is gone, its child holds the pipe and ignores SIGTERM
	requireGone(t, pid)
	require.NoError(t, s.Stop(t.Context()))
	assert.Equal(t, StateExited, lastEvent(sink.of(server.Source), Lifecycle).State)
}

func TestGrandchildOutsideOfTheGroupDoesNotHoldUsUp(t *testing.T) {
	server := testServer("web-1", "parent:away")
	sink := &recorder{}
	options := testOptions(server)
	options.GracePeriod = 50 * time.Millisecond
	s := start(t, options, sink)
	pid := pidOf(t, waitFor(t, sink, server.Source, "child "))
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	s.servers.Wait()
	if runtime.GOOS == "linux" {
		requireGone(t, pid)
	}
	require.NoError(t, s.Stop(t.Context()))
	assert.Equal(t, StateExited, lastEvent(sink.of(server.Source), Lifecycle).State)
}

func TestRestart(t *testing.T) {
	flag := filepath.Join(t.TempDir(), "flag")
	server := testServer("web-1", "second:"+flag)
	server.Restart = RestartOnFailure
	entries := run(t, server)
	assert.Equal(t, []string{"second run"}, lines(output(entries, Stdout)))
	assert.Equal(t, []string{
		"starting", "health starting", "running", "health healthy", "exited", "health unhealthy",
		"starting", "health starting", "running", "health healthy", "exited", "health stopping",
	}, states(entries))
	assert.Equal(t, 1, lastEvent(entries, Lifecycle).Restarts)
}

func TestRestartAlwaysGoesOnUntilStopped(t *testing.T) {
	server := testServer("web-1", "exit:0")
	server.Restart = RestartAlways
	sink := &recorder{}
	s := start(t, testOptions(server), sink)
	require.Eventually(t, func() bool { return s.Stats().Restarts > 2 }, 10*time.Second, time.Millisecond)
	require.NoError(t, s.Stop(t.Context()))
	last := lastEvent(sink.of(server.Source), Lifecycle)
	assert.Contains(t, []string{StateStopped, StateExited}, last.State)
}

func TestAServerThatCannotStartHarmsNoOther(t *testing.T) {
	missing, folder, good := testServer("missing", ""), testServer("folder", ""), testServer("good", "polite")
	missing.Command, missing.Name = []string{"no-such-program"}, "servers[0] (missing)"
	folder.Dir, folder.Name = "/no/such/folder", "servers[1] (folder)"
	options := testOptions(missing, folder, good)
	var mu sync.Mutex
	failures := map[string]string{}
	options.OnFailure = func(source *Source, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failures[source.Server] = err.Error()
		}
	}
	sink := &recorder{}
	s := start(t, options, sink)
	waitFor(t, sink, good.Source, "ready")
	waitFor(t, sink, missing.Source, "server missing could not be started")
	waitFor(t, sink, folder.Source, "server folder could not be started")
	require.NoError(t, s.Stop(t.Context()))
	event := lastEvent(sink.of(missing.Source), Lifecycle)
	assert.Equal(t, StateFailed, event.State)
	assert.Equal(t, `servers[0] (missing): command: "no-such-program" was not found in the PATH of the server`, event.Reason)
	mu.Lock()
	defer mu.Unlock()
	assert.Contains(t, failures["folder"], "servers[1] (folder): dir: stat /no/such/folder: no such file")
	assert.NotContains(t, failures, "good")
}

func TestDeploymentStatusFollowsItsServers(t *testing.T) {
	one, two := testServer("one", "polite"), testServer("two", "exit:1")
	sink := &recorder{}
	s := start(t, testOptions(one, two), sink)
	waitFor(t, sink, one.Source, "ready")
	waitFor(t, sink, two.Source, "server two exited")
	require.NoError(t, s.Stop(t.Context()))
	d := s.deployments.all[deploymentKey{"shop", "web"}]
	got := states(sink.of(d.queue.source))
	assert.Contains(t, got, "deployment running")
	assert.Equal(t, "deployment failed", got[len(got)-1], "one has stopped, the other one failed")
}

func TestStopIsBoundedWhenTheSinkRefuses(t *testing.T) {
	server := testServer("web-1", "flood")
	stuck := &recorder{gate: make(chan struct{})}
	options := testOptions(server)
	options.DrainTimeout, options.GracePeriod = 100*time.Millisecond, 100*time.Millisecond
	s := start(t, options, stuck)
	require.Eventually(t, func() bool { return s.Stats().Buffered >= 256<<10 }, 10*time.Second, time.Millisecond)
	read := s.Stats().Stdout.Bytes
	err := s.Stop(t.Context())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.NotZero(t, s.Stats().Dropped)
	assert.Less(t, s.Stats().Stdout.Bytes, read+2<<20, "the pipe is not read on while nobody takes the lines")
	assert.Equal(t, err, s.Stop(t.Context()), "the second call repeats the answer")
}

func TestBackPressureLosesNothing(t *testing.T) {
	server := testServer("web-1", "torture:9")
	sink := &recorder{gate: make(chan struct{})}
	options := testOptions(server)
	options.BufferBytes = 1000
	s := start(t, options, sink)
	require.Eventually(t, func() bool { return s.Stats().Buffered >= 1000 }, 10*time.Second, time.Millisecond)
	time.AfterFunc(200*time.Millisecond, func() { close(sink.gate) })
	s.servers.Wait()
	require.NoError(t, s.Stop(t.Context()))
	assert.Len(t, output(sink.of(server.Source), Stdout), len(split(string(torture(9)), testMaxLine)))
	assert.Zero(t, s.Stats().Dropped)
}

func TestStopWithoutStart(t *testing.T) {
	s := New(testOptions())
	require.NoError(t, s.Stop(t.Context()))
	s.Start()
	assert.Nil(t, s.starter)
	require.NoError(t, s.Stop(t.Context()))
}

func TestLookPathUsesThePathOfTheChild(t *testing.T) {
	folder := t.TempDir()
	program := filepath.Join(folder, "tool")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"), 0o600))
	_, err := lookPath("tool", "", []string{"PATH=relative:" + folder})
	require.ErrorIs(t, err, errNotExecutable)
	require.NoError(t, os.Chmod(program, 0o700))
	path, err := lookPath("tool", "", []string{"PATH=relative:" + folder})
	require.NoError(t, err)
	assert.Equal(t, program, path)
	path, err = lookPath("./tool", folder, nil)
	require.NoError(t, err)
	assert.Equal(t, program, path)
}

func TestBackoff(t *testing.T) {
	b := Backoff{Initial: time.Second, Max: 10 * time.Second}
	for n, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		got := b.delay(n)
		assert.GreaterOrEqual(t, got, want*time.Second)
		assert.LessOrEqual(t, got, want*time.Second*11/10)
	}
}
