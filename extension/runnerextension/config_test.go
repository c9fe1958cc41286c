// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/tailrace/tailrace/internal/supervise"
)

func load(t *testing.T, key string) *Config {
	all, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	sub, err := all.Sub(key)
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, sub.Unmarshal(cfg))
	return cfg
}

func TestConfigIsReadFromYAML(t *testing.T) {
	cfg := load(t, "runner")
	require.NoError(t, confmap.Validate(cfg))
	fiveMinutes := 5 * time.Minute
	assert.Equal(t, &Config{
		OTLPEndpoint: "http://localhost:14318", InheritEnv: []string{"PATH", "LC_*"}, StopSignal: "SIGINT",
		GracePeriod: 2 * time.Second, Guardian: GuardianConfig{Name: "shop", GracePeriod: time.Second}, DrainTimeout: 3 * time.Second, MaxLineBytes: 1024, BufferBytes: 2048, OnOverflow: "drop_oldest",
		RestartBackoff:       BackoffConfig{InitialInterval: time.Second, MaxInterval: 2 * time.Second, ResetAfter: 3 * time.Second},
		RestartLimit:         RestartLimitConfig{Count: 5, Window: time.Minute},
		Ports:                PortsConfig{From: 5000, To: 5009},
		HealthReportInterval: 4 * time.Second,
		MaxParallelBuilds:    2,
		Control:              ControlConfig{Socket: "/run/tailrace/control.sock"},
		Builds: []BuildConfig{
			{
				ID: "shop-web", Project: "shop", Deployment: "shop-web", Command: []string{"npm", "run", "build"}, Dir: "./shop",
				Env:     map[string]configopaque.String{"NODE_ENV": "production", "TOKEN": "geheim"},
				EnvFile: "./build.env", Umask: "022", Labels: map[string]string{"team": "checkout"},
				Deploy: []string{"./upload.sh"}, Deploys: []string{"shop-web-1"}, Timeout: &fiveMinutes, OnStart: new(bool),
			},
			{ID: "plain", Command: []string{"make"}},
		},
		Servers: []ServerConfig{
			{
				ID: "shop-web-1", Project: "shop", Deployment: "shop-web", Command: []string{"node", "server.mjs"},
				Dir: "./examples/agent", Env: map[string]configopaque.String{"PORT": "4111", "API_KEY": "geheim"},
				Restart: supervise.RestartAlways,
				EnvFile: "./secrets.env", Labels: map[string]string{"team": "checkout", "tier": "1"},
				DependsOn: []DependencyConfig{{Server: "other"}, {Server: "third", Condition: supervise.ConditionCompleted}, {Build: "plain"}},
				Health: &HealthConfig{
					HTTP:     &HTTPProbeConfig{Path: "/health?deep=1", ExpectStatus: []int{200, 204}},
					Interval: 20 * time.Second, StartInterval: 2 * time.Second, Timeout: 3 * time.Second, StartPeriod: new(time.Duration),
					HealthyThreshold: 2, UnhealthyThreshold: 4, RestartOnUnhealthy: true,
				},
			},
			{ID: "other", Command: []string{"other"}, InheritEnv: []string{}, Health: &HealthConfig{TCP: &TCPProbeConfig{Port: 4112}}},
			{
				ID: "third", Command: []string{"third"}, Health: &HealthConfig{Command: []string{"check", "--fast"}},
				InheritEnv: []string{"ONLY_*"}, User: "nobody", Group: "100", Umask: "027", Limits: LimitsConfig{NoFile: 4096, Memory: 512 << 20},
				StopSignal: "SIGQUIT", GracePeriod: new(time.Duration),
			},
			{ID: "fourth", Command: []string{"fourth"}, Health: &HealthConfig{HTTP: &HTTPProbeConfig{URL: "https://localhost:4113/up"}}},
			{ID: "fifth", Command: []string{"fifth"}, OnOverflow: "block", AssignPort: true, Health: &HealthConfig{HTTP: &HTTPProbeConfig{Path: "/ready"}}},
		},
	}, cfg)
	servers := children(cfg, []string{"PATH=/bin", "ONLY_THIS=1", "SECRET=geheim"}, newTokens())
	all := builds(cfg, nil, newTokens())
	buildMask := 0o022
	assert.Equal(t, supervise.Rights{Umask: &buildMask}, all[0].Rights)
	assert.Equal(t, 5*time.Minute, all[0].Timeout)
	assert.False(t, all[0].OnStart)
	assert.Equal(t, []string{"./upload.sh"}, all[0].Deploy)
	assert.Equal(t, []string{"shop-web-1"}, all[0].Deploys)
	assert.Equal(t, &supervise.Source{
		Project: "shop", Deployment: "shop-web", Build: "shop-web", Service: "shop-web", Executable: "npm",
		Labels: []supervise.Label{{Key: "team", Value: "checkout"}},
	}, all[0].Source)
	assert.Contains(t, all[0].Env, "TAILRACE_BUILD_ID=shop-web")
	assert.Contains(t, all[0].Env, "OTEL_RESOURCE_ATTRIBUTES=project.id=shop,deployment.id=shop-web,build.id=shop-web,team=checkout")
	assert.Equal(t, 10*time.Minute, all[1].Timeout)
	assert.True(t, all[1].OnStart)
	assert.Equal(t, &supervise.HealthCheck{
		Probe:         supervise.HTTPProbe{URL: "http://localhost:4111/health?deep=1", Path: "/health?deep=1", Statuses: []int{200, 204}},
		StartInterval: 2 * time.Second, Interval: 20 * time.Second, Timeout: 3 * time.Second,
		HealthyThreshold: 2, UnhealthyThreshold: 4, RestartUnhealthy: true,
	}, servers[0].Health)
	assert.Equal(t, &supervise.HealthCheck{
		Probe:         supervise.TCPProbe{Address: "localhost:4112"},
		StartInterval: time.Second, Interval: 10 * time.Second, Timeout: 5 * time.Second, StartPeriod: 30 * time.Second,
		HealthyThreshold: 1, UnhealthyThreshold: 3,
	}, servers[1].Health)
	assert.Equal(t, []supervise.Dependency{{Server: "other", Condition: "healthy"}, {Server: "third", Condition: "completed"}, {Server: "plain", Condition: "succeeded"}}, servers[0].DependsOn)
	assert.Equal(t, []supervise.Label{{Key: "team", Value: "checkout"}, {Key: "tier", Value: "1"}}, servers[0].Source.Labels)
	assert.Equal(t, supervise.CommandProbe{Command: []string{"check", "--fast"}}, servers[2].Health.Probe)
	assert.Equal(t, supervise.HTTPProbe{URL: "https://localhost:4113/up", Path: "/"}, servers[3].Health.Probe)
	assert.Equal(t, supervise.HTTPProbe{Path: "/ready"}, servers[4].Health.Probe)
	assert.True(t, servers[4].AssignPort)
	assert.True(t, servers[0].DropOldest)
	assert.False(t, servers[4].DropOldest)
	assert.NotContains(t, servers[1].Env, "PATH=/bin", "an empty list inherits nothing")
	assert.Contains(t, servers[2].Env, "ONLY_THIS=1")
	assert.NotContains(t, servers[2].Env, "PATH=/bin", "the list of the server replaces that of the runner")
	assert.Contains(t, servers[3].Env, "PATH=/bin")
	mask := 0o027
	assert.Equal(t, supervise.Rights{User: "nobody", Group: "100", Umask: &mask, OpenFiles: 4096, Memory: 512 << 20, Cgroup: cfg.Guardian.Cgroup}, servers[2].Rights)
	assert.Equal(t, supervise.Rights{}, servers[0].Rights)
	assert.Equal(t, supervise.SignalNumber("SIGQUIT"), servers[2].StopSignal)
	assert.Equal(t, new(time.Duration), servers[2].GracePeriod)
	assert.Zero(t, servers[0].StopSignal)
	assert.Nil(t, servers[0].GracePeriod)
	printed, err := json.Marshal(cfg)
	require.NoError(t, err)
	assert.NotContains(t, string(printed), "geheim")
}

func TestEveryErrorOfTheConfigNamesItsKey(t *testing.T) {
	err := confmap.Validate(load(t, "runner/bad"))
	require.Error(t, err)
	for _, want := range []string{
		`otlp_endpoint: must be a URL such as http://localhost:4318, not "localhost"`,
		`inherit_env[0]: must be the name of a variable`,
		`inherit_env[1]: must be the name of a variable`,
		`stop_signal: must be the name of a signal such as SIGTERM or SIGINT, not "TERM"`,
		`grace_period: must be at least 0s, not -1s`,
		`restart_backoff::max_interval: must be at least 1h0m0s, not 30s`,
		`max_line_bytes: must be from 256 to 3145728, not 1`,
		`buffer_bytes: must be at least 1, not 0`,
		`on_overflow: must be block (the server waits) or drop_oldest, not "drop"`,
		`servers[0].on_overflow: must be block (the server waits) or drop_oldest, not "newest"`,
		`servers[0].restart: must be never, on_failure or always, not "sometimes"`,
		`servers[1].id: "web" is the id of servers[0] already`,
		`servers[1].command: must be a list of the program and its arguments`,
		`servers[1].env: "A=B" is not the name of a variable`,
		`servers[2].id: must not be empty`,
		`servers[2].command: the program, its first entry, must not be empty`,
		`servers[2]: no value may contain a NUL byte`,
	} {
		assert.ErrorContains(t, err, want)
	}
	assert.Equal(t, 17, len(strings.Split(err.Error(), "\n")), err.Error())
}

func TestEveryErrorOfAHealthCheckNamesItsKey(t *testing.T) {
	err := confmap.Validate(load(t, "runner/bad_health"))
	require.Error(t, err)
	wants := []string{
		"health_report_interval: must be at least 0s, not -1s",
		"servers[0].health: must have exactly one of http (such as {path: /health, port: 4111}), tcp",
		"servers[0].health.interval: must be at least 1ms, not 1µs",
		"servers[0].health.timeout: must be at least 1ms, not -1s",
		"servers[0].health.start_period: must be at least 0s, not -1s",
		"servers[0].health.healthy_threshold: must be at least 1, not -1",
		"servers[0].health.unhealthy_threshold: must be at least 1, not -2",
		"servers[1].health: must have exactly one of",
		`servers[1].health.http.path: must begin with a slash, such as /health, not "health"`,
		"servers[1].health.http.port: must be from 1 to 65535, not 70000",
		"servers[1].health.http.expect_status[0]: must be from 100 to 599, not 99",
		"servers[1].health.tcp.port: must be set, because the server has neither assign_port nor a port as PORT in its env",
		"servers[1].health.restart_on_unhealthy: contradicts `restart: never`",
		`servers[2].health.http.url: must be a URL such as http://localhost:4111/health, not "localhost"`,
		"servers[2].health.http: has a url, which excludes path and port",
		"servers[3].health.command: the program, its first entry, must not be empty",
		"servers[3].health.command: must not contain a NUL byte",
	}
	for _, want := range wants {
		assert.ErrorContains(t, err, want)
	}
	assert.Equal(t, len(wants), len(strings.Split(err.Error(), "\n")), err.Error())
}

func TestEveryErrorOfTheLifecycleNamesItsKey(t *testing.T) {
	err := confmap.Validate(load(t, "runner/bad_lifecycle"))
	require.Error(t, err)
	wants := []string{
		"guardian::grace_period: must be at least 0s, not -1s",
		`servers[2].stop_signal: must be the name of a signal such as SIGTERM or SIGINT, not "TERM"`,
		"servers[2].grace_period: must be at least 0s, not -2s",
		"restart_limit::count: must be at least 0 (no limit), not -1",
		"restart_limit::window: must be more than 0s, not 0s",
		"ports: must go from 1 or more up to 65535 or less, not from 20 to 10",
		`servers[0].umask: must be octal digits from 000 to 777, such as "027", not "0888"`,
		`servers[0].inherit_env[1]: must be the name of a variable, or the beginning of one and a *, not "A*B"`,
		"servers[0].limits::nofile: must be at least 16, not 2",
		"servers[0].limits::memory: must be at least 1MiB, such as 512MiB, not 1KiB",
		`guardian::cgroup: must be the folder of a control group, such as /sys/fs/cgroup/tailrace, not "tailrace"`,
		"servers[0].assign_port: contradicts PORT in env; remove one of them",
		`servers[0].depends_on[1].server: must be the id of another server, not "nobody"`,
		`servers[0].depends_on[1].condition: must be running, healthy or completed, not "ready"`,
		`servers[0].depends_on[2].server: must be the id of another server, not ""`,
		`servers[1].labels: a name must not be empty, and nothing may contain a NUL byte: ""`,
		`servers[1].labels: a name must not be empty, and nothing may contain a NUL byte: "n"`,
		`servers[1].labels: "project.id" is set by the runner`,
		"servers[1].depends_on: is a circle, so that none of these can start: b → c → b",
	}
	for _, want := range wants {
		assert.ErrorContains(t, err, want)
	}
	assert.Equal(t, len(wants), len(strings.Split(err.Error(), "\n")), err.Error())
}

func TestWrongKeysAndTypesAreNamed(t *testing.T) {
	for want, raw := range map[string]map[string]any{
		"comand":  {"servers": []any{map[string]any{"id": "a", "comand": []any{"x"}}}},
		"command": {"servers": []any{map[string]any{"id": "a", "command": map[string]any{"x": "y"}}}},
		"PORT":    {"servers": []any{map[string]any{"id": "a", "env": map[string]any{"PORT": []any{1}}}}},
	} {
		err := confmap.NewFromStringMap(raw).Unmarshal(createDefaultConfig())
		assert.ErrorContains(t, err, want)
	}
}

func TestEveryErrorOfTheBuildsNamesItsKey(t *testing.T) {
	err := confmap.Validate(load(t, "runner/bad_builds"))
	require.Error(t, err)
	for _, want := range []string{
		`max_parallel_builds: must be at least 1, not 0`,
		`control::socket: must have at most 95 bytes`,
		`builds[0].command: must be a list of the program and its arguments`,
		`builds[0].timeout: must be at least 0s (no limit), not -1s`,
		`builds[0].deploys[0]: must be the id of a server, not "nobody"`,
		`builds[0].deploys[2]: names "web" twice`,
		`builds[1].id: "a" is the id of builds[0] already`,
		`builds[1].deploy: the program, its first entry, must not be empty`,
		`builds[1].umask: must be octal digits`,
		`builds[2].id: must not be empty`,
		`builds[2].deploy: must not contain a NUL byte`,
		`servers[0].depends_on[0].build: must be the id of a build, not "b"`,
		`servers[0].depends_on[1]: a build goes without server, and without another condition than succeeded`,
		`servers[0].depends_on[2]: a build goes without server, and without another condition than succeeded`,
	} {
		assert.ErrorContains(t, err, want)
	}
	assert.Equal(t, 14, len(strings.Split(err.Error(), "\n")), err.Error())
}
