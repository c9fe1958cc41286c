// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/querytest"
)

func TestUsageByToolIsThatOfTheRawSpansOnce(t *testing.T) {
	store := querytest.New(t)
	q := New(store, Limits{})
	t0 := querytest.T0
	span := func(project, id, name string, after, took time.Duration, status string, attributes map[string]string) {
		attributes["gen_ai.operation.name"] = "execute_tool"
		store.Exec(t, `INSERT INTO tailrace.otel_traces (Timestamp, TraceId, SpanId, SpanName, ResourceAttributes, SpanAttributes, Duration, StatusCode)
			VALUES (fromUnixTimestamp64Nano(?), '01', ?, ?, ?, ?, ?, ?)`, t0.Add(after).UnixNano(), id, name, map[string]string{"project.id": project}, attributes, uint64(took.Nanoseconds()), status)
	}
	span("shop", "1", "execute_tool search", 0, 10*time.Millisecond, "Ok", map[string]string{"gen_ai.tool.name": "search"})
	span("shop", "2", "execute_tool search", time.Minute, 30*time.Millisecond, "Unset", map[string]string{"gen_ai.tool.name": "search"})
	for range 3 { // its sender repeats it, once before it knows that it failed
		span("shop", "2", "execute_tool search", time.Minute, 30*time.Millisecond, "Error", map[string]string{"gen_ai.tool.name": "search"})
	}
	span("shop", "3", "execute_tool search", 2*time.Hour, time.Millisecond, "Ok", map[string]string{"gen_ai.tool.name": "search"})
	span("shop", "4", "execute_tool bare name", 0, time.Millisecond, "Ok", map[string]string{})
	span("shop", "5", "execute_tool agent", 0, time.Millisecond, "Ok", map[string]string{"gen_ai.tool.name": "agent", "gen_ai.usage.input_tokens": "7", "gen_ai.usage.output_tokens": "x"})
	span("billing", "2", "execute_tool search", 0, time.Second, "Ok", map[string]string{"gen_ai.tool.name": "search"})
	store.Exec(t, `INSERT INTO tailrace.otel_traces (Timestamp, TraceId, SpanId, SpanName, ResourceAttributes, SpanAttributes) VALUES (fromUnixTimestamp64Nano(?), '01', '9', 'chat m', map('project.id', 'shop'), map('gen_ai.operation.name', 'chat', 'gen_ai.usage.input_tokens', '5', 'gen_ai.usage.output_tokens', '5', 'gen_ai.request.model', 'm'))`, t0.UnixNano())

	rng := "&step=1h&start=" + t0.Add(-time.Hour).Format(time.RFC3339) + "&end=" + t0.Add(4*time.Hour).Format(time.RFC3339)
	type total struct {
		calls, errors, input uint64
		ms                   float64
	}
	totals := func(caller *access.Caller, params string) map[string]total {
		chart, err := q.UsageStats(t.Context(), caller, parse(t, KindUsageStats, params+rng))
		require.NoError(t, err)
		out := map[string]total{}
		for _, line := range chart.Data {
			key := line.Group["tool"] + line.Group["project"]
			for _, p := range line.Points {
				sum := out[key]
				sum.calls, sum.input = sum.calls+p.Calls, sum.input+p.InputTokens
				assert.Nil(t, p.Cost)
				if p.Errors != nil {
					sum.errors, sum.ms = sum.errors+*p.Errors, sum.ms+*p.DurationMS
				}
				out[key] = sum
			}
		}
		return out
	}
	own := map[string]total{"search": {3, 1, 0, 41}, "bare name": {1, 0, 0, 1}, "agent": {1, 0, 7, 1}}
	assert.Equal(t, own, totals(querytest.Viewer("shop"), "group_by=tool"))
	assert.Equal(t, own, totals(access.Local(), "group_by=tool&project=shop"))
	assert.Equal(t, total{1, 0, 0, 1000}, totals(access.Local(), "group_by=tool&group_by=project")["searchbilling"])
	assert.Empty(t, totals(querytest.Viewer("other"), "group_by=tool"))
	_, err := q.UsageStats(t.Context(), access.Local(), parse(t, KindUsageStats, "group_by=tool&model=m"+rng))
	require.ErrorContains(t, err, "can't be combined")
	_, err = q.UsageStats(t.Context(), querytest.Viewer("shop"), parse(t, KindUsageStats, "group_by=tool&project=billing"+rng))
	require.ErrorIs(t, err, ErrForbidden)

	// The rollup of models goes on as before.
	chart, err := q.UsageStats(t.Context(), querytest.Viewer("shop"), parse(t, KindUsageStats, "group_by=model"+rng))
	require.NoError(t, err)
	require.Len(t, chart.Data, 1)
	assert.Equal(t, "m", chart.Data[0].Group["model"])
	assert.Nil(t, chart.Data[0].Points[1].Errors)
}

func TestBuildsAreTheirLastRuns(t *testing.T) {
	store := querytest.New(t)
	q := New(store, Limits{})
	now := time.Now().UTC().Truncate(time.Second)
	event := func(project, build string, before time.Duration, status, run, took, reason string) {
		attributes := map[string]string{"event.name": "build.status", "build.status": status, "build.run": run, "log.record.uid": project + build + status + run}
		if took != "" {
			attributes["build.duration_s"] = took
		}
		if reason != "" {
			attributes["tailrace.reason"] = reason
		}
		for range 2 { // once more, as senders do
			store.Exec(t, `INSERT INTO tailrace.otel_logs (Timestamp, ServiceName, Body, ResourceAttributes, LogAttributes) VALUES (fromUnixTimestamp64Nano(?), 'web', ?, ?, ?)`,
				now.Add(-before).UnixNano(), "build "+build+": "+status, map[string]string{"project.id": project, "build.id": build, "deployment.id": "prod"}, attributes)
		}
	}
	event("shop", "b1", 60*time.Minute, "queued", "1", "", "")
	event("shop", "b1", 59*time.Minute, "failed", "1", "9.5", "exit 1")
	event("shop", "b1", 20*time.Minute, "queued", "2", "", "")
	event("shop", "b1", 19*time.Minute, "building", "2", "0", "")
	event("shop", "b1", 18*time.Minute, "succeeded", "2", "61.25", "")
	event("shop", "b2", 10*time.Minute, "queued", "1", "", "")
	event("billing", "b1", 5*time.Minute, "failed", "1", "2", "exit 3")
	event("shop", "old", 8*24*time.Hour, "succeeded", "1", "1", "")
	list := func(caller *access.Caller, params string) []Build {
		page, err := q.Builds(t.Context(), caller, parse(t, KindBuilds, params))
		require.NoError(t, err)
		return page.Data
	}
	got := list(querytest.Viewer("shop"), "")
	require.Len(t, got, 2)
	assert.Equal(t, "b2", got[0].ID)
	assert.Nil(t, got[0].DurationS)
	assert.Equal(t, "queued", got[0].Status)
	b := got[1]
	took := 61.25
	assert.Equal(t, Build{
		ID: "b1", Project: "shop", Deployment: "prod", Service: "web", Status: "succeeded", Run: 2, Started: b.Started, Changed: b.Changed, DurationS: &took, Message: "build b1: succeeded",
	}, b)
	assert.WithinDuration(t, now.Add(-20*time.Minute), b.Started.Time, 0)
	assert.WithinDuration(t, now.Add(-18*time.Minute), b.Changed.Time, 0)
	assert.Len(t, list(access.Local(), ""), 3)
	assert.Equal(t, "exit 3", list(access.Local(), "project=billing")[0].Reason)
	assert.Len(t, list(access.Local(), "build=b2"), 1)
	assert.Len(t, list(access.Local(), "start=-30d"), 4)
	assert.Empty(t, list(querytest.Viewer("other"), ""))
}
