// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/exporter/clickhousecolumnarexporter"
	"github.com/tailrace/tailrace/internal/clickhouse"
	"github.com/tailrace/tailrace/internal/clickhousetest"
)

// consumers are what a receiver under test delivers to.
type consumers interface {
	traces(context.Context, ptrace.Traces) error
	logs(context.Context, plog.Logs) error
	metrics(context.Context, pmetric.Metrics) error
}

// The exporters that have to stand the crashes and faults of these tests.
const (
	likeContrib = "as contrib inserts" // contrib's exporter is no dependency here; it inserts by clickhouse-go as inserter does
	columnar    = "clickhouse_columnar"
)

// eachExporter runs a test with the exporter that config/*.yaml have, and with each of them in the long form of the tests (make test-kills).
func eachExporter(t *testing.T, test func(t *testing.T, kind string)) {
	kinds := []string{columnar}
	if os.Getenv("TAILRACE_TEST_KILLS") != "" {
		kinds = append(kinds, likeContrib)
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) { test(t, kind) })
	}
}

// createTablesFor makes the tables that the exporter fills. Under the names of the signals all have ts and uid, and a view
// counts what passes.
func createTablesFor(t testing.TB, kind string, conn driver.Conn) {
	t.Helper()
	if kind == likeContrib {
		createTables(t, conn)
		return
	}
	migrations, err := clickhouse.Migrations()
	require.NoError(t, err)
	require.NoError(t, (&clickhouse.Migrator{Conn: conn, Database: "tailrace", Version: "test", Migrations: migrations}).Run(t.Context()))
	for signal, of := range map[string][3]string{
		signalTraces:  {"otel_traces", "Timestamp", "SpanName"},
		signalLogs:    {"otel_logs", "Timestamp", "Body"},
		signalMetrics: {"otel_metrics_gauge", "TimeUnix", "MetricName"},
	} {
		for _, q := range []string{
			"ALTER TABLE tailrace.%[2]s ADD CONSTRAINT c CHECK %[4]s NOT LIKE 'poison%%'",
			"CREATE VIEW %[1]s AS SELECT %[3]s AS ts, %[4]s AS uid FROM tailrace.%[2]s",
			"CREATE TABLE %[1]s_sum (one UInt8, n UInt64) ENGINE = SummingMergeTree ORDER BY one",
			"CREATE MATERIALIZED VIEW %[1]s_view TO %[1]s_sum AS SELECT 1 AS one, count() AS n FROM tailrace.%[2]s GROUP BY one",
		} {
			require.NoError(t, conn.Exec(t.Context(), fmt.Sprintf(q, signal, of[0], of[1], of[2])))
		}
	}
}

// newConsumers starts an exporter on the server at addr. sending is called before each insert.
func newConsumers(t testing.TB, kind, addr string, conn driver.Conn, sending func(signal string)) consumers {
	t.Helper()
	if kind == likeContrib {
		return inserter{conn: conn, sending: sending}
	}
	factory := clickhousecolumnarexporter.NewFactory()
	cfg := factory.CreateDefaultConfig().(*clickhousecolumnarexporter.Config)
	cfg.Endpoint = "tcp://" + addr
	cfg.Username, cfg.Password = clickhousetest.User, configopaque.String(clickhousetest.Password)
	cfg.DialTimeout, cfg.Timeout = 2*time.Second, 3*time.Second
	require.NoError(t, cfg.Validate())
	set := exportertest.NewNopSettings(factory.Type())
	tr, err := factory.CreateTraces(context.Background(), set, cfg)
	require.NoError(t, err)
	lo, err := factory.CreateLogs(context.Background(), set, cfg)
	require.NoError(t, err)
	me, err := factory.CreateMetrics(context.Background(), set, cfg)
	require.NoError(t, err)
	for _, c := range []component.Component{tr, lo, me} {
		require.NoError(t, c.Start(context.Background(), componenttest.NewNopHost()))
		t.Cleanup(func() { _ = c.Shutdown(context.Background()) })
	}
	if sending == nil {
		sending = func(string) {}
	}
	return exported{
		func(ctx context.Context, d ptrace.Traces) error {
			sending(signalTraces)
			return tr.ConsumeTraces(ctx, d)
		},
		func(ctx context.Context, d plog.Logs) error { sending(signalLogs); return lo.ConsumeLogs(ctx, d) },
		func(ctx context.Context, d pmetric.Metrics) error {
			sending(signalMetrics)
			return me.ConsumeMetrics(ctx, d)
		},
	}
}

type exported struct {
	t func(context.Context, ptrace.Traces) error
	l func(context.Context, plog.Logs) error
	m func(context.Context, pmetric.Metrics) error
}

func (e exported) traces(ctx context.Context, d ptrace.Traces) error    { return e.t(ctx, d) }
func (e exported) logs(ctx context.Context, d plog.Logs) error          { return e.l(ctx, d) }
func (e exported) metrics(ctx context.Context, d pmetric.Metrics) error { return e.m(ctx, d) }
