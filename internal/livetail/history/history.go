// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package history reads for the live tail what its rings do not have from ClickHouse, through package query, which restricts every
// question to what the caller may read.
package history

import (
	"context"
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/query"
)

// History implements livetail.History. It is safe for concurrent use.
type History struct {
	store   query.Store
	querier *query.Querier
	settle  func(ctx context.Context) error
}

// longestSpan is how long before a range a span that ends in it may have started, for it to be found.
const longestSpan = time.Hour

// New returns a history. settle waits until what has been taken in is stored, see livetail.History; nil: nobody knows when.
func New(store query.Store, settle func(ctx context.Context) error) *History {
	return &History{store: store, settle: settle, querier: query.New(store, query.Limits{
		Answer: 256 << 10, Concurrent: 4, Rows: 50_000_000, Bytes: 8 << 30, Memory: 512 << 20, Wait: 10 * time.Second,
	})}
}

var errUnknown = errors.New("nothing in this collector says how far loading into ClickHouse is")

// Settle implements livetail.History.
func (h *History) Settle(ctx context.Context) error {
	if err := h.store.WaitReady(ctx); err != nil {
		return err
	}
	if h.settle == nil {
		return errUnknown
	}
	return h.settle(ctx)
}

// Read implements livetail.History.
func (h *History) Read(ctx context.Context, q livetail.HistoryQuery) (livetail.HistoryPage, error) {
	if q.Signal == livetail.SignalSpan {
		return h.spans(ctx, q)
	}
	return h.logs(ctx, q)
}

// request makes a question; its filter leaves out nothing that the live tail's would not.
func request(q livetail.HistoryQuery, kind query.Kind) (query.Request, error) {
	values := map[string][]string{"limit": {strconv.Itoa(q.Limit)}, "detail": {"full"}}
	if !q.Newest {
		values["order"] = []string{"asc"}
	}
	if q.Cursor != "" {
		values["cursor"] = []string{q.Cursor}
	}
	ch := q.Channel
	for name, is := range map[string]bool{
		"server": ch.Kind == livetail.ChannelServer, "build": ch.Kind == livetail.ChannelBuild, "deployment": ch.Kind == livetail.ChannelDeployment,
		"project": ch.Kind == livetail.ChannelProject || ch.Kind == livetail.ChannelLogs || ch.Kind == livetail.ChannelSpans || ch.Kind == livetail.ChannelScores,
	} {
		if is {
			values[name] = []string{ch.ID}
		}
	}
	if ch.Kind == livetail.ChannelTrace {
		values["trace_id"] = []string{hex.EncodeToString(ch.Trace[:])}
	}
	hints := q.Filter.Hints()
	if n := len(hints.Service); n > 0 && n <= query.MaxValues {
		values["service"] = hints.Service
	}
	switch kind {
	case query.KindLogs:
		if n := len(hints.EventName); n > 0 && n <= query.MaxValues {
			values["event_name"] = hints.EventName
		}
		if ch.Kind == livetail.ChannelScores {
			values["event_name"] = []string{identity.EventEvaluationResult}
		}
		if hints.MinSeverity > 0 { // one without a number may have its level as text
			values["level"] = []string{"unset"}
			for i, level := range []string{"trace", "debug", "info", "warn", "error", "fatal"} {
				if 4*i+4 >= hints.MinSeverity {
					values["level"] = append(values["level"], level)
				}
			}
		}
	case query.KindSpans:
		if hints.Failed {
			values["status"] = []string{"error"}
		}
	}
	from := q.From
	if kind == query.KindSpans && !from.IsZero() {
		from = from.Add(-longestSpan)
	}
	if !from.IsZero() {
		values["start"] = []string{from.UTC().Format(time.RFC3339Nano)}
	}
	if !q.To.IsZero() {
		values["end"] = []string{q.To.UTC().Format(time.RFC3339Nano)}
	}
	req, err := query.Parse(kind, values, time.Now())
	if err == nil && kind == query.KindSpans {
		req.Filter.EndsAfter = q.From
	}
	return req, err
}

func (h *History) logs(ctx context.Context, q livetail.HistoryQuery) (livetail.HistoryPage, error) {
	out := livetail.HistoryPage{Logs: plog.NewLogs()}
	req, err := request(q, query.KindLogs)
	if err != nil {
		return out, err
	}
	page, err := h.querier.Logs(ctx, q.Caller, req)
	if err != nil {
		return out, err
	}
	for i := range page.Data {
		r := &page.Data[i]
		rl := out.Logs.ResourceLogs().AppendEmpty()
		resource(rl.Resource().Attributes(), r.Project, r.Deployment, r.Server, r.Build, r.Service)
		lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		lr.SetTimestamp(pcommon.NewTimestampFromTime(r.Time.Time))
		lr.SetSeverityNumber(plog.SeverityNumber(r.SeverityNumber))
		lr.SetSeverityText(r.SeverityText)
		lr.SetEventName(r.EventName)
		lr.Body().SetStr(r.Body)
		lr.SetTraceID(traceID(r.TraceID))
		lr.SetSpanID(spanID(r.SpanID))
		attributes(lr.Attributes(), r.Attributes)
		if v, ok := lr.Attributes().Get(livetail.AttrScoreValue); ok {
			if f, err := strconv.ParseFloat(v.Str(), 64); err == nil {
				v.SetDouble(f)
			}
		}
		if r.UID != "" {
			lr.Attributes().PutStr(identity.AttrLogUID, r.UID)
		}
	}
	if page.HasMore {
		out.Next = page.NextCursor
	}
	return out, nil
}

func (h *History) spans(ctx context.Context, q livetail.HistoryQuery) (livetail.HistoryPage, error) {
	out := livetail.HistoryPage{Spans: ptrace.NewTraces()}
	req, err := request(q, query.KindSpans)
	if err != nil {
		return out, err
	}
	page, err := h.querier.Spans(ctx, q.Caller, req)
	if err != nil {
		return out, err
	}
	for i := range page.Data {
		r := &page.Data[i]
		rs := out.Spans.ResourceSpans().AppendEmpty()
		resource(rs.Resource().Attributes(), r.Project, r.Deployment, r.Server, r.Build, r.Service)
		sp := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
		sp.SetTraceID(traceID(r.TraceID))
		sp.SetSpanID(spanID(r.SpanID))
		if r.ParentSpanID != nil {
			sp.SetParentSpanID(spanID(*r.ParentSpanID))
		}
		sp.SetName(r.Name)
		sp.SetKind(kinds[r.Kind])
		sp.SetStartTimestamp(pcommon.NewTimestampFromTime(r.Start.Time))
		sp.SetEndTimestamp(pcommon.NewTimestampFromTime(r.End.Time))
		sp.Status().SetCode(statuses[r.Status])
		sp.Status().SetMessage(r.StatusMessage)
		attributes(sp.Attributes(), r.Attributes)
		for _, e := range r.Events {
			ev := sp.Events().AppendEmpty()
			ev.SetName(e.Name)
			ev.SetTimestamp(pcommon.NewTimestampFromTime(e.Time.Time))
			attributes(ev.Attributes(), e.Attributes)
		}
	}
	if page.HasMore {
		out.Next = page.NextCursor
	}
	return out, nil
}

var (
	kinds = map[string]ptrace.SpanKind{
		"internal": ptrace.SpanKindInternal, "server": ptrace.SpanKindServer, "client": ptrace.SpanKindClient,
		"producer": ptrace.SpanKindProducer, "consumer": ptrace.SpanKindConsumer,
	}
	statuses = map[string]ptrace.StatusCode{"ok": ptrace.StatusCodeOk, "error": ptrace.StatusCodeError}
)

func resource(m pcommon.Map, project, deployment, server, build, service string) {
	for key, v := range map[string]string{
		identity.AttrProject: project, identity.AttrDeployment: deployment, identity.AttrServer: server, identity.AttrBuild: build,
		"service.name": service,
	} {
		if v != "" {
			m.PutStr(key, v)
		}
	}
}

func attributes(m pcommon.Map, from map[string]string) {
	m.EnsureCapacity(len(from) + 1)
	for k, v := range from {
		m.PutStr(k, v)
	}
}

func traceID(s string) (id pcommon.TraceID) {
	if raw, err := hex.DecodeString(s); err == nil {
		copy(id[:], raw)
	}
	return id
}

func spanID(s string) (id pcommon.SpanID) {
	if raw, err := hex.DecodeString(s); err == nil {
		copy(id[:], raw)
	}
	return id
}
