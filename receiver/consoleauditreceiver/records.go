// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleauditreceiver

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/internal/audit"
	"github.com/tailrace/tailrace/internal/identity"
)

const serviceName = "tailrace-console"

// build makes records of events, anew at each call since consumers may change theirs; the uids are those of the events.
func (r *auditReceiver) build(events []audit.Event) plog.Logs {
	logs := plog.NewLogs()
	resource := logs.ResourceLogs().AppendEmpty()
	attrs := resource.Resource().Attributes()
	attrs.PutStr(identity.AttrProject, r.project)
	attrs.PutStr("service.name", serviceName)
	if r.host != "" {
		attrs.PutStr("host.name", r.host)
	}
	scope := resource.ScopeLogs().AppendEmpty()
	scope.Scope().SetName(r.scopeName)
	scope.Scope().SetVersion(r.version)
	records := scope.LogRecords()
	records.EnsureCapacity(len(events))
	for i := range events {
		record(&events[i], records.AppendEmpty())
	}
	return logs
}

func record(e *audit.Event, to plog.LogRecord) {
	at := pcommon.NewTimestampFromTime(e.Time)
	to.SetTimestamp(at)
	to.SetObservedTimestamp(at)
	to.SetEventName(e.Name)
	to.SetSeverityNumber(plog.SeverityNumberInfo)
	to.SetSeverityText("INFO")
	if e.Outcome != audit.Success {
		to.SetSeverityNumber(plog.SeverityNumberWarn)
		to.SetSeverityText("WARN")
	}
	to.Body().SetStr(e.Text())
	attrs := to.Attributes()
	for _, a := range []struct{ key, value string }{
		{identity.AttrLogUID, e.UID},
		{identity.AttrEventName, e.Name},
		{"tailrace.audit.outcome", e.Outcome},
		{"tailrace.audit.reason", e.Reason},
		{"tailrace.audit.method", e.Method},
		{"user.id", e.Subject},
		{"client.address", e.Client},
		{"http.request.method", e.HTTPMethod},
		{"url.path", e.Path},
		{"url.query", e.Query},
		{"tailrace.audit.object", e.Object},
	} {
		if a.value != "" {
			attrs.PutStr(a.key, a.value)
		}
	}
	if e.Status != 0 {
		attrs.PutInt("http.response.status_code", int64(e.Status))
	}
	if e.Count > 1 {
		attrs.PutInt("tailrace.audit.count", int64(e.Count))
	}
	if e.Name == audit.Export {
		attrs.PutInt("http.response.body.size", e.Bytes)
	}
	if e.Name == audit.Export || e.Name == audit.TailEnd {
		attrs.PutDouble("tailrace.audit.duration_s", e.Duration.Round(time.Millisecond).Seconds())
	}
}
