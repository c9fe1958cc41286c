// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package columnar holds the exporter clickhouse_columnar to contrib's clickhouse exporter: the same rows, the same answers to
// repeated batches, and what each costs.
package columnar

import (
	"context"
	"fmt"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/clickhouseexporter"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/exporter/clickhousecolumnarexporter"
	"github.com/tailrace/tailrace/internal/clickhouse"
	"github.com/tailrace/tailrace/internal/clickhousetest"
)

// sink is one exporter, running, on tables of its own.
type sink struct {
	name, database string
	traces         exporter.Traces
	logs           exporter.Logs
	metrics        exporter.Metrics
}

// The two, and what differs in their YAML.
var (
	contrib = struct {
		factory func() exporter.Factory
		yaml    map[string]any
	}{clickhouseexporter.NewFactory, map[string]any{
		"create_schema": false, "sending_queue": map[string]any{"enabled": false}, "retry_on_failure": map[string]any{"enabled": false},
	}}
	ours = struct {
		factory func() exporter.Factory
		yaml    map[string]any
	}{clickhousecolumnarexporter.NewFactory, nil}
)

// tables makes the tables of clickhouse_store in a database.
func tables(t testing.TB, server *clickhousetest.Server, database string) {
	t.Helper()
	migrations, err := clickhouse.Migrations()
	require.NoError(t, err)
	require.NoError(t, (&clickhouse.Migrator{Conn: server.Conn(), Database: database, Version: "test", Migrations: migrations}).Run(t.Context()))
}

// start runs an exporter on the tables of a database, and ends it with the test.
func start(t testing.TB, server *clickhousetest.Server, name, database string, factory exporter.Factory, yaml map[string]any) *sink {
	t.Helper()
	all := map[string]any{"endpoint": "tcp://" + server.Addr(), "database": database, "username": clickhousetest.User,
		"password": clickhousetest.Password, "timeout": "2m"}
	for k, v := range yaml {
		all[k] = v
	}
	cfg := factory.CreateDefaultConfig()
	require.NoError(t, confmap.NewFromStringMap(all).Unmarshal(cfg))
	if v, ok := cfg.(interface{ Validate() error }); ok {
		require.NoError(t, v.Validate())
	}
	set := exportertest.NewNopSettings(factory.Type())
	s := &sink{name: name, database: database}
	var err error
	s.traces, err = factory.CreateTraces(t.Context(), set, cfg)
	require.NoError(t, err)
	s.logs, err = factory.CreateLogs(t.Context(), set, cfg)
	require.NoError(t, err)
	s.metrics, err = factory.CreateMetrics(t.Context(), set, cfg)
	require.NoError(t, err)
	for _, c := range []component.Component{s.traces, s.logs, s.metrics} {
		require.NoError(t, c.Start(t.Context(), componenttest.NewNopHost()))
		t.Cleanup(func() { require.NoError(t, c.Shutdown(context.Background())) })
	}
	return s
}

// pair runs both exporters, each on its own tables of one server.
func pair(t testing.TB, server *clickhousetest.Server) (theirs, mine *sink) {
	t.Helper()
	tables(t, server, "contrib")
	tables(t, server, "ours")
	return start(t, server, "contrib", "contrib", contrib.factory(), contrib.yaml), start(t, server, "columnar", "ours", ours.factory(), ours.yaml)
}

// send gives a copy of the data to the exporter, as the fan-out may.
func (s *sink) send(ctx context.Context, data any) error {
	switch d := data.(type) {
	case ptrace.Traces:
		c := ptrace.NewTraces()
		d.CopyTo(c)
		return s.traces.ConsumeTraces(ctx, c)
	case plog.Logs:
		c := plog.NewLogs()
		d.CopyTo(c)
		return s.logs.ConsumeLogs(ctx, c)
	case pmetric.Metrics:
		c := pmetric.NewMetrics()
		d.CopyTo(c)
		return s.metrics.ConsumeMetrics(ctx, c)
	}
	return fmt.Errorf("no signal: %T", data)
}

var tableNames = []string{"otel_traces", "otel_logs", "otel_metrics_gauge", "otel_metrics_sum", "otel_metrics_histogram",
	"otel_metrics_exponential_histogram", "otel_metrics_summary"}

func count(t testing.TB, conn driver.Conn, table string) (n uint64) {
	t.Helper()
	require.NoError(t, conn.QueryRow(context.Background(), "SELECT count() FROM "+table).Scan(&n))
	return n
}
