// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserverextension

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tailrace/tailrace/extension/clickhouseserverextension/internal/metadatatest"
	"github.com/tailrace/tailrace/internal/clickhousetest"
	"github.com/tailrace/tailrace/internal/freeport"
)

// statusHost remembers what was reported.
type statusHost struct {
	component.Host
	mu  sync.Mutex
	all []string
}

func (h *statusHost) Report(e *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	text := e.Status().String()
	if e.Err() != nil {
		text += " " + e.Err().Error()
	}
	h.all = append(h.all, text)
}

func (h *statusHost) list() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.all...)
}

func realConfig(t *testing.T) *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.Path = filepath.Join(t.TempDir(), "clickhouse")
	cfg.TCPPort, cfg.HTTPPort = freeport.For(t), freeport.For(t)
	cfg.Password = "only-in-this-test"
	cfg.Binary = filepath.Join(clickhousetest.BuildDir(t), "tailrace-clickhouse")
	require.NoError(t, cfg.Validate())
	return cfg
}

func TestLifeWithARealClickHouse(t *testing.T) {
	cfg := realConfig(t)
	telemetry := componenttest.NewTelemetry()
	defer func() { require.NoError(t, telemetry.Shutdown(context.Background())) }()
	core, logs := observer.New(zapcore.DebugLevel)
	set := extensiontest.NewNopSettings(component.MustNewType("clickhouse_server"))
	set.TelemetrySettings = telemetry.NewTelemetrySettings()
	set.Logger = zap.New(core)
	ext, err := newExtension(set, cfg)
	require.NoError(t, err)
	host := &statusHost{Host: componenttest.NewNopHost()}
	assert.Equal(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.TCPPort)), ext.Endpoint())
	assert.False(t, ext.Ready())

	began := time.Now()
	require.NoError(t, ext.Start(t.Context(), host))
	t.Logf("Start took %s", time.Since(began))
	require.Eventually(t, ext.Ready, 30*time.Second, time.Millisecond)
	t.Logf("ready after %s", time.Since(began))
	assert.Empty(t, host.list(), "nothing to tell beyond what the collector tells")

	// A mistake of a user comes into the log.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.HTTPPort)), strings.NewReader("SELECT nonsense"))
	require.NoError(t, err)
	req.SetBasicAuth("tailrace", string(cfg.Password))
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	require.Eventually(t, func() bool {
		return logs.FilterLevelExact(zapcore.InfoLevel).Filter(func(e observer.LoggedEntry) bool { return strings.Contains(e.Message, "nonsense") }).Len() > 0
	}, 10*time.Second, 5*time.Millisecond)

	// Mistakes of clients on the native port are counted, and no more than that.
	stranger, err := net.Dial("tcp", ext.Endpoint())
	require.NoError(t, err)
	_, err = stranger.Write([]byte("\x16\x03\x01"))
	require.NoError(t, err)
	_, err = stranger.Read(make([]byte, 1))
	require.Error(t, err)
	require.NoError(t, stranger.Close())
	metadatatest.AssertEqualClickhouseServerNativeRefused(t, telemetry, []metricdata.DataPoint[int64]{{Attributes: attribute.NewSet(attribute.String("reason", "protocol")), Value: 1}}, metricdatatest.IgnoreTimestamp())
	assert.True(t, ext.Ready())
	assert.Empty(t, host.list())

	// A death is a status, a metric, and over by itself.
	text, err := os.ReadFile(filepath.Join(cfg.Path, "engine.lock"))
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	require.Eventually(t, func() bool { return len(host.list()) == 2 }, 20*time.Second, 5*time.Millisecond)
	assert.Contains(t, host.list()[0], "StatusRecoverableError ClickHouse (pid "+strconv.Itoa(pid)+") died: signal: killed")
	assert.Equal(t, "StatusOK", host.list()[1])
	assert.True(t, ext.Ready())
	metadatatest.AssertEqualClickhouseServerRestarts(t, telemetry, []metricdata.DataPoint[int64]{{Value: 1}}, metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualClickhouseServerUp(t, telemetry, []metricdata.DataPoint[int64]{{Value: 1}}, metricdatatest.IgnoreTimestamp())

	require.NoError(t, ext.Shutdown(t.Context()))
	require.NoError(t, ext.Shutdown(t.Context()))
	metadatatest.AssertEqualClickhouseServerNativeConnections(t, telemetry, []metricdata.DataPoint[int64]{{Value: 0}}, metricdatatest.IgnoreTimestamp())
	assert.Len(t, host.list(), 2)
	assert.False(t, ext.Ready())
	for _, e := range logs.All() {
		assert.NotContains(t, e.Message, "only-in-this-test")
		assert.NotContains(t, e.ContextMap(), "only-in-this-test")
	}
}

func TestATakenPortIsARecoverableStatus(t *testing.T) {
	cfg := realConfig(t)
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.HTTPPort)))
	require.NoError(t, err)
	defer listener.Close()
	ext, err := newExtension(extensiontest.NewNopSettings(component.MustNewType("clickhouse_server")), cfg)
	require.NoError(t, err)
	host := &statusHost{Host: componenttest.NewNopHost()}
	require.NoError(t, ext.Start(t.Context(), host))
	require.Eventually(t, func() bool { return len(host.list()) > 0 }, 2*time.Second, time.Millisecond)
	assert.Contains(t, host.list()[0], "StatusRecoverableError http_port: port "+strconv.Itoa(cfg.HTTPPort)+" is in use by another program")
	require.NoError(t, ext.Shutdown(t.Context()))
}

func TestWhatCanNeverWorkFailsTheStart(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"clickhouse_server: binary: ":  func(c *Config) { c.Binary = filepath.Join(t.TempDir(), "clickhouse") },
		"clickhouse_server: library: ": func(c *Config) { c.Library = filepath.Join(t.TempDir(), "libchdb.so") },
		"clickhouse_server: path: ":    func(c *Config) { c.Path = "/proc/tailrace" },
	} {
		cfg := realConfig(t)
		change(cfg)
		ext, err := newExtension(extensiontest.NewNopSettings(component.MustNewType("clickhouse_server")), cfg)
		require.NoError(t, err)
		began := time.Now()
		require.ErrorContains(t, ext.Start(t.Context(), componenttest.NewNopHost()), want)
		assert.Less(t, time.Since(began), 2*time.Second)
		require.NoError(t, ext.Shutdown(t.Context()))
	}
}
