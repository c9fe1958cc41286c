// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"slices"

	"github.com/tailrace/tailrace/internal/access"
)

// byTool is the dimension of usage that is asked of the spans: the rollup knows models only. Tools are called far less often than spans
// come, a day's are found in the spans of that day, and no rollup has to be filled for what is stored already.
const byTool = "tool"

// toolUsage gives calls, failures and time of tools, and the tokens that their own spans carry. A span that its sender repeated counts
// once, and is failed if any of its repetitions is.
func (q *Querier) toolUsage(ctx context.Context, caller *access.Caller, req Request) (Chart[UsagePoint], error) {
	if len(req.Models) > 0 {
		return Chart[UsagePoint]{}, wrong("model", "can't be combined with group_by=tool: a tool's span names no model")
	}
	span, err := req.span()
	if err != nil {
		return Chart[UsagePoint]{}, err
	}
	s := newStatement()
	some, err := restrict(s, caller, req.Filter.Projects)
	if err != nil {
		return Chart[UsagePoint]{}, err
	}
	g, err := groups(s, req.GroupBy, map[string]string{
		byTool: "if(SpanAttributes['gen_ai.tool.name'] != '', SpanAttributes['gen_ai.tool.name'], replaceRegexpOne(SpanName, '^execute_tool ', ''))",
	}, nil)
	if err != nil {
		return Chart[UsagePoint]{}, err
	}
	c := newChart(span, g.names, func(t Time) UsagePoint { return UsagePoint{Time: t} })
	if !some {
		return c.done()
	}
	req.Filter.belongsTo(s)
	(&Filter{Start: span.Start.Time, End: span.End.Time}).within(s, "Timestamp")
	s.where("SpanAttributes['gen_ai.operation.name'] = 'execute_tool'")
	tokens := func(name string) string { return "max(toUInt64OrZero(SpanAttributes['gen_ai.usage." + name + "']))" }
	s.head = "SELECT bucket, grouped, count(), sum(failed), sum(took), sum(i), sum(o), sum(c), sum(r)\nFROM (SELECT min(" + span.bucket(s, "Timestamp") + ") AS bucket, min(" + g.selected() +
		") AS grouped, max(StatusCode = 'Error') AS failed, max(Duration) / 1000000 AS took, " + tokens("input_tokens") + " AS i, " + tokens("output_tokens") + " AS o, " +
		tokens("cache_read.input_tokens") + " AS c, " + tokens("reasoning_tokens") + " AS r\nFROM " + q.table("otel_traces")
	s.tail = "GROUP BY ProjectId, TraceId, SpanId) GROUP BY bucket, grouped"
	err = q.run(ctx, q.budget(), s, func(scan func(...any) error) error {
		var at int64
		var group []string
		var failed uint64
		var took float64
		var p UsagePoint
		if err := scan(&at, &group, &p.Calls, &failed, &took, &p.InputTokens, &p.OutputTokens, &p.CacheReadTokens, &p.ReasoningTokens); err != nil {
			return err
		}
		p.Errors, p.DurationMS = &failed, number(took)
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

func (r Request) asksForTools() bool { return slices.Contains(r.GroupBy, byTool) }
