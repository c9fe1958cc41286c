// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package restapi

import (
	"github.com/tailrace/tailrace/internal/query"
)

// routes are all that is served, beside the OpenAPI document.
var routes = []route{
	{path: "/projects", kind: query.KindProjects, answer: page((*query.Querier).Projects)},
	{path: "/deployments", kind: query.KindDeployments, answer: page((*query.Querier).Deployments)},
	{path: "/servers", kind: query.KindServers, answer: page((*query.Querier).Servers)},
	{path: "/builds", kind: query.KindBuilds, answer: page((*query.Querier).Builds)},
	{path: "/servers/{serverId}/logs", kind: query.KindLines, answer: page(lines, ofServer), export: rows((*query.Querier).ExportLogs, ofServer)},
	{path: "/builds/{buildId}/logs", kind: query.KindLines, answer: page(lines, ofBuild), export: rows((*query.Querier).ExportLogs, ofBuild)},
	{path: "/traces", kind: query.KindTraces, answer: page((*query.Querier).Traces), export: rows((*query.Querier).ExportTraces)},
	{path: "/traces/{traceId}", kind: query.KindTrace, answer: func(a *api, c *call) (any, error) {
		if c.http.URL.Query().Get("detail") != "light" {
			c.req.Full = true
		}
		return one(a.querier.Trace(c.ctx, c.caller, c.path("traceId"), c.req))
	}},
	{path: "/spans", kind: query.KindSpans, answer: page((*query.Querier).Spans), export: rows((*query.Querier).ExportSpans)},
	{path: "/spans/{traceId}/{spanId}", kind: query.KindSpan, answer: func(a *api, c *call) (any, error) {
		return one(a.querier.Span(c.ctx, c.caller, c.path("traceId"), c.path("spanId"), c.req))
	}},
	{path: "/logs", kind: query.KindLogs, answer: page((*query.Querier).Logs), export: rows((*query.Querier).ExportLogs)},
	{path: "/logs/{uid}", kind: query.KindLog, answer: func(a *api, c *call) (any, error) {
		return one(a.querier.Log(c.ctx, c.caller, c.path("uid"), c.req))
	}},
	{path: "/metrics", kind: query.KindMetrics, answer: page((*query.Querier).Metrics)},
	{path: "/metrics/series", kind: query.KindMetricSeries, answer: func(a *api, c *call) (any, error) {
		chart, metric, err := a.querier.MetricSeries(c.ctx, c.caller, c.req)
		if err != nil {
			return nil, err
		}
		answer := metricChart{Data: chart.Data, Range: chart.Range}
		if metric.Name != "" {
			answer.Metric = &metricKind{metric.Name, metric.Type, metric.Unit, metric.Monotonic}
		}
		return answer, nil
	}},
	{path: "/scores", kind: query.KindScores, answer: page((*query.Querier).Scores), export: rows((*query.Querier).ExportScores)},
	{path: "/scores/series", kind: query.KindScoreSeries, answer: page((*query.Querier).ScoreSeries)},
	{path: "/stats/traces", kind: query.KindTraceStats, answer: page((*query.Querier).TraceStats)},
	{path: "/stats/errors", kind: query.KindErrorStats, answer: page((*query.Querier).ErrorStats)},
	{path: "/stats/usage", kind: query.KindUsageStats, answer: page((*query.Querier).UsageStats)},
	{path: "/stats/logs", kind: query.KindLogStats, answer: page((*query.Querier).LogStats)},
	{path: "/pipeline", kind: query.KindPipeline, answer: func(a *api, c *call) (any, error) { return a.pipeline(c) }},
	{path: "/pipeline/failed", kind: query.KindFailed, answer: func(a *api, c *call) (any, error) { return a.failed(c) }},
}

// metricChart is the answer of /metrics/series.
type metricChart struct {
	Data  []query.Series[query.Point] `json:"data"`
	Range query.Range                 `json:"range"`
	// Metric is null where there is nothing of that name in the range.
	Metric *metricKind `json:"metric"`
}

type metricKind struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	Unit      string `json:"unit,omitempty"`
	Monotonic bool   `json:"monotonic"`
}

// item is the answer of a route that returns one thing.
type item struct {
	Data any `json:"data"`
}

func one[T any](v T, err error) (any, error) { return item{v}, err }

// narrow restricts a request by its path.
type narrow func(*call) query.Request

func ofServer(c *call) query.Request { return c.req.OfServer(c.path("serverId")) }
func ofBuild(c *call) query.Request  { return c.req.OfBuild(c.path("buildId")) }

func (c *call) narrowed(by []narrow) query.Request {
	for _, n := range by {
		return n(c)
	}
	return c.req
}
