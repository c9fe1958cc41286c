// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package unfinished recognises spans that are still running, in the conventions in use: an OTLP span without an end time; a
// pending span of Logfire, zero long, which stands for its parent; and the log records of OpenTelemetry's partial span
// processors, whose body holds the span. They are for the live view: nothing that keeps spans takes them.
package unfinished

import (
	"encoding/hex"
	"errors"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Attributes of the conventions.
const (
	AttrSpanType      = "logfire.span_type"
	AttrPendingParent = "logfire.pending_parent_id"
	AttrEvent         = "partial.event"
	AttrFrequency     = "partial.frequency"

	spanTypePending = "pending_span"
)

// Values of AttrEvent.
const (
	EventHeartbeat = "heartbeat"
	EventStop      = "stop"
)

// Span reports whether sp is not the final word on a span.
func Span(sp ptrace.Span) bool {
	return sp.EndTimestamp() == 0 || Pending(sp)
}

// Pending reports whether sp is a placeholder that ends when it starts and stands for its parent.
func Pending(sp ptrace.Span) bool {
	if sp.EndTimestamp() != sp.StartTimestamp() {
		return false
	}
	v, ok := sp.Attributes().Get(AttrSpanType)
	return ok && v.Str() == spanTypePending
}

// PendingParent is the parent of the span that a pending one stands for; zero for a root.
func PendingParent(sp ptrace.Span) (id pcommon.SpanID) {
	if v, ok := sp.Attributes().Get(AttrPendingParent); ok && len(v.Str()) == 2*len(id) {
		var raw pcommon.SpanID
		if _, err := hex.Decode(raw[:], []byte(v.Str())); err == nil {
			id = raw
		}
	}
	return id
}

// Log reports whether the record is an event about an unfinished span.
func Log(lr plog.LogRecord) bool {
	_, ok := lr.Attributes().Get(AttrEvent)
	return ok
}

// maxBody bounds the body of such an event.
const maxBody = 1 << 20

// Decode reads the spans in the body of an event, which is OTLP/JSON, and how often it comes (0: not said).
func Decode(lr plog.LogRecord) (ptrace.Traces, time.Duration, error) {
	body := lr.Body().Str()
	if body == "" || len(body) > maxBody {
		return ptrace.Traces{}, 0, errors.New("no body of a size that is read")
	}
	td, err := new(ptrace.JSONUnmarshaler).UnmarshalTraces([]byte(body))
	if err != nil {
		return ptrace.Traces{}, 0, err
	}
	return td, frequency(lr), nil
}

func frequency(lr plog.LogRecord) time.Duration {
	v, ok := lr.Attributes().Get(AttrFrequency)
	if !ok {
		return 0
	}
	if v.Type() == pcommon.ValueTypeInt {
		return min(max(time.Duration(v.Int()), 0), 86_400_000) * time.Millisecond
	}
	d, err := time.ParseDuration(v.Str())
	if err != nil {
		return 0
	}
	return min(max(d, 0), 24*time.Hour)
}
