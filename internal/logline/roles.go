// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

// role is what a field with a known name is.
type role uint8

const (
	roleNone role = iota
	roleLevel
	roleSeverityNumber // of the OpenTelemetry log data model
	roleMessage
	roleEvent // structlog's message
	roleTime
	roleTrace
	roleSpan
	roleDatadogTrace
	roleDatadogSpan
	roleFlags
	roleTraceparent
	roleCount
)

// roleOf knows the names of: pino, bunyan, winston, zap, zerolog, logrus, log/slog, structlog and python-json-logger,
// logstash encoders, ECS, Serilog (CLEF), Microsoft.Extensions.Logging, tracing-subscriber, Google Cloud and Datadog.
func roleOf(key string) role {
	switch key {
	case "level", "lvl", "severity", "log.level", "levelname", "level_name", "log_level", "loglevel", "logLevel", "LogLevel",
		"Level", "@l", "@level", "severity_text", "severityText", "SeverityText":
		return roleLevel
	case "severity_number", "severityNumber", "SeverityNumber":
		return roleSeverityNumber
	case "msg", "message", "@m", "@message", "Message", "short_message", "fields.message", "MESSAGE":
		return roleMessage
	case "event":
		return roleEvent
	case "time", "ts", "timestamp", "@timestamp", "@t", "asctime", "datetime", "Timestamp", "t":
		return roleTime
	case "trace_id", "traceId", "traceID", "traceid", "TraceId", "TraceID", "trace.id", "otelTraceID", "otel.trace_id",
		"trace.trace_id", "logging.googleapis.com/trace", "@tr":
		return roleTrace
	case "span_id", "spanId", "spanID", "spanid", "SpanId", "SpanID", "span.id", "otelSpanID", "otel.span_id",
		"trace.span_id", "logging.googleapis.com/spanId", "@sp":
		return roleSpan
	case "dd.trace_id":
		return roleDatadogTrace
	case "dd.span_id":
		return roleDatadogSpan
	case "trace_flags", "traceFlags", "TraceFlags":
		return roleFlags
	case "traceparent":
		return roleTraceparent
	}
	return roleNone
}

// attributeOf gives errors the names of the OpenTelemetry conventions.
func attributeOf(key string) string {
	switch key {
	case "err.type", "err.name", "error.type", "error.name", "exception.class":
		return "exception.type"
	case "err.message", "error.message":
		return "exception.message"
	case "err.stack", "error.stack", "error.stack_trace", "errorVerbose", "stack_trace", "stack", "exc_info", "@x":
		return "exception.stacktrace"
	}
	return key
}

// accept gives the fields of a line their roles. The first field that can play a role has it, the others stay
// attributes. Without all, a line that has none of level and message is not a log line: false.
func (p *Parser) accept(all bool) bool {
	r := &p.record
	var taken [roleCount]bool
	event := -1
	kept := r.Fields[:0]
	for _, f := range r.Fields {
		what := roleOf(f.Key)
		switch {
		case what == roleNone:
			f.Key = attributeOf(f.Key)
		case what == roleEvent:
			if event < 0 && f.Kind == KindString && f.Str != "" {
				event = len(kept)
			}
		case !taken[what] && p.play(what, &f):
			taken[what] = true
			continue
		}
		kept = append(kept, f)
	}
	if event >= 0 && !taken[roleMessage] {
		r.Body = kept[event].Str
		taken[roleMessage] = true
		kept = append(kept[:event], kept[event+1:]...)
	}
	clear(r.Fields[len(kept):])
	r.Fields = kept
	return all || taken[roleMessage] || r.Severity != 0
}

// play lets f have a role; false when its value does not fit.
func (p *Parser) play(what role, f *Field) bool {
	r := &p.record
	text := f.Kind == KindString
	switch what {
	case roleLevel:
		return r.level(f)
	case roleSeverityNumber:
		if f.Kind != KindInt || f.Int < 1 || f.Int > 24 {
			return false
		}
		r.Severity = Severity(f.Int)
		if r.SeverityText == "" {
			r.SeverityText = r.Severity.String()
		}
		return true
	case roleMessage:
		if !text || f.Str == "" {
			return false
		}
		r.Body = f.Str
		return true
	case roleTime:
		return p.time(f)
	case roleTrace:
		return text && r.traceID(f.Str)
	case roleSpan:
		return text && r.spanID(f.Str)
	case roleDatadogTrace:
		return (text || f.Kind == KindInt) && (r.TraceID != [16]byte{} || r.datadogTrace(f.Str))
	case roleDatadogSpan:
		return (text || f.Kind == KindInt) && (r.SpanID != [8]byte{} || r.datadogSpan(f.Str))
	case roleFlags:
		return r.flags(f)
	case roleTraceparent:
		return text && len(f.Str) == traceparentLength && r.traceparent(f.Str)
	}
	return false
}

func (r *Record) level(f *Field) bool {
	var severity Severity
	switch f.Kind {
	case KindString:
		severity = levelText(f.Str)
	case KindInt:
		severity = levelNumber(f.Int)
	}
	if severity == 0 {
		return false
	}
	if r.Severity == 0 { // severity_number is more exact
		r.Severity = severity
	}
	r.SeverityText = r.Severity.String()
	if f.Kind == KindString && isLetter(f.Str[0]) {
		r.SeverityText = f.Str
	}
	return true
}

func (r *Record) flags(f *Field) bool {
	switch {
	case f.Kind == KindString && (f.Str == "01" || f.Str == "00"):
		r.Flags = f.Str[1] - '0'
	case f.Kind == KindInt && f.Int >= 0 && f.Int <= 255:
		r.Flags = uint8(f.Int)
	default:
		return false
	}
	return true
}

func (p *Parser) time(f *Field) bool {
	var ns int64
	var ok bool
	switch f.Kind {
	case KindString:
		ns, ok = p.stampText(f.Str)
	case KindInt, KindFloat:
		ns, ok = epoch(f.Str)
	}
	if !ok || !p.near(ns) {
		return false
	}
	p.record.Time = ns
	return true
}
