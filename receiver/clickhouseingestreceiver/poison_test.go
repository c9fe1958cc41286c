// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column/orderedmap"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/tailrace/tailrace/internal/clickhouse"
	"github.com/tailrace/tailrace/internal/clickhousetest"
	"github.com/tailrace/tailrace/internal/pipelinestatus"
	"github.com/tailrace/tailrace/internal/segment"
	"github.com/tailrace/tailrace/receiver/clickhouseingestreceiver/internal/metadata"
)

// keeper is the clickhouse_store extension without the collector around it.
type keeper struct {
	component.StartFunc
	component.ShutdownFunc
	*clickhouse.Keeper
}

// store runs a ClickHouse with the tables of the product.
func store(t *testing.T) (*clickhousetest.Server, extensions) {
	t.Helper()
	server := clickhousetest.Start(t)
	migrations, err := clickhouse.Migrations()
	require.NoError(t, err)
	k, err := clickhouse.NewKeeper(clickhouse.Server{Endpoint: "tcp://" + server.Addr(), Database: "tailrace",
		Username: clickhousetest.User, Password: clickhousetest.Password}, clickhouse.Timing{}, clickhouse.Migrator{Migrations: migrations}, func(error) {})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { k.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done; _ = k.Close() })
	ready, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	require.NoError(t, k.WaitReady(ready))
	return server, extensions{component.MustNewID("clickhouse_store"): keeper{Keeper: k}}
}

// exporter inserts into the product's tables as contrib's exporter does, in the columns that tell records apart.
type exporter struct {
	conn driver.Conn
	// fails is asked for the answer after an insert that was done.
	fails func() error
}

func attributeMap(m pcommon.Map) column.IterableOrderedMap {
	return orderedmap.CollectN(func(yield func(string, string) bool) {
		for k, v := range m.All() {
			if !yield(k, v.AsString()) {
				return
			}
		}
	}, m.Len())
}

func (e exporter) insert(ctx context.Context, into string, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	batch, err := e.conn.PrepareBatch(ctx, "INSERT INTO tailrace."+into)
	if err != nil {
		return err
	}
	defer batch.Close()
	for _, r := range rows {
		if err := batch.Append(r...); err != nil {
			return fmt.Errorf("failed to append row: %w", err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert failed: %w", err)
	}
	if e.fails != nil {
		return e.fails()
	}
	return nil
}

func (e exporter) traces(ctx context.Context, d ptrace.Traces) error {
	var rows [][]any
	for _, rs := range d.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				rows = append(rows, []any{s.StartTimestamp().AsTime(), traceHex(s.TraceID()), spanHex(s.SpanID()), s.Name()})
			}
		}
	}
	return e.insert(ctx, "otel_traces (Timestamp, TraceId, SpanId, SpanName)", rows)
}

func (e exporter) logs(ctx context.Context, d plog.Logs) error {
	var rows [][]any
	for _, rl := range d.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, r := range sl.LogRecords().All() {
				var body any = r.Body().AsString()
				if body == "poison-client" {
					body = struct{}{} // what the client can't convert
				}
				rows = append(rows, []any{logTime(r).AsTime(), traceHex(r.TraceID()), spanHex(r.SpanID()), serviceName(rl.Resource()), r.SeverityText(),
					body, attributeMap(r.Attributes())})
			}
		}
	}
	return e.insert(ctx, "otel_logs (Timestamp, TraceId, SpanId, ServiceName, SeverityText, Body, LogAttributes)", rows)
}

// metrics inserts into the tables whatever the others answer, as contrib's exporter does.
func (e exporter) metrics(ctx context.Context, d pmetric.Metrics) error {
	rows := map[string][][]any{}
	for _, rm := range d.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				var into string
				var points pmetric.NumberDataPointSlice
				switch m.Type() {
				case pmetric.MetricTypeGauge:
					into, points = "otel_metrics_gauge", m.Gauge().DataPoints()
				case pmetric.MetricTypeSum:
					into, points = "otel_metrics_sum", m.Sum().DataPoints()
				default:
					return fmt.Errorf("no table for %s", m.Type())
				}
				for _, p := range points.All() {
					rows[into] = append(rows[into], []any{serviceName(rm.Resource()), m.Name(), attributeMap(p.Attributes()), p.StartTimestamp().AsTime(), p.Timestamp().AsTime()})
				}
			}
		}
	}
	var errs []error
	for into, r := range rows {
		errs = append(errs, e.insert(ctx, into+" (ServiceName, MetricName, Attributes, StartTimeUnix, TimeUnix)", r))
	}
	return errors.Join(errs...)
}

// startWith starts a receiver of all signals on the product's tables.
func startWith(t *testing.T, dir string, host extensions, e exporter, change func(*Config)) *ingestReceiver {
	t.Helper()
	cfg := testConfig(dir)
	id := component.MustNewID("clickhouse_store")
	cfg.Store = &id
	cfg.ShutdownTimeout = 5 * time.Second
	if change != nil {
		change(cfg)
	}
	r, err := newReceiver(receivertest.NewNopSettings(metadata.Type), cfg, func(*ingestReceiver) {})
	require.NoError(t, err)
	r.traces, err = consumer.NewTraces(e.traces)
	require.NoError(t, err)
	r.logs, err = consumer.NewLogs(e.logs)
	require.NoError(t, err)
	r.metrics, err = consumer.NewMetrics(e.metrics)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), host))
	t.Cleanup(func() { _ = r.Shutdown(context.Background()) })
	return r
}

// rows returns count() and uniqExact(uid) of a table.
func rows(t *testing.T, conn driver.Conn, table, uid string) [2]uint64 {
	t.Helper()
	var n, uids uint64
	if err := conn.QueryRow(t.Context(), "SELECT count(), uniqExact("+uid+") FROM tailrace."+table).Scan(&n, &uids); err != nil {
		return [2]uint64{} // ClickHouse may be away for a moment
	}
	return [2]uint64{n, uids}
}

func exactly(t *testing.T, conn driver.Conn, table, uid string, want int) {
	t.Helper()
	require.Eventually(t, func() bool { return rows(t, conn, table, uid)[1] >= uint64(want) }, time.Minute, 20*time.Millisecond,
		"%s", table) // 30 s is the promise; a busy machine gets twice that
	assert.Equal(t, [2]uint64{uint64(want), uint64(want)}, rows(t, conn, table, uid), "%s: rows, distinct ones", table)
}

// file writes a segment whose records are spread over five days.
func file(t *testing.T, dir string, typ segment.Type, project string, lines []string) string {
	t.Helper()
	folder := segment.Dir(dir, typ, project)
	require.NoError(t, os.MkdirAll(folder, 0o750))
	name := filepath.Join(folder, segment.NewID(time.Now())+segment.SuffixOpen)
	require.NoError(t, os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	done := strings.TrimSuffix(name, ".open")
	require.NoError(t, os.Rename(name, done))
	return done
}

func recordLines(typ segment.Type, prefix string, n int) (lines []string) {
	for i := range n {
		text, _ := recordLine(typ, encodingOTLP, fmt.Sprintf("%s-%d", prefix, i), i%5)
		lines = append(lines, text)
	}
	return lines
}

func failedRecords(t *testing.T, dir string) (records int, files []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*", "failed", "*.jsonl"))
	require.NoError(t, err)
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		records += strings.Count(string(text), "\n")
	}
	return records, files
}

func TestOnePoisonRecordOfEachClassInABusyFile(t *testing.T) {
	server, host := store(t)
	conn := server.Conn()
	for _, q := range []string{
		"ALTER TABLE tailrace.otel_logs ADD CONSTRAINT c CHECK Body != 'poison-constraint'",
		// Throws while a part is written, when parts of other partitions are in the table already.
		"ALTER TABLE tailrace.otel_logs ADD INDEX poison throwIf(Body = 'poison-index') TYPE minmax",
		"ALTER TABLE tailrace.otel_metrics_gauge ADD CONSTRAINT c CHECK MetricName != 'poison-gauge'",
	} {
		require.NoError(t, conn.Exec(t.Context(), q))
	}
	dir := t.TempDir()
	console := &fakeConsole{}
	consoleID := component.MustNewID("console")
	host[consoleID] = console
	r := startWith(t, dir, host, exporter{conn: conn}, func(c *Config) { c.Console = &consoleID })
	text := recordLines(segment.Logs, "log", 3000)
	for i, uid := range []string{"poison-client", "poison-constraint", "poison-index"} {
		text[500+1000*i], _ = recordLine(segment.Logs, encodingOTLP, uid, 3)
	}
	far, _ := recordLine(segment.Logs, encodingOTLP, "far away", 0)
	text[7] = strings.Replace(far, "1772323200000000000", "18446744073709551615", 1) // after the year 2262
	file(t, dir, segment.Logs, "busy", text)
	file(t, dir, segment.Logs, "other", recordLines(segment.Logs, "other", 100))
	gauges := recordLines(segment.Metrics, "gauge", 300)
	gauges[100], _ = recordLine(segment.Metrics, encodingOTLP, "poison-gauge", 0)
	for i := range 300 {
		text, _ := recordLine(segment.Metrics, encodingOTLP, fmt.Sprintf("sum-%d", i), 0)
		gauges = append(gauges, strings.Replace(text, `"gauge"`, `"sum"`, 1))
	}
	gauges = append(gauges, `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"no data"}]}]}]}`)
	file(t, dir, segment.Metrics, "busy", gauges)

	exactly(t, conn, "otel_logs", "Body", 3000-4+100)
	exactly(t, conn, "otel_metrics_gauge", "MetricName", 299)
	exactly(t, conn, "otel_metrics_sum", "MetricName", 300)
	var all, reasons string
	var files []string
	require.Eventually(t, func() bool {
		n := 0
		n, files = failedRecords(t, dir)
		all, reasons = "", ""
		for _, name := range files {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			all += string(text)
			why, _ := os.ReadFile(strings.TrimSuffix(name, ".jsonl") + ".reasons.ndjson") // written after the lines
			reasons += string(why)
		}
		return n == 6 && strings.Count(reasons, "\n") == 6
	}, time.Minute, 20*time.Millisecond)
	assert.GreaterOrEqual(t, strings.Count(reasons, `"token":"`), 4, "those that were sent")
	for _, uid := range []string{"poison-client", "poison-constraint", "poison-index", "poison-gauge", "far away", "no data"} {
		assert.Equal(t, 1, strings.Count(all, uid), uid)
	}

	// What may be mended is put back, and arrives once.
	for _, q := range []string{
		"ALTER TABLE tailrace.otel_logs DROP CONSTRAINT c", "ALTER TABLE tailrace.otel_logs DROP INDEX poison",
		"ALTER TABLE tailrace.otel_metrics_gauge DROP CONSTRAINT c",
	} {
		require.NoError(t, conn.Exec(t.Context(), q))
	}
	failed, err := console.FailedFiles(t.Context())
	require.NoError(t, err)
	require.Len(t, failed, len(files))
	for _, f := range failed {
		reasons, n, err := console.FailedReasons(t.Context(), f.ID, f.File, 1)
		require.NoError(t, err)
		assert.NotEmpty(t, reasons[0].Reason)
		assert.Positive(t, n)
		assert.Equal(t, "busy", f.Project)
		require.NoError(t, console.PutBack(t.Context(), f.ID, f.File))
		require.ErrorIs(t, console.PutBack(t.Context(), f.ID, f.File), pipelinestatus.ErrNoFailedFile)
	}
	exactly(t, conn, "otel_logs", "Body", 3000-2+100)
	exactly(t, conn, "otel_metrics_gauge", "MetricName", 300)
	require.NoError(t, r.Shutdown(context.Background()))
}

func TestAViewThatRefusesIsWaitedForAndTheTableHasEveryRowOnce(t *testing.T) {
	server, host := store(t)
	conn := server.Conn()
	for _, q := range []string{
		"CREATE TABLE tailrace.seen (uid String) ENGINE = MergeTree ORDER BY uid SETTINGS non_replicated_deduplication_window = 100",
		"CREATE MATERIALIZED VIEW tailrace.seen_mv TO tailrace.seen AS SELECT Body AS uid FROM tailrace.otel_logs WHERE throwIf(Body = 'poison') = 0",
	} {
		require.NoError(t, conn.Exec(t.Context(), q))
	}
	dir := t.TempDir()
	text := recordLines(segment.Logs, "log", 100)
	text[50], _ = recordLine(segment.Logs, encodingOTLP, "poison", 0)
	file(t, dir, segment.Logs, "p", text)
	startWith(t, dir, host, exporter{conn: conn}, nil)
	exactly(t, conn, "otel_logs", "Body", 100)
	require.NoError(t, conn.Exec(t.Context(), "ALTER TABLE tailrace.seen_mv MODIFY QUERY SELECT Body AS uid FROM tailrace.otel_logs"))
	exactly(t, conn, "seen", "uid", 100)
	exactly(t, conn, "otel_logs", "Body", 100)
	n, _ := failedRecords(t, dir)
	assert.Zero(t, n)
}

func TestABatchThatOutlivedItsTokenIsNotDoubled(t *testing.T) {
	server, host := store(t)
	conn := server.Conn()
	for _, table := range []string{"otel_traces", "otel_logs", "otel_metrics_gauge", "otel_metrics_sum"} {
		require.NoError(t, conn.Exec(t.Context(), "ALTER TABLE tailrace."+table+" MODIFY SETTING non_replicated_deduplication_window = 1"))
	}
	for _, asks := range []bool{true, false} {
		t.Run(fmt.Sprintf("asks=%t", asks), func(t *testing.T) {
			for _, table := range []string{"otel_traces", "otel_logs", "otel_metrics_gauge", "otel_metrics_sum"} {
				require.NoError(t, conn.Exec(t.Context(), "TRUNCATE TABLE tailrace."+table))
			}
			dir := t.TempDir()
			for _, typ := range []segment.Type{segment.Spans, segment.Logs, segment.Metrics} {
				file(t, dir, typ, "p", recordLines(typ, "first", 500))
			}
			var done atomic.Int64
			r := startWith(t, dir, host, exporter{conn: conn, fails: func() error { done.Add(1); return errors.New("time-out") }},
				func(c *Config) { c.ShutdownTimeout = 0 })
			require.Eventually(t, func() bool {
				return rows(t, conn, "otel_traces", "SpanName")[1] >= 500 && rows(t, conn, "otel_logs", "Body")[1] >= 500 &&
					rows(t, conn, "otel_metrics_gauge", "MetricName")[1] >= 500
			}, time.Minute, 20*time.Millisecond)
			require.NoError(t, r.Shutdown(context.Background()))
			// A part of it gets lost, as if only some partitions had arrived, and others push the tokens out of the window.
			before := rows(t, conn, "otel_logs", "Body")
			require.NoError(t, conn.Exec(t.Context(), "ALTER TABLE tailrace.otel_logs DROP PARTITION '2026-03-02'"))
			require.Less(t, rows(t, conn, "otel_logs", "Body")[0], before[0])
			for _, q := range []string{
				"INSERT INTO tailrace.otel_traces (Timestamp, SpanName) VALUES ('2026-03-01', 'between')",
				"INSERT INTO tailrace.otel_logs (Timestamp, Body) VALUES ('2026-03-01', 'between')",
				"INSERT INTO tailrace.otel_metrics_gauge (TimeUnix, MetricName) VALUES ('2026-03-01', 'between')",
			} {
				require.NoError(t, conn.Exec(t.Context(), q))
			}
			startWith(t, dir, host, exporter{conn: conn}, func(c *Config) {
				if c.TokenWindow = time.Nanosecond; !asks {
					c.TokenWindow = 0
				}
			})
			require.Eventually(t, func() bool {
				left, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*.jsonl*"))
				return len(left) == 0
			}, time.Minute, 20*time.Millisecond)
			for table, uid := range map[string]string{"otel_traces": "SpanName", "otel_logs": "Body", "otel_metrics_gauge": "MetricName"} {
				got := rows(t, conn, table, uid)
				if asks {
					assert.Equal(t, [2]uint64{501, 501}, got, table)
				} else {
					assert.Greater(t, got[0], got[1], "%s: the window has really forgotten", table)
				}
			}
		})
	}
}
