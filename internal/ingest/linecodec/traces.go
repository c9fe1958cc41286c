// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package linecodec

import (
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/ingest"
)

// NewTraces returns an empty batch of spans; its units are *Unit[ptrace.Traces].
func NewTraces() ingest.Batch {
	return newBatch(&codec[ptrace.Traces]{
		decode:    decodeTraces,
		marshal:   (&ptrace.JSONMarshaler{}).MarshalTraces,
		empty:     ptrace.NewTraces,
		records:   ptrace.Traces.SpanCount,
		resources: func(d ptrace.Traces) int { return d.ResourceSpans().Len() },
		appendTo: func(from, to ptrace.Traces) {
			eachSpan(from, orderTimes)
			from.ResourceSpans().MoveAndAppendTo(to.ResourceSpans())
		},
		days: func(d ptrace.Traces, f func(int64)) {
			eachSpan(d, func(s ptrace.Span) { f(dayOf(s.StartTimestamp())) })
		},
		keep: func(d ptrace.Traces, want func(int64) bool) {
			removeSpans(d, func(s ptrace.Span) bool { return !want(dayOf(s.StartTimestamp())) })
		},
		copy: func(d ptrace.Traces) ptrace.Traces {
			c := ptrace.NewTraces()
			d.CopyTo(c)
			return c
		},
		poison: poisonSpans,
	})
}

func eachSpan(d ptrace.Traces, f func(ptrace.Span)) {
	for _, rs := range d.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				f(s)
			}
		}
	}
}

func removeSpans(d ptrace.Traces, drop func(ptrace.Span) bool) {
	d.ResourceSpans().RemoveIf(func(rs ptrace.ResourceSpans) bool {
		rs.ScopeSpans().RemoveIf(func(ss ptrace.ScopeSpans) bool {
			ss.Spans().RemoveIf(drop)
			return ss.Spans().Len() == 0
		})
		return rs.ScopeSpans().Len() == 0
	})
}

// orderTimes lets a span that ends before it starts, as after a step of its clock, end at its start: the store's durations are unsigned, and
// one of 584 years would be the slowest of all for as long as it is kept.
func orderTimes(s ptrace.Span) {
	if s.EndTimestamp() < s.StartTimestamp() {
		s.SetEndTimestamp(s.StartTimestamp())
	}
}

func wrongWithSpan(s ptrace.Span) string {
	if reason := wrongWithTime(s.StartTimestamp()); reason != "" {
		return reason
	}
	if s.EndTimestamp() > maxTime {
		return reasonTime
	}
	for _, e := range s.Events().All() {
		if e.Timestamp() > maxTime {
			return reasonTime
		}
	}
	return ""
}

func badSpan(s ptrace.Span) bool { return wrongWithSpan(s) != "" }

func poisonSpans(d ptrace.Traces) (rejected []ptrace.Traces, reasons []string) {
	for _, rs := range d.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				reason := wrongWithSpan(s)
				if reason == "" {
					continue
				}
				one := ptrace.NewTraces()
				r := one.ResourceSpans().AppendEmpty()
				rs.Resource().CopyTo(r.Resource())
				r.SetSchemaUrl(rs.SchemaUrl())
				sc := r.ScopeSpans().AppendEmpty()
				ss.Scope().CopyTo(sc.Scope())
				sc.SetSchemaUrl(ss.SchemaUrl())
				s.CopyTo(sc.Spans().AppendEmpty())
				rejected, reasons = append(rejected, one), append(reasons, reason)
			}
		}
	}
	if len(rejected) > 0 {
		removeSpans(d, badSpan)
	}
	return rejected, reasons
}
