// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

func (d *decoder) logsData(ld plog.Logs) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "resourceLogs", "resource_logs":
			if d.array() {
				for d.element() {
					d.resourceLogs(ld.ResourceLogs().AppendEmpty())
				}
			}
		default:
			d.unknown()
		}
	}
}

func (d *decoder) resourceLogs(rl plog.ResourceLogs) {
	if !d.object() {
		return
	}
	deprecated := plog.ScopeLogsSlice{}
	some := false
	for d.field() {
		switch string(d.key()) {
		case "resource":
			d.resource(rl.Resource())
		case "scopeLogs", "scope_logs":
			d.scopeLogsArray(rl.ScopeLogs())
		case "schemaUrl", "schema_url":
			rl.SetSchemaUrl(d.str())
		case "deprecatedScopeLogs", "deprecated_scope_logs":
			if !some {
				deprecated, some = plog.NewScopeLogsSlice(), true
			}
			d.scopeLogsArray(deprecated)
		default:
			d.unknown()
		}
	}
	if some && rl.ScopeLogs().Len() == 0 {
		deprecated.MoveAndAppendTo(rl.ScopeLogs())
	}
}

func (d *decoder) scopeLogsArray(s plog.ScopeLogsSlice) {
	if d.array() {
		for d.element() {
			d.scopeLogs(s.AppendEmpty())
		}
	}
}

func (d *decoder) scopeLogs(sl plog.ScopeLogs) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "scope":
			d.scope(sl.Scope())
		case "logRecords", "log_records":
			if d.array() {
				records := sl.LogRecords()
				for d.element() {
					d.logRecord(records.AppendEmpty())
				}
			}
		case "schemaUrl", "schema_url":
			sl.SetSchemaUrl(d.str())
		default:
			d.unknown()
		}
	}
}

func (d *decoder) logRecord(r plog.LogRecord) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key()) {
		case "timeUnixNano", "time_unix_nano":
			r.SetTimestamp(pcommon.Timestamp(d.uint64()))
		case "observedTimeUnixNano", "observed_time_unix_nano":
			r.SetObservedTimestamp(pcommon.Timestamp(d.uint64()))
		case "severityNumber", "severity_number":
			r.SetSeverityNumber(plog.SeverityNumber(d.enum(severityNumber)))
		case "severityText", "severity_text":
			r.SetSeverityText(d.str())
		case "body":
			d.value(r.Body())
		case "attributes":
			d.attributes(r.Attributes(), &d.hints.record)
		case "droppedAttributesCount", "dropped_attributes_count":
			r.SetDroppedAttributesCount(d.uint32())
		case "flags":
			r.SetFlags(plog.LogRecordFlags(d.uint32()))
		case "traceId", "trace_id":
			r.SetTraceID(d.traceID())
		case "spanId", "span_id":
			r.SetSpanID(d.spanID())
		case "eventName", "event_name":
			r.SetEventName(d.str())
		default:
			d.unknown()
		}
	}
}

// severityNumber knows the 24 severities by level and step, TRACE to FATAL4.
func severityNumber(name string) int32 {
	level, ok := strings.CutPrefix(name, "SEVERITY_NUMBER_")
	if !ok {
		return -1
	}
	switch level {
	case "UNSPECIFIED":
		return 0
	case "TRACE ": // as the reference spells it
		return 1
	}
	for i, l := range [...]string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"} {
		step, ok := strings.CutPrefix(level, l)
		switch {
		case !ok:
			continue
		case step == "":
			return int32(4*i + 1)
		case len(step) != 1:
			return -1
		}
		if n, err := strconv.Atoi(step); err == nil && n >= 2 && n <= 4 {
			return int32(4*i + n)
		}
	}
	return -1
}
