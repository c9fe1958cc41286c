// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"time"

	"github.com/tailrace/tailrace/internal/access"
)

// TracePoint counts what happened in a bucket.
type TracePoint struct {
	Time   Time   `json:"time"`
	Traces uint64 `json:"traces"` // by their roots
	Spans  uint64 `json:"spans"`
	Errors uint64 `json:"errors"` // spans
}

// ErrorPoint is the share of spans that failed.
type ErrorPoint struct {
	Time   Time     `json:"time"`
	Spans  uint64   `json:"spans"`
	Errors uint64   `json:"errors"`
	Rate   *float64 `json:"rate"` // 0 to 1; null without spans
}

// LogPoint counts log records by level.
type LogPoint struct {
	Time   Time              `json:"time"`
	Total  uint64            `json:"total"`
	Levels map[string]uint64 `json:"levels"`
}

// UsagePoint is what language models used.
type UsagePoint struct {
	Time            Time   `json:"time"`
	Calls           uint64 `json:"calls"`
	InputTokens     uint64 `json:"inputTokens"`
	OutputTokens    uint64 `json:"outputTokens"`
	CacheReadTokens uint64 `json:"cacheReadTokens"`
	ReasoningTokens uint64 `json:"reasoningTokens"`
	// Cost is of the calls whose price is known, in the currency of the price table; null when that is none.
	Cost *float64 `json:"cost"`
	// UnpricedCalls are those whose model has no price.
	UnpricedCalls uint64 `json:"unpricedCalls"`
	// Errors and DurationMS, of calls that failed and of all, are known of tools only.
	Errors     *uint64  `json:"errors,omitempty"`
	DurationMS *float64 `json:"durationMs,omitempty"`
}

// hourly says whether buckets have whole hours.
func (r Range) hourly() bool { return r.StepMS%time.Hour.Milliseconds() == 0 }

// rolledUp says whether the hourly rollups answer it: they know no names of spans.
func (r Range) rolledUp(f *Filter) bool { return r.hourly() && len(f.Names) == 0 }

// stats prepares the statement of a chart over a rollup, or over rows where buckets are finer than an hour.
func (q *Querier) stats(caller *access.Caller, req Request, rollup, rows string, more map[string]string) (s *statement, span Range, g grouping, some bool, err error) {
	if span, err = req.span(); err != nil {
		return
	}
	s = newStatement()
	if some, err = restrict(s, caller, req.Filter.Projects); err != nil {
		return
	}
	if g, err = groups(s, req.GroupBy, more, nil); err != nil {
		return
	}
	req.Filter.belongsTo(s)
	table, column := rows, "Timestamp"
	if span.rolledUp(&req.Filter) {
		table, column = rollup, "Hour"
		s.where("Hour >= fromUnixTimestamp(" + s.num(span.Start.Unix()) + ") AND Hour < fromUnixTimestamp(" + s.num(span.End.Unix()) + ")")
	} else {
		(&Filter{Start: span.Start.Time, End: span.End.Time}).within(s, column)
	}
	s.head = "SELECT " + span.bucket(s, column) + " AS bucket, " + g.selected() + " AS grouped, %s\nFROM " + q.table(table)
	s.tail = "GROUP BY bucket, grouped"
	return
}

// counts is a row of what TraceStats and ErrorStats read.
type counts struct{ traces, spans, errors uint64 }

func (q *Querier) spanCounts(ctx context.Context, caller *access.Caller, req Request, row func(Range, grouping, []string, int, counts) error) (Range, grouping, error) {
	s, span, g, some, err := q.stats(caller, req, "span_counts_hourly", "otel_traces", map[string]string{"status": "lower(StatusCode)"})
	if err != nil || !some {
		return span, g, err
	}
	values := "sum(Traces), sum(Spans), sumIf(Spans, StatusCode = 'Error')"
	if !span.rolledUp(&req.Filter) {
		if len(req.Filter.Names) > 0 {
			s.where(s.in("SpanName", req.Filter.Names))
		}
		const id = "cityHash64(ProjectId, TraceId, SpanId)"
		values = "uniqExactIf((ProjectId, TraceId), ParentSpanId = ''), uniqExact(" + id + "), uniqExactIf(" + id + ", StatusCode = 'Error')"
	}
	s.fill(values)
	return span, g, q.run(ctx, q.budget(), s, func(scan func(...any) error) error {
		var at int64
		var group []string
		var c counts
		if err := scan(&at, &group, &c.traces, &c.spans, &c.errors); err != nil {
			return err
		}
		if i := span.index(at); i >= 0 {
			return row(span, g, group, i, c)
		}
		return nil
	})
}

// TraceStats counts traces and spans over time.
func (q *Querier) TraceStats(ctx context.Context, caller *access.Caller, req Request) (Chart[TracePoint], error) {
	var c *chart[TracePoint]
	start := func(span Range, g grouping) {
		if c == nil {
			c = newChart(span, g.names, func(t Time) TracePoint { return TracePoint{Time: t} })
		}
	}
	span, g, err := q.spanCounts(ctx, caller, req, func(span Range, g grouping, group []string, i int, n counts) error {
		start(span, g)
		line, err := c.line(group)
		if err == nil {
			p := &line.Points[i]
			p.Traces, p.Spans, p.Errors = p.Traces+n.traces, p.Spans+n.spans, p.Errors+n.errors
		}
		return err
	})
	if err != nil {
		return Chart[TracePoint]{}, err
	}
	start(span, g)
	return c.done()
}

// ErrorStats gives the share of failed spans over time.
func (q *Querier) ErrorStats(ctx context.Context, caller *access.Caller, req Request) (Chart[ErrorPoint], error) {
	traces, err := q.TraceStats(ctx, caller, req)
	out := Chart[ErrorPoint]{Data: []Series[ErrorPoint]{}, Range: traces.Range}
	for _, line := range traces.Data {
		points := make([]ErrorPoint, len(line.Points))
		for i, p := range line.Points {
			points[i] = ErrorPoint{Time: p.Time, Spans: p.Spans, Errors: p.Errors}
			if p.Spans > 0 {
				points[i].Rate = number(float64(p.Errors) / float64(p.Spans))
			}
		}
		out.Data = append(out.Data, Series[ErrorPoint]{Group: line.Group, Points: points})
	}
	return out, err
}

// LogStats counts log records by level over time.
func (q *Querier) LogStats(ctx context.Context, caller *access.Caller, req Request) (Chart[LogPoint], error) {
	s, span, g, some, err := q.stats(caller, req, "log_counts_hourly", "otel_logs", nil)
	if err != nil {
		return Chart[LogPoint]{}, err
	}
	c := newChart(span, g.names, func(t Time) LogPoint { return LogPoint{Time: t, Levels: map[string]uint64{}} })
	if !some {
		return c.done()
	}
	level, total := "Level", "sum(Logs)"
	if !span.hourly() {
		level, total = severityName, "uniqExactIf(cityHash64(ProjectId, Uid), Uid != '') + countIf(Uid = '')"
	}
	if len(req.Filter.Levels) > 0 {
		s.where(s.in(level, req.Filter.Levels))
	}
	s.fill(level + " AS level, " + total)
	s.tail += ", level"
	err = q.run(ctx, q.budget(), s, func(scan func(...any) error) error {
		var at int64
		var group []string
		var level string
		var n uint64
		if err := scan(&at, &group, &level, &n); err != nil {
			return err
		}
		to, err := c.point(group, at)
		if to != nil {
			to.Levels[level] += n
			to.Total += n
		}
		return err
	})
	if err != nil {
		return Chart[LogPoint]{}, err
	}
	return c.done()
}

// UsageStats gives tokens and cost over time. It is made of hourly rollups, so its buckets have whole hours. By tool it is calls, failures
// and time of tools, out of their spans.
func (q *Querier) UsageStats(ctx context.Context, caller *access.Caller, req Request) (Chart[UsagePoint], error) {
	if req.Step%time.Hour != 0 {
		return Chart[UsagePoint]{}, wrong("step", "usage is kept by the hour: give whole hours")
	}
	if req.Step == 0 {
		if span, err := req.span(); err == nil && !span.hourly() {
			req.Step = time.Hour
		}
	}
	if req.asksForTools() {
		return q.toolUsage(ctx, caller, req)
	}
	s, span, g, some, err := q.stats(caller, req, "usage_hourly", "", map[string]string{"model": "Model", "provider": "Provider"})
	if err != nil {
		return Chart[UsagePoint]{}, err
	}
	c := newChart(span, g.names, func(t Time) UsagePoint { return UsagePoint{Time: t} })
	if !some {
		return c.done()
	}
	if len(req.Models) > 0 {
		s.where(s.in("Model", req.Models))
	}
	s.fill("sum(Calls), sum(InputTokens), sum(OutputTokens), sum(CacheReadTokens), sum(ReasoningTokens), sum(toFloat64(ifNull(Cost, 0))), countIf(Cost IS NOT NULL) > 0, sumIf(Calls, Cost IS NULL)")
	err = q.run(ctx, q.budget(), s, func(scan func(...any) error) error {
		var at int64
		var group []string
		var p UsagePoint
		var cost float64
		var priced bool
		if err := scan(&at, &group, &p.Calls, &p.InputTokens, &p.OutputTokens, &p.CacheReadTokens, &p.ReasoningTokens, &cost, &priced, &p.UnpricedCalls); err != nil {
			return err
		}
		if priced {
			p.Cost = number(cost)
		}
		to, err := c.point(group, at)
		if to != nil {
			p.Time = to.Time
			*to = p
		}
		return err
	})
	if err != nil {
		return Chart[UsagePoint]{}, err
	}
	return c.done()
}
