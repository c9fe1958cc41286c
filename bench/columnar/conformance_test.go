// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package columnar

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/clickhousetest"
)

// same compares the tables of the two, all columns, also those that ClickHouse computes; bit by bit.
func same(t *testing.T, conn driver.Conn, least map[string]uint64) {
	t.Helper()
	for _, table := range tableNames {
		names := columnNames(t, conn, "contrib", table)
		require.Equal(t, names, columnNames(t, conn, "ours", table))
		list := strings.Join(names, ", ")
		hash := "hex(sipHash128(formatRow('RowBinary', " + list + ")))"
		rowsOf := func(database string) (hashes []string) {
			res, err := conn.Query(t.Context(), fmt.Sprintf("SELECT %s AS h FROM %s.%s ORDER BY h", hash, database, table))
			require.NoError(t, err)
			defer res.Close()
			for res.Next() {
				var h string
				require.NoError(t, res.Scan(&h))
				hashes = append(hashes, h)
			}
			require.NoError(t, res.Err())
			return hashes
		}
		theirs, mine := rowsOf("contrib"), rowsOf("ours")
		assert.GreaterOrEqual(t, uint64(len(theirs)), least[table], "%s: rows", table)
		if assert.Len(t, mine, len(theirs), "%s: rows", table) && slices.Equal(theirs, mine) {
			continue
		}
		for _, side := range []struct {
			database   string
			has, lacks []string
		}{{"contrib", theirs, mine}, {"ours", mine, theirs}} {
			for _, h := range side.has {
				if _, found := slices.BinarySearch(side.lacks, h); found {
					continue
				}
				var text string
				require.NoError(t, conn.QueryRow(t.Context(), fmt.Sprintf("SELECT substring(formatRow('JSONEachRow', %s), 1, 3000) FROM %s.%s WHERE %s = '%s' LIMIT 1",
					list, side.database, table, hash, h)).Scan(&text))
				t.Errorf("%s: only %s has the row\n%q", table, side.database, text)
				break
			}
		}
	}
}

func columnNames(t *testing.T, conn driver.Conn, database, table string) (names []string) {
	t.Helper()
	res, err := conn.Query(t.Context(), "SELECT name FROM system.columns WHERE database = ? AND table = ? AND default_kind != 'ALIAS' ORDER BY position", database, table)
	require.NoError(t, err)
	defer res.Close()
	for res.Next() {
		var name string
		require.NoError(t, res.Scan(&name))
		names = append(names, "`"+name+"`")
	}
	require.NotEmpty(t, names)
	return names
}

func TestRandomDataGivesTheSameRows(t *testing.T) {
	server := clickhousetest.Start(t)
	theirs, mine := pair(t, server)
	plain := start(t, server, "columnar, uncompressed", "ours", ours.factory(), map[string]any{"compression": "none"})
	zstd := start(t, server, "columnar, zstd", "ours", ours.factory(), map[string]any{"compression": "zstd"})
	seed := uint64(time.Now().UnixNano())
	t.Log("seed:", seed)
	d := dice{rand.New(rand.NewPCG(seed, 1))}
	huge := plog.NewLogs()
	huge.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr(strings.Repeat("huge ", 4<<20))
	require.NoError(t, theirs.send(t.Context(), huge))
	require.NoError(t, mine.send(t.Context(), huge))
	for i, sink := range []*sink{mine, mine, plain, zstd, mine} { // one after the other: buffers are used again
		n := []int{400, 30, 300, 200, 1}[i]
		for _, data := range []any{d.traces(n), d.logs(n), d.metrics(n)} {
			require.NoError(t, theirs.send(t.Context(), data), "contrib")
			require.NoError(t, sink.send(t.Context(), data), sink.name)
		}
	}
	same(t, server.Conn(), map[string]uint64{"otel_traces": 931, "otel_logs": 931, "otel_metrics_gauge": 20, "otel_metrics_sum": 20,
		"otel_metrics_histogram": 20, "otel_metrics_exponential_histogram": 20, "otel_metrics_summary": 20})
}

func TestNothingIsSentForNothing(t *testing.T) {
	server := clickhousetest.Start(t)
	_, mine := pair(t, server)
	empty := ptrace.NewTraces()
	empty.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty()
	for _, data := range []any{empty, ptrace.NewTraces(), plog.NewLogs(), pmetric.NewMetrics()} {
		require.NoError(t, mine.send(t.Context(), data))
	}
	for _, table := range tableNames {
		assert.Zero(t, count(t, server.Conn(), "ours."+table), table)
	}
}

// Dictionaries of LowCardinality are as wide as their number of values asks for; and attributes may have a key twice.
func TestManyDistinctValuesAndKeys(t *testing.T) {
	server := clickhousetest.Start(t)
	theirs, mine := pair(t, server)
	for _, n := range []int{1, 255, 256, 257, 65_535, 65_536, 65_537} {
		td := ptrace.NewTraces()
		spans := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
		for i := range n {
			s := spans.AppendEmpty()
			s.SetStartTimestamp(pcommon.NewTimestampFromTime(time.Date(2026, 3, 1, 0, 0, 0, i, time.UTC)))
			s.SetName(fmt.Sprint("name ", i))
			s.Attributes().PutStr(fmt.Sprint("key ", i), "v")
		}
		require.NoError(t, theirs.send(t.Context(), td))
		require.NoError(t, mine.send(t.Context(), td))
	}
	td, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces([]byte(`{"resourceSpans":[{"resource":{"attributes":[
{"key":"service.name","value":{"stringValue":"one"}},{"key":"b","value":{"stringValue":"1"}},{"key":"service.name","value":{"stringValue":"two"}},{"key":"b","value":{"stringValue":"2"}}]},
"scopeSpans":[{"spans":[{"name":"twice","startTimeUnixNano":"1772323200000000000"}]}]}]}`))
	require.NoError(t, err)
	require.NoError(t, theirs.send(t.Context(), td))
	require.NoError(t, mine.send(t.Context(), td))
	same(t, server.Conn(), nil)
}

// Times that the columns can't hold: both give ClickHouse the same number, and both hear the same.
func TestTimesOutsideTheColumns(t *testing.T) {
	server := clickhousetest.Start(t)
	theirs, mine := pair(t, server)
	for _, ts := range []pcommon.Timestamp{1, 1<<63 - 1, 1 << 63, 1<<64 - 1, 5_000_000_000_000_000_000, 16_000_000_000_000_000_000} {
		td, ld, md := ptrace.NewTraces(), plog.NewLogs(), pmetric.NewMetrics()
		s := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
		s.SetStartTimestamp(ts)
		s.Events().AppendEmpty().SetTimestamp(ts)
		ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().SetObservedTimestamp(ts)
		p := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptyGauge().DataPoints().AppendEmpty()
		p.SetTimestamp(ts)
		p.SetStartTimestamp(ts)
		for _, data := range []any{td, ld, md} {
			want, got := theirs.send(t.Context(), data), mine.send(t.Context(), data)
			assert.Equal(t, want == nil, got == nil, "%d %T: contrib %v, columnar %v", ts, data, want, got)
		}
	}
	same(t, server.Conn(), nil)
}

// A table whose columns have other types than the store's: contrib makes its columns as the table is, here the server converts.
func TestTablesWithOtherTypes(t *testing.T) {
	server := clickhousetest.Start(t)
	theirs, mine := pair(t, server)
	conn := server.Conn()
	for _, database := range []string{"contrib", "ours"} {
		for _, change := range []string{"SpanKind String", "TraceState LowCardinality(String)", "StatusMessage LowCardinality(String)", "ResourceAttributes Map(String, String)",
			"Duration Int64"} {
			require.NoError(t, conn.Exec(context.Background(), fmt.Sprintf("ALTER TABLE %s.otel_traces MODIFY COLUMN %s", database, change)))
		}
	}
	d := dice{rand.New(rand.NewPCG(1, 2))}
	data := d.traces(100)
	for _, rs := range data.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				s.SetEndTimestamp(s.StartTimestamp() + 5)
			}
		}
	}
	require.NoError(t, mine.send(t.Context(), data))
	if err := theirs.send(t.Context(), data); err != nil {
		t.Log("contrib refuses Duration as Int64:", err)
		require.NoError(t, conn.Exec(context.Background(), "ALTER TABLE contrib.otel_traces MODIFY COLUMN Duration UInt64"))
		require.NoError(t, theirs.send(t.Context(), data))
	}
	same(t, conn, map[string]uint64{"otel_traces": 100})
}
