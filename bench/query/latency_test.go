// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package query measures how long people wait for what the console shows, next to the same questions on the tables of contrib's
// ClickHouse exporter, in the same server and in turns. Run it with `make bench-query`.
package query

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/query"
	"github.com/tailrace/tailrace/internal/querytest"
)

var (
	rows = flag.Int("rows", 1_000_000, "spans in each of the two sets of tables")
	runs = flag.Int("runs", 50, "how often each question is asked")
	days = flag.Int("days", 7, "over how many days the spans are spread")
	data = flag.String("data", "", "a folder that keeps the tables for the next run; what is in it is not made again")
	only = flag.String("only", "tailrace,contrib", "whose tables are made and asked")
)

// question is asked of both; args choose what exactly.
type question struct {
	name    string
	ours    func(q *query.Querier, a args) error
	contrib string // with {trace}, {service}, {name}, {project}, {attribute}
}

// now is the time of the newest span: the questions are asked when the data is fresh, also of tables that were kept.
var now time.Time

type args struct{ trace, service, name, project, attribute string }

const list = "SELECT Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, Duration, StatusCode FROM otel.otel_traces WHERE "

var questions = []question{
	{"/traces/{id}", func(q *query.Querier, a args) error {
		_, err := q.Trace(context.Background(), access.Local(), a.trace, query.Request{Full: true})
		return err
	}, "WITH '{trace}' AS id, (SELECT min(Start) FROM otel.otel_traces_trace_id_ts WHERE TraceId = id) AS a, (SELECT max(End) + 1 FROM otel.otel_traces_trace_id_ts WHERE TraceId = id) AS b SELECT * FROM otel.otel_traces WHERE TraceId = id AND Timestamp >= a AND Timestamp <= b ORDER BY Timestamp"},
	{"/spans newest of a project", spans("project={project}"), list + "ResourceAttributes['project.id'] = '{project}' ORDER BY Timestamp DESC LIMIT 51"},
	{"/spans newest of a service", spans("project={project}&service={service}"), list + "ServiceName = '{service}' ORDER BY Timestamp DESC LIMIT 51"},
	{"/spans newest of a name", spans("project={project}&name={name}"), list + "SpanName = '{name}' AND ResourceAttributes['project.id'] = '{project}' ORDER BY Timestamp DESC LIMIT 51"},
	{"/spans that failed", spans("project={project}&status=error"), list + "StatusCode = 'Error' AND ResourceAttributes['project.id'] = '{project}' ORDER BY Timestamp DESC LIMIT 51"},
	{"/spans by an attribute", spans("attribute=gen_ai.conversation.id={attribute}"), list + "SpanAttributes['gen_ai.conversation.id'] = '{attribute}' ORDER BY Timestamp DESC LIMIT 51"},
	{"/traces newest of a project", func(q *query.Querier, a args) error {
		r, err := query.Parse(query.KindTraces, map[string][]string{"project": {a.project}}, now)
		if err == nil {
			_, err = q.Traces(context.Background(), access.Local(), r)
		}
		return err
	}, "SELECT TraceId, min(Timestamp) AS t, count(), countIf(StatusCode = 'Error'), anyIf(SpanName, ParentSpanId = '') FROM otel.otel_traces WHERE ResourceAttributes['project.id'] = '{project}' GROUP BY TraceId ORDER BY t DESC LIMIT 51"},
}

func spans(filter string) func(*query.Querier, args) error {
	return func(q *query.Querier, a args) error {
		values := map[string][]string{}
		for part := range strings.SplitSeq(filter, "&") {
			key, value, _ := strings.Cut(part, "=")
			values[key] = []string{a.fill(value)}
		}
		r, err := query.Parse(query.KindSpans, values, now)
		if err == nil {
			_, err = q.Spans(context.Background(), access.Local(), r)
		}
		return err
	}
}

func (a args) fill(s string) string {
	return strings.NewReplacer("{trace}", a.trace, "{service}", a.service, "{name}", a.name, "{project}", a.project, "{attribute}", a.attribute).Replace(s)
}

func TestLatency(t *testing.T) {
	dir := *data
	if dir == "" {
		dir = t.TempDir()
	}
	s := querytest.NewIn(t, dir)
	withContrib := strings.Contains(*only, "contrib")
	s.Exec(t, "CREATE DATABASE IF NOT EXISTS otel")
	ddl, err := os.ReadFile("../../internal/clickhouse/testdata/contrib-0.161.0-tables.sql")
	require.NoError(t, err)
	for statement := range strings.SplitSeq(regexp.MustCompile(`(?m)^--.*\n`).ReplaceAllString(string(ddl), ""), ";\n") {
		if statement = strings.TrimSpace(statement); statement != "" {
			s.Exec(t, strings.TrimSuffix(statement, ";"))
		}
	}
	generator, err := os.ReadFile("../schema/spans.sql")
	require.NoError(t, err)
	from := time.Now().Add(-time.Duration(*days) * 24 * time.Hour).Unix()
	const block = 500_000
	for _, whose := range []string{"tailrace", "contrib"} {
		if !strings.Contains(*only, whose) {
			continue
		}
		into := map[string]string{"tailrace": "tailrace.otel_traces", "contrib": "otel.otel_traces"}[whose]
		var have uint64
		require.NoError(t, s.Conn().QueryRow(t.Context(), "SELECT count() FROM "+into).Scan(&have))
		require.Zero(t, have%block, "%s was not made here", into)
		for offset := int(have); offset < *rows; offset += block {
			s.Exec(t, strings.NewReplacer("{into}", into, "{seed}", "7", "{from}", fmt.Sprint(from), "{span_seconds}", fmt.Sprint(*days*86400), "{rows}", fmt.Sprint(*rows),
				"{offset}", fmt.Sprint(offset), "{count}", fmt.Sprint(min(block, *rows-offset))).Replace(string(generator)))
		}
	}
	require.Eventually(t, func() bool { // a store at rest
		var merging uint64
		require.NoError(t, s.Conn().QueryRow(t.Context(), "SELECT count() FROM system.merges").Scan(&merging))
		return merging == 0
	}, time.Hour, time.Second)

	require.NoError(t, s.Conn().QueryRow(t.Context(), "SELECT max(Timestamp) FROM tailrace.otel_traces").Scan(&now))
	q := query.New(s, query.Limits{})
	plain := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_execution_time": 60}))
	random := rand.New(rand.NewPCG(1, 2))
	t.Logf("%d spans over %d days", *rows, *days)
	for _, question := range questions {
		var ours, theirs []time.Duration
		for i := range *runs + 3 {
			var a args
			require.NoError(t, s.Conn().QueryRow(t.Context(), "SELECT TraceId, ServiceName, SpanName, ResourceAttributes['project.id'], SpanAttributes['gen_ai.conversation.id'] FROM tailrace.otel_traces WHERE ParentSpanId = '' LIMIT 1 OFFSET ?", random.IntN(min(*rows/20, 50_000))).
				Scan(&a.trace, &a.service, &a.name, &a.project, &a.attribute))
			one := func(to *[]time.Duration, f func() error) {
				began := time.Now()
				require.NoError(t, f(), question.name)
				if i >= 3 { // warm
					*to = append(*to, time.Since(began))
				}
			}
			one(&ours, func() error { return question.ours(q, a) })
			if !withContrib {
				continue
			}
			one(&theirs, func() error {
				got, err := s.Conn().Query(plain, a.fill(question.contrib))
				if err != nil {
					return err
				}
				for got.Next() { // read all, as a client does
				}
				return got.Err()
			})
		}
		slices.Sort(ours)
		slices.Sort(theirs)
		at := func(d []time.Duration, p int) string {
			return fmt.Sprintf("%.1f", float64(d[(len(d)-1)*p/100])/1e6)
		}
		line := fmt.Sprintf("| `%s` | %s | %s |", question.name, at(ours, 50), at(ours, 99))
		if withContrib {
			line += fmt.Sprintf(" %s | %s | %.2f |", at(theirs, 50), at(theirs, 99), float64(ours[len(ours)/2])/float64(theirs[len(theirs)/2]))
		}
		t.Log(line)
	}
}
