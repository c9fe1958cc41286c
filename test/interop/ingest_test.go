// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/tailrace/tailrace/exporter/jsonlexporter"
	"github.com/tailrace/tailrace/internal/clickhouse"
	"github.com/tailrace/tailrace/internal/clickhousetest"
	"github.com/tailrace/tailrace/receiver/clickhouseingestreceiver"
)

// Whatever the encoding and compression of the files: by way of jsonl, clickhouse_ingest and contrib's exporter, ClickHouse holds the rows
// that the exporter alone makes of the same telemetry.
func TestIngestLoadsEveryEncodingAsTheExportersRows(t *testing.T) {
	server := clickhousetest.Start(t)
	conn := server.Conn()
	all, err := clickhouse.Migrations()
	require.NoError(t, err)
	migrate := func(db string) {
		require.NoError(t, (&clickhouse.Migrator{Conn: conn, Database: db, Version: "test", Migrations: all}).Run(t.Context()))
	}
	migrate("direct")
	direct := contrib(t, server, "direct")
	direct.send(t)
	direct.stop(t)

	for i, settings := range []map[string]any{
		{"encoding": "otlp_json"},
		{"encoding": "otlp_json", "compression": "zstd"},
		{"encoding": "flat_json"},
		{"encoding": "flat_json", "compression": "zstd"},
	} {
		t.Run(fmt.Sprint(settings), func(t *testing.T) {
			db := fmt.Sprint("loaded", i)
			migrate(db)
			dir := t.TempDir()
			settings["path"] = dir
			files := start(t, jsonlexporter.NewFactory(), settings)
			files.send(t)

			store := contrib(t, server, db)
			f := clickhouseingestreceiver.NewFactory()
			cfg := f.CreateDefaultConfig()
			require.NoError(t, confmap.NewFromStringMap(map[string]any{"path": dir}).Unmarshal(cfg))
			set := receivertest.NewNopSettings(f.Type())
			traces, err := f.CreateTraces(t.Context(), set, cfg, store.traces)
			require.NoError(t, err)
			logs, err := f.CreateLogs(t.Context(), set, cfg, store.logs)
			require.NoError(t, err)
			metrics, err := f.CreateMetrics(t.Context(), set, cfg, store.metrics)
			require.NoError(t, err)
			host := componenttest.NewNopHost()
			require.NoError(t, traces.Start(t.Context(), host))
			require.NoError(t, logs.Start(t.Context(), host))
			require.NoError(t, metrics.Start(t.Context(), host))
			files.stop(t) // the open segments become complete ones while they are followed
			require.Eventually(t, func() bool {
				left, err := filepath.Glob(filepath.Join(dir, "*", "*", "*.jsonl*"))
				return err == nil && len(left) == 0
			}, time.Minute, 20*time.Millisecond, "all is loaded and moved")
			require.NoError(t, traces.Shutdown(t.Context()))
			require.NoError(t, logs.Shutdown(t.Context()))
			require.NoError(t, metrics.Shutdown(t.Context()))
			store.stop(t)
			for _, table := range []string{"otel_traces", "otel_logs", "otel_metrics_gauge", "otel_metrics_sum", "otel_metrics_histogram",
				"otel_metrics_exponential_histogram", "otel_metrics_summary"} {
				want := rows(t, conn, "direct."+table)
				require.NotEmpty(t, want, table)
				assert.Equal(t, want, rows(t, conn, db+"."+table), table)
			}
		})
	}
}
