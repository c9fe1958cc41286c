// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package supervise

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience is longer than anything here takes on a busy machine.
const patience = 30 * time.Second

func settled(t *testing.T, s *Supervisor, id string) ServerStats {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stats, err := s.WaitServer(ctx, id)
	require.NoError(t, err)
	return stats
}

// reasons are those of the last event of Lifecycle in this state.
func reasonOf(entries []Entry, state string) string {
	reason := ""
	for _, e := range entries {
		if e.Event != nil && e.Event.Kind == Lifecycle && e.Event.State == state {
			reason = e.Event.Reason
		}
	}
	return reason
}

func TestApplyRestartsOnlyWhatChanged(t *testing.T) {
	same, changed, removed := testServer("same", "count"), testServer("changed", "polite"), testServer("removed", "polite")
	options := testOptions(same, changed, removed)
	sink := &recorder{}
	s := start(t, options, sink)
	for _, server := range options.Servers {
		waitForState(t, sink, server.Source, Lifecycle, StateRunning)
	}
	waitFor(t, sink, changed.Source, "ready")
	waitFor(t, sink, removed.Source, "ready")
	before := map[string]int{}
	for _, stats := range s.Servers() {
		before[stats.Source.Server] = stats.PID
	}

	// As after a reload: everything is built anew, and equal where it did not change.
	again := testServer("same", "count")
	again.Name, again.Restart = "servers[7] (same)", RestartAlways
	other := testServer("changed", "polite")
	other.Env = append(other.Env, "NEW=1")
	added := testServer("added", "polite")
	s.Apply(testOptions(added, other, again))
	require.Eventually(t, func() bool {
		_, err := s.WaitServer(t.Context(), "removed")
		return err != nil
	}, patience, time.Millisecond)
	require.Eventually(t, func() bool { return settled(t, s, "changed").PID != before["changed"] }, patience, time.Millisecond)
	assert.Equal(t, StateRunning, settled(t, s, "added").State)
	stats := settled(t, s, "same")
	assert.Equal(t, before["same"], stats.PID)
	assert.Zero(t, stats.Restarts)
	assert.Equal(t, 1, settled(t, s, "changed").Restarts)
	requireGone(t, before["removed"])
	var ids []string
	for _, stats := range s.Servers() {
		ids = append(ids, stats.Source.Server)
	}
	assert.Equal(t, []string{"added", "changed", "same"}, ids)
	assert.Equal(t, whyChanged, reasonOf(sink.of(changed.Source), StateStopped))
	assert.Equal(t, whyRemoved, reasonOf(sink.of(removed.Source), StateStopped))
	require.NoError(t, s.Stop(t.Context()))
	assert.Equal(t, whyStops, reasonOf(sink.of(same.Source), StateStopped))
	for i, line := range lines(output(sink.of(same.Source), Stdout)) {
		require.Equal(t, fmt.Sprint("line ", i), line)
	}
	assert.Zero(t, s.Stats().Dropped)
}

func TestApplyOfTheSameChangesNothing(t *testing.T) {
	options := func() Options { return testOptions(testServer("one", "polite"), testServer("over", "exit:0")) }
	sink := &recorder{}
	s := start(t, options(), sink)
	pid := settled(t, s, "one").PID
	require.Eventually(t, func() bool { return settled(t, s, "over").State == StateExited }, patience, time.Millisecond)
	for range 10 {
		s.Apply(options())
	}
	assert.Equal(t, pid, settled(t, s, "one").PID)
	assert.Equal(t, StateExited, settled(t, s, "over").State)
	assert.Zero(t, s.Stats().Restarts)
}

func TestEachPartOfAProcessCounts(t *testing.T) {
	mask := 0o22
	base := testServer("web", "polite")
	for name, change := range map[string]func(*Server){
		"command": func(s *Server) { s.Command = append(s.Command, "x") }, "dir": func(s *Server) { s.Dir = "/" },
		"env": func(s *Server) { s.Env = []string{"A=1"} }, "env file": func(s *Server) { s.EnvFile = "x" },
		"content of the env file": func(s *Server) { s.EnvFileSum = "x" }, "fixed": func(s *Server) { s.EnvFixed = []string{"A"} },
		"port": func(s *Server) { s.AssignPort = true }, "user": func(s *Server) { s.Rights.User = "nobody" },
		"umask": func(s *Server) { s.Rights.Umask = &mask }, "source": func(s *Server) { s.Source = &Source{Server: "web"} },
	} {
		other := base
		change(&other)
		assert.False(t, sameProcess(base, other), name)
		assert.True(t, sameProcess(other, other), name)
	}
	for name, change := range map[string]func(*Server){
		"name": func(s *Server) { s.Name = "x" }, "restart": func(s *Server) { s.Restart = RestartAlways },
		"health":     func(s *Server) { s.Health = testCheck(TCPProbe{}) },
		"depends on": func(s *Server) { s.DependsOn = []Dependency{{"x", ConditionRunning}} },
	} {
		other := base
		change(&other)
		assert.True(t, sameProcess(base, other), name)
	}
}

func TestHealthCheckIsReplacedWhileTheProcessRuns(t *testing.T) {
	server := testServer("web", "polite")
	sink := &recorder{}
	var mu sync.Mutex
	var failures []error
	options := testOptions(server)
	options.OnFailure = func(_ *Source, err error) {
		mu.Lock()
		defer mu.Unlock()
		failures = append(failures, err)
	}
	s := start(t, options, sink)
	pid := settled(t, s, "web").PID
	sick := testServer("web", "polite")
	sick.Health = testCheck(CommandProbe{Command: []string{"/bin/false"}})
	options.Servers = []Server{sick}
	s.Apply(options)
	waitForState(t, sink, server.Source, Health, HealthUnhealthy)
	// A new listener is told what has failed before.
	told := make(chan error, 10)
	options.OnFailure = func(_ *Source, err error) { told <- err }
	s.Apply(options)
	require.ErrorContains(t, <-told, "unhealthy")
	options.Servers = []Server{testServer("web", "polite")}
	s.Apply(options)
	require.Eventually(t, func() bool { return settled(t, s, "web").Health == HealthHealthy }, patience, time.Millisecond)
	assert.Equal(t, pid, settled(t, s, "web").PID)
	mu.Lock()
	defer mu.Unlock()
	assert.Error(t, failures[len(failures)-1])
}

func TestWhileSuspendedOutputWaits(t *testing.T) {
	server := testServer("web", "torture:4")
	options := testOptions(server)
	options.BufferBytes = 1000
	s := New(options)
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	first := &recorder{}
	detach, err := s.Attach(first)
	require.NoError(t, err)
	s.Start()
	require.Eventually(t, func() bool { return len(first.of(server.Source)) > 0 }, patience, time.Millisecond)
	s.Suspend()
	detach()
	// The buffer is full, and the child waits in its write.
	require.Eventually(t, func() bool {
		return s.Stats().Buffered >= 1000 || settled(t, s, "web").State == StateExited
	}, patience, time.Millisecond)
	second := &recorder{}
	detach, err = s.Attach(second)
	require.NoError(t, err)
	defer detach()
	s.Apply(options)
	s.servers.Wait()
	require.NoError(t, s.Stop(t.Context()))
	assert.Zero(t, s.Stats().Dropped)
	all := append(first.of(server.Source), second.of(server.Source)...)
	assert.Len(t, output(all, Stdout), len(split(string(torture(4)), testMaxLine)))
	for i := 1; i < len(all); i++ {
		require.Negative(t, all[i-1].UID.Compare(all[i].UID))
	}
}

func TestStopEndsASuspendedSupervisorWithoutASink(t *testing.T) {
	server := testServer("web", "flood")
	options := testOptions(server)
	s := New(options)
	first := &recorder{}
	detach, err := s.Attach(first)
	require.NoError(t, err)
	s.Start()
	waitFor(t, first, server.Source, "line 1")
	s.Suspend()
	detach()
	require.Eventually(t, func() bool { return s.Stats().Buffered >= int64(options.BufferBytes) }, patience, time.Millisecond)
	require.NoError(t, s.Stop(t.Context()))
	assert.Zero(t, s.Stats().Running)
}

func TestControlOfServers(t *testing.T) {
	web, other := testServer("web", "polite"), testServer("other", "polite")
	sink := &recorder{}
	s := start(t, testOptions(web, other), sink)
	first := settled(t, s, "web")
	assert.Equal(t, StateRunning, first.State)
	require.NoError(t, s.StartServer("web"), "it runs already")
	assert.Equal(t, first.PID, settled(t, s, "web").PID)

	require.NoError(t, s.RestartServer("web"))
	second := settled(t, s, "web")
	assert.NotEqual(t, first.PID, second.PID)
	assert.Equal(t, 1, second.Restarts)
	requireGone(t, first.PID)

	require.NoError(t, s.StopServer("web"))
	stopped := settled(t, s, "web")
	assert.Equal(t, StateStopped, stopped.State)
	assert.Equal(t, whyAsked, stopped.Reason)
	assert.Zero(t, stopped.PID)
	require.NotNil(t, stopped.Exit)
	// It stays so, whatever becomes of its definition.
	changed := testServer("web", "polite")
	changed.Env = append(changed.Env, "A=1")
	s.Apply(testOptions(changed, other))
	assert.Equal(t, StateStopped, settled(t, s, "web").State)
	require.NoError(t, s.StartServer("web"))
	assert.Equal(t, StateRunning, settled(t, s, "web").State)

	require.ErrorIs(t, s.StopServer("nobody"), ErrUnknown)
	require.EqualError(t, s.StopServer("nobody"), `server "nobody" is not defined`)
	_, err := s.WaitServer(t.Context(), "nobody")
	require.ErrorIs(t, err, ErrUnknown)
	require.NoError(t, s.Stop(t.Context()))
	require.ErrorIs(t, s.StartServer("web"), ErrStopping)
	s.Apply(testOptions(testServer("late", "polite")))
	assert.Len(t, s.Servers(), 2)
}

func TestStartEndsTheWaitForARestart(t *testing.T) {
	server := testServer("web", "exit:3")
	server.Restart = RestartOnFailure
	options := testOptions(server)
	options.Backoff = Backoff{Initial: time.Hour, Max: time.Hour, Reset: time.Hour}
	s := start(t, options, &recorder{})
	require.Eventually(t, func() bool { return settled(t, s, "web").State == StateBackoff }, patience, time.Millisecond)
	require.NoError(t, s.StartServer("web"))
	require.Eventually(t, func() bool {
		stats := settled(t, s, "web")
		return stats.Restarts == 1 && stats.State == StateBackoff
	}, patience, time.Millisecond)
	require.NoError(t, s.StopServer("web"))
	assert.Equal(t, StateStopped, settled(t, s, "web").State)
}

func TestAServerThatIsRemovedAndComesBackRunsOnce(t *testing.T) {
	sink := &recorder{}
	web := testServer("web", "polite")
	s := start(t, testOptions(web), sink)
	waitFor(t, sink, web.Source, "ready")
	pid := settled(t, s, "web").PID
	s.Apply(testOptions())
	s.Apply(testOptions(testServer("web", "polite")))
	require.Eventually(t, func() bool {
		stats := s.Servers()
		return len(stats) == 1 && stats[0].State == StateRunning && stats[0].PID != pid
	}, patience, time.Millisecond)
	requireGone(t, pid)
	assert.EqualValues(t, 1, s.Stats().Running)
}

// Many hands at once leave one process at most, and none in the end.
func TestOperationsAtTheSameTime(t *testing.T) {
	s := start(t, testOptions(testServer("web", "polite")), &recorder{})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 5 {
				switch (i + j) % 4 {
				case 0:
					assert.NoError(t, s.RestartServer("web"))
				case 1:
					assert.NoError(t, s.StopServer("web"))
				case 2:
					assert.NoError(t, s.StartServer("web"))
				default:
					changed := testServer("web", "polite")
					changed.Env = append(changed.Env, fmt.Sprint("A=", i))
					s.Apply(testOptions(changed))
				}
				assert.LessOrEqual(t, s.Stats().Running, int64(1))
			}
		})
	}
	all.Wait()
	require.NoError(t, s.StartServer("web"))
	assert.Equal(t, StateRunning, settled(t, s, "web").State)
	require.NoError(t, s.Stop(t.Context()))
	assert.Zero(t, s.Stats().Running)
}
