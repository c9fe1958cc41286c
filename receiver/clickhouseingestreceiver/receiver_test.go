// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/tailrace/tailrace/internal/segment"
	"github.com/tailrace/tailrace/receiver/clickhouseingestreceiver/internal/metadata"
)

type statusHost struct {
	component.Host
	events chan *componentstatus.Event
}

func (h statusHost) Report(e *componentstatus.Event) { h.events <- e }

func newHost() statusHost {
	return statusHost{Host: componenttest.NewNopHost(), events: make(chan *componentstatus.Event, 100)}
}

func put(t testing.TB, dir string, typ segment.Type, uid string) {
	t.Helper()
	text, _ := recordLine(typ, encodingOTLP, uid, 0)
	folder := segment.Dir(dir, typ, "p")
	require.NoError(t, os.MkdirAll(folder, 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(folder, segment.NewID(time.Now())+segment.SuffixOpen), []byte(text+"\n"), 0o600))
}

func testConfig(dir string) *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.Path = dir
	return cfg
}

func TestOneInstanceLoadsAllSignals(t *testing.T) {
	dir := t.TempDir()
	for _, typ := range segment.Types() {
		put(t, dir, typ, string(typ))
	}
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	set := receivertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	f, cfg := NewFactory(), testConfig(dir)
	traces, logs, metrics := new(consumertest.TracesSink), new(consumertest.LogsSink), new(consumertest.MetricsSink)
	tr, err := f.CreateTraces(t.Context(), set, cfg, traces)
	require.NoError(t, err)
	lr, err := f.CreateLogs(t.Context(), set, cfg, logs)
	require.NoError(t, err)
	mr, err := f.CreateMetrics(t.Context(), set, cfg, metrics)
	require.NoError(t, err)
	for _, r := range []receiver.Traces{tr, lr, mr} {
		require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	}
	require.Eventually(t, func() bool {
		return traces.SpanCount() == 1 && logs.LogRecordCount() == 2 && metrics.DataPointCount() == 1
	}, 10*time.Second, time.Millisecond)
	require.Eventually(t, func() bool {
		m, err := tel.GetMetric("otelcol_clickhouse_ingest_pending_bytes")
		return err == nil && m.Data != nil
	}, 10*time.Second, 5*time.Millisecond)
	_, err = tel.GetMetric("otelcol_receiver_accepted_spans")
	require.NoError(t, err)
	_, err = tel.GetMetric("otelcol_clickhouse_ingest_records")
	require.NoError(t, err)
	for _, r := range []receiver.Traces{tr, lr, mr} {
		require.NoError(t, r.Shutdown(context.Background()))
		require.NoError(t, r.Shutdown(context.Background()))
	}
}

func TestOnlyWiredSignalsAreRead(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, segment.Spans, "span")
	put(t, dir, segment.Logs, "log")
	logs := new(consumertest.LogsSink)
	r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), testConfig(dir), logs)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	require.Eventually(t, func() bool { return logs.LogRecordCount() == 1 }, 10*time.Second, time.Millisecond)

	// A second receiver of another signal shares the folder, one of the same signal does not.
	traces := new(consumertest.TracesSink)
	other := receivertest.NewNopSettings(metadata.Type)
	other.ID = component.NewIDWithName(metadata.Type, "other")
	tr, err := NewFactory().CreateTraces(t.Context(), other, testConfig(dir), traces)
	require.NoError(t, err)
	require.NoError(t, tr.Start(t.Context(), componenttest.NewNopHost()))
	require.Eventually(t, func() bool { return traces.SpanCount() == 1 }, 10*time.Second, time.Millisecond)
	twice, err := NewFactory().CreateLogs(t.Context(), other, testConfig(dir), logs)
	require.NoError(t, err)
	require.ErrorContains(t, twice.Start(t.Context(), componenttest.NewNopHost()), "is in use by process")
	for _, r := range []receiver.Logs{r, tr, twice} {
		require.NoError(t, r.Shutdown(context.Background()))
	}
}

func TestShutdownWithoutStart(t *testing.T) {
	r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), testConfig(t.TempDir()), consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, r.Shutdown(context.Background()))
}

func TestStatusIsReportedOnChange(t *testing.T) {
	dir, host := t.TempDir(), newHost()
	put(t, dir, segment.Logs, "log")
	var away atomic.Bool
	away.Store(true)
	sink := new(consumertest.LogsSink)
	next, err := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
		if away.Load() {
			return errors.New("connection refused")
		}
		ld.MarkReadOnly() // as the fan-out does; a change afterwards would panic
		return sink.ConsumeLogs(ctx, ld)
	})
	require.NoError(t, err)
	r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), testConfig(dir), next)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), host))
	e := <-host.events
	assert.Equal(t, componentstatus.StatusRecoverableError, e.Status())
	require.ErrorContains(t, e.Err(), "logs: sending: connection refused")
	away.Store(false)
	assert.Equal(t, componentstatus.StatusOK, (<-host.events).Status())
	assert.Equal(t, 1, sink.LogRecordCount())
	require.NoError(t, r.Shutdown(context.Background()))
	assert.Empty(t, host.events)
}

func TestAPermanentErrorPutsTheLinesIntoFailed(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, segment.Scores, "score")
	r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), testConfig(dir),
		consumertest.NewErr(consumererror.NewPermanent(errors.New("never"))))
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	require.Eventually(t, func() bool {
		found, _ := filepath.Glob(filepath.Join(dir, "scores", "p", "failed", "*.reasons.ndjson"))
		return len(found) == 1
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, r.Shutdown(context.Background()))
}

// tables is an extension that owns tables which are not there yet.
type schemaTables struct {
	component.StartFunc
	component.ShutdownFunc
	ready chan struct{}
}

func (s *schemaTables) WaitReady(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type extensions map[component.ID]component.Component

func (e extensions) GetExtensions() map[component.ID]component.Component { return e }

func TestNothingIsSentBeforeTheTablesAreThere(t *testing.T) {
	dir, id := t.TempDir(), component.MustNewID("clickhouse_store")
	put(t, dir, segment.Logs, "log")
	cfg := testConfig(dir)
	cfg.Store = &id
	sink, store := new(consumertest.LogsSink), &schemaTables{ready: make(chan struct{})}
	tried := make(chan struct{}, 1)
	next, err := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
		select {
		case <-store.ready:
		default:
			t.Error("sent before the tables were there")
		}
		tried <- struct{}{}
		return sink.ConsumeLogs(ctx, ld)
	})
	require.NoError(t, err)
	r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg, next)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), extensions{id: store}))
	select {
	case <-tried:
	case <-time.After(300 * time.Millisecond): // long enough to send, were it not for the store
	}
	close(store.ready)
	require.Eventually(t, func() bool { return sink.LogRecordCount() == 1 }, 10*time.Second, time.Millisecond)
	require.NoError(t, r.Shutdown(context.Background()))
}

func TestStoreMustBeAnExtensionThatOwnsTables(t *testing.T) {
	id := component.MustNewID("clickhouse_store")
	for want, host := range map[string]extensions{
		"there is no extension": {},
		"owns no tables":        {id: &struct{ component.Component }{}},
	} {
		cfg := testConfig(t.TempDir())
		cfg.Store = &id
		r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
		require.NoError(t, err)
		require.ErrorContains(t, r.Start(t.Context(), host), want)
		require.NoError(t, r.Shutdown(context.Background()))
	}
}
