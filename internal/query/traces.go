// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"slices"
	"time"

	"github.com/tailrace/tailrace/internal/access"
)

// TraceSummary is one trace in a list.
type TraceSummary struct {
	TraceID string `json:"traceId"`
	Project string `json:"project"`
	// Name and Service are those of the root; while HasRoot is false, Name is empty and Service one of Services.
	Name        string   `json:"name"`
	Service     string   `json:"service"`
	HasRoot     bool     `json:"hasRoot"`
	Services    []string `json:"services"`
	Deployments []string `json:"deployments"`
	Servers     []string `json:"servers"`
	Builds      []string `json:"builds"`
	Start       Time     `json:"start"`
	End         Time     `json:"end"`
	DurationMS  float64  `json:"durationMs"`
	SpanCount   uint64   `json:"spanCount"`
	ErrorCount  uint64   `json:"errorCount"`
	// Status is "error" when a span has failed, else "ok".
	Status string `json:"status"`
	// Usage of language models, of all spans that report some; zero when none does.
	Models          []string `json:"models"`
	InputTokens     uint64   `json:"inputTokens"`
	OutputTokens    uint64   `json:"outputTokens"`
	CacheReadTokens uint64   `json:"cacheReadTokens"`
	ReasoningTokens uint64   `json:"reasoningTokens"`
	Cost            float64  `json:"cost"`
	first           int64    // of the spans that match
}

// Traces lists the traces that have a span which matches the filter, the newest first. A trace stands at the time
// of its first span that matches: without conditions on spans that is its start.
//
// It is done in three steps, so that no step reads more than a slice of time: spans that match, by trace; when those traces
// happened; their summaries.
func (q *Querier) Traces(ctx context.Context, caller *access.Caller, req Request) (Page[TraceSummary], error) {
	page := Page[TraceSummary]{Data: []TraceSummary{}}
	w, err := newTraceWalk(q, caller, req)
	if err != nil {
		return page, err
	}
	var last position
	b := q.budget()
	for !w.done && len(page.Data) <= req.Limit {
		found, err := w.next(ctx, b, req.Limit+1-len(page.Data))
		if err != nil {
			return page, err
		}
		for _, t := range found {
			if len(page.Data) == req.Limit {
				page.HasMore = true
				break
			}
			page.Data = append(page.Data, t)
			last = t.position()
		}
		if page.HasMore {
			break
		}
	}
	if page.HasMore {
		w.fit(page.Data[0].position(), last)
		page.NextCursor = w.cursor(last)
	}
	return page, nil
}

// ExportTraces calls each for every trace that matches.
func (q *Querier) ExportTraces(ctx context.Context, caller *access.Caller, req Request, each func(TraceSummary) error) error {
	w, err := newTraceWalk(q, caller, req)
	if err != nil {
		return err
	}
	for !w.done {
		found, err := w.next(ctx, q.budget(), 1000)
		if err != nil {
			return err
		}
		for _, t := range found {
			if err := each(t); err != nil {
				return err
			}
		}
		if len(found) > 1 {
			w.fit(found[0].position(), found[len(found)-1].position())
		}
	}
	return nil
}

func (t TraceSummary) position() position { return position{t.first, []string{t.TraceID, t.Project}} }

type traceWalk struct{ walk[TraceSummary] }

func newTraceWalk(q *Querier, caller *access.Caller, req Request) (*traceWalk, error) {
	w, err := newWalk(q, source[TraceSummary]{keys: []string{"TraceId", "ProjectId"}}, caller, req)
	if err != nil {
		return nil, err
	}
	return &traceWalk{*w}, nil
}

// next returns the next traces: up to n, none when the slice had none.
func (w *traceWalk) next(ctx context.Context, b budget, n int) ([]TraceSummary, error) {
	lo, hi, last := w.slice()
	found, err := w.candidates(ctx, b, lo, hi, n)
	if err != nil {
		return nil, err
	}
	switch {
	case len(found) == n:
		w.at = found[n-1].position()
	case last:
		w.done = true
	default:
		w.leave(lo, hi)
	}
	if len(found) == 0 {
		return nil, nil
	}
	since, until, err := w.times(ctx, b, found)
	if err != nil {
		return nil, err
	}
	// A trace that began before the slice may have a match there, and then that is where it stands.
	if !lo.IsZero() && since.Before(lo) {
		if found, err = w.withoutEarlier(ctx, b, found, since, lo); err != nil || len(found) == 0 {
			return nil, err
		}
	}
	return w.summaries(ctx, b, found, since, until)
}

// candidates are the traces with a match in a slice that come next, with nothing but ids and place.
func (w *traceWalk) candidates(ctx context.Context, b budget, lo, hi time.Time, n int) ([]TraceSummary, error) {
	s := newStatement()
	if some, err := restrict(s, w.caller, w.req.Filter.Projects); err != nil || !some {
		w.done = true
		return nil, err
	}
	(&Filter{Start: lo, End: hi}).within(s, "Timestamp")
	w.req.Filter.matchingSpans(s)
	s.where("TraceId != ''")
	s.head = "SELECT toUnixTimestamp64Nano(min(Timestamp)) AS first, TraceId, ProjectId\nFROM " + w.q.table("otel_traces")
	s.tail = "GROUP BY TraceId, ProjectId"
	if w.at.keys != nil {
		s.tail += "\nHAVING (first, TraceId, ProjectId) < (" + s.num(w.at.time) + ", " + s.str(w.at.keys[0]) + ", " + s.str(w.at.keys[1]) + ")"
	}
	s.tail += "\nORDER BY first DESC, TraceId DESC, ProjectId DESC LIMIT " + s.bind(uitoa(n), "UInt64")
	var found []TraceSummary
	err := w.q.run(ctx, b, s, func(scan func(...any) error) error {
		var t TraceSummary
		err := scan(&t.first, &t.TraceID, &t.Project)
		found = append(found, t)
		return err
	})
	return found, err
}

// matchingSpans are the conditions on the spans of a trace.
func (f *Filter) matchingSpans(s *statement) {
	g := *f
	if g.HasError != nil && !*g.HasError {
		g.HasError = nil // no span at all has failed: that is of the summary
	}
	g.spans(s)
}

// times returns the range in which the traces happened.
func (w *traceWalk) times(ctx context.Context, b budget, found []TraceSummary) (since, until time.Time, err error) {
	s := newStatement()
	if _, err := restrict(s, w.caller, nil); err != nil {
		return since, until, err
	}
	s.where(s.in("TraceId", traceIDs(found)))
	s.head = "SELECT min(Start), max(End) FROM " + w.q.table("otel_traces_trace_id_ts")
	err = w.q.run(ctx, b, s, func(scan func(...any) error) error { return scan(&since, &until) })
	return since, until.Add(2 * time.Second), err
}

func traceIDs(found []TraceSummary) []string {
	ids := make([]string, len(found))
	for i, t := range found {
		ids[i] = t.TraceID
	}
	return ids
}

// withoutEarlier leaves out the traces that have a match in [since, lo).
func (w *traceWalk) withoutEarlier(ctx context.Context, b budget, found []TraceSummary, since, lo time.Time) ([]TraceSummary, error) {
	s := newStatement()
	if _, err := restrict(s, w.caller, w.req.Filter.Projects); err != nil {
		return nil, err
	}
	// Before the beginning of the question nothing is a match.
	if !w.start.IsZero() && w.start.After(since) {
		since = w.start
	}
	if !since.Before(lo) {
		return found, nil
	}
	(&Filter{Start: since, End: lo}).within(s, "Timestamp")
	w.req.Filter.matchingSpans(s)
	s.where(s.in("TraceId", traceIDs(found)))
	s.head = "SELECT DISTINCT TraceId, ProjectId FROM " + w.q.table("otel_traces")
	earlier := map[[2]string]bool{}
	err := w.q.run(ctx, b, s, func(scan func(...any) error) error {
		var key [2]string
		err := scan(&key[0], &key[1])
		earlier[key] = true
		return err
	})
	return slices.DeleteFunc(found, func(t TraceSummary) bool { return earlier[[2]string{t.TraceID, t.Project}] }), err
}

// summaries fills in the rest, and leaves out what the filter says of a whole trace.
func (w *traceWalk) summaries(ctx context.Context, b budget, found []TraceSummary, since, until time.Time) ([]TraceSummary, error) {
	s := newStatement()
	if _, err := restrict(s, w.caller, nil); err != nil {
		return nil, err
	}
	s.where(s.in("TraceId", traceIDs(found)))
	s.head = "SELECT TraceId, ProjectId, RootName, if(RootService = '' AND NOT HasRoot, Services[1], RootService), HasRoot = 1, Services, DeploymentIds, ServerIds, BuildIds, Start, End, Duration, Spans, Errors, " +
		"Models, InputTokens, OutputTokens, CacheReadTokens, ReasoningTokens, Cost\nFROM " + w.q.table("trace_summaries_between") +
		"(since = " + s.dateTime(since) + ", until = " + s.dateTime(until) + ")"
	place := map[[2]string]int{}
	for i, t := range found {
		place[[2]string{t.TraceID, t.Project}] = i
	}
	err := w.q.run(ctx, b, s, func(scan func(...any) error) error {
		var t TraceSummary
		var start, end time.Time
		var duration uint64
		if err := scan(&t.TraceID, &t.Project, &t.Name, &t.Service, &t.HasRoot, &t.Services, &t.Deployments, &t.Servers, &t.Builds, &start, &end, &duration,
			&t.SpanCount, &t.ErrorCount, &t.Models, &t.InputTokens, &t.OutputTokens, &t.CacheReadTokens, &t.ReasoningTokens, &t.Cost); err != nil {
			return err
		}
		i, ok := place[[2]string{t.TraceID, t.Project}]
		if !ok { // the same id in another project
			return nil
		}
		t.Start, t.End, t.DurationMS, t.first = Time{start}, Time{end}, float64(duration)/1e6, found[i].first
		t.Status = "ok"
		if t.ErrorCount > 0 {
			t.Status = "error"
		}
		found[i] = t
		return nil
	})
	noErrors := w.req.Filter.HasError != nil && !*w.req.Filter.HasError
	return slices.DeleteFunc(found, func(t TraceSummary) bool { return t.SpanCount == 0 || noErrors && t.ErrorCount > 0 }), err
}
