// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package runnerextension

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tailrace/tailrace/internal/freeport"
	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/supervise"
)

// statusHost records the status of the component.
type statusHost struct {
	component.Host
	mu     sync.Mutex
	events []*componentstatus.Event
}

func (h *statusHost) Report(event *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, event)
}

func (h *statusHost) last() *componentstatus.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.events) == 0 {
		return nil
	}
	return h.events[len(h.events)-1]
}

// collect is a sink that keeps the lines of each server.
type collect struct {
	mu    sync.Mutex
	lines map[string][]string
}

func (c *collect) Deliver(_ context.Context, batch supervise.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, group := range batch {
		for _, e := range group.Entries {
			if e.Event == nil {
				c.lines[group.Source.Server] = append(c.lines[group.Source.Server], e.Line)
			}
		}
	}
	return nil
}

func (c *collect) of(server string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.lines[server]...)
}

func shell(id, script string) ServerConfig {
	return ServerConfig{ID: id, Project: "shop", Deployment: "shop-web", Command: []string{"/bin/sh", "-c", script}, Restart: supervise.RestartNever}
}

// started returns a runner between Ready and NotReady, with its sink.
func started(t *testing.T, set extension.Settings, host component.Host, cfg *Config) (*runner, *collect) {
	ext, err := NewFactory().Create(t.Context(), set, cfg)
	require.NoError(t, err)
	r := ext.(*runner)
	require.NoError(t, r.Start(t.Context(), host))
	sink := &collect{lines: map[string][]string{}}
	detach, err := r.Attach(sink)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, r.NotReady())
		detach()
		require.NoError(t, r.Shutdown(context.Background()))
		require.NoError(t, r.Shutdown(context.Background()))
	})
	require.NoError(t, r.Ready())
	return r, sink
}

func settings() extension.Settings {
	return extensiontest.NewNopSettings(NewFactory().Type())
}

func TestChildSeesItsIdentityAndNothingOfOurEnvironment(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "geheim")
	cfg := createDefaultConfig().(*Config)
	cfg.OTLPEndpoint = "http://localhost:14318"
	cfg.Servers = []ServerConfig{shell("shop web,1", "env"), shell("own", "env")}
	cfg.Servers[1].Env = map[string]configopaque.String{"OTEL_SERVICE_NAME": "mine", "PORT": "4111"}
	r, sink := started(t, settings(), componenttest.NewNopHost(), cfg)
	require.Eventually(t, func() bool { return len(sink.of("own")) > 8 && len(sink.of("shop web,1")) > 8 }, 10*time.Second, time.Millisecond)

	env := map[string]string{}
	for _, line := range sink.of("shop web,1") {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
	}
	token, ok := strings.CutPrefix(env["OTEL_EXPORTER_OTLP_HEADERS"], "x-tailrace-token=")
	require.True(t, ok)
	for name, want := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:14318",
		"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
		"OTEL_RESOURCE_ATTRIBUTES":    "project.id=shop,deployment.id=shop-web,server.id=shop%20web%2C1,service.instance.id=shop%20web%2C1",
		"OTEL_SERVICE_NAME":           "shop-web",
		"TAILRACE_PROJECT_ID":         "shop",
		"TAILRACE_DEPLOYMENT_ID":      "shop-web",
		"TAILRACE_SERVER_ID":          "shop web,1",
		"PATH":                        os.Getenv("PATH"),
	} {
		assert.Equal(t, want, env[name], name)
	}
	assert.NotContains(t, env, "AWS_SECRET_ACCESS_KEY")
	assert.Contains(t, sink.of("own"), "OTEL_SERVICE_NAME=mine")
	assert.Contains(t, sink.of("own"), "PORT=4111")

	id, ok := r.ResolveToken(token)
	require.True(t, ok)
	assert.Equal(t, identity.Identity{Project: "shop", Deployment: "shop-web", Server: "shop web,1"}, id)
	for _, wrong := range []string{"", token[1:], token + "0", strings.ToUpper(token) + "x"} {
		_, ok = r.ResolveToken(wrong)
		assert.False(t, ok)
	}
	assert.Len(t, token, 32)
}

func TestNotReadyStopsChildrenAndTakesTheirLastWords(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.Servers = []ServerConfig{shell("web", `exec 2>/dev/null; trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done`)}
	r, sink := started(t, settings(), componenttest.NewNopHost(), cfg)
	require.Eventually(t, func() bool { return len(sink.of("web")) > 0 }, 10*time.Second, time.Millisecond)
	require.NoError(t, r.NotReady())
	assert.Equal(t, []string{"ready", "bye"}, sink.of("web"))
	assert.Zero(t, r.supervisor.Stats().Running)
}

func TestShutdownWithoutNotReadyStopsChildren(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.Servers = []ServerConfig{shell("web", "echo ready; exec sleep 1000")}
	r, sink := started(t, settings(), componenttest.NewNopHost(), cfg)
	require.Eventually(t, func() bool { return len(sink.of("web")) > 0 }, 10*time.Second, time.Millisecond)
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Zero(t, r.supervisor.Stats().Running)
}

func TestServerThatCannotStartIsARecoverableStatus(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.RestartBackoff.InitialInterval = time.Millisecond
	folder := t.TempDir() + "/later"
	cfg.Servers = []ServerConfig{
		{ID: "bad", Command: []string{"no-such-program"}, Restart: supervise.RestartNever},
		{ID: "late", Command: []string{"/bin/sh", "-c", "exec sleep 1000"}, Dir: folder},
		shell("good", "echo here"),
	}
	host := &statusHost{Host: componenttest.NewNopHost()}
	_, sink := started(t, settings(), host, cfg)
	require.Eventually(t, func() bool {
		last := host.last()
		return last != nil && last.Status() == componentstatus.StatusRecoverableError &&
			strings.Contains(last.Err().Error(), `servers[0] (bad): command: "no-such-program" was not found`) &&
			strings.Contains(last.Err().Error(), "servers[1] (late): dir: stat")
	}, 10*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { return len(sink.of("good")) > 0 }, 10*time.Second, time.Millisecond)
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.Eventually(t, func() bool { return !strings.Contains(host.last().Err().Error(), "late") }, 10*time.Second, time.Millisecond)
	host.mu.Lock()
	defer host.mu.Unlock()
	assert.LessOrEqual(t, len(host.events), 3, "a status is reported when it changes, not with each try")
}

func TestWithoutAReceiverChildrenRunAndItIsTold(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	set := settings()
	set.Logger = zap.New(core)
	cfg := createDefaultConfig().(*Config)
	cfg.BufferBytes = 1000
	cfg.Servers = []ServerConfig{shell("web", "seq 100000; exec sleep 1000")}
	ext, err := NewFactory().Create(t.Context(), set, cfg)
	require.NoError(t, err)
	r := ext.(*runner)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, r.Ready())
	assert.Equal(t, 1, logs.FilterMessageSnippet("`runner_log` with `runner: runner").Len(), "%v", logs.All())
	require.Eventually(t, func() bool {
		return r.supervisor.Stats().Stdout.Lines == 100_000 && r.supervisor.Stats().Dropped > 0
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, r.NotReady())
	require.NoError(t, r.Shutdown(t.Context()))
}

func TestMetrics(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { _ = tel.Shutdown(context.Background()) }()
	set := settings()
	set.TelemetrySettings = tel.NewTelemetrySettings()
	cfg := createDefaultConfig().(*Config)
	cfg.Servers = []ServerConfig{shell("web", `echo one; echo two; echo err >&2; exec sleep 1000`)}
	_, sink := started(t, set, componenttest.NewNopHost(), cfg)
	require.Eventually(t, func() bool { return len(sink.of("web")) == 3 }, 10*time.Second, time.Millisecond)
	processes, err := tel.GetMetric("otelcol_runner_processes")
	require.NoError(t, err)
	metricdatatest.AssertEqual(t, metricdata.Gauge[int64]{DataPoints: []metricdata.DataPoint[int64]{{Value: 1}}},
		processes.Data.(metricdata.Gauge[int64]), metricdatatest.IgnoreTimestamp())
	lines, err := tel.GetMetric("otelcol_runner_output_lines")
	require.NoError(t, err)
	got := map[string]int64{}
	for _, point := range lines.Data.(metricdata.Sum[int64]).DataPoints {
		stream, _ := point.Attributes.Value("stream")
		got[stream.AsString()] = point.Value
	}
	assert.Equal(t, map[string]int64{"stdout": 2, "stderr": 1}, got)
}

func TestMetricsOfServers(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { _ = tel.Shutdown(context.Background()) }()
	set := settings()
	set.TelemetrySettings = tel.NewTelemetrySettings()
	cfg := createDefaultConfig().(*Config)
	cfg.Servers = []ServerConfig{shell("web", "exec sleep 1000"), shell("gone", "exit 0")}
	r, _ := started(t, set, componenttest.NewNopHost(), cfg)
	require.Eventually(t, func() bool {
		servers := r.supervisor.Servers()
		return servers[0].Health == supervise.HealthHealthy && servers[1].Health == supervise.HealthStopping && !servers[1].Running
	}, 10*time.Second, time.Millisecond)
	ints := func(name string) map[string]int64 {
		data, err := tel.GetMetric("otelcol_runner_server_" + name)
		require.NoError(t, err)
		values := map[string]int64{}
		for _, point := range data.Data.(metricdata.Gauge[int64]).DataPoints {
			server, _ := point.Attributes.Value("server")
			values[server.AsString()] = point.Value
		}
		return values
	}
	assert.Equal(t, map[string]int64{"web": 1, "gone": 0}, ints("healthy"))
	uptime, err := tel.GetMetric("otelcol_runner_server_uptime")
	require.NoError(t, err)
	require.Len(t, uptime.Data.(metricdata.Gauge[float64]).DataPoints, 1)
	assert.Positive(t, uptime.Data.(metricdata.Gauge[float64]).DataPoints[0].Value)
	cpu, err := tel.GetMetric("otelcol_runner_server_cpu_time")
	require.NoError(t, err)
	assert.Len(t, cpu.Data.(metricdata.Sum[float64]).DataPoints, 2, "a counter does not end with the process")
	if runtime.GOOS == "linux" {
		for _, name := range []string{"memory", "threads", "open_files"} {
			// At the moment of its exec a process has no memory yet.
			require.Eventually(t, func() bool { return ints(name)["web"] > 0 }, 10*time.Second, time.Millisecond, name)
			assert.Len(t, ints(name), 1, name)
		}
	}
}

func TestUnhealthyServerIsARecoverableStatus(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sick")
	cfg := createDefaultConfig().(*Config)
	cfg.Servers = []ServerConfig{shell("web", "exec sleep 1000")}
	cfg.Servers[0].Health = &HealthConfig{
		Command:  []string{"/bin/sh", "-c", `if test -e "$0"; then echo is sick; exit 1; fi`, file},
		Interval: time.Millisecond, StartInterval: time.Millisecond,
	}
	host := &statusHost{Host: componenttest.NewNopHost()}
	r, _ := started(t, settings(), host, cfg)
	require.Eventually(t, func() bool { return r.supervisor.Servers()[0].Health == supervise.HealthHealthy }, 10*time.Second, time.Millisecond)
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Eventually(t, func() bool {
		last := host.last()
		return last != nil && last.Status() == componentstatus.StatusRecoverableError &&
			last.Err().Error() == "servers[0] (web): unhealthy: /bin/sh exited with code 1: is sick"
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, os.Remove(file))
	require.Eventually(t, func() bool { return host.last().Status() == componentstatus.StatusOK }, 10*time.Second, time.Millisecond)
}

func TestChildSeesItsEnvFileAndItsLabels(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	require.NoError(t, os.WriteFile(file, []byte("API_KEY=geheim\nPORT=1\nOTEL_EXPORTER_OTLP_PROTOCOL=grpc\n"), 0o600))
	cfg := createDefaultConfig().(*Config)
	cfg.Servers = []ServerConfig{shell("web", "env; echo end")}
	cfg.Servers[0].EnvFile, cfg.Servers[0].Env = file, map[string]configopaque.String{"PORT": "4111"}
	cfg.Servers[0].Labels = map[string]string{"team": "a b", "empty": ""}
	_, sink := started(t, settings(), componenttest.NewNopHost(), cfg)
	require.Eventually(t, func() bool { return slices.Contains(sink.of("web"), "end") }, 10*time.Second, time.Millisecond)
	for _, want := range []string{
		"API_KEY=geheim", "PORT=4111", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
		"OTEL_RESOURCE_ATTRIBUTES=project.id=shop,deployment.id=shop-web,server.id=web,service.instance.id=web,team=a%20b",
	} {
		assert.Contains(t, sink.of("web"), want)
	}
}

func TestChildGetsAnAssignedPort(t *testing.T) {
	port := freeport.For(t)
	cfg := createDefaultConfig().(*Config)
	cfg.Ports = PortsConfig{From: port, To: port}
	cfg.Servers = []ServerConfig{shell("web", `echo "PORT=$PORT"`)}
	cfg.Servers[0].AssignPort = true
	_, sink := started(t, settings(), componenttest.NewNopHost(), cfg)
	require.Eventually(t, func() bool { return len(sink.of("web")) > 0 }, 10*time.Second, time.Millisecond)
	assert.Equal(t, []string{fmt.Sprint("PORT=", port)}, sink.of("web"))
}

func TestTheOwnerOfProcessesIsTheSameAfterARestart(t *testing.T) {
	id, other := component.MustNewID("runner"), component.MustNewIDWithName("runner", "two")
	cfg := createDefaultConfig().(*Config)
	folder, err := os.Getwd()
	require.NoError(t, err)
	assert.Equal(t, cfg.owner(id), createDefaultConfig().(*Config).owner(id))
	assert.Contains(t, cfg.owner(id), folder)
	assert.NotEqual(t, cfg.owner(id), cfg.owner(other))
	named := &Config{Guardian: GuardianConfig{Name: "shop"}}
	assert.NotEqual(t, cfg.owner(id), named.owner(id))
	t.Chdir(t.TempDir())
	assert.NotContains(t, cfg.owner(id), folder)
	assert.Equal(t, (&Config{Guardian: GuardianConfig{Name: "shop"}}).owner(id), named.owner(id), "a name does not depend on the folder")
}
