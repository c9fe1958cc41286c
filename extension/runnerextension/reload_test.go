// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package runnerextension

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configopaque"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/supervise"
)

// patience is longer than anything here takes on a busy machine.
const patience = 30 * time.Second

// service stands for the collector: it builds and ends runners in its order, and says which phase it is in.
type service struct {
	t      *testing.T
	id     component.ID
	host   *statusHost
	sink   *collect
	phase  phase
	runner *runner
	detach func()
}

func newService(t *testing.T, cfg *Config) *service {
	s := &service{
		t: t, id: component.MustNewIDWithName("runner", strings.ReplaceAll(t.Name(), "/", "_")),
		sink: &collect{lines: map[string][]string{}},
	}
	s.start(cfg)
	t.Cleanup(s.stop)
	return s
}

func (s *service) build(cfg *Config) {
	set := settings()
	set.ID = s.id
	r, err := newRunner(set, cfg)
	require.NoError(s.t, err)
	r.phase = func() phase { return s.phase }
	s.host = &statusHost{Host: componenttest.NewNopHost()}
	require.NoError(s.t, r.Start(s.t.Context(), s.host))
	s.runner = r
}

func (s *service) start(cfg *Config) {
	s.build(cfg)
	detach, err := s.runner.Attach(s.sink)
	require.NoError(s.t, err)
	s.detach = detach
	require.NoError(s.t, s.runner.Ready())
}

func (s *service) end() {
	assert.NoError(s.t, s.runner.NotReady())
	s.detach()
	assert.NoError(s.t, s.runner.Shutdown(context.Background()))
}

func (s *service) stop() {
	s.phase = phaseOther
	s.end()
}

func (s *service) reload(cfg *Config) {
	s.phase = phaseRetiring
	s.end()
	s.phase = phaseRenewing
	s.start(cfg)
	s.phase = phaseOther
}

func (s *service) pid(id string) int {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	state, err := s.runner.WaitServer(ctx, id)
	require.NoError(s.t, err)
	require.Equal(s.t, "running", state.State)
	return state.PID
}

func configOf(servers ...ServerConfig) *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.Servers = servers
	return cfg
}

const (
	counts  = `exec 2>/dev/null; i=0; trap 'exit 0' TERM; while :; do echo "line $i"; i=$((i+1)); sleep 0.001; done`
	forever = "echo ready; exec sleep 1000"
)

func TestReloadRestartsOnlyTheServersThatChanged(t *testing.T) {
	s := newService(t, configOf(shell("same", counts), shell("changed", forever), shell("removed", forever)))
	before := map[string]int{}
	for _, id := range []string{"same", "changed", "removed"} {
		before[id] = s.pid(id)
	}
	_, token := s.runner.tokens.resolve("")
	require.False(t, token)
	old := s.runner.tokens.issue(identity.Identity{Project: "shop", Deployment: "shop-web", Server: "same"})

	changed := shell("changed", forever)
	changed.Env = map[string]configopaque.String{"NEW": "1"}
	s.reload(configOf(changed, shell("added", forever), shell("same", counts)))
	require.Eventually(t, func() bool { return len(s.runner.Servers()) == 3 }, patience, time.Millisecond, "one is removed")
	require.Eventually(t, func() bool { return s.pid("changed") != before["changed"] }, patience, time.Millisecond)
	assert.Equal(t, before["same"], s.pid("same"))
	assert.NotZero(t, s.pid("added"))
	id, ok := s.runner.ResolveToken(old)
	assert.True(t, ok, "what runs on keeps its token")
	assert.Equal(t, "same", id.Server)

	// Some more, with nothing changed, while it prints.
	for range 3 {
		seen := len(s.sink.of("same"))
		s.reload(configOf(changed, shell("added", forever), shell("same", counts)))
		require.Eventually(t, func() bool { return len(s.sink.of("same")) > seen+10 }, patience, time.Millisecond)
		assert.Equal(t, before["same"], s.pid("same"))
	}
	require.NoError(t, s.runner.NotReady())
	assert.Zero(t, s.runner.supervisor.Stats().Dropped)
	for i, line := range s.sink.of("same") {
		require.Equal(t, fmt.Sprint("line ", i), line)
	}
}

func TestReloadWithAnotherEndpointRestartsAll(t *testing.T) {
	s := newService(t, configOf(shell("web", forever)))
	pid := s.pid("web")
	cfg := configOf(shell("web", forever))
	cfg.OTLPEndpoint = "http://localhost:14318"
	s.reload(cfg)
	require.Eventually(t, func() bool { return s.pid("web") != pid }, patience, time.Millisecond)
}

func TestReloadSeesAnotherEnvFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	require.NoError(t, os.WriteFile(file, []byte("A=1"), 0o600))
	server := shell("web", `echo "A is $A"; exec sleep 1000`)
	server.EnvFile = file
	s := newService(t, configOf(server))
	pid := s.pid("web")
	s.reload(configOf(server))
	assert.Equal(t, pid, s.pid("web"))
	require.NoError(t, os.WriteFile(file, []byte("A=2"), 0o600))
	s.reload(configOf(server))
	require.Eventually(t, func() bool { return slices.Contains(s.sink.of("web"), "A is 2") }, patience, time.Millisecond)
}

func TestReloadKeepsFailuresInTheStatus(t *testing.T) {
	s := newService(t, configOf(ServerConfig{ID: "bad", Command: []string{"no-such-program"}, Restart: supervise.RestartNever}))
	failed := func() bool {
		last := s.host.last()
		return last != nil && last.Status() == componentstatus.StatusRecoverableError && strings.Contains(last.Err().Error(), "(bad)")
	}
	require.Eventually(t, failed, patience, time.Millisecond)
	s.reload(configOf(ServerConfig{ID: "bad", Command: []string{"no-such-program"}, Restart: supervise.RestartNever}))
	require.Eventually(t, failed, patience, time.Millisecond, "the new status host is told")
	s.reload(configOf())
	require.Eventually(t, func() bool {
		last := s.host.last()
		return last == nil || last.Status() == componentstatus.StatusOK
	}, patience, time.Millisecond)
}

func TestNewConfigurationThatDoesNotStartStopsTheServers(t *testing.T) {
	s := newService(t, configOf(shell("web", `exec 2>/dev/null; trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done`)))
	s.pid("web")
	require.Eventually(t, func() bool { return len(s.sink.of("web")) > 0 }, patience, time.Millisecond)
	s.phase = phaseRetiring
	s.end()
	s.phase = phaseRenewing
	s.build(configOf(shell("web", forever)))
	// Another component does not start: the collector ends what it has built, in the same phase.
	require.NoError(t, s.runner.NotReady())
	assert.Zero(t, s.runner.supervisor.Stats().Running)
	require.NoError(t, s.runner.Shutdown(t.Context()))
}

func TestServersThatNobodyTakesOverAreStopped(t *testing.T) {
	s := newService(t, configOf(shell("web", forever)))
	s.pid("web")
	registry := registry{wait: 10 * time.Millisecond}
	s.runner.supervisor.Suspend()
	s.detach()
	registry.park(s.id, s.runner.childrenState)
	require.Eventually(t, func() bool { return s.runner.supervisor.Stats().Running == 0 }, patience, time.Millisecond)
	assert.Nil(t, registry.take(s.id), "it waits until they have ended")
	assert.Nil(t, registry.take(component.MustNewID("other")))
}

func TestTheSecondOfTwoParkedRunnersIsKept(t *testing.T) {
	one, two := newService(t, configOf(shell("one", forever))), &childrenState{}
	registry := registry{wait: time.Hour}
	registry.park(one.id, one.runner.childrenState)
	registry.park(one.id, two)
	require.Eventually(t, func() bool { return one.runner.supervisor.Stats().Running == 0 }, patience, time.Millisecond)
	assert.Same(t, two, registry.take(one.id))
	assert.Nil(t, registry.take(one.id))
}

func TestPhaseOfTheCollector(t *testing.T) {
	const collector = "go.opentelemetry.io/collector/otelcol.(*Collector)."
	for name, test := range map[string]struct {
		functions []string
		want      phase
	}{
		"start":    {[]string{"x.Start", collector + "setupConfigurationComponents", collector + "Run"}, phaseOther},
		"end":      {[]string{"x.NotReady", collector + "shutdown", collector + "Run"}, phaseOther},
		"retiring": {[]string{"x.NotReady", collector + "reloadConfiguration", collector + "Run"}, phaseRetiring},
		"renewing": {[]string{"x.Start", collector + "setupConfigurationComponents", collector + "reloadConfiguration", collector + "Run"}, phaseRenewing},
		"another":  {[]string{"x.NotReady", "example.com/otelcol.(*Collector).reloadConfiguration"}, phaseOther},
		"none":     {nil, phaseOther},
	} {
		assert.Equal(t, test.want, phaseOf(test.functions), name)
	}
	assert.Equal(t, phaseOther, collectorPhase())
}

func TestTokensOfRemovedServersExpire(t *testing.T) {
	tokens := newTokens()
	web, gone := identity.Identity{Server: "web"}, identity.Identity{Server: "gone"}
	token, other := tokens.issue(web), tokens.issue(gone)
	assert.Equal(t, token, tokens.issue(web))
	assert.NotEqual(t, token, other)
	at := time.Now()
	keep := map[identity.Identity]bool{web: true}
	tokens.retire(keep, at)
	tokens.retire(keep, at.Add(tokenAfterlife))
	_, ok := tokens.resolve(other)
	assert.True(t, ok, "its last spans may still come")
	tokens.retire(keep, at.Add(tokenAfterlife+time.Second))
	_, ok = tokens.resolve(other)
	assert.False(t, ok)
	_, ok = tokens.resolve(token)
	assert.True(t, ok)
	assert.NotEqual(t, other, tokens.issue(gone))
}
