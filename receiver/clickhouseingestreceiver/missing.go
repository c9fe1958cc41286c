// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/cespare/xxhash/v2"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/ingest"
	"github.com/tailrace/tailrace/internal/ingest/linecodec"
)

// asker finds out what of a unit is in the tables already, for when the token can't tell. It knows the tables under the
// names that contrib's exporter gives them by default.
//
// Each table stores what a unit has of one partition as a whole or not at all. Partitions are days in the server's time
// zone, so they consist of whole quarters of an hour in any: what a unit has of a quarter is there when all of its records
// are, each as often as in the unit, and otherwise none of it is. So a record that looks exactly like one that came with another
// batch does not count as loaded while its neighbours are missing.
type asker struct {
	conn     driver.Conn
	database string
}

const quarter = 15 * 60

// identity is what a row is recognised by: its time in seconds, and the hash of what makes it itself.
type identity struct {
	second int64
	hash   uint64
}

// table is where to look for rows.
type askTable struct {
	name string
	time string // its time column
	hash string // expression of the hash in identity
}

const (
	// An attribute map, whatever its order.
	mapText = `arrayStringConcat(arraySort(arrayMap((k, v) -> concat(k, '=', v), mapKeys(%[1]s), mapValues(%[1]s))), '\n')`
	sep     = "\n"
)

func rowHash(parts ...string) string {
	return "xxHash64(concat(" + strings.Join(parts, `, '\n', `) + "))"
}

var (
	spanTable = askTable{"otel_traces", "Timestamp", rowHash("toString(toUnixTimestamp64Nano(Timestamp))", "TraceId", "SpanId", "SpanName")}
	logTable  = askTable{"otel_logs", "Timestamp", rowHash("toString(toUnixTimestamp64Nano(Timestamp))", "TraceId", "SpanId", "ServiceName",
		"SeverityText", "Body", fmt.Sprintf(mapText, "LogAttributes"))}
	metricHash   = rowHash("ServiceName", "MetricName", "toString(toUnixTimestamp(StartTimeUnix))", fmt.Sprintf(mapText, "Attributes"))
	metricTables = map[pmetric.MetricType]askTable{
		pmetric.MetricTypeGauge:                {"otel_metrics_gauge", "TimeUnix", metricHash},
		pmetric.MetricTypeSum:                  {"otel_metrics_sum", "TimeUnix", metricHash},
		pmetric.MetricTypeHistogram:            {"otel_metrics_histogram", "TimeUnix", metricHash},
		pmetric.MetricTypeExponentialHistogram: {"otel_metrics_exponential_histogram", "TimeUnix", metricHash},
		pmetric.MetricTypeSummary:              {"otel_metrics_summary", "TimeUnix", metricHash},
	}
)

func hashOf(parts ...string) uint64 { return xxhash.Sum64String(strings.Join(parts, sep)) }

func attributesText(m pcommon.Map) string {
	var all []string
	for k, v := range m.All() {
		all = append(all, k+"="+v.AsString())
	}
	slices.Sort(all)
	return strings.Join(all, sep)
}

func seconds(ts pcommon.Timestamp) int64 { return int64(ts / 1e9) }

// stored returns the quarters of an hour of which all given rows are in the table.
func (a *asker) stored(ctx context.Context, t askTable, rows map[identity]int) (map[int64]bool, error) {
	quarters := map[int64]bool{}
	var secs []int64
	for r := range rows {
		quarters[r.second/quarter] = true
	}
	for q := range quarters {
		secs = append(secs, q)
	}
	// Part of what is asked for may have been merged or not; the count is of rows either way. async inserts are not used.
	query := fmt.Sprintf("SELECT toInt64(toUnixTimestamp(%[2]s)), %[3]s AS h, count() FROM `%[4]s`.%[1]s "+
		"WHERE %[2]s >= fromUnixTimestamp(?) AND %[2]s < fromUnixTimestamp(?) AND has(?, intDiv(toInt64(toUnixTimestamp(%[2]s)), 900)) "+
		"GROUP BY 1, 2", t.name, t.time, t.hash, a.database)
	slices.Sort(secs)
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"select_sequential_consistency": 1}))
	res, err := a.conn.Query(ctx, query, secs[0]*quarter, (secs[len(secs)-1]+1)*quarter, secs)
	if err != nil {
		return nil, fmt.Errorf("asking %s what is loaded: %w", t.name, err)
	}
	defer func() { _ = res.Close() }()
	have := map[identity]uint64{}
	for res.Next() {
		var id identity
		var n uint64
		if err := res.Scan(&id.second, &id.hash, &n); err != nil {
			return nil, fmt.Errorf("asking %s what is loaded: %w", t.name, err)
		}
		if rows[id] > 0 {
			have[id] = n
		}
	}
	if err := res.Err(); err != nil {
		return nil, fmt.Errorf("asking %s what is loaded: %w", t.name, err)
	}
	for id, n := range rows {
		if have[id] < uint64(n) {
			quarters[id.second/quarter] = false
		}
	}
	return quarters, nil
}

const askTimeout = 30 * time.Second

// missing removes what is loaded from a unit.
func (a *asker) missing(ctx context.Context, u ingest.Unit) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	switch u := u.(type) {
	case *linecodec.Unit[ptrace.Traces]:
		return a.missingSpans(ctx, u.Data)
	case *linecodec.Unit[plog.Logs]:
		return a.missingLogs(ctx, u.Data)
	case *linecodec.Unit[pmetric.Metrics]:
		return a.missingPoints(ctx, u.Data)
	}
	return 0, errUnit
}

func traceHex(id pcommon.TraceID) string {
	if id.IsEmpty() {
		return ""
	}
	return hex.EncodeToString(id[:])
}

func spanHex(id pcommon.SpanID) string {
	if id.IsEmpty() {
		return ""
	}
	return hex.EncodeToString(id[:])
}

func (a *asker) missingSpans(ctx context.Context, d ptrace.Traces) (int, error) {
	rows := map[identity]int{}
	for _, rs := range d.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				ts := s.StartTimestamp()
				rows[identity{seconds(ts), hashOf(fmt.Sprint(uint64(ts)), traceHex(s.TraceID()), spanHex(s.SpanID()), s.Name())}]++
			}
		}
	}
	if len(rows) == 0 {
		return 0, nil
	}
	done, err := a.stored(ctx, spanTable, rows)
	if err != nil {
		return 0, err
	}
	d.ResourceSpans().RemoveIf(func(rs ptrace.ResourceSpans) bool {
		rs.ScopeSpans().RemoveIf(func(ss ptrace.ScopeSpans) bool {
			ss.Spans().RemoveIf(func(s ptrace.Span) bool { return done[seconds(s.StartTimestamp())/quarter] })
			return ss.Spans().Len() == 0
		})
		return rs.ScopeSpans().Len() == 0
	})
	return d.SpanCount(), nil
}

func logTime(r plog.LogRecord) pcommon.Timestamp {
	if ts := r.Timestamp(); ts != 0 {
		return ts
	}
	return r.ObservedTimestamp()
}

func (a *asker) missingLogs(ctx context.Context, d plog.Logs) (int, error) {
	rows := map[identity]int{}
	for _, rl := range d.ResourceLogs().All() {
		service := serviceName(rl.Resource())
		for _, sl := range rl.ScopeLogs().All() {
			for _, r := range sl.LogRecords().All() {
				ts := logTime(r)
				rows[identity{seconds(ts), hashOf(fmt.Sprint(uint64(ts)), traceHex(r.TraceID()), spanHex(r.SpanID()), service,
					r.SeverityText(), r.Body().AsString(), attributesText(r.Attributes()))}]++
			}
		}
	}
	if len(rows) == 0 {
		return 0, nil
	}
	done, err := a.stored(ctx, logTable, rows)
	if err != nil {
		return 0, err
	}
	d.ResourceLogs().RemoveIf(func(rl plog.ResourceLogs) bool {
		rl.ScopeLogs().RemoveIf(func(sl plog.ScopeLogs) bool {
			sl.LogRecords().RemoveIf(func(r plog.LogRecord) bool { return done[seconds(logTime(r))/quarter] })
			return sl.LogRecords().Len() == 0
		})
		return rl.ScopeLogs().Len() == 0
	})
	return d.LogRecordCount(), nil
}

func serviceName(r pcommon.Resource) string {
	if v, ok := r.Attributes().Get("service.name"); ok {
		return v.AsString()
	}
	return ""
}

// point is what the data points of all types have.
type point interface {
	Timestamp() pcommon.Timestamp
	StartTimestamp() pcommon.Timestamp
	Attributes() pcommon.Map
}

// points is what the data point slices of all types have.
type points[P any] interface {
	Len() int
	RemoveIf(func(P) bool)
}

func removeIf[P point](s points[P], drop func(point) bool) bool {
	s.RemoveIf(func(p P) bool { return drop(p) })
	return s.Len() == 0
}

// removePoints calls drop for every point of a metric, and removes those that it wants; true: none is left.
func removePoints(m pmetric.Metric, drop func(point) bool) bool {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return removeIf(m.Gauge().DataPoints(), drop)
	case pmetric.MetricTypeSum:
		return removeIf(m.Sum().DataPoints(), drop)
	case pmetric.MetricTypeHistogram:
		return removeIf(m.Histogram().DataPoints(), drop)
	case pmetric.MetricTypeExponentialHistogram:
		return removeIf(m.ExponentialHistogram().DataPoints(), drop)
	case pmetric.MetricTypeSummary:
		return removeIf(m.Summary().DataPoints(), drop)
	}
	return false
}

func (a *asker) missingPoints(ctx context.Context, d pmetric.Metrics) (int, error) {
	rows := map[pmetric.MetricType]map[identity]int{}
	for _, rm := range d.ResourceMetrics().All() {
		service := serviceName(rm.Resource())
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				if rows[m.Type()] == nil {
					rows[m.Type()] = map[identity]int{}
				}
				removePoints(m, func(p point) bool {
					rows[m.Type()][identity{seconds(p.Timestamp()), hashOf(service, m.Name(),
						fmt.Sprint(seconds(p.StartTimestamp())), attributesText(p.Attributes()))}]++
					return false
				})
			}
		}
	}
	done := map[pmetric.MetricType]map[int64]bool{}
	for typ, ids := range rows {
		if len(ids) == 0 {
			continue
		}
		var err error
		if done[typ], err = a.stored(ctx, metricTables[typ], ids); err != nil {
			return 0, err
		}
	}
	d.ResourceMetrics().RemoveIf(func(rm pmetric.ResourceMetrics) bool {
		rm.ScopeMetrics().RemoveIf(func(sm pmetric.ScopeMetrics) bool {
			sm.Metrics().RemoveIf(func(m pmetric.Metric) bool {
				return removePoints(m, func(p point) bool { return done[m.Type()][seconds(p.Timestamp())/quarter] })
			})
			return sm.Metrics().Len() == 0
		})
		return rm.ScopeMetrics().Len() == 0
	})
	return d.DataPointCount(), nil
}
