// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/clickhousetest"
)

// The golden files were made from the exporter's own templates, run on a real ClickHouse:
// contrib-0.161.0-columns.txt is what it creates, contrib-0.161.0-inserts.txt what it inserts.
const (
	goldenColumns = "testdata/contrib-0.161.0-columns.txt"
	goldenInserts = "testdata/contrib-0.161.0-inserts.txt"
)

func TestTablesAreThoseOfContribsExporter(t *testing.T) {
	conn := clickhousetest.Start(t).Conn()
	migrate(t, conn, "tailrace")

	want, err := os.ReadFile(goldenColumns)
	require.NoError(t, err)
	assert.Equal(t, string(want), columns(t, conn, "tailrace"))

	t.Run("Every inserted table deduplicates", func(t *testing.T) {
		require.NoError(t, each(t.Context(), conn, func(rows driver.Rows) error {
			var table, ddl string
			require.NoError(t, rows.Scan(&table, &ddl))
			assert.Contains(t, ddl, "non_replicated_deduplication_window = 10000", table)
			assert.NotContains(t, ddl, "TTL ", table)
			return nil
		}, "SELECT name, create_table_query FROM system.tables WHERE database = 'tailrace' AND name LIKE 'otel_%' AND engine LIKE '%MergeTree'"))
	})

	t.Run("The exporter's inserts are accepted", func(t *testing.T) {
		for table, names := range inserts(t) {
			batch, err := conn.PrepareBatch(t.Context(), fmt.Sprintf("INSERT INTO tailrace.%s (%s)", table, names))
			require.NoError(t, err, table)
			require.NoError(t, batch.Close())
		}
	})

	t.Run("EventName comes from the attribute when the exporter leaves the column out", func(t *testing.T) {
		require.NoError(t, conn.Exec(t.Context(), "INSERT INTO tailrace.otel_logs (Timestamp, LogAttributes) VALUES (now64(9), {'event.name': 'server.health'})"))
		require.NoError(t, conn.Exec(t.Context(), "INSERT INTO tailrace.otel_logs (Timestamp, Body, EventName) VALUES (now64(9), 'x', 'given')"))
		assert.EqualValues(t, 1, count(t, conn, "tailrace.otel_logs WHERE EventName = 'server.health'"))
		assert.EqualValues(t, 1, count(t, conn, "tailrace.otel_logs WHERE EventName = 'given'"))
	})
}

func TestARepeatedInsertIsDroppedAlsoBehindTheView(t *testing.T) {
	conn := clickhousetest.Start(t).Conn()
	migrate(t, conn, "tailrace")
	insert := func(token string) {
		ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{
			"insert_deduplication_token": token, "async_insert": 0, "deduplicate_blocks_in_dependent_materialized_views": 1,
		}))
		require.NoError(t, conn.Exec(ctx, "INSERT INTO tailrace.otel_traces (Timestamp, TraceId, SpanId) VALUES (now64(9), 't', 's')"))
	}
	insert("a")
	insert("a")
	assert.EqualValues(t, 1, count(t, conn, "tailrace.otel_traces"))
	assert.EqualValues(t, 1, count(t, conn, "tailrace.otel_traces_trace_id_ts"))
	insert("b")
	assert.EqualValues(t, 2, count(t, conn, "tailrace.otel_traces"))
	assert.EqualValues(t, 2, count(t, conn, "tailrace.otel_traces_trace_id_ts"))
}

func TestTablesMadeByTheExporterItselfGetTheSameGuarantees(t *testing.T) {
	conn := clickhousetest.Start(t).Conn()
	for _, ddl := range []string{
		"CREATE DATABASE tailrace",
		"CREATE TABLE tailrace.otel_logs (Timestamp DateTime64(9), TraceId String, ServiceName LowCardinality(String), LogAttributes Map(LowCardinality(String), String)) ENGINE = MergeTree PARTITION BY toDate(Timestamp) ORDER BY Timestamp",
		"INSERT INTO tailrace.otel_logs (Timestamp, LogAttributes) VALUES (now64(9), {'event.name': 'old'})",
	} {
		require.NoError(t, conn.Exec(t.Context(), ddl))
	}
	migrate(t, conn, "tailrace")
	for range 2 {
		ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": "a", "async_insert": 0}))
		require.NoError(t, conn.Exec(ctx, "INSERT INTO tailrace.otel_logs (Timestamp) VALUES (now64(9))"))
	}
	assert.EqualValues(t, 2, count(t, conn, "tailrace.otel_logs"), "the old row and one of the repeated ones")
	assert.EqualValues(t, 1, count(t, conn, "tailrace.otel_logs WHERE EventName = 'old'"))
}

// migrate brings a database to the newest schema.
func migrate(t testing.TB, conn driver.Conn, database string) {
	t.Helper()
	all, err := Migrations()
	require.NoError(t, err)
	require.NoError(t, (&Migrator{Conn: conn, Database: database, Version: "test", Migrations: all}).Run(t.Context()))
}

// columns lists table, column, type of all otel_ tables, one a line.
func columns(t testing.TB, conn driver.Conn, database string) string {
	var b bytes.Buffer
	require.NoError(t, each(context.Background(), conn, func(rows driver.Rows) error {
		var table, name, typ, kind string
		if err := rows.Scan(&table, &name, &typ, &kind); err != nil {
			return err
		}
		fmt.Fprintln(&b, table, name, typ)
		return nil
	}, "SELECT table, name, type, default_kind FROM system.columns WHERE database = ? AND table LIKE 'otel_%' AND table NOT LIKE '%_mv' ORDER BY table, position", database))
	return b.String()
}

func inserts(t testing.TB) map[string]string {
	raw, err := os.ReadFile(goldenInserts)
	require.NoError(t, err)
	out := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		if table, names, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && !strings.HasPrefix(line, "#") {
			out[table] = names
		}
	}
	require.Len(t, out, 7)
	return out
}

func count(t testing.TB, conn driver.Conn, from string) (n uint64) {
	require.NoError(t, conn.QueryRow(context.Background(), "SELECT count() FROM "+from).Scan(&n))
	return n
}
