// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package flatjson

import (
	"errors"
	"fmt"
	"math"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/foreignid"
	"github.com/tailrace/tailrace/internal/jsonscan"
)

var (
	errNoTime   = errors.New("no Timestamp")
	errColumns  = errors.New("columns of one nested table have different lengths")
	errUnixTime = errors.New("a number says nothing about its unit; write a time as 2006-01-02T15:04:05.999999999Z")
)

// DecodeSpan appends the span of a line. After an error nothing was appended. Consecutive spans of the same
// resource and scope are put together. Unknown keys are passed over.
func DecodeSpan(line []byte, into ptrace.Traces) error {
	tmp := ptrace.NewTraces()
	rs := tmp.ResourceSpans().AppendEmpty()
	ss := rs.ScopeSpans().AppendEmpty()
	span := ss.Spans().AppendEmpty()
	var duration uint64
	timed := false
	var events nested
	var links nested
	d, err := newDecoder(line)
	if err != nil {
		return err
	}
	err = d.Object(func(key string) error {
		switch key {
		case "Timestamp":
			at, err := d.time()
			span.SetStartTimestamp(at)
			timed = true
			return err
		case "TraceId":
			return d.traceID(span.SetTraceID, span.Attributes())
		case "SpanId":
			return d.spanID(span.SetSpanID, span.Attributes(), foreignid.AttrSpanID)
		case "ParentSpanId":
			return d.spanID(span.SetParentSpanID, span.Attributes(), foreignid.AttrParentSpanID)
		case "TraceState":
			return d.str(span.TraceState().FromRaw)
		case "SpanName":
			return d.str(span.SetName)
		case "SpanKind":
			return d.kind(span)
		case "ServiceName":
			d.Skip() // it stands in ResourceAttributes
			return nil
		case "ResourceAttributes":
			return d.attributes(rs.Resource().Attributes())
		case "ScopeName":
			return d.str(ss.Scope().SetName)
		case "ScopeVersion":
			return d.str(ss.Scope().SetVersion)
		case "SpanAttributes":
			return d.attributes(span.Attributes())
		case "Duration":
			v, err := d.Uint(64)
			duration = v
			return err
		case "StatusCode":
			return d.status(span.Status())
		case "StatusMessage":
			return d.str(span.Status().SetMessage)
		case "Events.Timestamp":
			return d.each(&events, span.Events().Len, func() { span.Events().AppendEmpty() }, func(i int) error {
				at, err := d.time()
				span.Events().At(i).SetTimestamp(at)
				return err
			})
		case "Events.Name":
			return d.each(&events, span.Events().Len, func() { span.Events().AppendEmpty() }, func(i int) error {
				return d.str(span.Events().At(i).SetName)
			})
		case "Events.Attributes":
			return d.each(&events, span.Events().Len, func() { span.Events().AppendEmpty() }, func(i int) error {
				return d.attributes(span.Events().At(i).Attributes())
			})
		case "Links.TraceId":
			return d.each(&links, span.Links().Len, func() { span.Links().AppendEmpty() }, func(i int) error {
				return d.traceID(span.Links().At(i).SetTraceID, span.Links().At(i).Attributes())
			})
		case "Links.SpanId":
			return d.each(&links, span.Links().Len, func() { span.Links().AppendEmpty() }, func(i int) error {
				return d.spanID(span.Links().At(i).SetSpanID, span.Links().At(i).Attributes(), foreignid.AttrSpanID)
			})
		case "Links.TraceState":
			return d.each(&links, span.Links().Len, func() { span.Links().AppendEmpty() }, func(i int) error {
				return d.str(span.Links().At(i).TraceState().FromRaw)
			})
		case "Links.Attributes":
			return d.each(&links, span.Links().Len, func() { span.Links().AppendEmpty() }, func(i int) error {
				return d.attributes(span.Links().At(i).Attributes())
			})
		}
		d.Skip()
		return nil
	})
	if err != nil {
		return err
	}
	if !timed {
		return errNoTime
	}
	span.SetEndTimestamp(span.StartTimestamp() + pcommon.Timestamp(duration))
	mergeSpans(rs, ss, into)
	return nil
}

func mergeSpans(rs ptrace.ResourceSpans, ss ptrace.ScopeSpans, into ptrace.Traces) {
	if n := into.ResourceSpans().Len(); n > 0 {
		last := into.ResourceSpans().At(n - 1)
		scopes := last.ScopeSpans()
		if m := scopes.Len(); m > 0 && last.Resource().Attributes().Equal(rs.Resource().Attributes()) && last.SchemaUrl() == "" {
			if sameScope(scopes.At(m-1).Scope(), ss.Scope()) && scopes.At(m-1).SchemaUrl() == "" {
				ss.Spans().MoveAndAppendTo(scopes.At(m - 1).Spans())
				return
			}
			ss.MoveTo(scopes.AppendEmpty())
			return
		}
	}
	rs.MoveTo(into.ResourceSpans().AppendEmpty())
}

func sameScope(a, b pcommon.InstrumentationScope) bool {
	return a.Name() == b.Name() && a.Version() == b.Version() && a.DroppedAttributesCount() == b.DroppedAttributesCount() &&
		a.Attributes().Equal(b.Attributes())
}

// DecodeLog appends the log record (or score) of a line. See DecodeSpan.
func DecodeLog(line []byte, into plog.Logs) error {
	tmp := plog.NewLogs()
	rl := tmp.ResourceLogs().AppendEmpty()
	sl := rl.ScopeLogs().AppendEmpty()
	rec := sl.LogRecords().AppendEmpty()
	timed := false
	d, err := newDecoder(line)
	if err != nil {
		return err
	}
	err = d.Object(func(key string) error {
		switch key {
		case "Timestamp":
			at, err := d.time()
			rec.SetTimestamp(at)
			timed = true
			return err
		case "TraceId":
			return d.traceID(rec.SetTraceID, rec.Attributes())
		case "SpanId":
			return d.spanID(rec.SetSpanID, rec.Attributes(), foreignid.AttrSpanID)
		case "TraceFlags":
			v, err := d.Uint(32)
			rec.SetFlags(plog.LogRecordFlags(v))
			return err
		case "SeverityText":
			return d.str(rec.SetSeverityText)
		case "SeverityNumber":
			v, err := d.Int(32)
			rec.SetSeverityNumber(plog.SeverityNumber(v))
			return err
		case "ServiceName":
			d.Skip()
			return nil
		case "Body":
			return d.str(rec.Body().SetStr)
		case "ResourceSchemaUrl":
			return d.str(rl.SetSchemaUrl)
		case "ResourceAttributes":
			return d.attributes(rl.Resource().Attributes())
		case "ScopeSchemaUrl":
			return d.str(sl.SetSchemaUrl)
		case "ScopeName":
			return d.str(sl.Scope().SetName)
		case "ScopeVersion":
			return d.str(sl.Scope().SetVersion)
		case "ScopeAttributes":
			return d.attributes(sl.Scope().Attributes())
		case "LogAttributes":
			return d.attributes(rec.Attributes())
		case "EventName":
			return d.str(rec.SetEventName)
		}
		d.Skip()
		return nil
	})
	if err != nil {
		return err
	}
	if !timed {
		return errNoTime
	}
	mergeLogs(rl, sl, into)
	return nil
}

func mergeLogs(rl plog.ResourceLogs, sl plog.ScopeLogs, into plog.Logs) {
	if n := into.ResourceLogs().Len(); n > 0 {
		last := into.ResourceLogs().At(n - 1)
		scopes := last.ScopeLogs()
		if m := scopes.Len(); m > 0 && last.SchemaUrl() == rl.SchemaUrl() && last.Resource().Attributes().Equal(rl.Resource().Attributes()) {
			if sameScope(scopes.At(m-1).Scope(), sl.Scope()) && scopes.At(m-1).SchemaUrl() == sl.SchemaUrl() {
				sl.LogRecords().MoveAndAppendTo(scopes.At(m - 1).LogRecords())
				return
			}
			sl.MoveTo(scopes.AppendEmpty())
			return
		}
	}
	rl.MoveTo(into.ResourceLogs().AppendEmpty())
}

type decoder struct{ *jsonscan.Scanner }

func newDecoder(line []byte) (decoder, error) {
	s, err := jsonscan.New(line)
	return decoder{s}, err
}

func (d decoder) str(set func(string)) error {
	v, err := d.Str()
	if err == nil {
		set(v)
	}
	return err
}

func (d decoder) time() (pcommon.Timestamp, error) {
	if d.Kind() == jsonscan.Number {
		return 0, errUnixTime
	}
	text, err := d.Str()
	if err != nil {
		return 0, err
	}
	return ParseTime(text)
}

// ParseTime reads the time formats that may stand in a flat line: RFC 3339, and ClickHouse's own output (in UTC).
func ParseTime(text string) (pcommon.Timestamp, error) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		if at, err = time.Parse("2006-01-02 15:04:05.999999999", text); err != nil {
			return 0, fmt.Errorf("%q is no time like 2006-01-02T15:04:05.999999999Z", text)
		}
	}
	if at.Before(time.Unix(0, math.MinInt64)) || at.After(time.Unix(0, math.MaxInt64)) {
		return 0, fmt.Errorf("%q does not fit 64 bits of nanoseconds", text)
	}
	return pcommon.Timestamp(at.UnixNano()), nil
}

func (d decoder) traceID(set func(pcommon.TraceID), attrs pcommon.Map) error {
	text, err := d.Str()
	if err != nil {
		return err
	}
	id, exact := foreignid.Trace(text)
	set(id)
	if !exact {
		attrs.PutStr(foreignid.AttrTraceID, text)
	}
	return nil
}

func (d decoder) spanID(set func(pcommon.SpanID), attrs pcommon.Map, original string) error {
	text, err := d.Str()
	if err != nil {
		return err
	}
	id, exact := foreignid.Span(text)
	set(id)
	if !exact {
		attrs.PutStr(original, text)
	}
	return nil
}

// attributes puts into m what the object holds, in its order.
func (d decoder) attributes(m pcommon.Map) error {
	return d.Object(func(key string) error {
		v, err := d.Str()
		if err == nil {
			m.PutStr(key, v) // of a key that stands there twice, the last value
		}
		return err
	})
}

func (d decoder) kind(span ptrace.Span) error {
	text, err := d.Str()
	if err != nil || text == "" {
		return err
	}
	for k := ptrace.SpanKindUnspecified; k <= ptrace.SpanKindConsumer; k++ {
		if k.String() == text {
			span.SetKind(k)
			return nil
		}
	}
	return fmt.Errorf("%q; known are Unspecified, Internal, Server, Client, Producer, Consumer", text)
}

func (d decoder) status(status ptrace.Status) error {
	text, err := d.Str()
	if err != nil || text == "" {
		return err
	}
	for c := ptrace.StatusCodeUnset; c <= ptrace.StatusCodeError; c++ {
		if c.String() == text {
			status.SetCode(c)
			return nil
		}
	}
	return fmt.Errorf("%q; known are Unset, Ok, Error", text)
}

// nested remembers the length of the columns of one nested table.
type nested struct {
	known bool
	n     int
}

// each reads one column of a nested table: the first one makes the elements, the others have to be as long.
func (d decoder) each(t *nested, length func() int, grow func(), read func(i int) error) error {
	i := 0
	err := d.Array(func() error {
		if i == length() {
			if t.known {
				return errColumns
			}
			grow()
		}
		i++
		return read(i - 1)
	})
	if err == nil && t.known && i != t.n {
		err = errColumns
	}
	t.known, t.n = true, i
	return err
}
