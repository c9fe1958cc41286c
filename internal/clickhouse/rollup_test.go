// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/clickhousetest"
)

// token makes an insert what clickhouse_ingest makes of it.
func token(ctx context.Context, t string) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"insert_deduplication_token": t, "async_insert": 0, "deduplicate_blocks_in_dependent_materialized_views": 1,
	}))
}

// table returns the rows of a query as text, one a line.
func table(t testing.TB, conn driver.Conn, query string) string {
	t.Helper()
	var out string
	require.NoError(t, conn.QueryRow(context.Background(), "SELECT arrayStringConcat(groupArray(toString(tuple(*))), '\n') FROM ("+query+")").Scan(&out), query)
	return out
}

const (
	// What is counted over the raw rows: each span and each log record once.
	onceSpans = "(SELECT * FROM (SELECT *, ProjectId, ServerId, DeploymentId, BuildId FROM d.otel_traces) LIMIT 1 BY TraceId, SpanId)"
	onceLogs  = "(SELECT * FROM (SELECT *, ProjectId, ServerId, DeploymentId, BuildId, Uid FROM d.otel_logs) LIMIT 1 BY if(Uid = '', toString(generateUUIDv4()), Uid))"
)

// equalPairs are the rollups, and the same counted over the raw rows.
var equalPairs = map[string][2]string{
	"span_counts_hourly": {
		"SELECT ProjectId, Hour, ServiceName, DeploymentId, ServerId, BuildId, StatusCode, Spans FROM d.span_counts_hourly ORDER BY ALL",
		"SELECT ProjectId, toStartOfHour(toDateTime(Timestamp, 'UTC')) AS Hour, ServiceName, DeploymentId, ServerId, BuildId, StatusCode, count() FROM " + onceSpans + " GROUP BY ALL ORDER BY ALL",
	},
	"trace_summaries": {
		"SELECT ProjectId, TraceId, Start, End, HasRoot, RootName, RootDuration, Spans, Errors, Services, ServerIds, Models, Calls, InputTokens, OutputTokens, round(Cost, 6) FROM d.trace_summaries ORDER BY ALL",
		`SELECT ProjectId, TraceId, min(Timestamp) AS Start, max(addNanoseconds(Timestamp, toInt64(Duration))) AS End, toUInt8(countIf(ParentSpanId = '') > 0), max(if(ParentSpanId = '', SpanName, '')),
 max(if(ParentSpanId = '', Duration, 0)), count(), countIf(StatusCode = 'Error'), arraySort(groupUniqArray(ServiceName)), arraySort(groupUniqArray(ServerId)), arraySort(groupUniqArrayIf(m, llm)),
 countIf(llm), sumIf(i, llm), sumIf(o, llm), round(sumIf((i - c) * input + c * cached + o * output, llm) / 1000000, 6) FROM (SELECT *, SpanAttributes['gen_ai.operation.name'] = 'chat' AS llm,
 SpanAttributes['gen_ai.request.model'] AS m, toUInt64OrZero(SpanAttributes['gen_ai.usage.input_tokens']) AS i, toUInt64OrZero(SpanAttributes['gen_ai.usage.output_tokens']) AS o,
 toUInt64OrZero(SpanAttributes['gen_ai.usage.cache_read.input_tokens']) AS c,
 multiIf(m = 'gpt-4o-mini', 1., m = 'gpt-4o', 2., 0.) AS input, multiIf(m = 'gpt-4o-mini', 10., m = 'gpt-4o', 20., 0.) AS output, multiIf(m = 'gpt-4o-mini', .5, m = 'gpt-4o', 2., 0.) AS cached
 FROM ` + onceSpans + ") GROUP BY ProjectId, TraceId ORDER BY ALL",
	},
	"usage_hourly": {
		"SELECT ProjectId, Hour, ServerId, Model, sum(Calls), sum(InputTokens), sum(OutputTokens), sum(CacheReadTokens), sum(ReasoningTokens) FROM d.usage_hourly GROUP BY ALL ORDER BY ALL",
		`SELECT ProjectId, toStartOfHour(toDateTime(Timestamp, 'UTC')) AS Hour, ServerId, SpanAttributes['gen_ai.request.model'] AS Model, count(), sum(toUInt64(SpanAttributes['gen_ai.usage.input_tokens'])),
 sum(toUInt64(SpanAttributes['gen_ai.usage.output_tokens'])), sum(toUInt64OrZero(SpanAttributes['gen_ai.usage.cache_read.input_tokens'])), toUInt64(0) FROM ` + onceSpans + " WHERE SpanAttributes['gen_ai.operation.name'] = 'chat' GROUP BY ALL ORDER BY ALL",
	},
	"log_counts_hourly": {
		"SELECT ProjectId, Hour, ServiceName, ServerId, Level, Logs FROM d.log_counts_hourly ORDER BY ALL",
		`SELECT ProjectId, toStartOfHour(toDateTime(Timestamp, 'UTC')) AS Hour, ServiceName, ServerId, multiIf(SeverityNumber = 0, 'unset', SeverityNumber < 5, 'trace', SeverityNumber < 9, 'debug',
 SeverityNumber < 13, 'info', SeverityNumber < 17, 'warn', SeverityNumber < 21, 'error', 'fatal') AS Level, count() FROM ` + onceLogs + " GROUP BY ALL ORDER BY ALL",
	},
	"otel_traces_trace_id_ts": {
		"SELECT TraceId, ProjectId, min(Start) AS Start, max(End) AS End FROM d.otel_traces_trace_id_ts GROUP BY ALL ORDER BY ALL",
		"SELECT TraceId, ProjectId, toDateTime(min(Timestamp)), toDateTime(max(Timestamp)) + 1 FROM " + onceSpans + " GROUP BY ALL ORDER BY ALL",
	},
}

// feed makes batches as a bad week brings them: in no order, some days late, with spans and records that their sender
// repeats in the same batch or a later one, and batches that are sent twice under their token.
type feed struct {
	rng   *rand.Rand
	conn  driver.Conn
	spans []string
	logs  []string
	n     int
}

func (f *feed) at() string {
	t := time.Date(2026, 3, 29, 22, 0, 0, 0, time.UTC).Add(time.Duration(f.rng.Int64N(int64(5 * time.Hour))))
	if f.rng.IntN(10) == 0 {
		t = t.Add(-time.Duration(f.rng.IntN(4)) * 24 * time.Hour)
	}
	return fmt.Sprintf("fromUnixTimestamp64Nano(%d)", t.UnixNano())
}

func (f *feed) span() string {
	if len(f.spans) > 0 && f.rng.IntN(5) == 0 {
		return f.spans[f.rng.IntN(len(f.spans))]
	}
	trace := f.rng.IntN(60)
	parent := "''"
	if f.rng.IntN(4) > 0 {
		parent = "'0011223344556677'"
	}
	attributes := "{}"
	if f.rng.IntN(3) == 0 {
		attributes = fmt.Sprintf("{'gen_ai.operation.name':'chat','gen_ai.provider.name':'openai','gen_ai.request.model':'%s','gen_ai.usage.input_tokens':'%d','gen_ai.usage.output_tokens':'%d','gen_ai.usage.cache_read.input_tokens':'%d'}",
			[]string{"gpt-4o", "gpt-4o-mini", "unknown"}[f.rng.IntN(3)], 20+f.rng.IntN(100), f.rng.IntN(100), f.rng.IntN(20))
	} else if f.rng.IntN(3) == 0 {
		attributes = "{'gen_ai.operation.name':'invoke_agent','gen_ai.usage.input_tokens':'99999'}" // the sum of its children: not counted again
	}
	f.spans = append(f.spans, fmt.Sprintf("(%s, '%032x', '%016x', %s, 'name-%d', 'svc-%d', {'project.id':'p%d','server.id':'s%d'}, %s, %d, '%s')", f.at(), trace, f.rng.Uint64(), parent,
		f.rng.IntN(3), f.rng.IntN(3), trace%3, f.rng.IntN(2), attributes, f.rng.IntN(1e10), []string{"Unset", "Ok", "Error"}[f.rng.IntN(3)]))
	return f.spans[len(f.spans)-1]
}

func (f *feed) log() string {
	if len(f.logs) > 0 && f.rng.IntN(5) == 0 {
		return f.logs[f.rng.IntN(len(f.logs))]
	}
	uid := fmt.Sprintf("{'log.record.uid':'uid-%d'}", f.rng.Uint64())
	row := func(uid string) string {
		return fmt.Sprintf("(%s, %d, 'svc-%d', {'project.id':'p%d','server.id':'s%d'}, %s)", f.at(), f.rng.IntN(25), f.rng.IntN(3), f.rng.IntN(3), f.rng.IntN(2), uid)
	}
	if f.rng.IntN(20) == 0 {
		return row("{}") // nothing tells a repetition of this one
	}
	f.logs = append(f.logs, row(uid))
	return f.logs[len(f.logs)-1]
}

func (f *feed) batch(t testing.TB) {
	f.n++
	into, make := "d.otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, ServiceName, ResourceAttributes, SpanAttributes, Duration, StatusCode)", f.span
	if f.rng.IntN(2) == 0 {
		into, make = "d.otel_logs (Timestamp, SeverityNumber, ServiceName, ResourceAttributes, LogAttributes)", f.log
	}
	var rows []string
	for range 1 + f.rng.IntN(80) {
		rows = append(rows, make())
	}
	for range 1 + f.rng.IntN(2) {
		require.NoError(t, f.conn.Exec(token(t.Context(), fmt.Sprint("batch-", f.n)), "INSERT INTO "+into+" VALUES "+strings.Join(rows, ", ")))
	}
}

func TestRollupsEqualACountOverTheRawRows(t *testing.T) {
	conn := clickhousetest.Start(t).Conn()
	all, err := Migrations()
	require.NoError(t, err)
	m := Migrator{Conn: conn, Database: "d", Migrations: all, Policy: Policy{Prices: []Price{
		{Model: "gpt-4o", Input: 2, Output: 20, CacheRead: 2},
		{Model: "gpt-4o-*", Input: 1, Output: 10, CacheRead: .5},
		{Model: "gpt*", Input: 1000, Output: 1000}, // a shorter name does not win
		{Model: "gpt-4o-mini", Provider: "other", Input: 1000},
		{Model: "gpt-4o", Since: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), Input: 1000},
	}}}
	require.NoError(t, m.Run(t.Context()))
	for _, seed := range []uint64{1, 2} {
		f := &feed{rng: rand.New(rand.NewPCG(seed, 0)), conn: conn, n: int(seed) * 1000}
		for range 12 {
			f.batch(t)
		}
		check := func(when string) {
			for name, pair := range equalPairs {
				want := table(t, conn, pair[1])
				require.NotEmpty(t, want)
				assert.Equal(t, want, table(t, conn, pair[0]), "%s, seed %d, %s", name, seed, when)
			}
		}
		check("as inserted")
		for _, rollup := range []string{"trace_states", "log_states", "otel_traces_trace_id_ts"} {
			require.NoError(t, conn.Exec(t.Context(), "OPTIMIZE TABLE d."+rollup+" FINAL"))
		}
		check("merged")
	}
	repeated := count(t, conn, "d.otel_traces") - count(t, conn, onceSpans)
	assert.Positive(t, repeated, "the feed repeats spans")
	assert.Less(t, count(t, conn, onceLogs), count(t, conn, "d.otel_logs"), "the feed repeats log records")

	t.Run("trace_summaries_between is trace_summaries of that time", func(t *testing.T) {
		const since, until = "2026-03-29 23:10:00", "2026-03-30 01:20:30"
		between := table(t, conn, "SELECT * EXCEPT (Cost), round(Cost, 6) FROM d.trace_summaries_between(since = '"+since+"', until = '"+until+"') ORDER BY ALL")
		require.NotEmpty(t, between)
		// Those that began days before or go on for days after are not whole within a day of it.
		assert.Equal(t, table(t, conn, "SELECT * EXCEPT (Cost), round(Cost, 6) FROM d.trace_summaries WHERE Start >= '"+since+"' AND Start < '"+until+"' ORDER BY ALL"),
			table(t, conn, "SELECT * EXCEPT (Cost), round(Cost, 6) FROM d.trace_summaries_between(since = '"+since+"', until = '"+until+"') WHERE TraceId IN (SELECT TraceId FROM d.trace_summaries WHERE Start >= '"+since+"' AND Start < '"+until+"') ORDER BY ALL"))
	})

	t.Run("Cost of an hour", func(t *testing.T) {
		var usage, traces float64
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT (SELECT sum(Cost) FROM d.usage_hourly), (SELECT sum(Cost) FROM d.trace_summaries)").Scan(&usage, &traces))
		assert.InDelta(t, traces, usage, 1e-9)
		assert.Positive(t, count(t, conn, "d.usage_hourly WHERE Model = 'unknown' AND Cost IS NULL"), "a model without a price has no cost, not a cost of 0")
		assert.Zero(t, count(t, conn, "d.usage_hourly WHERE Model != 'unknown' AND Cost IS NULL"))
	})

	t.Run("New prices hold for old usage too", func(t *testing.T) {
		m.Policy.Prices = []Price{{Model: "*", Input: 1, Output: 1, CacheRead: 1}}
		require.NoError(t, m.Run(t.Context()))
		assert.Equal(t, table(t, conn, "SELECT round(sum(InputTokens + OutputTokens) / 1000000, 6) FROM d.usage_hourly"), table(t, conn, "SELECT round(sum(Cost), 6) FROM d.usage_hourly"))
		var said []string
		m.Adjusted = func(s string) { said = append(said, s) }
		require.NoError(t, m.Run(t.Context()))
		assert.Empty(t, said, "the same prices are not written again")
	})
}

func TestScoresComeFromEvaluationResults(t *testing.T) {
	conn := clickhousetest.Start(t).Conn()
	migrate(t, conn, "d")
	insert := func(tok string) {
		require.NoError(t, conn.Exec(token(t.Context(), tok), `INSERT INTO d.otel_logs (Timestamp, TraceId, SpanId, ServiceName, ResourceAttributes, LogAttributes) VALUES
 ('2026-03-01 10:00:00', 't1', 's1', 'svc', {'project.id':'p','server.id':'a','deployment.id':'dep','build.id':'b'}, {'event.name':'gen_ai.evaluation.result','log.record.uid':'u1','gen_ai.evaluation.name':'relevance','gen_ai.evaluation.score.value':'0','gen_ai.evaluation.score.label':'fail','gen_ai.evaluation.explanation':'why','extra':'x'}),
 ('2026-03-01 10:00:01', '', '', 'svc', {'project.id':'p'}, {'event.name':'gen_ai.evaluation.result','log.record.uid':'u2','gen_ai.evaluation.name':'tone','gen_ai.evaluation.score.label':'pass'}),
 ('2026-03-01 10:00:02', '', '', 'svc', {'project.id':'p'}, {'event.name':'gen_ai.evaluation.result','gen_ai.evaluation.name':'tone','gen_ai.evaluation.score.value':'-1.5e2'}),
 ('2026-03-01 10:00:03', '', '', 'svc', {'project.id':'p'}, {'event.name':'server.health'})`))
	}
	insert("a")
	insert("a")
	require.NoError(t, conn.Exec(t.Context(), "INSERT INTO d.otel_logs (Timestamp, EventName, LogAttributes) VALUES ('2026-03-01 11:00:00', 'gen_ai.evaluation.result', {'gen_ai.evaluation.name':'named by the column'})"))
	assert.Equal(t, strings.Join([]string{
		"('relevance',0,'fail','why','u1','t1','s1','p','dep','a','b','svc',{'extra':'x'})",
		"('tone',NULL,'pass','','u2','','','p','','','','svc',{})",
		"('tone',-150,'','','','','','p','','','','svc',{})",
		"('named by the column',NULL,'','','','','','','','','','',{})",
	}, "\n"), table(t, conn, "SELECT Name, Value, Label, Explanation, Uid, TraceId, SpanId, ProjectId, DeploymentId, ServerId, BuildId, ServiceName, Attributes FROM d.otel_scores ORDER BY Timestamp"))
}
