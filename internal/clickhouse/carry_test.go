// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/clickhousetest"
)

// fillOld inserts rows into every table of the first form: several parts over several days.
func fillOld(t testing.TB, conn driver.Conn, database string) map[string]uint64 {
	t.Helper()
	for i := range 3 {
		for _, insert := range []string{
			`INSERT INTO {db}.otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, ServiceName, ResourceAttributes, StatusCode, Duration, Events.Timestamp, Events.Name, Events.Attributes)
 SELECT toDateTime64('2026-03-0{day} 10:00:00', 9) + number, toString(intDiv(number, 10)) || '-{i}', toString(number), if(number % 10 = 0, '', 'p'), 'n', 's', map('project.id', 'p' || toString(number % 2)), 'Ok', number,
 [toDateTime64('2026-03-01 10:00:00', 9)], ['exception'], [map('a', 'b')] FROM numbers(3000)`,
			`INSERT INTO {db}.otel_logs (Timestamp, Body, ServiceName, ResourceAttributes, LogAttributes, EventName) SELECT toDateTime64('2026-03-0{day} 10:00:00', 9) + number, 'line ' || toString(number), 's',
 map('project.id', 'p'), map('log.record.uid', toString(number) || '-{i}', 'gen_ai.evaluation.score.value', '0.5'), if(number < 5, 'gen_ai.evaluation.result', '') FROM numbers(2000)`,
			`INSERT INTO {db}.otel_metrics_gauge (TimeUnix, MetricName, ServiceName, Value, ResourceAttributes) SELECT toDateTime('2026-03-0{day} 10:00:00') + number, 'm', 's', number, map('project.id', 'p') FROM numbers(1000)`,
			`INSERT INTO {db}.otel_metrics_histogram (TimeUnix, MetricName, Count, BucketCounts) SELECT toDateTime('2026-03-0{day} 10:00:00') + number, 'h', number, [number] FROM numbers(100)`,
		} {
			require.NoError(t, conn.Exec(t.Context(), strings.NewReplacer("{db}", database, "{day}", fmt.Sprint(i+1), "{i}", fmt.Sprint(i)).Replace(insert)))
		}
	}
	return map[string]uint64{"otel_traces": 9000, "otel_logs": 6000, "otel_metrics_gauge": 3000, "otel_metrics_histogram": 300}
}

// fingerprint is the same for the same rows in the same columns of the first form.
func fingerprint(t testing.TB, conn driver.Conn, database, table string) string {
	t.Helper()
	var sum uint64
	columns := inserts(t)[table]
	require.NoError(t, conn.QueryRow(t.Context(), fmt.Sprintf("SELECT sum(cityHash64(%s)) FROM %s.%s", strings.ReplaceAll(columns, "Events.", "`Events`."), database, table)).Scan(&sum))
	return fmt.Sprint(sum, " of ", count(t, conn, database+"."+table))
}

func firstForm(t testing.TB, conn driver.Conn, database string, all []Migration) {
	require.NoError(t, (&Migrator{Conn: conn, Database: database, Version: "0.0", Migrations: all[:1]}).Run(t.Context()))
}

func checkCarried(t *testing.T, conn driver.Conn, database string, want map[string]uint64, prints map[string]string) {
	t.Helper()
	for name, n := range want {
		assert.Equal(t, n, count(t, conn, database+"."+name), name)
		assert.Equal(t, prints[name], fingerprint(t, conn, database, name), name)
	}
	assert.Zero(t, count(t, conn, "system.tables WHERE database = '"+database+"' AND name LIKE '%_before_0002'"), "nothing is left of the first form")
	assert.EqualValues(t, 4500, count(t, conn, database+".otel_traces WHERE ProjectId = 'p1'"))
	assert.Equal(t, "(9000,900)", table(t, conn, "SELECT sum(Spans), sum(Traces) FROM "+database+".span_counts_hourly"), "what is carried passes the views, once")
	assert.Equal(t, "(6000)", table(t, conn, "SELECT sum(Logs) FROM "+database+".log_counts_hourly"))
	assert.EqualValues(t, 15, count(t, conn, database+".otel_scores"))
	assert.EqualValues(t, 900, count(t, conn, "(SELECT DISTINCT TraceId FROM "+database+".otel_traces_trace_id_ts)"))
}

func TestADatabaseOfTheFirstFormKeepsItsRows(t *testing.T) {
	conn := clickhousetest.Start(t).Conn()
	all, err := Migrations()
	require.NoError(t, err)

	t.Run("At one go", func(t *testing.T) {
		firstForm(t, conn, "once", all)
		want, prints := fillOld(t, conn, "once"), map[string]string{}
		for name := range want {
			prints[name] = fingerprint(t, conn, "once", name)
		}
		migrate(t, conn, "once")
		checkCarried(t, conn, "once", want, prints)
	})

	// An error takes the place of a kill: what follows the interrupted statement is left out.
	t.Run("Interrupted after every statement and every part", func(t *testing.T) {
		firstForm(t, conn, "often", all)
		want, prints := fillOld(t, conn, "often"), map[string]string{}
		for name := range want {
			prints[name] = fingerprint(t, conn, "often", name)
		}
		errCut := errors.New("cut")
		stops, tries := 0, 0
		for {
			tries += 2
			c := &cutting{Conn: conn, left: tries, err: errCut}
			m := Migrator{Conn: c, Database: "often", Version: "test", Migrations: all}
			err := m.apply(t.Context(), plan{run: all[1:], pending: all[1:]})
			if err == nil {
				break
			}
			require.ErrorIs(t, err, errCut)
			stops++
			require.Less(t, tries, 500)
		}
		assert.Greater(t, stops, 10)
		checkCarried(t, conn, "often", want, prints)
	})

	t.Run("A column added by hand, and rows that come meanwhile", func(t *testing.T) {
		firstForm(t, conn, "hand", all)
		require.NoError(t, conn.Exec(t.Context(), "ALTER TABLE hand.otel_logs ADD COLUMN Team String DEFAULT 'none'"))
		require.NoError(t, conn.Exec(t.Context(), "INSERT INTO hand.otel_logs (Timestamp, Body, Team) VALUES ('2026-03-01', 'x', 'blue')"))
		once := false
		m := Migrator{Conn: conn, Database: "hand", Version: "test", Migrations: all, carried: func(string) {
			if once {
				return
			}
			once = true
			require.NoError(t, conn.Exec(t.Context(), "INSERT INTO hand.otel_logs (Timestamp, Body) VALUES ('2026-03-01', 'meanwhile')"), "an exporter goes on under the table's name")
			require.NoError(t, conn.Exec(t.Context(), "INSERT INTO hand.otel_logs_before_0002 (Timestamp, Body) VALUES ('2026-03-02', 'began before')"), "an insert may have begun before the rename")
		}}
		require.NoError(t, m.Run(t.Context()))
		assert.EqualValues(t, 1, count(t, conn, "hand.otel_logs WHERE Body = 'x' AND Team = 'blue'"))
		assert.Positive(t, count(t, conn, "hand.otel_logs WHERE Body = 'meanwhile'"))
		assert.EqualValues(t, 1, count(t, conn, "hand.otel_logs WHERE Body = 'began before'"))
	})

	t.Run("Both forms hold rows", func(t *testing.T) {
		firstForm(t, conn, "both", all)
		fillOld(t, conn, "both")
		require.NoError(t, conn.Exec(t.Context(), "CREATE TABLE both.otel_traces_before_0002 AS both.otel_traces"))
		err := (&Migrator{Conn: conn, Database: "both", Migrations: all}).Run(t.Context())
		require.ErrorAs(t, err, new(*RefusedError))
		require.ErrorContains(t, err, "both otel_traces and otel_traces_before_0002 hold rows")
	})
}

// cutting ends with err after a number of statements; the last one is run, but its answer is lost.
type cutting struct {
	driver.Conn
	left int
	err  error
}

func (c *cutting) Exec(ctx context.Context, query string, args ...any) error {
	if c.left--; c.left < 0 {
		return c.err
	}
	err := c.Conn.Exec(ctx, query, args...)
	if c.left == 0 && err == nil {
		return c.err
	}
	return err
}

// What contrib's exporter makes by itself (create_schema: true) is recognised: its rows are carried over. The statements are
// rendered from its own templates.
func TestADatabaseOfContribsExporterKeepsItsRows(t *testing.T) {
	conn := clickhousetest.Start(t).Conn()
	raw, err := os.ReadFile(filepath.Join("testdata", "contrib-0.161.0-tables.sql"))
	require.NoError(t, err)
	require.NoError(t, conn.Exec(t.Context(), "CREATE DATABASE otel"))
	for statement := range strings.SplitSeq(string(raw), ";\n") {
		if statement = strings.TrimSpace(commentRE.ReplaceAllString(statement, "")); statement != "" {
			require.NoError(t, conn.Exec(t.Context(), statement))
		}
	}
	want, prints := fillOld(t, conn, "otel"), map[string]string{}
	for name := range want {
		prints[name] = fingerprint(t, conn, "otel", name)
	}
	migrate(t, conn, "otel")
	checkCarried(t, conn, "otel", want, prints)
	for name := range inserts(t) {
		assert.EqualValues(t, 1, count(t, conn, "system.tables WHERE database = 'otel' AND name = '"+name+"' AND engine_full LIKE '%non_replicated_deduplication_window = 10000%'"), name)
	}
}
