// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"strings"
	"time"

	"github.com/tailrace/tailrace/internal/access"
)

// MaxLightValue is how many bytes an attribute has at most in a list.
const MaxLightValue = 256

// Span is one span. In lists Resource, Scope, Events, Links and TraceState are left out.
type Span struct {
	Project       string  `json:"project"`
	Deployment    string  `json:"deployment,omitempty"`
	Server        string  `json:"server,omitempty"`
	Build         string  `json:"build,omitempty"`
	Service       string  `json:"service"`
	TraceID       string  `json:"traceId"`
	SpanID        string  `json:"spanId"`
	ParentSpanID  *string `json:"parentSpanId"`
	Name          string  `json:"name"`
	Kind          string  `json:"kind"`
	Start         Time    `json:"start"`
	End           Time    `json:"end"`
	DurationMS    float64 `json:"durationMs"`
	Status        string  `json:"status"`
	StatusMessage string  `json:"statusMessage,omitempty"`
	// Attributes are all of them, or in a list those of up to MaxLightValue bytes; Omitted are the lengths of the others.
	Attributes map[string]string `json:"attributes"`
	Omitted    map[string]uint64 `json:"omitted,omitempty"`
	EventCount int               `json:"eventCount"`
	LinkCount  int               `json:"linkCount"`

	Resource   map[string]string `json:"resource,omitempty"`
	Scope      *Scope            `json:"scope,omitempty"`
	TraceState string            `json:"traceState,omitempty"`
	Events     []SpanEvent       `json:"events,omitempty"`
	Links      []SpanLink        `json:"links,omitempty"`

	// Place in the tree, of the spans of a trace only.
	Node *Node `json:"node,omitempty"`
}

// Scope is what an instrumentation is called.
type Scope struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// SpanEvent is an event of a span.
type SpanEvent struct {
	Time       Time              `json:"time"`
	Name       string            `json:"name"`
	Attributes map[string]string `json:"attributes"`
}

// SpanLink is a link of a span to another one.
type SpanLink struct {
	TraceID    string            `json:"traceId"`
	SpanID     string            `json:"spanId"`
	TraceState string            `json:"traceState,omitempty"`
	Attributes map[string]string `json:"attributes"`
}

// Time is a time in answers: RFC 3339 with nanoseconds, UTC.
type Time struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat([]byte{'"'}, `2006-01-02T15:04:05.000000000Z"`), nil
}

const identityColumns = "ProjectId, DeploymentId, ServerId, BuildId, ServiceName"

// light selects the short entries of a map, and the lengths of the long ones; all entries when full.
func light(s *statement, column string, full bool) string {
	if full {
		return column + ", CAST(map(), 'Map(LowCardinality(String), UInt64)')"
	}
	n := s.bind(uitoa(MaxLightValue), "UInt64")
	return "mapFilter((k, v) -> length(v) <= " + n + ", " + column + "), " +
		"CAST(mapApply((k, v) -> (k, length(v)), mapFilter((k, v) -> length(v) > " + n + ", " + column + ")), 'Map(LowCardinality(String), UInt64)')"
}

var spanSource = source[Span]{
	table: "otel_traces",
	time:  "Timestamp",
	keys:  []string{"TraceId", "SpanId", "ProjectId"},
	columns: func(s *statement, full bool) string {
		c := identityColumns + ", Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, Duration, StatusCode, " +
			light(s, "SpanAttributes", full)
		if full {
			return c + ", StatusMessage, ResourceAttributes, ScopeName, ScopeVersion, TraceState, Events.Timestamp, Events.Name, Events.Attributes, " +
				"Links.TraceId, Links.SpanId, Links.TraceState, Links.Attributes"
		}
		return c + ", substringUTF8(StatusMessage, 1, 1000), length(Events.Name), length(Links.SpanId)"
	},
	where: func(s *statement, f *Filter) { f.spans(s) },
	scan:  scanSpan,
}

func scanSpan(scan func(...any) error, full bool) (Span, position, int, error) {
	var r Span
	var start time.Time
	var parent, kind, status string
	var duration, events, links uint64
	to := []any{&r.Project, &r.Deployment, &r.Server, &r.Build, &r.Service, &start, &r.TraceID, &r.SpanID, &parent, &r.Name, &kind,
		&duration, &status, &r.Attributes, &r.Omitted, &r.StatusMessage}
	var scope Scope
	var d struct {
		times                 []time.Time
		names                 []string
		attrs, linkAttrs      []map[string]string
		traces, spans, states []string
	}
	if full {
		to = append(to, &r.Resource, &scope.Name, &scope.Version, &r.TraceState, &d.times, &d.names, &d.attrs, &d.traces, &d.spans, &d.states, &d.linkAttrs)
	} else {
		to = append(to, &events, &links)
	}
	if err := scan(to...); err != nil {
		return r, position{}, 0, err
	}
	if parent != "" {
		r.ParentSpanID = &parent
	}
	r.Kind, r.Status = strings.ToLower(kind), strings.ToLower(status)
	if r.Kind == "" {
		r.Kind = "unspecified"
	}
	if r.Status == "" {
		r.Status = "unset"
	}
	r.Start, r.End = Time{start}, Time{start.Add(time.Duration(min(duration, 1<<62)))}
	r.DurationMS = float64(duration) / 1e6
	r.EventCount, r.LinkCount = int(events), int(links)
	size := sizeOf(r.Attributes) + len(r.StatusMessage)
	if full {
		r.Omitted = nil
		r.EventCount, r.LinkCount = len(d.names), len(d.spans)
		if scope.Name != "" {
			r.Scope = &scope
		}
		for i := range d.names {
			r.Events = append(r.Events, SpanEvent{Time{d.times[i]}, d.names[i], d.attrs[i]})
			size += sizeOf(d.attrs[i])
		}
		for i := range d.spans {
			r.Links = append(r.Links, SpanLink{d.traces[i], d.spans[i], d.states[i], d.linkAttrs[i]})
			size += sizeOf(d.linkAttrs[i])
		}
		size += sizeOf(r.Resource)
	}
	return r, position{start.UnixNano(), []string{r.TraceID, r.SpanID, r.Project}}, size, nil
}

func sizeOf(m map[string]string) (n int) {
	for k, v := range m {
		n += len(k) + len(v)
	}
	return n
}

// Spans lists spans, the newest first.
func (q *Querier) Spans(ctx context.Context, caller *access.Caller, req Request) (Page[Span], error) {
	return list(ctx, q, spanSource, caller, req)
}

// ExportSpans calls each for every span that matches, in order, in memory that does not grow with their number.
func (q *Querier) ExportSpans(ctx context.Context, caller *access.Caller, req Request, each func(Span) error) error {
	return export(ctx, q, spanSource, caller, req, each)
}

// Span returns one span in full.
func (q *Querier) Span(ctx context.Context, caller *access.Caller, traceID, spanID string, req Request) (Span, error) {
	trace, err := ParseTraceID(traceID)
	if err != nil {
		return Span{}, wrong("traceId", "%s", err)
	}
	id, err := ParseSpanID(spanID)
	if err != nil {
		return Span{}, wrong("spanId", "%s", err)
	}
	var found *Span
	err = q.trace(ctx, caller, trace, req, true, func(s *statement) {
		s.where("SpanId = " + s.str(id))
		s.tail = "ORDER BY Timestamp DESC LIMIT 1"
	}, func(r Span, _ position, _ int) error {
		found = &r
		return nil
	})
	if err == nil && found == nil {
		err = ErrNotFound
	}
	if err != nil {
		return Span{}, err
	}
	return *found, nil
}
