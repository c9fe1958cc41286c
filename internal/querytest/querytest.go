// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package querytest gives tests a store with data: a real ClickHouse with the newest schema, filled through its
// tables as the exporter fills them.
package querytest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/clickhouse"
	"github.com/tailrace/tailrace/internal/clickhouseserver/guard"
	"github.com/tailrace/tailrace/internal/clickhousetest"
	"github.com/tailrace/tailrace/internal/freeport"
)

// T0 is when the data begins: two to three days ago, at midnight, within every retention.
var T0 = time.Now().UTC().Truncate(24 * time.Hour).Add(-48 * time.Hour)

// Store is a query.Store.
type Store struct {
	Server *clickhousetest.Server
	conn   driver.Conn
}

// WaitReady implements query.Store.
func (s *Store) WaitReady(context.Context) error { return nil }

// Conn implements query.Store.
func (s *Store) Conn() driver.Conn { return s.conn }

// Database implements query.Store.
func (s *Store) Database() string { return "tailrace" }

// New starts a ClickHouse with the newest schema. It ends with the test.
func New(t testing.TB) *Store {
	t.Helper()
	return NewIn(t, t.TempDir())
}

// NewIn is New on a folder that outlives the test.
func NewIn(t testing.TB, dir string) *Store {
	t.Helper()
	server := clickhousetest.StartIn(t, dir)
	s := &Store{Server: server, conn: guarded(t, server)}
	all, err := clickhouse.Migrations()
	require.NoError(t, err)
	require.NoError(t, (&clickhouse.Migrator{Conn: s.conn, Database: "tailrace", Version: "test", Migrations: all}).Run(context.Background()))
	return s
}

// guarded connects by way of the guard, as the product does: queries that are given up while their answer is on its way reset their
// connection, which ends an embedded ClickHouse now and then.
func guarded(t testing.TB, server *clickhousetest.Server) driver.Conn {
	t.Helper()
	g := guard.New(guard.Config{
		Username: clickhousetest.User, Password: clickhousetest.Password, MaxConnections: 1000,
		DatabaseExists: func(context.Context, string) (bool, error) { return true, nil },
	})
	addr := "127.0.0.1:" + strconv.Itoa(freeport.For(t))
	require.NoError(t, g.Listen(addr))
	g.Open(server.Addr())
	conn, err := clickhousego.Open(&clickhousego.Options{Addr: []string{addr}, Auth: clickhousego.Auth{Username: clickhousetest.User, Password: clickhousetest.Password}})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = conn.Close()
		g.StopAccepting()
		g.Close()
	})
	return conn
}

// On is a store on a ClickHouse that has the newest schema already; conn is closed by its owner.
func On(conn driver.Conn) *Store { return &Store{conn: conn} }

// Exec runs a statement.
func (s *Store) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	require.NoError(t, s.conn.Exec(context.Background(), sql, args...))
}

// Viewer is a caller that may read the projects.
func Viewer(projects ...access.Pattern) *access.Caller {
	return access.NewCaller("viewer", "token", time.Time{}, []access.Grant{{Role: access.RoleViewer, Projects: projects}})
}

// Spans inserts n spans of a project, a second apart from T0+offset on, four of which make a trace: a root, two
// children and a grandchild, of the services web and agent in turns. Trace ids are the first letter of the project in hexadecimal and the number
// of the trace, span ids the number of the span. Every tenth span has a long attribute.
func (s *Store) Spans(t testing.TB, project string, n int, offset time.Duration) {
	t.Helper()
	s.Exec(t, `INSERT INTO tailrace.otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, ResourceAttributes, SpanAttributes, Duration, StatusCode)
SELECT fromUnixTimestamp64Nano(?) + toIntervalSecond(number), concat(lower(hex(substring(?, 1, 1))), leftPad(toString(intDiv(number, 4)), 30, '0')),
    leftPad(toString(number), 16, '0'), multiIf(number % 4 = 0, '', number % 4 = 3, leftPad(toString(number - 1), 16, '0'), leftPad(toString(intDiv(number, 4) * 4), 16, '0')),
    ['GET /', 'chat m', 'execute_tool t', 'step'][number % 4 + 1], ['Server', 'Client', 'Internal', 'Internal'][number % 4 + 1],
    ['web', 'agent'][number % 2 + 1], map('project.id', ?, 'deployment.id', 'prod', 'server.id', concat(?, '-1'), 'service.name', ['web', 'agent'][number % 2 + 1]),
    map('n', toString(number), 'gen_ai.operation.name', 'chat', 'gen_ai.request.model', 'm', 'gen_ai.usage.input_tokens', '10', 'gen_ai.usage.output_tokens', '1', 'big', if(number % 10 = 0, repeat('x', 5000), 'small')),
    (number + 1) * 1000000, ['Unset', 'Ok', 'Error', 'Unset'][number % 4 + 1]
FROM numbers(?)`, T0.Add(offset).UnixNano(), project, project, project, n)
}

// Logs inserts n log records of a project, ten a second from T0+offset on, of two servers in turns, with a uid each unless
// uids is false. Levels go around from trace to fatal.
func (s *Store) Logs(t testing.TB, project string, n int, offset time.Duration, uids bool) {
	t.Helper()
	s.Exec(t, `INSERT INTO tailrace.otel_logs (Timestamp, TraceId, SpanId, SeverityText, SeverityNumber, ServiceName, Body, ResourceAttributes, LogAttributes)
SELECT fromUnixTimestamp64Nano(?) + toIntervalMillisecond(intDiv(number, 3) * 300), if(number % 5 = 0, concat(lower(hex(substring(?, 1, 1))), leftPad(toString(intDiv(number, 4)), 30, '0')), ''), '', 'level', number % 6 * 4 + 1,
    'web', concat('line ', toString(number), if(number % 100 = 0, repeat(' long', 3000), '')),
    map('project.id', ?, 'server.id', concat(?, '-', toString(number % 2 + 1)), 'service.name', 'web'),
    if(?, map('log.record.uid', concat(?, leftPad(toString(number), 10, '0')), 'n', toString(number)), map('n', toString(number)))
FROM numbers(?)`, T0.Add(offset).UnixNano(), project, project, project, uids, project, n)
}

// Fill inserts data of the projects shop and billing into every table.
func (s *Store) Fill(t testing.TB) {
	t.Helper()
	for _, p := range []string{"shop", "billing"} {
		s.Spans(t, p, 400, 0)
		s.Logs(t, p, 600, 0, true)
		s.Score(t, p, "relevance", "0", "score-"+p+"-1", T0)
		s.Score(t, p, "relevance", "", "score-"+p+"-2", T0.Add(time.Second))
		s.Event(t, p, p+"-1", "server.health", T0, map[string]string{"server.health.status": "healthy", "server.memory_usage_mb": "12.5"})
		s.Event(t, p, p+"-1", "server.lifecycle", T0, map[string]string{"server.lifecycle.state": "running"})
		s.Event(t, p, "", "deployment.status", T0, map[string]string{"deployment.status": "running"})
		s.Metrics(t, p)
		for i, status := range []string{"queued", "building", "failed"} {
			s.Exec(t, `INSERT INTO tailrace.otel_logs (Timestamp, Body, ResourceAttributes, LogAttributes) VALUES (fromUnixTimestamp64Nano(?), ?, ?, ?)`,
				T0.Add(time.Duration(i)*time.Second).UnixNano(), status, map[string]string{"project.id": p, "build.id": p + "-b1", "deployment.id": "prod"},
				map[string]string{"log.record.uid": fmt.Sprint("status-", p, i), "event.name": "build.status", "build.status": status, "build.run": "1", "build.duration_s": fmt.Sprint(i)})
		}
		s.Exec(t, `INSERT INTO tailrace.otel_logs (Timestamp, Body, ResourceAttributes, LogAttributes) VALUES (fromUnixTimestamp64Nano(?), 'built', ?, ?)`,
			T0.UnixNano(), map[string]string{"project.id": p, "build.id": p + "-b1"}, map[string]string{"log.record.uid": "build-" + p})
	}
}

// Event inserts one log record that reports a change of state of a server.
func (s *Store) Event(t testing.TB, project, server, name string, at time.Time, attributes map[string]string) {
	t.Helper()
	all := map[string]string{"event.name": name, "log.record.uid": name + at.String() + server}
	for k, v := range attributes {
		all[k] = v
	}
	s.Exec(t, `INSERT INTO tailrace.otel_logs (Timestamp, SeverityNumber, ServiceName, Body, ResourceAttributes, LogAttributes) VALUES (fromUnixTimestamp64Nano(?), 9, 'web', 'event', ?, ?)`,
		at.UnixNano(), map[string]string{"project.id": project, "server.id": server, "deployment.id": "prod"}, all)
}

// Score inserts the log record of an evaluation; an empty value is none.
func (s *Store) Score(t testing.TB, project, name, value, uid string, at time.Time) {
	t.Helper()
	attributes := map[string]string{"event.name": "gen_ai.evaluation.result", "log.record.uid": uid, "gen_ai.evaluation.name": name, "gen_ai.evaluation.score.label": "good", "run": "1"}
	if value != "" {
		attributes["gen_ai.evaluation.score.value"] = value
	}
	s.Exec(t, `INSERT INTO tailrace.otel_logs (Timestamp, SeverityNumber, ServiceName, Body, TraceId, ResourceAttributes, LogAttributes) VALUES (fromUnixTimestamp64Nano(?), 9, 'web', 'score', ?, ?, ?)`,
		at.UnixNano(), "73000000000000000000000000000001", map[string]string{"project.id": project, "service.name": "web"}, attributes)
}

// Metrics inserts one metric of each type of a project, a point a minute for ten minutes from T0 on, each twice:
// memory (gauge: 0 to 9), requests (counter, cumulative: 10 more a minute, reset after five), jobs (counter, delta: 2), latency (histogram,
// cumulative: 4 more a minute, one each in (0,10], (10,20], (20,40] and above), size (exponential histogram, delta, scale 0: 3 in (1,2], 1 in (2,4]) and
// gc (summary: 1 of 0.5 a minute).
func (s *Store) Metrics(t testing.TB, project string) {
	t.Helper()
	const common = "ResourceAttributes, ServiceName, MetricName, MetricUnit, MetricDescription, Attributes, StartTimeUnix, TimeUnix"
	at := func(name, start string) string {
		return "map('project.id', '" + project + "', 'server.id', '" + project + "-1'), 'web', '" + name + "', 's', 'what it is', map('pool', 'a'), " + start + ", fromUnixTimestamp(" + unix(T0) + " + 60 * number)"
	}
	born, zero := "fromUnixTimestamp("+unix(T0)+" - 60)", "fromUnixTimestamp(0)"
	for _, insert := range []string{
		"gauge (" + common + ", Value) SELECT " + at("memory", zero) + ", toFloat64(number)",
		"sum (" + common + ", Value, AggregationTemporality, IsMonotonic) SELECT " + at("requests", "if(number < 5, "+born+", fromUnixTimestamp("+unix(T0)+" + 241))") + ", 10. * (number % 5 + 1), 2, true",
		"sum (" + common + ", Value, AggregationTemporality, IsMonotonic) SELECT " + at("jobs", "fromUnixTimestamp("+unix(T0)+" + 60 * (toInt64(number) - 1))") + ", 2., 1, true",
		"histogram (" + common + ", Count, Sum, BucketCounts, ExplicitBounds, Min, Max, AggregationTemporality) SELECT " + at("latency", born) +
			", 4 * (number + 1), 100. * (number + 1), [number + 1, number + 1, number + 1, number + 1], [10., 20., 40.], 1., 50., 2",
		"exponential_histogram (" + common + ", Count, Sum, Scale, ZeroCount, PositiveOffset, PositiveBucketCounts, NegativeOffset, NegativeBucketCounts, Min, Max, AggregationTemporality) SELECT " +
			at("size", "fromUnixTimestamp("+unix(T0)+" + 60 * (toInt64(number) - 1))") + ", 4, 8., 0, 0, 0, [3, 1], 0, [], 1.5, 3., 1",
		"summary (" + common + ", Count, Sum, ValueAtQuantiles.Quantile, ValueAtQuantiles.Value) SELECT " + at("gc", born) + ", number + 1, 0.5 * (number + 1), [0.5], [0.5]",
	} {
		for range 2 {
			s.Exec(t, "INSERT INTO tailrace.otel_metrics_"+insert+" FROM numbers(10)")
		}
	}
	// Between the points stand some that say that there is no value, such as Prometheus' staleness markers: they are stored as zeros.
	for table, more := range map[string]string{
		"gauge": "", "sum": "AggregationTemporality, IsMonotonic, ", "histogram": "AggregationTemporality, ", "exponential_histogram": "AggregationTemporality, ", "summary": "",
	} {
		s.Exec(t, "INSERT INTO tailrace.otel_metrics_"+table+" ("+common+", "+more+"Flags) SELECT * REPLACE (TimeUnix + INTERVAL 30 SECOND AS TimeUnix), 1 FROM (SELECT DISTINCT "+
			common+strings.TrimSuffix(", "+more, ", ")+" FROM tailrace.otel_metrics_"+table+" WHERE Flags = 0)")
	}
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
