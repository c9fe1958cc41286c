// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerlogreceiver

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/logline"
)

// reservedPrefix is put before the names of attributes that a program may not set by what it prints.
const reservedPrefix = "app."

// line fills a record from what a program printed.
func (r *records) line(to plog.LogRecord, from *line, how settings) {
	attrs := to.Attributes()
	if how.mode == logline.ModeNone || from.Part > 0 {
		attrs.EnsureCapacity(2)
		to.Body().SetStr(from.Line)
		attrs.PutStr(identity.AttrLogStream, from.Stream.String())
		if from.printed != "" && how.keepOriginal {
			attrs.PutStr(identity.AttrLogOriginal, from.printed)
		}
		return
	}
	text := from.Line
	if from.lines > 1 {
		text, _, _ = strings.Cut(text, "\n") // the rest is a stack trace
	}
	got := r.parser.Parse(text, how.mode, from.Time)
	attrs.EnsureCapacity(len(got.Fields) + 4)
	for i := range got.Fields {
		field(attrs, &got.Fields[i])
	}
	attrs.PutStr(identity.AttrLogStream, from.Stream.String())
	body := got.Body
	if from.lines > 1 {
		body = from.Line
	}
	to.Body().SetStr(body)
	if from.printed != "" && how.keepOriginal {
		attrs.PutStr(identity.AttrLogOriginal, from.printed)
	} else if body != from.Line && (how.keepOriginal || got.Lossy) {
		attrs.PutStr(identity.AttrLogOriginal, from.Line)
	}
	severity, severityText := got.Severity, got.SeverityText
	if severity == 0 {
		severity, severityText = from.severity, from.severity.String()
	}
	if severity != 0 {
		to.SetSeverityNumber(plog.SeverityNumber(severity))
		to.SetSeverityText(severityText)
	}
	if got.Time != 0 {
		to.SetTimestamp(pcommon.Timestamp(got.Time))
	}
	if got.TraceID != [16]byte{} {
		to.SetTraceID(got.TraceID)
		to.SetFlags(plog.LogRecordFlags(got.Flags))
	}
	if got.SpanID != [8]byte{} {
		to.SetSpanID(got.SpanID)
	}
}

func field(attrs pcommon.Map, f *logline.Field) {
	key := f.Key
	if isReserved(key) {
		key = reservedPrefix + key
	}
	switch f.Kind {
	case logline.KindString, logline.KindJSON:
		attrs.PutStr(key, f.Str)
	case logline.KindInt:
		attrs.PutInt(key, f.Int)
	case logline.KindFloat:
		attrs.PutDouble(key, f.Float)
	case logline.KindBool:
		attrs.PutBool(key, f.Int != 0)
	default:
		attrs.PutEmpty(key)
	}
}

// isReserved tells the attributes by which later components know what a record is.
func isReserved(key string) bool {
	switch key {
	case identity.AttrLogUID, identity.AttrLogStream, identity.AttrEventName, identity.AttrLogOriginal,
		identity.AttrProject, identity.AttrDeployment, identity.AttrServer, identity.AttrBuild:
		return true
	}
	return strings.HasPrefix(key, "tailrace.")
}
