// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package supervise

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// position is where an event stands among all entries, in the order of their UIDs; -1: it has not happened.
func position(sink *recorder, server Server, kind EventKind, state string) int {
	var at *Entry
	for _, e := range sink.of(server.Source) {
		if e.Event != nil && e.Event.Kind == kind && e.Event.State == state {
			at = &e
			break
		}
	}
	if at == nil {
		return -1
	}
	before := 0
	for _, e := range sink.all() {
		if e.UID.Compare(at.UID) < 0 {
			before++
		}
	}
	return before
}

func TestServersStartInTheOrderOfTheirDependencies(t *testing.T) {
	flag := filepath.Join(t.TempDir(), "healthy")
	web, db, migrate := testServer("web", "polite"), testServer("db", "polite"), testServer("migrate", "exit:0")
	web.DependsOn = []Dependency{{"db", ConditionHealthy}, {"migrate", ConditionCompleted}}
	migrate.DependsOn = []Dependency{{"db", ConditionRunning}}
	db.Health = testCheck(CommandProbe{Command: []string{"/bin/sh", "-c", `test -e "$0"`, flag}})
	sink := &recorder{}
	s := start(t, testOptions(web, migrate, db), sink)
	waitForState(t, sink, migrate.Source, Lifecycle, StateExited)
	waitFor(t, sink, web.Source, "server web waits for server db to be healthy")
	assert.Negative(t, position(sink, web, Lifecycle, StateRunning))
	require.NoError(t, os.WriteFile(flag, nil, 0o600))
	waitFor(t, sink, web.Source, "ready")
	require.NoError(t, s.Stop(t.Context()))
	dbRunning, migrateRunning := position(sink, db, Lifecycle, StateRunning), position(sink, migrate, Lifecycle, StateRunning)
	dbHealthy, webRunning := position(sink, db, Health, HealthHealthy), position(sink, web, Lifecycle, StateRunning)
	assert.Less(t, dbRunning, migrateRunning)
	assert.Less(t, migrateRunning, webRunning)
	assert.Less(t, position(sink, migrate, Lifecycle, StateExited), webRunning)
	assert.Less(t, dbHealthy, webRunning)
}

func TestADependencyThatCannotBeMetIsAFailure(t *testing.T) {
	web, migrate, last := testServer("web", "polite"), testServer("migrate", "exit:3"), testServer("last", "polite")
	web.DependsOn = []Dependency{{"migrate", ConditionCompleted}}
	last.DependsOn = []Dependency{{"web", ConditionHealthy}}
	options := testOptions(web, migrate, last)
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
	s.servers.Wait()
	require.NoError(t, s.Stop(t.Context()))
	assert.Equal(t, StateFailed, lastEvent(sink.of(web.Source), Lifecycle).State)
	mu.Lock()
	defer mu.Unlock()
	assert.Contains(t, failures["web"], "depends_on: waited for server migrate to be completed, which can't happen any more")
	assert.Contains(t, failures["last"], "depends_on: waited for server web to be healthy, which can't happen any more")
}

func TestStopWhileAServerWaitsForAnother(t *testing.T) {
	web, db := testServer("web", "polite"), testServer("db", "polite")
	web.DependsOn = []Dependency{{"db", ConditionCompleted}}
	sink := &recorder{}
	s := start(t, testOptions(web, db), sink)
	waitFor(t, sink, web.Source, "server web waits")
	require.NoError(t, s.Stop(t.Context()))
	assert.Equal(t, []string{"starting", "stopped"}, states(sink.of(web.Source)))
}

func TestAServerThatRestartsTooOftenIsGivenUp(t *testing.T) {
	server := testServer("web-1", "exit:5")
	server.Restart = RestartOnFailure
	options := testOptions(server)
	options.RestartLimit = RestartLimit{Count: 2, Window: time.Hour}
	sink := &recorder{}
	s := start(t, options, sink)
	s.servers.Wait()
	require.NoError(t, s.Stop(t.Context()))
	assert.EqualValues(t, 2, s.Stats().Restarts)
	event := lastEvent(sink.of(server.Source), Lifecycle)
	assert.Equal(t, StateFailed, event.State)
	assert.Equal(t, 2, event.Restarts)
	assert.Equal(t, "servers[0] (web-1): started again 2 times within 1h0m0s (restart_limit), and is given up; "+
		"the last time it exited with code 5", event.Reason)
	assert.Equal(t, HealthUnhealthy, lastEvent(sink.of(server.Source), Health).State)
}

func TestRestartLimitCountsWithinItsWindow(t *testing.T) {
	var l limiter
	begin := time.Now()
	limit := RestartLimit{Count: 2, Window: 10}
	for i, want := range []bool{false, false, true, true} {
		assert.Equal(t, want, l.reached(limit, begin.Add(time.Duration(i))))
	}
	assert.False(t, l.reached(limit, begin.Add(10)), "the first one is out of the window")
	assert.True(t, l.reached(limit, begin.Add(10)))
	for range 100 {
		assert.False(t, l.reached(RestartLimit{}, begin))
	}
}
