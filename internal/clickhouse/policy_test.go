// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/clickhousetest"
)

func TestExpression(t *testing.T) {
	const day = 24 * time.Hour
	assert.Empty(t, expression("TimeUnix", 0, nil))
	assert.Equal(t, "TimeUnix + toIntervalSecond(86400)", expression("TimeUnix", day, nil))
	assert.Equal(t, `TimeUnix + toIntervalSecond(transform(toString(ProjectId), ['a', 'it\'s\\'], [3600, 172800], 86400))`,
		expression("TimeUnix", day, map[string]time.Duration{`it's\`: 2 * day, "a": time.Hour}))
	assert.Contains(t, expression("TimeUnix", day, map[string]time.Duration{"a": 0}), "= 0, toDateTime(4294967295), TimeUnix + ")
}

func TestRetentionOfAFilledDatabase(t *testing.T) {
	conn := clickhousetest.Start(t).Conn()
	all, err := Migrations()
	require.NoError(t, err)
	migrate(t, conn, "d")
	const day = 24 * time.Hour
	for _, days := range []string{"1", "10", "40", "400"} {
		for _, project := range []string{"short", "usual", "it''s \\\\long", "ever"} {
			for _, insert := range []string{
				"INSERT INTO d.otel_logs (Timestamp, Body, ResourceAttributes, LogAttributes) SELECT now() - INTERVAL " + days + " DAY, 'x', map('project.id', '" + project + "'), map('event.name', 'gen_ai.evaluation.result') FROM numbers(10)",
				"INSERT INTO d.otel_traces (Timestamp, TraceId, SpanId, ResourceAttributes) SELECT now() - INTERVAL " + days + " DAY, 't', toString(number), map('project.id', '" + project + "') FROM numbers(10)",
				"INSERT INTO d.otel_metrics_gauge (TimeUnix, MetricName, ResourceAttributes) SELECT now() - INTERVAL " + days + " DAY, 'm', map('project.id', '" + project + "') FROM numbers(10)",
			} {
				require.NoError(t, conn.Exec(t.Context(), insert))
			}
		}
	}
	require.NoError(t, conn.Exec(t.Context(), "OPTIMIZE TABLE d.otel_logs FINAL"))
	var said []string
	run := func(r Retention) []string {
		said = nil
		m := Migrator{Conn: conn, Database: "d", Migrations: all, Policy: Policy{Retention: &r}, Adjusted: func(s string) { said = append(said, s) }}
		require.NoError(t, m.Run(t.Context()))
		first := said
		said = nil
		require.NoError(t, m.Run(t.Context()))
		assert.Empty(t, said, "what is in place is left alone")
		return first
	}
	await := func(from string, n uint64) {
		t.Helper()
		require.Eventually(t, func() bool { return count(t, conn, from) == n }, 2*time.Minute, 100*time.Millisecond, from)
	}

	assert.Empty(t, run(Retention{}), "0 keeps for ever, as the tables do without a TTL")
	run(Retention{Spans: 90 * day, Logs: 30 * day, Scores: 90 * day})
	await("d.otel_logs", 80)
	await("d.otel_traces", 120)
	await("d.otel_scores", 120)
	assert.EqualValues(t, 160, count(t, conn, "d.otel_metrics_gauge"))

	week, ever := 7*day, time.Duration(0)
	year := 500 * day
	run(Retention{Spans: 90 * day, Logs: 30 * day, Metrics: 20 * day, Scores: 90 * day, Projects: map[string]ProjectRetention{
		"short": {Logs: &week, Metrics: &week}, `it's \long`: {Metrics: &year, Spans: &year}, "ever": {Metrics: &ever},
	}})
	await("d.otel_logs", 70)
	await("d.otel_logs WHERE ProjectId = 'short'", 10)
	await("d.otel_metrics_gauge WHERE ProjectId = 'short'", 10)
	await("d.otel_metrics_gauge WHERE ProjectId = 'usual'", 20)
	await(`d.otel_metrics_gauge WHERE ProjectId = 'it\'s \\long'`, 40)
	await("d.otel_metrics_gauge WHERE ProjectId = 'ever'", 40)

	run(Retention{})
	assert.Zero(t, count(t, conn, "system.tables WHERE database = 'd' AND name LIKE 'otel%' AND engine_full LIKE '% TTL %'"))

	// Parts below 10 MiB are one file, which is written anew; what there is much of has a file for each column.
	t.Run("A change rewrites no columns by itself", func(t *testing.T) {
		require.NoError(t, conn.Exec(t.Context(), "ALTER TABLE d.otel_traces MODIFY SETTING min_bytes_for_wide_part = 0"))
		require.NoError(t, conn.Exec(t.Context(), "OPTIMIZE TABLE d.otel_traces FINAL SETTINGS optimize_skip_merged_partitions = 0"))
		require.NoError(t, conn.Exec(t.Context(), "SYSTEM STOP TTL MERGES d.otel_traces"))
		files := func() (all []os.FileInfo) {
			for path := range strings.FieldsSeq(strings.Trim(table(t, conn, "SELECT arrayStringConcat(groupArray(path), ' ') FROM system.parts WHERE database = 'd' AND table = 'otel_traces' AND active"), "()'")) {
				info, err := os.Stat(filepath.Join(path, "Duration.bin"))
				require.NoError(t, err)
				all = append(all, info)
			}
			return all
		}
		before := files()
		require.NotEmpty(t, before)
		run(Retention{Spans: 30 * day})
		await("system.mutations WHERE database = 'd' AND table = 'otel_traces' AND NOT is_done", 0)
		after := files()
		require.Len(t, after, len(before))
		for _, a := range after {
			assert.True(t, slices.ContainsFunc(before, func(b os.FileInfo) bool { return os.SameFile(a, b) }), "the data of a part is the same file as before")
		}
		assert.Positive(t, count(t, conn, "system.mutations WHERE database = 'd' AND table = 'otel_traces'"))
	})

	t.Run("dry_run shows it", func(t *testing.T) {
		var shown []string
		m := Migrator{Conn: conn, Database: "d", Migrations: all, DryRun: true, Policy: Policy{Retention: &Retention{Scores: day}, Prices: []Price{{Model: "m", Input: 1}}}, Said: func(s string) { shown = append(shown, s) }}
		require.ErrorAs(t, m.Run(t.Context()), new(*PendingError))
		assert.Contains(t, shown, "ALTER TABLE `d`.otel_scores MODIFY TTL toDateTime(Timestamp) + toIntervalSecond(86400)")
		assert.Contains(t, shown, "INSERT INTO `d`.model_prices (Version, Provider, Model, Since, Input, Output, CacheRead) SETTINGS async_insert = 0 VALUES (1, '', 'm', 0, 1, 0, 0)")
		assert.Zero(t, count(t, conn, "d.model_prices"))
	})
}

func TestRetentionValidate(t *testing.T) {
	second := time.Second
	err := Retention{Logs: -1, Scores: maxRetention + time.Second, Projects: map[string]ProjectRetention{"": {}, "p": {Spans: &second}}}.Validate()
	for _, want := range []string{"retention::logs: -1ns", "retention::scores", "a project's name must not be empty", "retention::projects::p::spans: 1s"} {
		require.ErrorContains(t, err, want)
	}
	require.NoError(t, Retention{Logs: time.Hour}.Validate())
}
