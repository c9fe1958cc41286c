// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/foreignid"
	"github.com/tailrace/tailrace/internal/identity"
)

// scopeName says where these records come from.
const scopeName = "tailrace/envelope"

// Attributes of scores, as in the OpenTelemetry semantic conventions but for the normalized value.
const (
	attrScoreName       = "gen_ai.evaluation.name"
	attrScoreValue      = "gen_ai.evaluation.score.value"
	attrScoreNormalized = "gen_ai.evaluation.score.normalized"
	attrScoreComment    = "gen_ai.evaluation.explanation"
)

// DecodeSpan appends the span of a span or trace record. After an error nothing was appended.
func DecodeSpan(line []byte, hint Hint, into ptrace.Traces) error {
	r, err := parse(line, hint, KindSpan, KindTrace)
	if err != nil {
		return err
	}
	tmp := ptrace.NewTraces()
	rs := tmp.ResourceSpans().AppendEmpty()
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName(scopeName)
	span := ss.Spans().AppendEmpty()
	r.resource(rs.Resource().Attributes())
	attrs := span.Attributes()
	r.attributes("attributes", "", attrs)
	r.attributes("metadata", prefixMetadata, attrs)
	span.SetName(r.text("name"))
	span.SetTraceID(r.traceID(attrs))
	if r.kind == KindSpan {
		span.SetSpanID(r.spanID("spanId", foreignid.AttrSpanID, attrs))
		span.SetParentSpanID(r.spanID("parentSpanId", foreignid.AttrParentSpanID, attrs))
	} else {
		attrs.PutStr(AttrRecord, KindTrace)
		sum := sha256.Sum256([]byte("trace:" + r.text("traceId")))
		span.SetSpanID(pcommon.SpanID(sum[:8]))
	}
	if err := r.times(span); err != nil {
		return err
	}
	r.spanKind(span)
	switch text := r.text("status"); text {
	case "ok":
		span.Status().SetCode(ptrace.StatusCodeOk)
	case "error":
		span.Status().SetCode(ptrace.StatusCodeError)
	case "", "unset":
	default:
		attrs.PutStr(prefixOriginal+"status", text)
	}
	if err := r.events(span); err != nil {
		return err
	}
	r.rest(attrs)
	if n := into.ResourceSpans().Len(); n > 0 && same(into.ResourceSpans().At(n-1).Resource(), rs.Resource()) {
		scopes := into.ResourceSpans().At(n - 1).ScopeSpans()
		if k := scopes.Len(); k > 0 && scopes.At(k-1).Scope().Name() == scopeName {
			ss.Spans().MoveAndAppendTo(scopes.At(k - 1).Spans())
			return nil
		}
		ss.MoveTo(scopes.AppendEmpty())
		return nil
	}
	rs.MoveTo(into.ResourceSpans().AppendEmpty())
	return nil
}

func same(a, b pcommon.Resource) bool { return a.Attributes().Equal(b.Attributes()) }

// times sets start and end: endTime, else durationMs, else the span has not ended.
func (r *record) times(span ptrace.Span) error {
	start, err := r.needTime("startTime")
	if err != nil {
		return err
	}
	span.SetStartTimestamp(start)
	end, ended, err := r.time("endTime")
	if err != nil {
		return err
	}
	ms, timed, err := r.number("durationMs")
	if err != nil {
		return err
	}
	switch {
	case ended:
		span.SetEndTimestamp(end)
	case timed && ms >= 0 && ms < 1e12:
		span.SetEndTimestamp(start + pcommon.Timestamp(math.Round(ms*1e6)))
	default:
		span.SetEndTimestamp(start)
		span.Attributes().PutBool(AttrUnfinished, true)
	}
	return nil
}

func (r *record) spanKind(span ptrace.Span) {
	kinds := map[string]ptrace.SpanKind{
		"internal": ptrace.SpanKindInternal, "server": ptrace.SpanKindServer, "client": ptrace.SpanKindClient,
		"producer": ptrace.SpanKindProducer, "consumer": ptrace.SpanKindConsumer,
	}
	text := r.text("kind")
	if kind, ok := kinds[text]; ok {
		span.SetKind(kind)
	} else if text != "" {
		span.Attributes().PutStr(prefixOriginal+"kind", text)
	}
}

func (r *record) events(span ptrace.Span) error {
	raw, ok := r.get("events")
	if !ok {
		return nil
	}
	list, ok := raw.([]any)
	if !ok {
		value(raw, span.Attributes().PutEmpty(prefixOriginal+"events"))
		return nil
	}
	for i, e := range list {
		data, ok := e.(map[string]any)
		if !ok {
			return fmt.Errorf("events[%d]: %T is no object", i, e)
		}
		er := &record{data: data, used: map[string]bool{}}
		ev := span.Events().AppendEmpty()
		ev.SetName(er.text("name"))
		at, timed, err := er.time("timestamp")
		if err != nil {
			return fmt.Errorf("events[%d]: %w", i, err)
		}
		if !timed {
			at = span.StartTimestamp()
		}
		ev.SetTimestamp(at)
		er.attributes("attributes", "", ev.Attributes())
		er.rest(ev.Attributes())
	}
	return nil
}

// DecodeLog appends the log record of a log or score record. After an error nothing was appended.
func DecodeLog(line []byte, hint Hint, into plog.Logs) error {
	r, err := parse(line, hint, KindLog, KindScore)
	if err != nil {
		return err
	}
	tmp := plog.NewLogs()
	rl := tmp.ResourceLogs().AppendEmpty()
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(scopeName)
	rec := sl.LogRecords().AppendEmpty()
	r.resource(rl.Resource().Attributes())
	at, err := r.needTime("timestamp")
	if err != nil {
		return err
	}
	rec.SetTimestamp(at)
	rec.SetObservedTimestamp(at)
	attrs := rec.Attributes()
	r.attributes("attributes", "", attrs)
	r.attributes("metadata", prefixMetadata, attrs)
	if id := r.text("id"); id != "" {
		attrs.PutStr(identity.AttrLogUID, id)
	}
	rec.SetTraceID(r.traceID(attrs))
	rec.SetSpanID(r.spanID("spanId", foreignid.AttrSpanID, attrs))
	if r.kind == KindScore {
		if err := r.score(rec); err != nil {
			return err
		}
	} else {
		r.level(rec)
		rec.Body().SetStr(r.text("message"))
	}
	r.rest(attrs)
	if n := into.ResourceLogs().Len(); n > 0 && same(into.ResourceLogs().At(n-1).Resource(), rl.Resource()) {
		scopes := into.ResourceLogs().At(n - 1).ScopeLogs()
		if k := scopes.Len(); k > 0 && scopes.At(k-1).Scope().Name() == scopeName {
			sl.LogRecords().MoveAndAppendTo(scopes.At(k - 1).LogRecords())
			return nil
		}
		sl.MoveTo(scopes.AppendEmpty())
		return nil
	}
	rl.MoveTo(into.ResourceLogs().AppendEmpty())
	return nil
}

func (r *record) level(rec plog.LogRecord) {
	text := r.text("level")
	rec.SetSeverityText(text)
	switch text {
	case "debug":
		rec.SetSeverityNumber(plog.SeverityNumberDebug)
	case "info":
		rec.SetSeverityNumber(plog.SeverityNumberInfo)
	case "warn":
		rec.SetSeverityNumber(plog.SeverityNumberWarn)
	case "error":
		rec.SetSeverityNumber(plog.SeverityNumberError)
	}
}

func (r *record) score(rec plog.LogRecord) error {
	rec.SetEventName(identity.EventEvaluationResult)
	attrs := rec.Attributes()
	attrs.PutStr(identity.AttrEventName, identity.EventEvaluationResult)
	attrs.PutStr(attrScoreName, r.text("name"))
	v, ok, err := r.number("value")
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("value: missing")
	}
	attrs.PutDouble(attrScoreValue, v)
	v, ok, err = r.number("normalizedValue")
	if err != nil {
		return err
	}
	if ok {
		attrs.PutDouble(attrScoreNormalized, v)
	}
	if text := r.text("comment"); text != "" {
		attrs.PutStr(attrScoreComment, text)
	}
	return nil
}

// DecodeMetric appends the data point of a metric record. After an error nothing was appended.
func DecodeMetric(line []byte, hint Hint, into pmetric.Metrics) error {
	r, err := parse(line, hint, KindMetric)
	if err != nil {
		return err
	}
	at, err := r.needTime("timestamp")
	if err != nil {
		return err
	}
	v, ok, err := r.number("value")
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("value: missing")
	}
	tmp := pmetric.NewMetrics()
	rm := tmp.ResourceMetrics().AppendEmpty()
	sm := rm.ScopeMetrics().AppendEmpty()
	sm.Scope().SetName(scopeName)
	m := sm.Metrics().AppendEmpty()
	m.SetName(r.text("name"))
	m.SetUnit(r.text("unit"))
	r.resource(rm.Resource().Attributes())
	id := r.text("id")
	exemplar := func(to pmetric.ExemplarSlice) {
		if id != "" {
			x := to.AppendEmpty()
			x.SetTimestamp(at)
			x.SetDoubleValue(v)
			x.FilteredAttributes().PutStr(prefixOriginal+"id", id)
		}
	}
	number := func(p pmetric.NumberDataPoint) pcommon.Map {
		p.SetTimestamp(at)
		p.SetDoubleValue(v)
		exemplar(p.Exemplars())
		return p.Attributes()
	}
	var attrs pcommon.Map
	switch text := r.text("type"); text {
	case "counter":
		s := m.SetEmptySum()
		s.SetIsMonotonic(true)
		s.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		attrs = number(s.DataPoints().AppendEmpty())
	case "histogram":
		h := m.SetEmptyHistogram()
		h.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		p := h.DataPoints().AppendEmpty()
		p.SetTimestamp(at)
		p.SetCount(1)
		p.SetSum(v)
		p.SetMin(v)
		p.SetMax(v)
		p.BucketCounts().FromRaw([]uint64{1})
		exemplar(p.Exemplars())
		attrs = p.Attributes()
	default:
		attrs = number(m.SetEmptyGauge().DataPoints().AppendEmpty())
		if text != "gauge" && text != "" {
			attrs.PutStr(prefixOriginal+"type", text)
		}
	}
	r.attributes("labels", "", attrs)
	r.rest(attrs)
	if n := into.ResourceMetrics().Len(); n > 0 && same(into.ResourceMetrics().At(n-1).Resource(), rm.Resource()) {
		scopes := into.ResourceMetrics().At(n - 1).ScopeMetrics()
		if k := scopes.Len(); k > 0 && scopes.At(k-1).Scope().Name() == scopeName {
			sm.Metrics().MoveAndAppendTo(scopes.At(k - 1).Metrics())
			return nil
		}
		sm.MoveTo(scopes.AppendEmpty())
		return nil
	}
	rm.MoveTo(into.ResourceMetrics().AppendEmpty())
	return nil
}
