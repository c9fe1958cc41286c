// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/clickhousetest"
)

func fakes(t testing.TB, files map[string]string) []Migration {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	all, err := loadMigrations(fsys)
	require.NoError(t, err)
	return all
}

func TestEmbeddedMigrationsAreWellFormed(t *testing.T) {
	all, err := Migrations()
	require.NoError(t, err)
	require.NotEmpty(t, all)
	for _, m := range all {
		for _, statement := range m.Statements("d") {
			assert.NotContains(t, statement, "{{", m)
			assert.NotContains(t, statement, "--", "comments stand on lines of their own: %s", m)
			upper := strings.ToUpper(statement)
			if strings.HasPrefix(upper, "CREATE") {
				assert.Contains(t, upper, "IF NOT EXISTS", m)
			}
			if strings.HasPrefix(upper, "DROP") {
				assert.Contains(t, upper, "IF EXISTS", m)
			}
		}
	}
	assert.Equal(t, []string{
		"log_counts_hourly", "log_states", "log_states_mv", "model_prices",
		"otel_logs", "otel_metrics_exponential_histogram", "otel_metrics_gauge", "otel_metrics_histogram", "otel_metrics_sum",
		"otel_metrics_summary", "otel_scores", "otel_scores_mv", "otel_traces", "otel_traces_trace_id_ts", "otel_traces_trace_times_mv",
		"span_counts_hourly", "trace_states", "trace_states_mv", "trace_summaries", "trace_summaries_between", "usage_hourly",
	}, objects(all))
}

// A released migration must never change: add a new one instead.
func TestReleasedMigrationsAreFrozen(t *testing.T) {
	all, err := Migrations()
	require.NoError(t, err)
	frozen := []string{"7d399c4ebecb1d25a524f993fd49c52c1a04a2c04f87c6d6e754496d529d0d90"}
	for i, sum := range frozen {
		assert.Equal(t, sum, all[i].Checksum, all[i])
	}
}

func TestLoadRefusesWrongFiles(t *testing.T) {
	for name, want := range map[string]string{"one.sql": "not named like", "0002_x.sql": "expected number 0001"} {
		_, err := loadMigrations(fstest.MapFS{name: &fstest.MapFile{Data: []byte("SELECT 1;\n")}})
		assert.ErrorContains(t, err, want)
	}
}

func TestStatementsAndObjects(t *testing.T) {
	all := fakes(t, map[string]string{
		"0001_a.sql": "-- a; comment;\nCREATE TABLE IF NOT EXISTS {{database}}.a (s String DEFAULT 'x;y')\nENGINE = Memory;\n\nCREATE VIEW IF NOT EXISTS {{database}}.v AS\n  -- why\nSELECT 1;",
		"0002_b.sql": "DROP VIEW IF EXISTS {{database}}.v;\nCREATE TABLE IF NOT EXISTS {{database}}.b (x Int8) ENGINE = Memory;\n",
	})
	assert.Equal(t, []string{
		"CREATE TABLE IF NOT EXISTS `my-db`.a (s String DEFAULT 'x;y')\nENGINE = Memory",
		"CREATE VIEW IF NOT EXISTS `my-db`.v AS\nSELECT 1",
	}, all[0].Statements("my-db"))
	assert.Equal(t, []string{"a", "b"}, objects(all))
	crlf := fakes(t, map[string]string{"0001_a.sql": "CREATE TABLE\r\nx;\r\n"})
	assert.Equal(t, fakes(t, map[string]string{"0001_a.sql": "CREATE TABLE\nx;\n"})[0].Checksum, crlf[0].Checksum)
}

func TestDecide(t *testing.T) {
	all := fakes(t, map[string]string{
		"0001_a.sql": "CREATE TABLE IF NOT EXISTS {{database}}.a (x Int8) ENGINE = Memory;\n",
		"0002_b.sql": "CREATE TABLE IF NOT EXISTS {{database}}.b (x Int8) ENGINE = Memory;\n",
	})
	row := func(n int, sum string) record {
		return record{number: n, name: "a", checksum: sum, version: "v9", at: time.Unix(0, 0)}
	}
	both := map[string]struct{}{"a": {}, "b": {}}
	for name, tc := range map[string]struct {
		st      state
		run     []Migration
		lost    []string
		refused string
	}{
		"nothing there":        {st: state{}, run: all},
		"half way":             {st: state{exists: true, applied: []record{row(1, all[0].Checksum)}, objects: both}, run: all[1:]},
		"in place":             {st: state{exists: true, applied: []record{row(1, all[0].Checksum), row(2, all[1].Checksum)}, objects: both}},
		"recorded twice":       {st: state{exists: true, applied: []record{row(1, all[0].Checksum), row(1, all[0].Checksum), row(2, all[1].Checksum)}, objects: both}},
		"a table lost":         {st: state{exists: true, applied: []record{row(1, all[0].Checksum), row(2, all[1].Checksum)}, objects: map[string]struct{}{"b": {}}}, run: all, lost: []string{"a"}},
		"newer than we":        {st: state{exists: true, applied: []record{row(3, "x")}}, refused: `newer than this binary: it has migration 0003_a, written by version "v9"`},
		"another text":         {st: state{exists: true, applied: []record{row(1, "0123456789abcdef")}, objects: both}, refused: "another migration 0001_a than this binary: checksum 0123456789ab there"},
		"a hole in the ledger": {st: state{exists: true, applied: []record{row(2, all[1].Checksum)}, objects: both}, refused: "no row for migration 0001_a"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := decide("d", tc.st, all)
			if tc.refused != "" {
				require.ErrorAs(t, err, new(*RefusedError))
				require.ErrorContains(t, err, tc.refused)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.run, p.run)
			assert.Equal(t, tc.lost, p.lost)
		})
	}
}

func TestOnAServer(t *testing.T) {
	server := clickhousetest.Start(t)
	conn := server.Conn()
	all, err := Migrations()
	require.NoError(t, err)
	more := slices.Concat(all, fakes(t, map[string]string{"0001_x.sql": "CREATE TABLE IF NOT EXISTS {{database}}.extra (x Int8) ENGINE = MergeTree ORDER BY x;\n"}))
	more[len(all)].Number = len(all) + 1

	t.Run("Every statement can run again", func(t *testing.T) {
		migrate(t, conn, "twice")
		m := Migrator{Conn: conn, Database: "twice", Migrations: all}
		require.NoError(t, m.apply(t.Context(), plan{run: all}))
	})

	t.Run("A dry run changes nothing", func(t *testing.T) {
		var said []string
		m := Migrator{Conn: conn, Database: "dry", Migrations: all, DryRun: true, Said: func(s string) { said = append(said, s) }}
		err := m.Run(t.Context())
		require.ErrorAs(t, err, new(*PendingError))
		require.ErrorContains(t, err, "database dry, migration 0001_contrib_tables")
		assert.Equal(t, "CREATE DATABASE IF NOT EXISTS `dry`", said[0])
		var want []string
		for _, m := range all {
			want = append(want, m.Statements("dry")...)
		}
		assert.Equal(t, want, said[1:])
		assert.Zero(t, count(t, conn, "system.databases WHERE name = 'dry'"))
	})

	t.Run("A newer database is refused, untouched", func(t *testing.T) {
		m := Migrator{Conn: conn, Database: "newer", Version: "2.0", Migrations: more}
		require.NoError(t, m.Run(t.Context()))
		require.NoError(t, conn.Exec(t.Context(), "DROP TABLE newer.otel_logs"))
		m.Migrations = all
		require.ErrorContains(t, m.Run(t.Context()), `newer than this binary`)
		assert.Zero(t, count(t, conn, "system.tables WHERE database = 'newer' AND name = 'otel_logs'"))
	})

	t.Run("A changed migration is refused", func(t *testing.T) {
		migrate(t, conn, "changed")
		other := append([]Migration(nil), all...)
		other[0].Checksum = "another"
		require.ErrorContains(t, (&Migrator{Conn: conn, Database: "changed", Migrations: other}).Run(t.Context()), "another migration 0001_contrib_tables than this binary")
	})

	t.Run("A lost table comes back, the others keep their rows", func(t *testing.T) {
		migrate(t, conn, "lost")
		require.NoError(t, conn.Exec(t.Context(), "INSERT INTO lost.otel_logs (Timestamp) VALUES (now64(9))"))
		require.NoError(t, conn.Exec(t.Context(), "DROP TABLE lost.otel_traces SYNC"))
		require.NoError(t, conn.Exec(t.Context(), "DROP TABLE lost.otel_traces_trace_times_mv SYNC"))
		var back []string
		m := Migrator{Conn: conn, Database: "lost", Migrations: all, Recreated: func(tables []string) { back = tables }}
		require.NoError(t, m.Run(t.Context()))
		assert.Equal(t, []string{"otel_traces", "otel_traces_trace_times_mv"}, back)
		assert.EqualValues(t, 1, count(t, conn, "lost.otel_logs"))
		assert.EqualValues(t, len(all), count(t, conn, "lost.tailrace_migrations"), "nothing is recorded twice")
	})

	t.Run("Only the ledger lost", func(t *testing.T) {
		migrate(t, conn, "noledger")
		require.NoError(t, conn.Exec(t.Context(), "DROP TABLE noledger.tailrace_migrations SYNC"))
		migrate(t, conn, "noledger")
		assert.EqualValues(t, len(all), count(t, conn, "noledger.tailrace_migrations"))
	})

	t.Run("Many collectors at once apply each migration once", func(t *testing.T) {
		var wg sync.WaitGroup
		var applied atomic.Int64
		errs := make([]error, 6)
		for i := range errs {
			c := server.Conn()
			wg.Go(func() {
				m := Migrator{Conn: c, Database: "race", Version: fmt.Sprint(i), Migrations: more, Applied: func(Migration) { applied.Add(1) }}
				errs[i] = m.Run(t.Context())
			})
		}
		wg.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		assert.EqualValues(t, len(more), applied.Load())
		assert.EqualValues(t, len(more), count(t, conn, "race.tailrace_migrations"))
	})

	t.Run("The lock excludes, and a dead holder's lock expires", func(t *testing.T) {
		require.NoError(t, conn.Exec(t.Context(), "CREATE DATABASE locks"))
		require.NoError(t, conn.Exec(t.Context(), fill(leaseTable(), "locks")))
		var inside, most atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			l := newLease(server.Conn(), "locks")
			wg.Go(func() {
				assert.NoError(t, l.do(t.Context(), func(context.Context) error {
					most.Store(max(most.Load(), inside.Add(1)))
					time.Sleep(50 * time.Millisecond) // a migration takes a while
					inside.Add(-1)
					return nil
				}))
			})
		}
		wg.Wait()
		assert.EqualValues(t, 1, most.Load())

		dead := newLease(conn, "locks")
		require.NoError(t, dead.beat(t.Context(), false))
		next := newLease(server.Conn(), "locks")
		next.ttl = 300 * time.Millisecond
		require.NoError(t, next.acquire(t.Context()))
		for ms := range 40 { // a deadline also ends while a question is on its way
			ctx, stop := context.WithTimeout(t.Context(), time.Duration(ms)*time.Millisecond)
			require.ErrorIs(t, newLease(conn, "locks").acquire(ctx), context.DeadlineExceeded, "with the normal time to live both are alive")
			stop()
		}
	})

	t.Run("A holder that cannot renew is stopped", func(t *testing.T) {
		l := newLease(server.Conn(), "locks")
		l.ttl = 300 * time.Millisecond
		require.NoError(t, conn.Exec(t.Context(), "TRUNCATE TABLE locks.tailrace_migrations_lock"))
		err := l.do(t.Context(), func(ctx context.Context) error {
			require.NoError(t, conn.Exec(t.Context(), "DROP TABLE locks.tailrace_migrations_lock SYNC"))
			<-ctx.Done()
			return ctx.Err()
		})
		require.ErrorIs(t, err, errLeaseLost)
	})
}
