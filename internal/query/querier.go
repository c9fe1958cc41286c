// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/tailrace/tailrace/internal/access"
)

// Store is where the data is; clickhouse.Store of the `clickhouse_store` extension is one.
type Store interface {
	WaitReady(ctx context.Context) error
	Conn() driver.Conn
	Database() string
}

// Limits bound what one question may cost. The zero value of a field means its default.
type Limits struct {
	// Rows and Bytes (uncompressed) that a query may read: 500 million, 64 GiB.
	Rows, Bytes uint64
	// Memory that a query may use in ClickHouse, in bytes: 1 GiB.
	Memory uint64
	// Time that a question may take: 15 s.
	Time time.Duration
	// Answer bounds the attributes and bodies of an answer, in bytes: 32 MiB. A page of a list ends there.
	Answer int
	// Spans of one trace that are shown: 20,000.
	Spans int
	// Concurrent queries, of all callers: 6. The store's pool has 8 connections, and others need some.
	Concurrent int
	// Wait is how long a query waits for its turn, and for a store that is not ready: 2 s, 500 ms.
	Wait, ReadyWait time.Duration
}

func (l Limits) withDefaults() Limits {
	def := func(field *uint64, value uint64) {
		if *field == 0 {
			*field = value
		}
	}
	def(&l.Rows, 500_000_000)
	def(&l.Bytes, 64<<30)
	def(&l.Memory, 1<<30)
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&l.Time, 15 * time.Second}, {&l.Wait, 2 * time.Second}, {&l.ReadyWait, 500 * time.Millisecond}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *int
		value int
	}{{&l.Answer, 32 << 20}, {&l.Spans, 20_000}, {&l.Concurrent, 6}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return l
}

// Querier answers questions. It is safe for concurrent use and holds no connection of its own.
type Querier struct {
	store  Store
	limits Limits
	turns  chan struct{}
}

// New makes a Querier.
func New(store Store, limits Limits) *Querier {
	limits = limits.withDefaults()
	return &Querier{store: store, limits: limits, turns: make(chan struct{}, limits.Concurrent)}
}

// Limits returns the limits in force.
func (q *Querier) Limits() Limits { return q.limits }

// budget is the time that is left to a question, which may take several queries.
type budget struct{ until time.Time }

func (q *Querier) budget() budget { return budget{time.Now().Add(q.limits.Time)} }

// run executes one query and calls row for each of its rows, with the function that scans it. An error of row ends
// the query and is returned.
func (q *Querier) run(ctx context.Context, b budget, s *statement, row func(scan func(...any) error) error) error {
	if err := q.ready(ctx); err != nil {
		return err
	}
	if err := q.turn(ctx); err != nil {
		return err
	}
	defer func() { <-q.turns }()

	left := time.Until(b.until)
	if left <= 0 {
		return &LimitError{"time", q.limits.Time.String()}
	}
	// Without the deadline of ctx: the driver would make a max_execution_time of its own of it.
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { cancel(ctx.Err()) })()
	// ClickHouse looks at the clock between blocks only.
	overtime := time.AfterFunc(left+2*time.Second, func() { cancel(errOvertime) })
	defer overtime.Stop()
	inner = clickhouse.Context(inner, clickhouse.WithParameters(s.params), clickhouse.WithSettings(q.settings(left)))

	err := func() error {
		rows, err := q.store.Conn().Query(inner, s.text())
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // Err says the same
		for rows.Next() {
			if err := row(rows.Scan); err != nil {
				cancel(err) // before Close, which would read the rest
				return &rowError{err}
			}
		}
		return rows.Err()
	}()
	if stopped := (*rowError)(nil); errors.As(err, &stopped) {
		return stopped.err
	}
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(inner), errOvertime) {
		return &LimitError{"time", q.limits.Time.String()}
	}
	return q.limits.classify(ctx, err)
}

var errOvertime = errors.New("over time")

// rowError is the error of a row function, which must not be taken for the driver's.
type rowError struct{ err error }

func (e *rowError) Error() string { return e.err.Error() }

func (q *Querier) ready(ctx context.Context) error {
	wait, stop := context.WithTimeout(ctx, q.limits.ReadyWait)
	defer stop()
	if err := q.store.WaitReady(wait); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &UnavailableError{err}
	}
	return nil
}

func (q *Querier) turn(ctx context.Context) error {
	select {
	case q.turns <- struct{}{}:
		return nil
	default:
	}
	wait := time.NewTimer(q.limits.Wait)
	defer wait.Stop()
	select {
	case q.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return &LimitError{"concurrency", fmt.Sprint(q.limits.Concurrent)}
	}
}

func (q *Querier) settings(left time.Duration) clickhouse.Settings {
	return clickhouse.Settings{
		"readonly":              2,
		"max_rows_to_read":      q.limits.Rows,
		"max_bytes_to_read":     q.limits.Bytes,
		"read_overflow_mode":    "throw",
		"max_memory_usage":      q.limits.Memory,
		"max_execution_time":    max(left.Seconds(), 0.1),
		"timeout_overflow_mode": "throw",
		// A user's profile must not change what a query means.
		"join_use_nulls": 0, "transform_null_in": 0, "prefer_column_name_to_alias": 0, "final": 0,
		"aggregate_functions_null_for_empty": 0, "group_by_use_nulls": 0, "use_query_cache": 0,
		// Sort by the key columns alone, then read the others for the rows that are left.
		"query_plan_optimize_lazy_materialization":      1,
		"query_plan_max_limit_for_lazy_materialization": 20_000,
		// Rather to disk than over the limit.
		"max_bytes_before_external_group_by": q.limits.Memory / 2,
		"max_bytes_before_external_sort":     q.limits.Memory / 2,
	}
}

// restrict restricts a statement to what the caller may read and names in its filter. It reports false when that is nothing.
func restrict(s *statement, caller *access.Caller, projects []string) (bool, error) {
	if err := mayRead(caller, projects); err != nil {
		return false, err
	}
	readable := caller.Readable()
	if len(readable) == 0 {
		return false, nil
	}
	s.where(readableBy(s, readable))
	if len(projects) > 0 {
		s.where(s.in("ProjectId", projects))
	}
	return true, nil
}

// readableBy is the condition on the column ProjectId.
func readableBy(s *statement, patterns []access.Pattern) string {
	var literal []string
	var any []string
	for _, p := range patterns {
		switch {
		case p == access.All:
			return "1"
		case p.Literal():
			literal = append(literal, string(p))
		default:
			any = append(any, "ProjectId LIKE "+s.str(p.Like()))
		}
	}
	if len(literal) > 0 {
		any = append(any, s.in("ProjectId", literal))
	}
	return or(any)
}
