// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tailrace/tailrace/internal/access"
)

// Trace is one trace: its spans, and what can be said about all of them.
type Trace struct {
	TraceID    string   `json:"traceId"`
	Name       string   `json:"name"` // of the first root, or else of the first span
	Projects   []string `json:"projects"`
	Services   []string `json:"services"`
	Start      Time     `json:"start"`
	End        Time     `json:"end"`
	DurationMS float64  `json:"durationMs"`
	SpanCount  int      `json:"spanCount"`
	ErrorCount int      `json:"errorCount"`
	// Complete is false while a parent is missing that a span names: it is late, lost, or of a project that the caller may not read.
	Complete bool `json:"complete"`
	// Truncated says that the trace has more spans than are shown: these are the first ones.
	Truncated bool `json:"truncated"`
	// Spans in the order of the tree: each before its children, siblings by their start.
	Spans []Span `json:"spans"`
}

// Node is the place of a span in the tree.
type Node struct {
	Depth    int `json:"depth"`
	Children int `json:"children"`
	// ParentMissing: the span names a parent that is not there; it stands at the top meanwhile.
	ParentMissing bool `json:"parentMissing,omitempty"`
}

// Trace returns one trace with all its spans, in full unless the request asks for less.
func (q *Querier) Trace(ctx context.Context, caller *access.Caller, traceID string, req Request) (Trace, error) {
	id, err := ParseTraceID(traceID)
	if err != nil {
		return Trace{}, wrong("traceId", "%s", err)
	}
	t := Trace{TraceID: id}
	size := 0
	seen := map[[2]string]bool{}
	err = q.trace(ctx, caller, id, req, req.Full, func(s *statement) {
		s.tail = "ORDER BY Timestamp, SpanId LIMIT " + s.bind(uitoa(q.limits.Spans*2), "UInt64")
	}, func(r Span, _ position, n int) error {
		key := [2]string{r.Project, r.SpanID}
		if seen[key] { // repeated
			return nil
		}
		if len(t.Spans) == q.limits.Spans {
			t.Truncated = true
			return nil
		}
		if size += n; size > q.limits.Answer {
			return &LimitError{"answer", fmt.Sprintf("%d bytes", q.limits.Answer)}
		}
		seen[key] = true
		t.Spans = append(t.Spans, r)
		return nil
	})
	if err != nil {
		return Trace{}, err
	}
	if len(t.Spans) == 0 {
		return Trace{}, ErrNotFound
	}
	t.arrange()
	return t, nil
}

// trace selects spans of one trace.
func (q *Querier) trace(ctx context.Context, caller *access.Caller, id string, req Request, full bool, more func(*statement), row func(Span, position, int) error) error {
	s := newStatement()
	some, err := restrict(s, caller, nil)
	if err != nil || !some {
		return err
	}
	b := q.budget()
	from, to, known, err := q.traceTimes(ctx, b, caller, id)
	if err != nil {
		return err
	}
	s.where("TraceId = " + s.str(id))
	req.Filter.within(s, "Timestamp")
	if known {
		(&Filter{Start: from, End: to}).within(s, "Timestamp")
	}
	s.head = "SELECT " + spanSource.columns(s, full) + "\nFROM " + q.table(spanSource.table)
	more(s)
	return q.run(ctx, b, s, func(scan func(...any) error) error {
		r, at, n, err := scanSpan(scan, full)
		if err != nil {
			return err
		}
		return row(r, at, n)
	})
}

// arrange puts the spans into the order of the tree and fills in what is said about the trace.
func (t *Trace) arrange() {
	slices.SortStableFunc(t.Spans, func(a, b Span) int {
		if c := a.Start.Compare(b.Start.Time); c != 0 {
			return c
		}
		// At the same moment the longer one is rather the parent, and shown first.
		return b.End.Compare(a.End.Time)
	})
	place := make(map[string]int, len(t.Spans))
	for i := range t.Spans {
		place[t.Spans[i].SpanID] = i
	}
	children := make(map[string][]int)
	var roots []int
	var end time.Time
	t.Complete = true
	for i := range t.Spans {
		s := &t.Spans[i]
		s.Node = &Node{}
		t.Projects, t.Services = add(t.Projects, s.Project), add(t.Services, s.Service)
		if s.Status == "error" {
			t.ErrorCount++
		}
		if s.End.After(end) {
			end = s.End.Time
		}
		switch {
		case s.ParentSpanID == nil:
			roots = append(roots, i)
		case !has(place, *s.ParentSpanID):
			s.Node.ParentMissing = true
			t.Complete = t.Complete && t.Truncated
			roots = append(roots, i)
		default:
			children[*s.ParentSpanID] = append(children[*s.ParentSpanID], i)
		}
	}
	t.Start, t.End = t.Spans[0].Start, Time{end}
	t.DurationMS = float64(end.Sub(t.Start.Time)) / 1e6
	t.SpanCount = len(t.Spans)

	out := make([]Span, 0, len(t.Spans))
	placed := make([]bool, len(t.Spans))
	// Not by recursion: a trace may be a chain of 20,000 spans.
	type visit struct{ span, depth int }
	walk := func(root int) {
		stack := []visit{{root, 0}}
		for len(stack) > 0 {
			v := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if placed[v.span] {
				continue
			}
			placed[v.span] = true
			s := t.Spans[v.span]
			below := children[s.SpanID]
			s.Node.Depth, s.Node.Children = v.depth, len(below)
			out = append(out, s)
			for _, child := range slices.Backward(below) {
				stack = append(stack, visit{child, v.depth + 1})
			}
		}
	}
	for _, root := range roots {
		walk(root)
	}
	for i := range t.Spans { // spans that are each other's ancestors have no root
		if !placed[i] {
			t.Spans[i].Node.ParentMissing = true
			t.Complete = false
			walk(i)
		}
	}
	t.Spans = out
	t.Name = out[0].Name
	for _, s := range out {
		if s.ParentSpanID == nil {
			t.Name = s.Name
			break
		}
	}
}

func has(m map[string]int, key string) bool { _, ok := m[key]; return ok }

func add(to []string, s string) []string {
	if slices.Contains(to, s) {
		return to
	}
	return append(to, s)
}

// traceTimes returns when a trace happened, as a half open range; some is false when that is not known.
func (q *Querier) traceTimes(ctx context.Context, b budget, caller *access.Caller, id string) (from, to time.Time, some bool, err error) {
	s := newStatement()
	if ok, err := restrict(s, caller, nil); err != nil || !ok {
		return from, to, false, err
	}
	s.where("TraceId = " + s.str(id))
	s.head = "SELECT count(), min(Start), max(End) FROM " + q.table("otel_traces_trace_id_ts")
	err = q.run(ctx, b, s, func(scan func(...any) error) error {
		var n uint64
		err := scan(&n, &from, &to)
		some = n > 0
		return err
	})
	return from, to.Add(2 * time.Second), some, err // End has whole seconds
}
