// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package supervise

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func testBuild(id, script string) Build {
	return Build{
		Source: &Source{Project: "shop", Deployment: "web", Build: id, Service: "web", Executable: "sh"},
		Name:   "builds[0] (" + id + ")", Command: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"},
		Timeout: time.Hour, OnStart: true,
	}
}

func testBuilds(builds ...Build) Options {
	options := testOptions()
	options.Builds = builds
	return options
}

func built(t *testing.T, s *Supervisor, id string) BuildStats {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stats, err := s.WaitBuild(ctx, id)
	require.NoError(t, err)
	return stats
}

// phases are those of the events of one source, in order.
func phases(entries []Entry) []string {
	var all []string
	for _, state := range states(entries) {
		if phase, ok := strings.CutPrefix(state, "build "); ok {
			all = append(all, phase)
		}
	}
	return all
}

func TestABuildRunsThroughItsPhases(t *testing.T) {
	build := testBuild("b-1", "echo compiling; echo warning >&2")
	build.Deploy = []string{"/bin/sh", "-c", "printf uploading"}
	sink := &recorder{}
	s := start(t, testBuilds(build), sink)
	stats := built(t, s, "b-1")
	require.NoError(t, s.Stop(t.Context()))
	entries := sink.of(build.Source)
	assert.Equal(t, []string{BuildQueued, BuildBuilding, BuildDeploying, BuildSucceeded}, phases(entries))
	assert.Equal(t, []string{"compiling", "uploading"}, lines(output(entries, Stdout)))
	assert.Equal(t, []string{"warning"}, lines(output(entries, Stderr)))
	assert.Equal(t, BuildSucceeded, stats.Phase)
	assert.Equal(t, &Exit{}, stats.Exit)
	last := lastEvent(entries, BuildStatus)
	assert.Equal(t, "build b-1 has succeeded", last.Text)
	assert.Equal(t, &Exit{}, last.Exit)
	assert.Positive(t, last.Uptime)
	// A line of the build stands between the phases that it was printed in.
	at := func(text string) int {
		return slices.IndexFunc(entries, func(e Entry) bool { return e.Line == text })
	}
	assert.Less(t, at("build b-1 is building"), at("compiling"))
	assert.Less(t, at("compiling"), at("build b-1 is deploying"))
	assert.Less(t, at("uploading"), at("build b-1 has succeeded"))
}

func TestABuildFailsWithItsReason(t *testing.T) {
	deploy := testBuild("deploy", "true")
	deploy.Deploy = []string{"/bin/sh", "-c", "exit 4"}
	missing := testBuild("missing", "true")
	missing.Command = []string{"no-such-program"}
	folder := testBuild("folder", "true")
	folder.Dir = "/no/such/folder"
	killed := testBuild("killed", "kill -9 $$")
	builds := []Build{testBuild("exit", "exit 3"), deploy, missing, folder, killed}
	sink := &recorder{}
	s := start(t, testBuilds(builds...), sink)
	for i, want := range []struct {
		phases []string
		reason string
		exit   *Exit
	}{
		{[]string{BuildQueued, BuildBuilding, BuildFailed}, "command exited with code 3", &Exit{Code: 3}},
		{[]string{BuildQueued, BuildBuilding, BuildDeploying, BuildFailed}, "deploy exited with code 4", &Exit{Code: 4}},
		{[]string{BuildQueued, BuildBuilding, BuildFailed}, `command could not be started: command: "no-such-program" was not found`, nil},
		{[]string{BuildQueued, BuildBuilding, BuildFailed}, "command could not be started: dir: stat /no/such/folder", nil},
		{[]string{BuildQueued, BuildBuilding, BuildFailed}, "command was ended by SIGKILL", &Exit{Code: -1, Signal: "SIGKILL"}},
	} {
		stats := built(t, s, builds[i].Source.Build)
		assert.Contains(t, stats.Reason, want.reason)
		assert.Equal(t, want.exit, stats.Exit)
		waitForState(t, sink, builds[i].Source, BuildStatus, BuildFailed)
		assert.Equal(t, want.phases, phases(sink.of(builds[i].Source)))
		assert.True(t, lastEvent(sink.of(builds[i].Source), BuildStatus).Failure)
	}
}

func TestABuildIsStoppedAtItsTimeLimit(t *testing.T) {
	for _, key := range []string{"command", "deploy"} {
		build := testBuild("slow", "true")
		stuck := []string{"/bin/sh", "-c", "trap 'echo bye; exit 0' TERM; echo ready; sleep 1000 & wait"}
		if key == "command" {
			build.Command = stuck
		} else {
			build.Deploy = stuck
		}
		build.Timeout = 300 * time.Millisecond
		sink := &recorder{}
		s := start(t, testBuilds(build), sink)
		stats := built(t, s, "slow")
		assert.Equal(t, BuildFailed, stats.Phase)
		assert.Equal(t, "it did not end within 300ms (timeout)", stats.Reason)
		assert.GreaterOrEqual(t, stats.Duration, build.Timeout)
		require.NoError(t, s.Stop(t.Context()))
		assert.Zero(t, s.Stats().Running)
	}
}

func TestCancelInEachPhase(t *testing.T) {
	wait := []string{"/bin/sh", "-c", "echo ready; exec sleep 1000"}
	building, deploying, queued := testBuild("building", ""), testBuild("deploying", "true"), testBuild("queued", "true")
	building.Command, deploying.Deploy = wait, wait
	deploying.OnStart, queued.OnStart = false, false
	sink := &recorder{}
	s := start(t, testBuilds(building, deploying, queued), sink)
	waitFor(t, sink, building.Source, "ready")
	require.ErrorIs(t, s.CancelBuild("queued"), ErrIdle)
	require.NoError(t, s.StartBuild("queued"))
	require.ErrorIs(t, s.StartBuild("queued"), ErrBusy)
	require.ErrorIs(t, s.StartBuild("building"), ErrBusy)
	require.NoError(t, s.CancelBuild("queued"))
	assert.Equal(t, BuildCancelled, built(t, s, "queued").Phase)
	assert.Nil(t, built(t, s, "queued").Exit)

	require.NoError(t, s.CancelBuild("building"))
	stats := built(t, s, "building")
	assert.Equal(t, BuildCancelled, stats.Phase)
	assert.Equal(t, &Exit{Code: -1, Signal: "SIGTERM"}, stats.Exit)

	require.NoError(t, s.StartBuild("deploying"))
	waitFor(t, sink, deploying.Source, "ready")
	require.NoError(t, s.CancelBuild("deploying"))
	assert.Equal(t, BuildCancelled, built(t, s, "deploying").Phase)
	require.ErrorIs(t, s.StartBuild("nothing"), ErrUnknown)

	// It can run again.
	require.NoError(t, s.StartBuild("queued"))
	assert.Equal(t, BuildSucceeded, built(t, s, "queued").Phase)
	require.NoError(t, s.StartBuild("building"))
	require.Eventually(t, func() bool { return s.Builds()[0].PID != 0 }, patience, time.Millisecond)
	require.NoError(t, s.Stop(t.Context()))
	assert.Equal(t, []string{BuildQueued, BuildCancelled, BuildQueued, BuildBuilding, BuildSucceeded}, phases(sink.of(queued.Source)))
	assert.Equal(t, []string{BuildQueued, BuildBuilding, BuildCancelled, BuildQueued, BuildBuilding, BuildCancelled}, phases(sink.of(building.Source)))
	assert.Equal(t, []string{BuildQueued, BuildBuilding, BuildDeploying, BuildCancelled}, phases(sink.of(deploying.Source)))
	assert.Equal(t, whyStops, lastEvent(sink.of(building.Source), BuildStatus).Reason)
	assert.Equal(t, 1, lastEvent(sink.of(building.Source), BuildStatus).Restarts)
}

func TestAStubbornBuildIsKilled(t *testing.T) {
	build := testBuild("stubborn", "trap '' TERM; echo ready; while :; do sleep 0.01; done")
	options := testBuilds(build)
	options.GracePeriod = 50 * time.Millisecond
	sink := &recorder{}
	s := start(t, options, sink)
	waitFor(t, sink, build.Source, "ready")
	require.NoError(t, s.CancelBuild("stubborn"))
	assert.Equal(t, "SIGKILL", built(t, s, "stubborn").Exit.Signal)
}

func TestBuildsRunInTheOrderOfTheQueue(t *testing.T) {
	file := filepath.Join(t.TempDir(), "order")
	var builds []Build
	for _, id := range []string{"a", "b", "c", "d"} {
		builds = append(builds, testBuild(id, "echo begin "+id+" >>"+file+"; sleep 0.02; echo end "+id+" >>"+file))
	}
	s := start(t, testBuilds(builds...), &recorder{})
	places := 0
	for _, stats := range s.Builds() {
		places = max(places, stats.Queue)
	}
	assert.LessOrEqual(t, places, 3, "one of four does not wait")
	for _, build := range builds {
		assert.Equal(t, BuildSucceeded, built(t, s, build.Source.Build).Phase)
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "begin a\nend a\nbegin b\nend b\nbegin c\nend c\nbegin d\nend d\n", string(text))
}

func TestBuildsRunAtTheSameTimeAsFarAsAllowed(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "other")
	// Each waits for the other one.
	one := testBuild("one", "echo 1 >"+fifo+".1; until test -e "+fifo+".2; do sleep 0.01; done")
	two := testBuild("two", "echo 1 >"+fifo+".2; until test -e "+fifo+".1; do sleep 0.01; done")
	options := testBuilds(one, two)
	options.MaxBuilds = 2
	s := start(t, options, &recorder{})
	assert.Equal(t, BuildSucceeded, built(t, s, "one").Phase)
	assert.Equal(t, BuildSucceeded, built(t, s, "two").Phase)
}

func TestABuildDeploysItsServers(t *testing.T) {
	web, waits := testServer("web", "polite"), testServer("waits", "polite")
	waits.DependsOn = []Dependency{{"b-1", ConditionSucceeded}}
	build := testBuild("b-1", "true")
	build.Deploys = []string{"web", "waits"}
	build.OnStart = false
	options := testOptions(web, waits)
	options.Builds = []Build{build}
	sink := &recorder{}
	s := New(options)
	deployment := s.deployments
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	detach, err := s.Attach(sink)
	require.NoError(t, err)
	defer detach()
	s.Start()
	first := settled(t, s, "web")
	waitForState(t, sink, waits.Source, Lifecycle, StateFailed) // no build is on its way
	require.NoError(t, s.StartBuild("b-1"))
	assert.Equal(t, BuildSucceeded, built(t, s, "b-1").Phase)
	second := settled(t, s, "web")
	assert.Equal(t, StateRunning, second.State)
	assert.NotEqual(t, first.PID, second.PID)
	assert.Equal(t, StateRunning, settled(t, s, "waits").State)
	assert.Equal(t, "build b-1 deploys it", reasonOf(sink.of(web.Source), StateStopped))

	deployment.mu.Lock()
	source := deployment.all[deploymentKey{"shop", "web"}].queue.source
	deployment.mu.Unlock()
	require.NoError(t, s.Stop(t.Context()))
	got := strings.Join(states(sink.of(source)), ", ")
	assert.Contains(t, got, "deployment building, deployment running")
	assert.Equal(t, 1, strings.Count(got, "building"), got)
	assert.True(t, strings.HasSuffix(got, "deployment stopped") || strings.HasSuffix(got, "deployment failed"), got)
}

func TestServersWaitForABuildThatDeploysThem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "made")
	web := testServer("web", "")
	web.Command, web.Env = []string{"/bin/sh", "-c", "cat " + file + "; exec sleep 1000"}, []string{"PATH=/usr/bin:/bin"}
	web.DependsOn = []Dependency{{"b-1", ConditionSucceeded}}
	build := testBuild("b-1", "sleep 0.1; echo artifact >"+file)
	build.Deploys = []string{"web"}
	options := testOptions(web)
	options.Builds = []Build{build}
	sink := &recorder{}
	s := start(t, options, sink)
	assert.Equal(t, BuildSucceeded, built(t, s, "b-1").Phase)
	waitFor(t, sink, web.Source, "artifact")
	assert.Zero(t, settled(t, s, "web").Restarts, "it was started once")
	assert.NotContains(t, states(sink.of(web.Source)), "stopped")
}

func TestABuildFailsWithTheServerThatItDeploys(t *testing.T) {
	web := testServer("web", "")
	web.Command = []string{"no-such-program"}
	build := testBuild("b-1", "true")
	build.Deploys = []string{"web"}
	options := testOptions(web)
	options.Builds = []Build{build}
	s := start(t, options, &recorder{})
	stats := built(t, s, "b-1")
	assert.Equal(t, BuildFailed, stats.Phase)
	assert.Contains(t, stats.Reason, "deploys: server web is failed: servers[0] (web): command: \"no-such-program\" was not found")
}

func TestApplyOfBuilds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "runs")
	count := func() int {
		text, _ := os.ReadFile(file)
		return strings.Count(string(text), "\n")
	}
	build := func(script string) Build { return testBuild("b-1", script+" >>"+file) }
	s := start(t, testBuilds(build("echo one")), &recorder{})
	built(t, s, "b-1")
	for range 3 {
		s.Apply(testBuilds(build("echo one")))
	}
	assert.Equal(t, 1, built(t, s, "b-1").Runs, "it has not changed")
	assert.Equal(t, 1, count())

	s.Apply(testBuilds(build("echo two")))
	assert.Equal(t, 2, built(t, s, "b-1").Runs)
	assert.Equal(t, 2, count())

	// One that runs is ended for its successor.
	s.Apply(testBuilds(testBuild("b-1", "exec sleep 1000")))
	require.Eventually(t, func() bool { return s.Builds()[0].PID != 0 }, patience, time.Millisecond)
	s.Apply(testBuilds(build("echo three")))
	require.Eventually(t, func() bool { return s.Builds()[0].Phase == BuildSucceeded }, patience, time.Millisecond)
	assert.Equal(t, 3, count())

	manual := build("echo four")
	manual.OnStart = false
	s.Apply(testBuilds(manual))
	assert.Equal(t, 3, count())

	s.Apply(testBuilds(testBuild("b-1", "exec sleep 1000")))
	require.Eventually(t, func() bool { return s.Builds()[0].PID != 0 }, patience, time.Millisecond)
	pid := s.Builds()[0].PID
	s.Apply(testBuilds())
	require.Eventually(t, func() bool { return len(s.Builds()) == 0 }, patience, time.Millisecond)
	requireGone(t, pid)
	_, err := s.WaitBuild(t.Context(), "b-1")
	require.ErrorIs(t, err, ErrUnknown)
}
