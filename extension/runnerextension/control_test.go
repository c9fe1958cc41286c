// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package runnerextension

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"

	"github.com/tailrace/tailrace/internal/runnercontrol"
)

// socketOf is short enough for the address of a socket, wherever the folder for tests is.
func socketOf(t *testing.T) string {
	folder, err := os.MkdirTemp("/tmp", "runner")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return filepath.Join(folder, "control.sock")
}

func controlled(t *testing.T, cfg *Config) (*service, *runnercontrol.Client) {
	cfg.Control.Socket = socketOf(t)
	s := newService(t, cfg)
	client := runnercontrol.NewClient(cfg.Control.Socket)
	t.Cleanup(client.Close)
	return s, client
}

func code(t *testing.T, err error) string {
	problem := new(runnercontrol.Problem)
	require.ErrorAs(t, err, &problem)
	return problem.Code
}

func TestControlOfARealRunner(t *testing.T) {
	cfg := configOf(shell("web", forever), shell("other", forever))
	cfg.Builds = []BuildConfig{{ID: "b-1", Command: []string{"/bin/sh", "-c", "echo built"}}}
	_, client := controlled(t, cfg)
	ctx := t.Context()
	state, err := client.ControlServer(ctx, "web", "start", patience)
	require.NoError(t, err)
	assert.Equal(t, "running", state.State)
	assert.Equal(t, "healthy", state.Health)
	assert.True(t, state.Settled)
	assert.Equal(t, runnercontrol.OriginConfiguration, state.Origin)

	again, err := client.ControlServer(ctx, "web", "restart", patience)
	require.NoError(t, err)
	assert.NotEqual(t, state.PID, again.PID)
	assert.Equal(t, 1, again.Restarts)
	require.NotNil(t, again.Since)
	assert.WithinDuration(t, time.Now(), *again.Since, time.Minute)

	stopped, err := client.ControlServer(ctx, "web", "stop", patience)
	require.NoError(t, err)
	assert.Equal(t, "stopped", stopped.State)
	assert.Equal(t, &runnercontrol.Exit{Code: -1, Signal: "SIGTERM"}, stopped.Exit)
	servers, err := client.Servers(ctx)
	require.NoError(t, err)
	require.Len(t, servers, 2)
	assert.Equal(t, "web", servers[0].ID)
	assert.Equal(t, "stopped", servers[0].State)

	build, err := client.ControlBuild(ctx, "b-1", "start", patience)
	if err != nil { // that of the start is not over yet
		assert.Equal(t, runnercontrol.CodeBusy, code(t, err))
	} else {
		assert.Equal(t, "succeeded", build.Phase)
	}
	require.Eventually(t, func() bool {
		builds, err := client.Builds(ctx)
		return err == nil && len(builds) == 1 && builds[0].Phase == "succeeded"
	}, patience, time.Millisecond)
	_, err = client.ControlBuild(ctx, "b-1", "cancel", 0)
	assert.Equal(t, runnercontrol.CodeIdle, code(t, err))
	_, err = client.ControlServer(ctx, "nobody", "start", 0)
	assert.Equal(t, runnercontrol.CodeUnknown, code(t, err))
	require.EqualError(t, err, `server "nobody" is not defined`)
}

func TestServersDefinedAtRunTime(t *testing.T) {
	cfg := configOf(shell("web", forever))
	s, client := controlled(t, cfg)
	ctx := t.Context()
	definition := map[string]any{
		"project": "shop", "deployment": "preview", "command": []string{"/bin/sh", "-c", forever},
		"env": map[string]string{"A": "1"}, "health": map[string]any{"command": []string{"/bin/true"}, "interval": "1s"},
	}
	state, err := client.PutServer(ctx, "preview-1", definition, patience)
	require.NoError(t, err)
	assert.Equal(t, "running", state.State)
	assert.Equal(t, runnercontrol.OriginRuntime, state.Origin)
	web := s.pid("web")

	// The same is nothing, another one is a restart.
	same, err := client.PutServer(ctx, "preview-1", definition, patience)
	require.NoError(t, err)
	assert.Equal(t, state.PID, same.PID)
	definition["env"] = map[string]string{"A": "2"}
	other, err := client.PutServer(ctx, "preview-1", definition, patience)
	require.NoError(t, err)
	assert.NotEqual(t, state.PID, other.PID)

	// It outlives a reload, and so does what the API stopped.
	_, err = client.ControlServer(ctx, "web", "stop", patience)
	require.NoError(t, err)
	s.reload(cfg)
	assert.Equal(t, other.PID, s.pid("preview-1"))
	servers, err := client.Servers(ctx)
	require.NoError(t, err)
	assert.Equal(t, "stopped", servers[0].State)
	assert.NotEqual(t, web, s.runner.Servers()[0].PID)

	build, err := client.PutBuild(ctx, "deploy-1", map[string]any{
		"command": []string{"/bin/sh", "-c", "true"}, "deploys": []string{"preview-1"}, "timeout": "1m",
	}, patience)
	require.NoError(t, err)
	assert.Equal(t, "succeeded", build.Phase, build.Reason)
	assert.NotEqual(t, other.PID, s.pid("preview-1"))

	assert.Equal(t, runnercontrol.CodeInUse, code(t, client.DeleteServer(ctx, "preview-1")))
	require.NoError(t, client.DeleteBuild(ctx, "deploy-1"))
	require.NoError(t, client.DeleteServer(ctx, "preview-1"))
	require.Eventually(t, func() bool { return len(s.runner.Servers()) == 1 }, patience, time.Millisecond)
	assert.Equal(t, runnercontrol.CodeUnknown, code(t, client.DeleteServer(ctx, "preview-1")))
	assert.Equal(t, runnercontrol.CodeUnknown, code(t, client.DeleteBuild(ctx, "deploy-1")))
	assert.Equal(t, runnercontrol.CodeConfigured, code(t, client.DeleteServer(ctx, "web")))
	_, err = client.PutServer(ctx, "web", definition, 0)
	assert.Equal(t, runnercontrol.CodeConfigured, code(t, err))
}

func TestTheConfigurationWinsOverWhatWasDefinedAtRunTime(t *testing.T) {
	cfg := configOf()
	s, client := controlled(t, cfg)
	_, err := client.PutServer(t.Context(), "web", map[string]any{"command": []string{"/bin/sh", "-c", forever}}, patience)
	require.NoError(t, err)
	pid := s.pid("web")
	configured := configOf(shell("web", forever))
	configured.Control = cfg.Control
	s.reload(configured)
	require.Eventually(t, func() bool { return s.pid("web") != pid }, patience, time.Millisecond)
	servers, err := client.Servers(t.Context())
	require.NoError(t, err)
	require.Len(t, servers, 1)
	assert.Equal(t, runnercontrol.OriginConfiguration, servers[0].Origin)
}

func TestADefinitionThatIsNotValidNamesItsKeys(t *testing.T) {
	_, client := controlled(t, configOf(shell("web", forever)))
	for name, test := range map[string]struct {
		definition string
		want       []string
	}{
		"unknown key": {`{"command": ["a"], "comand": 1}`, []string{"comand"}},
		"values":      {`{"restart": "sometimes"}`, []string{"server.command: must be a list", "server.restart: must be never"}},
		"type":        {`{"command": ["a"], "health": {"interval": "soon"}}`, []string{"health.interval"}},
		"depends on":  {`{"command": ["a"], "depends_on": [{"server": "x"}]}`, []string{"server s-1.depends_on[0].server: must be the id of another server"}},
		"build":       {`{"command": ["a"], "depends_on": [{"build": "x"}]}`, []string{"server s-1.depends_on[0].build: must be the id of a build"}},
		"another id":  {`{"id": "b", "command": ["a"]}`, []string{`id: is "s-1" in the path and "b" in the definition`}},
	} {
		_, err := client.PutServer(t.Context(), "s-1", json.RawMessage(test.definition), 0)
		require.Equal(t, runnercontrol.CodeInvalid, code(t, err), "%s: %v", name, err)
		for _, want := range test.want {
			assert.ErrorContains(t, err, want, name)
		}
	}
	_, err := client.PutServer(t.Context(), "s-1", []int{1}, 0)
	assert.Equal(t, runnercontrol.CodeRequest, code(t, err))
	_, err = client.PutBuild(t.Context(), "b-1", map[string]any{"command": []string{"a"}, "deploys": []string{"x"}, "timeout": "-1s"}, 0)
	assert.ErrorContains(t, err, "build.timeout: must be at least 0s")
	_, err = client.PutBuild(t.Context(), "b-1", map[string]any{"command": []string{"a"}, "deploys": []string{"x"}}, 0)
	assert.ErrorContains(t, err, `build b-1.deploys[0]: must be the id of a server, not "x"`)
	_, err = client.PutServer(t.Context(), "s-1", strings.Repeat("x", 300<<10), 0)
	assert.Equal(t, runnercontrol.CodeTooLarge, code(t, err))
	servers, err := client.Servers(t.Context())
	require.NoError(t, err)
	assert.Len(t, servers, 1, "nothing was defined")
}

func TestControlBeforeReadyAndAfterNotReady(t *testing.T) {
	cfg := configOf(shell("web", forever))
	cfg.Control.Socket = socketOf(t)
	r, err := newRunner(settings(), cfg)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	client := runnercontrol.NewClient(cfg.Control.Socket)
	defer client.Close()
	_, err = client.ControlServer(t.Context(), "web", "start", 0)
	assert.Equal(t, runnercontrol.CodeNotReady, code(t, err))
	servers, err := client.Servers(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "defined", servers[0].State)
	require.NoError(t, r.Ready())
	// A request that waits does not hold up the end.
	waits := make(chan error, 1)
	go func() {
		_, err := client.PutBuild(t.Context(), "long", map[string]any{"command": []string{"sleep", "1000"}}, patience)
		waits <- err
	}()
	require.Eventually(t, func() bool { return len(r.Builds()) == 1 && r.Builds()[0].PID != 0 }, patience, time.Millisecond)
	require.NoError(t, r.NotReady())
	require.NoError(t, <-waits)
	require.NoError(t, r.Shutdown(t.Context()))
	_, err = client.Servers(t.Context())
	assert.ErrorContains(t, err, "there is no socket "+cfg.Control.Socket)
}

func TestASocketThatCannotBeMadeIsAnErrorOfTheStart(t *testing.T) {
	cfg := configOf()
	cfg.Control.Socket = "/no/such/folder/control.sock"
	r, err := newRunner(settings(), cfg)
	require.NoError(t, err)
	require.ErrorContains(t, r.Start(t.Context(), componenttest.NewNopHost()), "control::socket: the folder of the socket: stat /no/such/folder")
	require.NoError(t, r.Shutdown(t.Context()))
}

func FuzzDefinition(f *testing.F) {
	for _, seed := range []string{
		`{"command":["a"],"env":{"A":"1"},"health":{"http":{"port":1},"interval":"1s"},"depends_on":[{"server":"x"}]}`,
		`{"command":["a"],"deploys":["x"],"timeout":"5m","on_start":false}`, `{}`, `[]`, `{"command":null}`, `{"umask":9}`, "{\"id\":\"\xff\"}",
	} {
		f.Add("web", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, id string, definition []byte) {
		if server, err := parseServer(id, definition); err == nil {
			assert.Equal(t, id, server.ID)
			cfg := configOf(*server)
			assert.Len(t, children(cfg, nil, newTokens()), 1)
		}
		if build, err := parseBuild(id, definition); err == nil {
			assert.Equal(t, id, build.ID)
			cfg := configOf()
			cfg.Builds = []BuildConfig{*build}
			assert.Len(t, builds(cfg, nil, newTokens()), 1)
		}
	})
}
