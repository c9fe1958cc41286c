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
	// Only its views write otel_traces_trace_id_ts, so that table is ours but for the columns that readers expect.
	others, _, _ := strings.Cut(string(want), "otel_traces_trace_id_ts ")
	assert.Equal(t, others, columns(t, conn, "tailrace"))
	require.NoError(t, conn.Exec(t.Context(), "SELECT TraceId, Start::DateTime, End::DateTime FROM tailrace.otel_traces_trace_id_ts"))

	t.Run("Every inserted table deduplicates", func(t *testing.T) {
		require.NoError(t, each(t.Context(), conn, func(rows driver.Rows) error {
			var table, ddl string
			require.NoError(t, rows.Scan(&table, &ddl))
			assert.Contains(t, ddl, "non_replicated_deduplication_window = 10000", table)
			assert.NotContains(t, ddl, "TTL ", table)
			return nil
		}, "SELECT name, create_table_query FROM system.tables WHERE database = 'tailrace' AND name NOT LIKE 'tailrace_%' AND engine LIKE '%MergeTree'"))
	})

	t.Run("What a full batch inserts is a compact part, in every inserted table", func(t *testing.T) {
		for name := range inserts(t) {
			var ddl string
			require.NoError(t, conn.QueryRow(t.Context(), "SELECT create_table_query FROM system.tables WHERE database = 'tailrace' AND name = ?", name).Scan(&ddl))
			assert.Contains(t, ddl, "min_bytes_for_wide_part = 134217728", name)
		}
		require.NoError(t, conn.Exec(t.Context(), "INSERT INTO tailrace.otel_traces (Timestamp, SpanAttributes) SELECT now64(9), map('k', repeat('x', 1000)) FROM numbers(20000)"))
		assert.Equal(t, "('Compact',1)", table(t, conn, "SELECT part_type, data_uncompressed_bytes > 10485760 FROM system.parts WHERE database = 'tailrace' AND table = 'otel_traces' AND active"))
		require.NoError(t, conn.Exec(t.Context(), "TRUNCATE TABLE tailrace.otel_traces"))
	})

	t.Run("The exporter's inserts are accepted", func(t *testing.T) {
		for table, names := range inserts(t) {
			batch, err := conn.PrepareBatch(t.Context(), fmt.Sprintf("INSERT INTO tailrace.%s (%s)", table, names))
			require.NoError(t, err, table)
			require.NoError(t, batch.Close())
		}
	})

	t.Run("Identities are columns, of whatever the exporter inserts", func(t *testing.T) {
		require.NoError(t, conn.Exec(t.Context(), "INSERT INTO tailrace.otel_traces (Timestamp, TraceId, ResourceAttributes, SpanAttributes) VALUES (now64(9), 't', {'project.id':'p','deployment.id':'d','server.id':'s','build.id':'b'}, {'k':'v','long':'"+strings.Repeat("x", 200)+"'})"))
		assert.Equal(t, "('p','d','s','b',['k=v'])", table(t, conn, "SELECT ProjectId, DeploymentId, ServerId, BuildId, AttributePairs FROM tailrace.otel_traces"))
		for name := range inserts(t) {
			var key string
			require.NoError(t, conn.QueryRow(t.Context(), "SELECT sorting_key FROM system.tables WHERE database = 'tailrace' AND name = ?", name).Scan(&key))
			assert.True(t, strings.HasPrefix(key, "ProjectId, "), "%s: %s", name, key)
		}
	})

	t.Run("The questions of docs/schema.md use the key and the indexes", func(t *testing.T) {
		require.NoError(t, conn.Exec(t.Context(), "INSERT INTO tailrace.otel_logs (Timestamp, Body, ResourceAttributes, LogAttributes) VALUES (now64(9), 'x', {'project.id':'p','server.id':'s'}, {'log.record.uid':'u'})"))
		for query, wants := range map[string][]string{
			"SELECT Timestamp FROM tailrace.otel_traces WHERE ProjectId = 'p' ORDER BY Timestamp DESC LIMIT 5":                    {"InReverseOrder"},
			"SELECT Timestamp FROM tailrace.otel_traces WHERE ProjectId = 'p' AND has(AttributePairs, 'k=v')":                     {"idx_attribute_pairs"},
			"SELECT Timestamp FROM tailrace.otel_logs WHERE ProjectId = 'p' AND hasToken(lower(Body), 'x')":                       {"idx_lower_body"},
			"SELECT Timestamp FROM tailrace.otel_logs WHERE Uid = 'u'":                                                            {"idx_uid"},
			"SELECT Timestamp FROM tailrace.otel_logs WHERE ServerId = 's'":                                                       {"idx_server"},
			"SELECT * FROM tailrace.trace_summaries WHERE ProjectId = 'p' AND TraceId = 't'":                                      {"ProjectId\n", "idx_trace_id"},
			"SELECT * FROM tailrace.span_counts_hourly WHERE ProjectId = 'p' AND Hour > toDateTime('2026-01-01 00:00:00', 'UTC')": {"ProjectId\n", "Hour\n"},
			"SELECT * FROM tailrace.usage_hourly WHERE ProjectId = 'p' AND Hour > toDateTime('2026-01-01 00:00:00', 'UTC')":       {"ProjectId\n", "Hour\n"},
		} {
			plan := table(t, conn, "EXPLAIN indexes = 1 "+query)
			for _, want := range wants {
				assert.Contains(t, plan, strings.TrimSuffix(want, "\n"), query)
			}
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

func TestViewsGoOnWhenTheirSourceWasLost(t *testing.T) {
	conn := clickhousetest.Start(t).Conn()
	migrate(t, conn, "tailrace")
	require.NoError(t, conn.Exec(t.Context(), "DROP TABLE tailrace.otel_logs SYNC"))
	migrate(t, conn, "tailrace")
	require.NoError(t, conn.Exec(t.Context(), "INSERT INTO tailrace.otel_logs (Timestamp, LogAttributes) VALUES (now64(9), {'event.name':'gen_ai.evaluation.result'})"))
	assert.EqualValues(t, 1, count(t, conn, "tailrace.otel_scores"))
	assert.Equal(t, "(1)", table(t, conn, "SELECT sum(Logs) FROM tailrace.log_counts_hourly"))
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
	}, "SELECT table, name, type, default_kind FROM system.columns WHERE database = ? AND table LIKE 'otel_%' AND table NOT LIKE '%_mv' "+
		"AND table NOT IN ('otel_scores', 'otel_traces_trace_id_ts') AND (default_kind IN ('', 'DEFAULT') OR name LIKE '%materialized%') ORDER BY table, position", database))
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
