// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/clickhouseexporter"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/exporter/jsonlexporter"
	"github.com/tailrace/tailrace/internal/clickhouse"
	"github.com/tailrace/tailrace/internal/clickhousetest"
	"github.com/tailrace/tailrace/internal/flatjson"
	"github.com/tailrace/tailrace/internal/segment"
)

const base = pcommon.Timestamp(1795415945756072444)

func attributes(m pcommon.Map, seed int) {
	m.PutStr("text", fmt.Sprintf("line\n\"quoted\" \\ tab\t \x01 Zürich 🚆 %d", seed))
	m.PutInt("int", math.MinInt64+int64(seed))
	m.PutDouble("double", 1e-7*float64(seed+1))
	m.PutDouble("whole", 1e21)
	m.PutDouble("nan", math.NaN())
	m.PutBool("bool", seed%2 == 0)
	m.PutEmpty("empty")
	m.PutStr("", "the empty key")
	m.PutEmptyBytes("bytes").FromRaw([]byte{0, 1, 0xFF})
	list := m.PutEmptySlice("list")
	list.AppendEmpty().SetStr("<a&b>")
	list.AppendEmpty().SetInt(2)
	nested := m.PutEmptyMap("map")
	nested.PutStr("k", "v\u2028")
	nested.PutEmptyMap("deeper").PutDouble("d", 2.5)
}

func resource(r pcommon.Resource, i int) {
	r.Attributes().PutStr("project.id", "shop")
	if i != 1 {
		r.Attributes().PutStr("service.name", fmt.Sprint("service ", i))
	}
	attributes(r.Attributes(), i)
}

func scope(s pcommon.InstrumentationScope, i int) {
	s.SetName(fmt.Sprint("scope ", i))
	s.SetVersion("1.2")
	s.SetDroppedAttributesCount(uint32(i))
	attributes(s.Attributes(), i)
}

func traceID(i int) pcommon.TraceID { return pcommon.TraceID{1, 2, 3, 15: byte(i)} }

func spanID(i int) pcommon.SpanID { return pcommon.SpanID{9, 7: byte(i)} }

func testTraces() ptrace.Traces {
	td := ptrace.NewTraces()
	for r := range 3 {
		rs := td.ResourceSpans().AppendEmpty()
		resource(rs.Resource(), r)
		for s := range 2 {
			ss := rs.ScopeSpans().AppendEmpty()
			scope(ss.Scope(), s)
			for i := range 4 {
				span := ss.Spans().AppendEmpty()
				span.SetName(fmt.Sprintf("span %d.%d.%d", r, s, i))
				span.SetStartTimestamp(base + pcommon.Timestamp(i))
				span.SetEndTimestamp(base + pcommon.Timestamp(10*i))
				span.SetKind(ptrace.SpanKind(i))
				span.Status().SetCode(ptrace.StatusCode(i % 3))
				if i == 0 {
					continue // everything else stays empty
				}
				span.SetTraceID(traceID(r))
				span.SetSpanID(spanID(16*r + 4*s + i))
				span.SetParentSpanID(spanID(1))
				span.TraceState().FromRaw("a=b")
				span.Status().SetMessage("it \"failed\"")
				attributes(span.Attributes(), i)
				for e := range i {
					ev := span.Events().AppendEmpty()
					ev.SetName(fmt.Sprint("event ", e))
					ev.SetTimestamp(base + pcommon.Timestamp(e))
					attributes(ev.Attributes(), e)
					l := span.Links().AppendEmpty()
					l.SetTraceID(traceID(e))
					l.SetSpanID(spanID(e))
					l.TraceState().FromRaw("c=d")
					if e > 0 {
						attributes(l.Attributes(), e)
					}
				}
			}
		}
	}
	return td
}

func testLogs() plog.Logs {
	ld := plog.NewLogs()
	for r := range 3 {
		rl := ld.ResourceLogs().AppendEmpty()
		rl.SetSchemaUrl("https://resource")
		resource(rl.Resource(), r)
		sl := rl.ScopeLogs().AppendEmpty()
		sl.SetSchemaUrl("https://scope")
		scope(sl.Scope(), r)
		for i := range 8 {
			rec := sl.LogRecords().AppendEmpty()
			rec.SetObservedTimestamp(base + 5)
			if i > 0 {
				rec.SetTimestamp(base + pcommon.Timestamp(i))
			}
			attributes(rec.Attributes(), i)
			rec.SetSeverityNumber(plog.SeverityNumber(3 * i))
			rec.SetSeverityText("WARN")
			rec.SetFlags(plog.LogRecordFlags(i))
			rec.SetTraceID(traceID(i))
			rec.SetSpanID(spanID(i))
			switch i {
			case 1:
				rec.Body().SetInt(-5)
			case 2:
				attributes(rec.Body().SetEmptyMap(), 1)
			case 3:
				rec.SetEventName("gen_ai.evaluation.result")
			case 4:
				rec.Body().SetEmptyBytes().FromRaw([]byte("bytes"))
			case 5:
				rec.Body().SetDouble(math.Inf(-1))
			case 6:
			default:
				rec.Body().SetStr("ready\nin 2 s")
			}
		}
	}
	return ld
}

func testMetrics() pmetric.Metrics {
	md := pmetric.NewMetrics()
	for r := range 2 {
		rm := md.ResourceMetrics().AppendEmpty()
		rm.SetSchemaUrl("https://resource")
		resource(rm.Resource(), r)
		sm := rm.ScopeMetrics().AppendEmpty()
		sm.SetSchemaUrl("https://scope")
		scope(sm.Scope(), r)
		add := func(name string) pmetric.Metric {
			m := sm.Metrics().AppendEmpty()
			m.SetName(name)
			m.SetDescription("what \"" + name + "\" is")
			m.SetUnit("By")
			return m
		}
		gauge := add("gauge").SetEmptyGauge()
		for i, v := range []float64{0, 1.5, -2e30, math.NaN(), math.Inf(1), math.Inf(-1), 1e-9} {
			p := gauge.DataPoints().AppendEmpty()
			p.SetTimestamp(base + pcommon.Timestamp(i)*1e9)
			p.SetDoubleValue(v)
			attributes(p.Attributes(), i)
			exemplars(p.Exemplars(), i%3)
		}
		sum := add("sum").SetEmptySum()
		sum.SetIsMonotonic(r == 0)
		sum.SetAggregationTemporality(pmetric.AggregationTemporality(r + 1))
		for i := range 3 {
			p := sum.DataPoints().AppendEmpty()
			p.SetTimestamp(base)
			p.SetStartTimestamp(base - pcommon.Timestamp(i)*1e9)
			if i > 0 {
				p.SetIntValue(math.MaxInt64 - int64(i))
			}
			p.SetFlags(pmetric.DataPointFlags(i))
		}
		h := add("histogram").SetEmptyHistogram()
		h.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		for i := range 3 {
			p := h.DataPoints().AppendEmpty()
			p.SetTimestamp(base)
			if i == 0 {
				continue
			}
			p.SetCount(math.MaxUint64)
			p.SetSum(2.5)
			p.SetMin(-1)
			p.SetMax(1e300)
			p.BucketCounts().FromRaw([]uint64{1, 0, math.MaxUint64})
			p.ExplicitBounds().FromRaw([]float64{0.1, math.Inf(1)})
			exemplars(p.Exemplars(), i)
			attributes(p.Attributes(), i)
		}
		x := add("exponential").SetEmptyExponentialHistogram()
		x.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		for i := range 2 {
			p := x.DataPoints().AppendEmpty()
			p.SetTimestamp(base)
			if i == 0 {
				continue
			}
			p.SetCount(7)
			p.SetSum(2.5)
			p.SetScale(-3)
			p.SetZeroCount(2)
			p.Positive().SetOffset(-4)
			p.Positive().BucketCounts().FromRaw([]uint64{1, 2})
			p.Negative().SetOffset(4)
			p.Negative().BucketCounts().FromRaw([]uint64{3})
			exemplars(p.Exemplars(), 1)
		}
		s := add("summary").SetEmptySummary()
		for i := range 2 {
			p := s.DataPoints().AppendEmpty()
			p.SetTimestamp(base)
			p.SetCount(uint64(i))
			p.SetSum(float64(i))
			for q := range 2 * i {
				v := p.QuantileValues().AppendEmpty()
				v.SetQuantile(float64(q) / 2)
				v.SetValue(math.NaN())
			}
		}
	}
	return md
}

func exemplars(ex pmetric.ExemplarSlice, n int) {
	for i := range n {
		x := ex.AppendEmpty()
		x.SetTimestamp(base)
		if i == 0 {
			x.SetIntValue(5)
			continue // no ids, no attributes
		}
		x.SetDoubleValue(2.5)
		x.SetTraceID(traceID(i))
		x.SetSpanID(spanID(i))
		attributes(x.FilteredAttributes(), i)
	}
}

// sinks are the three exporters of one component.
type sinks struct {
	traces  exporter.Traces
	logs    exporter.Logs
	metrics exporter.Metrics
}

func start(t *testing.T, f exporter.Factory, settings map[string]any) sinks {
	t.Helper()
	cfg := f.CreateDefaultConfig()
	require.NoError(t, confmap.NewFromStringMap(settings).Unmarshal(cfg))
	set := exportertest.NewNopSettings(f.Type())
	var s sinks
	var err error
	s.traces, err = f.CreateTraces(t.Context(), set, cfg)
	require.NoError(t, err)
	s.logs, err = f.CreateLogs(t.Context(), set, cfg)
	require.NoError(t, err)
	s.metrics, err = f.CreateMetrics(t.Context(), set, cfg)
	require.NoError(t, err)
	require.NoError(t, s.traces.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, s.logs.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, s.metrics.Start(t.Context(), componenttest.NewNopHost()))
	return s
}

func (s sinks) send(t *testing.T) {
	t.Helper()
	require.NoError(t, s.traces.ConsumeTraces(t.Context(), testTraces()))
	require.NoError(t, s.logs.ConsumeLogs(t.Context(), testLogs()))
	require.NoError(t, s.metrics.ConsumeMetrics(t.Context(), testMetrics()))
}

func (s sinks) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, s.traces.Shutdown(context.Background()))
	require.NoError(t, s.logs.Shutdown(context.Background()))
	require.NoError(t, s.metrics.Shutdown(context.Background()))
}

func contrib(t *testing.T, server *clickhousetest.Server, database string) sinks {
	return start(t, clickhouseexporter.NewFactory(), map[string]any{
		"endpoint":         "tcp://" + server.Addr(),
		"username":         clickhousetest.User,
		"password":         clickhousetest.Password,
		"database":         database,
		"create_schema":    false,
		"sending_queue":    map[string]any{"enabled": false},
		"retry_on_failure": map[string]any{"enabled": false},
	})
}

// tables maps every table to the files that belong into it.
func tables(dir string) map[string][]string {
	m := map[string][]string{
		"otel_traces": {"spans/*/*.jsonl*"},
		"otel_logs":   {"logs/*/*.jsonl*", "scores/*/*.jsonl*"},
	}
	for _, table := range flatjson.Tables() {
		m["otel_metrics_"+table] = []string{"metrics/*/*." + table + ".jsonl*"}
	}
	for table, globs := range m {
		var names []string
		for _, g := range globs {
			found, err := filepath.Glob(filepath.Join(dir, g))
			if err != nil {
				panic(err)
			}
			names = append(names, found...)
		}
		m[table] = names
	}
	return m
}

// rows returns all rows of a table as text, in an order that depends on nothing but the rows.
func rows(t *testing.T, conn driver.Conn, table string) []string {
	t.Helper()
	result, err := conn.Query(t.Context(), "SELECT toString(tuple(*)) AS row FROM "+table+" ORDER BY row")
	require.NoError(t, err)
	defer result.Close()
	var all []string
	for result.Next() {
		var row string
		require.NoError(t, result.Scan(&row))
		all = append(all, row)
	}
	require.NoError(t, result.Err())
	return all
}

// The rows that ClickHouse makes of flat files are those that contrib's exporter makes of the same telemetry, column for
// column; so are those that the exporter makes of what flatjson reads back from the files.
func TestFlatFilesAreTheExportersRows(t *testing.T) {
	server := clickhousetest.Start(t)
	conn := server.Conn()
	all, err := clickhouse.Migrations()
	require.NoError(t, err)
	for _, db := range []string{"direct", "inserted", "reread"} {
		require.NoError(t, (&clickhouse.Migrator{Conn: conn, Database: db, Version: "test", Migrations: all}).Run(t.Context()))
	}
	direct := contrib(t, server, "direct")
	direct.send(t)
	direct.stop(t)

	dir := t.TempDir()
	files := start(t, jsonlexporter.NewFactory(), map[string]any{"path": dir, "encoding": "flat_json"})
	files.send(t)
	files.stop(t)

	reread := contrib(t, server, "reread")
	for table, names := range tables(dir) {
		require.NotEmpty(t, names, table)
		for _, name := range names {
			data, err := os.ReadFile(name)
			require.NoError(t, err)
			post(t, server, "INSERT INTO inserted."+table+" FORMAT JSONEachRow", data)
			td, ld, md := ptrace.NewTraces(), plog.NewLogs(), pmetric.NewMetrics()
			for line := range strings.Lines(string(data)) {
				n, ok := segment.Parse(name)
				require.True(t, ok)
				switch table {
				case "otel_traces":
					require.NoError(t, flatjson.DecodeSpan([]byte(line), td))
				case "otel_logs":
					require.NoError(t, flatjson.DecodeLog([]byte(line), ld))
				default:
					require.Equal(t, n.Table, flatjson.TableOf([]byte(line)))
					require.NoError(t, flatjson.DecodeMetric(n.Table, []byte(line), md))
				}
			}
			require.NoError(t, reread.traces.ConsumeTraces(t.Context(), td))
			require.NoError(t, reread.logs.ConsumeLogs(t.Context(), ld))
			require.NoError(t, reread.metrics.ConsumeMetrics(t.Context(), md))
		}
	}
	reread.stop(t)
	for table, names := range tables(dir) {
		want := rows(t, conn, "direct."+table)
		require.NotEmpty(t, want, "%s: %v", table, names)
		assert.Equal(t, want, rows(t, conn, "inserted."+table), table)
		assert.Equal(t, want, rows(t, conn, "reread."+table), table)
	}
}

func query(s string) string { return url.QueryEscape(s) }
