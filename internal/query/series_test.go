// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
)

// tenMinutes is the range of querytest's metrics.
func tenMinutes() string {
	return "&start=" + t0.Format(time.RFC3339) + "&end=" + t0.Add(10*time.Minute).Format(time.RFC3339)
}

func valuesOf(points []Point) []any {
	var out []any
	for _, p := range points {
		if p.Value == nil {
			out = append(out, nil)
		} else {
			out = append(out, math.Round(*p.Value*1000)/1000)
		}
	}
	return out
}

func TestMetricSeries(t *testing.T) {
	q, store := newQuerier(t)
	store.Metrics(t, "shop")
	ctx := t.Context()
	for query, want := range map[string][]any{
		// Every point is there twice, and counts once.
		"name=memory&step=5m&aggregate=avg":   {2.0, 7.0},
		"name=memory&step=5m&aggregate=count": {5.0, 5.0},
		"name=memory&step=5m&aggregate=sum":   {10.0, 35.0},
		"name=memory&step=5m&aggregate=min":   {0.0, 5.0},
		"name=memory&step=5m&aggregate=max":   {4.0, 9.0},
		"name=memory&step=5m&aggregate=p50":   {2.0, 7.0},
		"name=memory&step=5m&aggregate=p90":   {3.6, 8.6},
		"name=memory&step=2m&aggregate=max":   {1.0, 3.0, 5.0, 7.0, 9.0},
		// 10, 20, 30, 40, 50, then reset: 10, 20, 30, 40, 50; it began just before the range.
		"name=requests&step=5m&aggregate=sum":  {50.0, 50.0},
		"name=requests&step=5m&aggregate=rate": {0.167, 0.167},
		"name=requests&step=2m&aggregate=sum":  {20.0, 20.0, 20.0, 20.0, 20.0},
		"name=requests&step=5m&aggregate=max":  {50.0, 50.0},
		// Two each minute, as differences.
		"name=jobs&step=5m&aggregate=sum":  {10.0, 10.0},
		"name=jobs&step=5m&aggregate=rate": {0.033, 0.033},
		// Four observations a minute, one in each bucket; the last bucket ends at the largest one, 50.
		"name=latency&step=5m&aggregate=count": {20.0, 20.0},
		"name=latency&step=5m&aggregate=sum":   {500.0, 500.0},
		"name=latency&step=5m&aggregate=avg":   {25.0, 25.0},
		"name=latency&step=5m&aggregate=rate":  {0.067, 0.067},
		"name=latency&step=5m&aggregate=p50":   {20.0, 20.0},
		"name=latency&step=5m&aggregate=p90":   {46.0, 46.0},
		"name=size&step=5m&aggregate=count":    {20.0, 20.0},
		"name=size&step=5m&aggregate=p50":      {1.667, 1.667},
		"name=size&step=5m&aggregate=max":      {3.0, 3.0},
		"name=gc&step=5m&aggregate=avg":        {0.5, 0.5},
		"name=gc&step=5m&aggregate=count":      {5.0, 5.0},
		"name=none&step=5m":                    {nil, nil},
		"name=memory&step=5m&attribute=pool=b": {nil, nil},
	} {
		t.Run(query, func(t *testing.T) {
			chart, _, err := q.MetricSeries(ctx, access.Local(), parse(t, KindMetricSeries, query+tenMinutes()))
			require.NoError(t, err)
			require.Len(t, chart.Data, 1)
			assert.Equal(t, want, valuesOf(chart.Data[0].Points))
		})
	}
	for query, want := range map[string]string{
		"name=memory&aggregate=rate": "rate is of counters", "name=gc&aggregate=p99": "can't be merged", "aggregate=sum": "give the name",
		"name=memory&group_by=service&group_by=service": "twice",
	} {
		_, _, err := q.MetricSeries(ctx, access.Local(), parse(t, KindMetricSeries, query+tenMinutes()))
		assert.ErrorContains(t, err, want)
	}
	t.Run("Two types of one name", func(t *testing.T) {
		store.Exec(t, "INSERT INTO tailrace.otel_metrics_gauge (ResourceAttributes, MetricName, TimeUnix, Value) VALUES (map('project.id', 'shop'), 'jobs', ?, 1)", t0)
		_, _, err := q.MetricSeries(ctx, access.Local(), parse(t, KindMetricSeries, "name=jobs"+tenMinutes()))
		assert.ErrorContains(t, err, "say which")
		_, metric, err := q.MetricSeries(ctx, access.Local(), parse(t, KindMetricSeries, "name=jobs&type=gauge"+tenMinutes()))
		require.NoError(t, err)
		assert.Equal(t, "gauge", metric.Type)
	})
	t.Run("Names", func(t *testing.T) {
		page, err := q.Metrics(ctx, access.Local(), parse(t, KindMetrics, "project=shop"+tenMinutes()))
		require.NoError(t, err)
		var names []string
		for _, m := range page.Data {
			names = append(names, m.Name+" "+m.Type)
		}
		assert.Equal(t, []string{"gc summary", "jobs gauge", "jobs sum", "latency histogram", "memory gauge", "requests sum", "size exponential_histogram"}, names)
		page, err = q.Metrics(ctx, viewer("other"), parse(t, KindMetrics, tenMinutes()[1:]))
		require.NoError(t, err)
		assert.Empty(t, page.Data)
	})
}

func TestScoresKeepZeroAndNothing(t *testing.T) {
	q, store := newQuerier(t)
	for i, value := range []string{"0", "1", "", "0.5"} {
		for range 2 { // repeated
			store.Score(t, "shop", "relevance", value, fmt.Sprint("s", i), t0.Add(time.Duration(i)*time.Minute))
		}
	}
	page, err := q.Scores(t.Context(), access.Local(), parse(t, KindScores, "name=relevance"))
	require.NoError(t, err)
	require.Len(t, page.Data, 4)
	assert.Equal(t, 0.5, *page.Data[0].Value)
	assert.Nil(t, page.Data[1].Value)
	assert.Equal(t, 0.0, *page.Data[3].Value)
	for aggregate, want := range map[string][]any{"count": {4.0}, "avg": {0.5}, "min": {0.0}, "max": {1.0}, "p50": {0.5}} {
		chart, err := q.ScoreSeries(t.Context(), access.Local(), parse(t, KindScoreSeries, "step=10m&group_by=name&aggregate="+aggregate+tenMinutes()))
		require.NoError(t, err)
		require.Len(t, chart.Data, 1)
		assert.Equal(t, map[string]string{"name": "relevance"}, chart.Data[0].Group)
		assert.Equal(t, want, valuesOf(chart.Data[0].Points), aggregate)
	}
}

func TestInventoryAndStats(t *testing.T) {
	q, store := newQuerier(t)
	ctx := t.Context()
	store.Spans(t, "shop", 40, 0)
	store.Spans(t, "shop", 40, 0)
	store.Logs(t, "shop", 60, 0, true)
	now := time.Now().UTC().Truncate(time.Second)
	store.Event(t, "shop", "shop-1", "server.health", now.Add(-2*time.Minute), map[string]string{"server.health.status": "starting"})
	store.Event(t, "shop", "shop-1", "server.health", now.Add(-time.Minute), map[string]string{"server.health.status": "healthy", "server.memory_usage_mb": "12.5", "server.cpu_percent": "0", "server.uptime_s": "60"})
	store.Event(t, "shop", "shop-1", "server.lifecycle", now.Add(-2*time.Minute), map[string]string{"server.lifecycle.state": "running"})
	store.Event(t, "billing", "b-1", "server.lifecycle", now.Add(-2*time.Minute), map[string]string{"server.lifecycle.state": "exited"})

	servers, err := q.Servers(ctx, access.Local(), parse(t, KindServers, ""))
	require.NoError(t, err)
	require.Len(t, servers.Data, 3)
	shop := servers.Data[1]
	assert.Equal(t, "shop-1", shop.ID)
	assert.Equal(t, "healthy", shop.Health)
	assert.Equal(t, "running", shop.State)
	assert.Equal(t, 12.5, *shop.MemoryUsageMB)
	assert.Equal(t, 0.0, *shop.CPUPercent, "zero is zero")
	assert.Equal(t, now.Add(-time.Minute), shop.LastSeen.UTC())
	assert.EqualValues(t, 40, shop.Spans, "each once")
	assert.EqualValues(t, 33, shop.Logs)
	assert.EqualValues(t, 3/300.0, shop.LogsPerSecond)
	assert.Equal(t, "exited", servers.Data[0].State)
	assert.Nil(t, servers.Data[0].CPUPercent)
	assert.Equal(t, "shop-2", servers.Data[2].ID)
	assert.Empty(t, servers.Data[2].Health)

	projects, err := q.Projects(ctx, viewer("sh*"), parse(t, KindProjects, ""))
	require.NoError(t, err)
	require.Len(t, projects.Data, 1)
	assert.Equal(t, 2, projects.Data[0].Servers)
	assert.EqualValues(t, 63, projects.Data[0].Logs)

	rng := "&step=1h&start=" + t0.Format(time.RFC3339) + "&end=" + t0.Add(time.Hour).Format(time.RFC3339)
	traces, err := q.TraceStats(ctx, access.Local(), parse(t, KindTraceStats, "group_by=service"+rng))
	require.NoError(t, err)
	require.Len(t, traces.Data, 2)
	assert.Equal(t, []TracePoint{{Time: Time{t0}, Traces: 0, Spans: 20, Errors: 0}}, traces.Data[0].Points)
	assert.Equal(t, []TracePoint{{Time: Time{t0}, Traces: 10, Spans: 20, Errors: 10}}, traces.Data[1].Points)
	named, err := q.TraceStats(ctx, access.Local(), parse(t, KindTraceStats, "name=step"+rng))
	require.NoError(t, err)
	assert.EqualValues(t, 10, named.Data[0].Points[0].Spans)

	errs, err := q.ErrorStats(ctx, access.Local(), parse(t, KindErrorStats, rng[1:]))
	require.NoError(t, err)
	assert.Equal(t, 0.25, *errs.Data[0].Points[0].Rate)

	logs, err := q.LogStats(ctx, access.Local(), parse(t, KindLogStats, "level=error&level=info"+rng))
	require.NoError(t, err)
	assert.Equal(t, map[string]uint64{"error": 10, "info": 10}, logs.Data[0].Points[0].Levels)

	usage, err := q.UsageStats(ctx, access.Local(), parse(t, KindUsageStats, "group_by=model"+rng))
	require.NoError(t, err)
	require.Len(t, usage.Data, 1)
	assert.Equal(t, "m", usage.Data[0].Group["model"])
	assert.EqualValues(t, 400, usage.Data[0].Points[0].InputTokens)
	assert.Nil(t, usage.Data[0].Points[0].Cost, "no price is known")
	assert.EqualValues(t, 40, usage.Data[0].Points[0].UnpricedCalls)
}

func TestQuantileOfMergedHistograms(t *testing.T) {
	var d distribution
	d.add(distribution{count: 100, pieces: explicitPieces([]float64{10, 20}, []float64{0, 100, 0}, math.NaN(), math.NaN())})
	assert.InDelta(t, 15, d.quantile(0.5), 1e-9)
	d.add(distribution{count: 100, pieces: explicitPieces([]float64{15, 40}, []float64{0, 100, 0}, math.NaN(), math.NaN())}) // other bounds
	assert.InDelta(t, 15+50/14.0, d.quantile(0.5), 1e-9, "10 and 4 lie at each place between 15 and 20")
	assert.InDelta(t, 40, d.quantile(1), 1e-9)
	assert.True(t, math.IsNaN((&distribution{}).quantile(0.5)))

	// A scale of 1 has two buckets where 0 has one: [1, √2, 2, 2√2, 4].
	fine := exponential{scale: 1, positive: exponents(0, []uint64{1, 2, 3, 4})}
	assert.Equal(t, map[int32]float64{0: 3, 1: 7}, fine.coarser(0).positive)
	assert.Equal(t, map[int32]float64{-1: 3}, exponential{scale: 1, positive: exponents(-2, []uint64{1, 2})}.coarser(0).positive)
	coarse := exponential{scale: 0, positive: exponents(0, []uint64{1, 1})}
	assert.Equal(t, map[int32]float64{0: 2, 1: 6}, fine.minus(coarse).positive)
	pieces := coarse.pieces()
	assert.Len(t, pieces, 2)

	// An observation at a single point: the open bucket whose end is not known.
	one := distribution{count: 1, pieces: explicitPieces([]float64{5}, []float64{0, 1}, math.NaN(), math.NaN())}
	assert.Equal(t, 5.0, one.quantile(0.5))
}

func TestRange(t *testing.T) {
	at := func(s string) string { return "2026-03-01T" + s + "Z" }
	for query, want := range map[string]string{
		"start=" + at("10:00:30") + "&end=" + at("10:02:10") + "&step=1m": "10:00:00 10:03:00 60000",
		"start=" + at("10:00:00") + "&end=" + at("11:00:00"):              "10:00:00 11:00:00 30000",
		"start=" + at("10:00:00") + "&end=" + at("10:00:01"):              "10:00:00 10:00:01 1000",
		"start=" + at("10:00:00") + "&end=" + at("10:00:00.5"):            "10:00:00 10:00:01 1000",
	} {
		r := parse(t, KindTraceStats, query)
		got, err := r.span()
		require.NoError(t, err)
		assert.Equal(t, want, fmt.Sprintf("%s %s %d", got.Start.Format("15:04:05"), got.End.Format("15:04:05"), got.StepMS), query)
	}
	r := parse(t, KindTraceStats, "start=1950-01-01T00:00:00Z&end=1950-01-02T00:00:00Z&step=1h")
	got, err := r.span()
	require.NoError(t, err)
	assert.Equal(t, 24, got.buckets())
	r = parse(t, KindTraceStats, "start=-7d&step=1s")
	_, err = r.span()
	assert.ErrorContains(t, err, "604")
}
