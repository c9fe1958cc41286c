// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package supervise

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestServersStopAfterThoseThatDependOnThem(t *testing.T) {
	db, api, web, other := testServer("db", "polite"), testServer("api", "polite"), testServer("web", "polite"), testServer("other", "polite")
	api.DependsOn = []Dependency{{Server: "db", Condition: ConditionRunning}}
	web.DependsOn = []Dependency{{Server: "api", Condition: ConditionRunning}, {Server: "db", Condition: ConditionRunning}}
	servers := []Server{db, api, web, other}
	options := testOptions(servers...)
	options.GracePeriod = time.Minute
	sink := &recorder{}
	s := start(t, options, sink)
	for _, server := range servers {
		waitFor(t, sink, server.Source, "ready")
	}
	require.NoError(t, s.Stop(t.Context()))
	event := func(server Server, state string) Entry {
		entries := sink.of(server.Source)
		i := slices.IndexFunc(entries, func(e Entry) bool { return e.Event != nil && e.Event.State == state })
		require.GreaterOrEqual(t, i, 0)
		return entries[i]
	}
	assert.Negative(t, event(web, StateStopped).UID.Compare(event(api, HealthStopping).UID), "api is asked when web has ended")
	assert.Negative(t, event(api, StateStopped).UID.Compare(event(db, HealthStopping).UID))
	for _, server := range servers {
		assert.Equal(t, []string{"last words"}, lines(output(sink.of(server.Source), Stderr)), server.Name)
		assert.Equal(t, 0, lastEvent(sink.of(server.Source), Lifecycle).Exit.Code)
	}
}

func TestADependentThatIgnoresItsSignalIsKilledAndTheOthersGetTheirTime(t *testing.T) {
	db, web := testServer("db", "polite"), testServer("web", "stubborn")
	web.DependsOn = []Dependency{{Server: "db", Condition: ConditionRunning}}
	short := 100 * time.Millisecond
	web.GracePeriod = &short
	options := testOptions(db, web)
	options.GracePeriod = time.Hour
	sink := &recorder{}
	s := start(t, options, sink)
	waitFor(t, sink, db.Source, "ready")
	waitFor(t, sink, web.Source, "ready")
	require.NoError(t, s.Stop(t.Context()))
	assert.Equal(t, "SIGKILL", lastEvent(sink.of(web.Source), Lifecycle).Exit.Signal)
	assert.Equal(t, []string{"last words"}, lines(output(sink.of(db.Source), Stderr)))
}

func TestTheWaitForDependentsIsBounded(t *testing.T) {
	db, web := testServer("db", "polite"), testServer("web", "stubborn")
	web.DependsOn = []Dependency{{Server: "db", Condition: ConditionRunning}}
	options := testOptions(db, web)
	options.GracePeriod = time.Millisecond
	s := New(options)
	s.all[0].awaitDependents(nil) // web never ends, because it was never started
	assert.Equal(t, 2*time.Millisecond, s.opts.Load().stopTime())
	options.GracePeriod = time.Hour
	s = New(options)
	ended := make(chan struct{})
	close(ended)
	s.all[0].awaitDependents(ended) // db has ended itself
	s.all[1].live.setOver()
	s.all[0].awaitDependents(nil)
}

func TestStopSignalAndGracePeriodOfAServer(t *testing.T) {
	quit, patient, killed := testServer("quit", "flood"), testServer("patient", "polite"), testServer("killed", "stubborn")
	quit.Command, quit.Env = []string{"/bin/sh", "-c", `trap 'echo asked; exit 3' USR1; echo ready; while :; do sleep 0.01; done`}, []string{"PATH=/usr/bin:/bin"}
	quit.StopSignal = unix.SIGUSR1
	none := time.Duration(0)
	killed.GracePeriod = &none
	options := testOptions(quit, patient, killed)
	options.GracePeriod = time.Hour // nobody may need it
	sink := &recorder{}
	s := start(t, options, sink)
	for _, server := range options.Servers {
		waitFor(t, sink, server.Source, "ready")
	}
	require.NoError(t, s.Stop(t.Context()))
	assert.Equal(t, &Exit{Code: 3}, lastEvent(sink.of(quit.Source), Lifecycle).Exit)
	assert.Equal(t, &Exit{Code: 0}, lastEvent(sink.of(patient.Source), Lifecycle).Exit)
	assert.Equal(t, "SIGKILL", lastEvent(sink.of(killed.Source), Lifecycle).Exit.Signal)
}
