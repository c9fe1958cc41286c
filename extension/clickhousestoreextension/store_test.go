// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhousestoreextension

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tailrace/tailrace/extension/clickhousestoreextension/internal/metadata"
	"github.com/tailrace/tailrace/extension/clickhousestoreextension/internal/metadatatest"
	"github.com/tailrace/tailrace/internal/clickhouse"
	"github.com/tailrace/tailrace/internal/clickhousetest"
)

// host records component status events.
type host struct {
	component.Host
	mu     sync.Mutex
	events []*componentstatus.Event
}

func (h *host) Report(e *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *host) statuses() (out []componentstatus.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		out = append(out, e.Status())
	}
	return out
}

func newHost() *host { return &host{Host: componenttest.NewNopHost()} }

func config(ch *clickhousetest.Server) *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.Endpoint = "tcp://" + ch.Addr()
	cfg.Password = configopaque.String(clickhousetest.Password)
	return cfg
}

func TestClickHouseComesTwoSecondsLate(t *testing.T) {
	ch := clickhousetest.Start(t)
	ch.Stop()

	telemetry := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, telemetry.Shutdown(context.Background())) })
	set := extensiontest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = telemetry.NewTelemetrySettings()
	set.BuildInfo.Version = "1.2.3"
	ext, err := NewFactory().Create(t.Context(), set, config(ch))
	require.NoError(t, err)
	s := ext.(clickhouse.Store)

	h := newHost()
	began := time.Now()
	require.NoError(t, ext.Start(t.Context(), h))
	assert.Less(t, time.Since(began), time.Second, "the start waits for nothing")
	require.Eventually(t, func() bool { return len(h.statuses()) == 1 }, 10*time.Second, 10*time.Millisecond)
	assert.Equal(t, componentstatus.StatusRecoverableError, h.statuses()[0])
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	require.ErrorContains(t, s.WaitReady(ctx), "not ready")

	<-time.After(time.Until(began.Add(2 * time.Second))) // the point of this test, not a wait for something to happen
	ch.Run()
	require.NoError(t, s.WaitReady(t.Context()))
	require.Eventually(t, func() bool { return len(h.statuses()) == 2 }, 10*time.Second, 10*time.Millisecond)
	assert.Equal(t, componentstatus.StatusOK, h.statuses()[1])

	var version string
	require.NoError(t, s.Conn().QueryRow(t.Context(), "SELECT version FROM tailrace.tailrace_migrations WHERE number = 1").Scan(&version))
	assert.Equal(t, "1.2.3", version)
	assert.Equal(t, "tailrace", s.Database())
	ignore := metricdatatest.IgnoreTimestamp()
	metadatatest.AssertEqualClickhouseStoreReady(t, telemetry, []metricdata.DataPoint[int64]{{Value: 1}}, ignore)
	metadatatest.AssertEqualClickhouseStoreMigrationsApplied(t, telemetry, []metricdata.DataPoint[int64]{{Value: known(t)}}, ignore)

	require.NoError(t, ext.Shutdown(t.Context()))
	require.NoError(t, ext.Shutdown(t.Context()))
}

// known is the number of migrations of this binary.
func known(t *testing.T) int64 {
	all, err := clickhouse.Migrations()
	require.NoError(t, err)
	return int64(len(all))
}

func TestTwoCollectorsStartAtOnce(t *testing.T) {
	ch := clickhousetest.Start(t)
	var exts []*store
	for range 2 {
		ext, err := newStore(extensiontest.NewNopSettings(metadata.Type), config(ch))
		require.NoError(t, err)
		require.NoError(t, ext.Start(t.Context(), newHost()))
		exts = append(exts, ext)
	}
	for _, ext := range exts {
		require.NoError(t, ext.WaitReady(t.Context()))
		defer func() { assert.NoError(t, ext.Shutdown(context.Background())) }()
	}
	var n uint64
	require.NoError(t, exts[0].Conn().QueryRow(t.Context(), "SELECT count() FROM tailrace.tailrace_migrations").Scan(&n))
	assert.EqualValues(t, known(t), n, "each migration is recorded once")
}

func TestLosesItsTablesWhileRunning(t *testing.T) {
	ch := clickhousetest.Start(t)
	ext, err := newStore(extensiontest.NewNopSettings(metadata.Type), config(ch))
	require.NoError(t, err)
	ext.timing = clickhouse.Timing{Check: 50 * time.Millisecond}
	require.NoError(t, ext.Start(t.Context(), newHost()))
	defer func() { assert.NoError(t, ext.Shutdown(context.Background())) }()
	require.NoError(t, ext.WaitReady(t.Context()))
	require.NoError(t, ch.Conn().Exec(t.Context(), "DROP DATABASE tailrace SYNC"))
	require.Eventually(t, func() bool {
		return ext.Conn().Exec(t.Context(), "INSERT INTO tailrace.otel_traces (Timestamp) VALUES (now64(9))") == nil
	}, 20*time.Second, 20*time.Millisecond)
}

func TestDryRunSaysWhatItWouldDo(t *testing.T) {
	ch := clickhousetest.Start(t)
	cfg := config(ch)
	cfg.DryRun = true
	core, logs := observer.New(zap.InfoLevel)
	set := extensiontest.NewNopSettings(metadata.Type)
	set.Logger = zap.New(core)
	ext, err := newStore(set, cfg)
	require.NoError(t, err)
	h := newHost()
	require.NoError(t, ext.Start(t.Context(), h))
	defer func() { assert.NoError(t, ext.Shutdown(context.Background())) }()
	require.Eventually(t, func() bool { return len(h.statuses()) == 1 }, 10*time.Second, 10*time.Millisecond)
	assert.Equal(t, componentstatus.StatusRecoverableError, h.statuses()[0])
	assert.Greater(t, logs.FilterMessage("dry_run: would run").Len(), 10)
	var n uint64
	require.NoError(t, ch.Conn().QueryRow(t.Context(), "SELECT count() FROM system.databases WHERE name = 'tailrace'").Scan(&n))
	assert.Zero(t, n)
}

func TestACertificateThatCannotBeReadIsAStartError(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	tls := configtls.NewDefaultClientConfig()
	tls.CAFile = "/does/not/exist.pem"
	cfg.TLS = configoptional.Some(tls)
	ext, err := newStore(extensiontest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.ErrorIs(t, ext.WaitReady(t.Context()), errNotStarted)
	assert.Nil(t, ext.Conn())
	require.ErrorContains(t, ext.Start(t.Context(), newHost()), "tls: ")
	require.NoError(t, ext.Shutdown(t.Context()))
}

func TestTheCollectorsConfigurationIsPassedOn(t *testing.T) {
	s, err := newStore(extensiontest.NewNopSettings(metadata.Type), createDefaultConfig().(*Config))
	require.NoError(t, err)
	assert.Nil(t, s.CollectorConfig())
	require.NoError(t, s.NotifyConfigSnapshot(t.Context(), extensioncapabilities.NewConfigSnapshot(
		confmap.NewFromStringMap(map[string]any{"service": map[string]any{"pipelines": nil}}), nil)))
	assert.Contains(t, s.CollectorConfig(), "service")
}
