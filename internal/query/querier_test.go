// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/querytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nasty are strings that end, escape or begin something somewhere.
var nasty = []string{
	"", "'", `\`, `\'`, `''`, `"`, "`", ";", "--", "/*", "*/", "#", "a,b", "[", "]", "{p1:String}", "{", "}", "%", "_", "?", "$1", "@p1", "\n", "\t", "\r\n", "\b\f\v", "\x7f",
	"' OR 1=1 --", `\' OR 1=1 --`, "') OR ('1'='1", "1; DROP TABLE otel_traces", "unhex('41')", "ü", "日本語", "😀", "\u2028", "\ufeff", "e\u0301", "\x01", "%00", "\\x27", "\\0", "\xff\xfe", "\x00",
	strings.Repeat("'", 1000),
}

func TestParametersArriveAsTheyAre(t *testing.T) {
	q, store := newQuerier(t)
	http, err := clickhouse.Open(&clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{fmt.Sprintf("127.0.0.1:%d", store.Server.HTTPPort)},
		Auth: clickhouse.Auth{Username: "tailrace", Password: "test-password"}})
	require.NoError(t, err)
	defer http.Close()
	for name, q := range map[string]*Querier{"native": q, "http": New(&otherConn{store, http}, Limits{})} {
		t.Run(name, func(t *testing.T) {
			for _, want := range nasty {
				s := newStatement()
				s.head = "SELECT " + s.str(want) + ", " + s.str("x") + ", " + s.num(-7) + ", toUnixTimestamp64Nano(" + s.at(t0.Add(1)) + ")"
				require.NoError(t, q.run(t.Context(), q.budget(), s, func(scan func(...any) error) error {
					var got, x string
					var n, at int64
					require.NoError(t, scan(&got, &x, &n, &at))
					assert.Equal(t, want, got)
					assert.Equal(t, "x", x)
					assert.EqualValues(t, -7, n)
					assert.Equal(t, t0.UnixNano()+1, at)
					return nil
				}), "%q", want)
			}
		})
	}
}

// otherConn is a store behind another connection.
type otherConn struct {
	*querytest.Store
	conn driver.Conn
}

func (s *otherConn) Conn() driver.Conn { return s.conn }

func TestAQueryCanOnlyRead(t *testing.T) {
	q, _ := newQuerier(t)
	for _, sql := range []string{"DROP TABLE tailrace.otel_traces", "INSERT INTO tailrace.otel_traces (TraceId) VALUES ('x')", "SYSTEM FLUSH LOGS"} {
		s := newStatement()
		s.head = sql
		assert.Error(t, q.run(t.Context(), q.budget(), s, func(func(...any) error) error { return nil }), sql)
	}
}

// TestConditionsReachTheKey looks at ClickHouse's plan: bound values must choose granules as literals would.
func TestConditionsReachTheKey(t *testing.T) {
	q, store := newQuerier(t)
	for _, p := range []string{"a", "b", "c", "d"} {
		store.Spans(t, p, 20_000, 0)
	}
	store.Exec(t, "OPTIMIZE TABLE tailrace.otel_traces FINAL")
	explain := func(t *testing.T, s *statement) string {
		s.head = "EXPLAIN indexes = 1 SELECT count() FROM " + q.table("otel_traces")
		var plan strings.Builder
		require.NoError(t, q.run(t.Context(), q.budget(), s, func(scan func(...any) error) error {
			var line string
			err := scan(&line)
			plan.WriteString(line + "\n")
			return err
		}))
		return plan.String()
	}
	for name, caller := range map[string]*access.Caller{"one project": viewer("a"), "two projects": viewer("a", "b"), "a pattern": viewer("a*", "b")} {
		s := newStatement()
		some, err := restrict(s, caller, nil)
		require.NoError(t, err)
		require.True(t, some)
		chosen, all := granules(t, explain(t, s), "PrimaryKey")
		assert.LessOrEqual(t, chosen, all/2+1, name)
	}
	s := newStatement()
	_, err := restrict(s, viewer("a"), nil)
	require.NoError(t, err)
	(&Filter{Start: t0, End: t0.Add(5 * time.Minute)}).within(s, "Timestamp")
	chosen, _ := granules(t, explain(t, s), "PrimaryKey")
	assert.Equal(t, 1, chosen, "five minutes of one project")
	s = newStatement()
	s.where(s.in("TraceId", []string{"61000000000000000000000000000001", "61000000000000000000000000000002"}))
	chosen, all := granules(t, explain(t, s), "idx_trace_id")
	assert.Less(t, chosen, all)
}

// granules reads from a plan how many granules an index chose, and of how many.
func granules(t *testing.T, plan, index string) (chosen, all int) {
	t.Helper()
	_, behind, ok := strings.Cut(plan, index)
	require.True(t, ok, plan)
	_, behind, ok = strings.Cut(behind, "Granules: ")
	require.True(t, ok, plan)
	_, err := fmt.Sscanf(behind, "%d/%d", &chosen, &all)
	require.NoError(t, err)
	return chosen, all
}

func TestLimitsAreNamed(t *testing.T) {
	store := querytest.New(t)
	store.Spans(t, "shop", 100_000, 0)
	slow := parse(t, KindSpans, "regex=x.*y.*z.*w&start="+t0.Format(time.RFC3339))
	for name, limits := range map[string]Limits{
		"rows": {Rows: 1000}, "bytes": {Bytes: 1000}, "memory": {Memory: 1 << 16}, "time": {Time: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(store, limits).Spans(t.Context(), access.Local(), slow)
			var limit *LimitError
			require.ErrorAs(t, err, &limit)
			assert.Equal(t, name, limit.Limit)
			assert.Contains(t, err.Error(), limit.Value)
		})
	}
	t.Run("concurrency", func(t *testing.T) {
		q := New(store, Limits{Concurrent: 1, Wait: time.Millisecond})
		q.turns <- struct{}{}
		_, err := q.Spans(t.Context(), access.Local(), slow)
		var limit *LimitError
		require.ErrorAs(t, err, &limit)
		assert.Equal(t, "concurrency", limit.Limit)
		<-q.turns
		_, err = q.Spans(t.Context(), access.Local(), slow)
		require.NoError(t, err)
	})
}

func TestAQueryEndsWithItsCaller(t *testing.T) {
	store := querytest.New(t)
	running := func() (n uint64) {
		require.NoError(t, store.Conn().QueryRow(t.Context(), "SELECT count() FROM system.processes WHERE query LIKE '%the long one%' AND query NOT LIKE '%processes%'").Scan(&n))
		return n
	}
	q := New(store, Limits{Rows: 1 << 60, Bytes: 1 << 60})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		s := newStatement()
		s.head = "SELECT sum(cityHash64(number)) /* the long one */ FROM numbers(1000000000000)"
		done <- q.run(ctx, q.budget(), s, func(func(...any) error) error { return nil })
	}()
	require.Eventually(t, func() bool { return running() == 1 }, 10*time.Second, 10*time.Millisecond)
	cancel()
	assert.ErrorIs(t, <-done, context.Canceled)
	require.Eventually(t, func() bool { return running() == 0 }, 10*time.Second, 10*time.Millisecond, "it goes on in ClickHouse")

	// One whose rows are not wanted any more ends, too.
	s := newStatement()
	s.head = "SELECT number /* the long one */ FROM numbers(1000000000000)"
	enough := errors.New("enough")
	assert.ErrorIs(t, q.run(t.Context(), q.budget(), s, func(func(...any) error) error { return enough }), enough)
	require.Eventually(t, func() bool { return running() == 0 }, 10*time.Second, 10*time.Millisecond)
}

func TestClickHouseAway(t *testing.T) {
	q, store := newQuerier(t)
	_, err := q.Spans(t.Context(), access.Local(), parse(t, KindSpans, ""))
	require.NoError(t, err)
	store.Server.Kill()
	_, err = q.Spans(t.Context(), access.Local(), parse(t, KindSpans, ""))
	var away *UnavailableError
	require.ErrorAs(t, err, &away)
	_, err = New(notReady{store}, Limits{ReadyWait: time.Millisecond}).Spans(t.Context(), access.Local(), parse(t, KindSpans, ""))
	require.ErrorAs(t, err, &away)
	assert.ErrorContains(t, err, "no schema yet")

	store.Server.Run()
	_, err = q.Spans(t.Context(), access.Local(), parse(t, KindSpans, ""))
	require.NoError(t, err)
}

type notReady struct{ *querytest.Store }

func (notReady) WaitReady(ctx context.Context) error {
	<-ctx.Done()
	return errors.New("no schema yet")
}
