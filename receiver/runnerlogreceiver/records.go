// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerlogreceiver

import (

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/logline"
	"github.com/tailrace/tailrace/internal/supervise"
)

// Attributes beside those of internal/identity. README.md describes all of them.
const (
	attrServiceName     = "service.name"
	attrServiceInstance = "service.instance.id"
	attrHost            = "host.name"
	attrPID             = "process.pid"
	attrExecutable      = "process.executable.name"

	attrTruncated = "tailrace.line.truncated"
	attrPart      = "tailrace.line.part"
	attrLastPart  = "tailrace.line.last_part"
	attrRepaired  = "tailrace.line.repaired"
	attrLines     = "tailrace.line.count"
	attrContinued = "tailrace.line.continued"

	attrReason     = "tailrace.reason"
	attrRestarts   = "server.restart_count"
	attrPort       = "server.port"
	attrProcesses  = "server.processes"
	attrThreads    = "server.threads"
	attrOpenFiles  = "server.open_files"
	attrRuns       = "build.run"
	attrDuration   = "build.duration_s"
	attrExitCode   = "process.exit.code"
	attrExitSignal = "process.exit.signal"

	attrDroppedLines   = "tailrace.dropped.lines"
	eventOutputDropped = "tailrace.output.dropped"
)

// records turns output into pdata. The result belongs to the caller; nothing of it is shared. The same output
// gives the same records. Not safe for concurrent use.
type records struct {
	host    string
	version string
	scope   string
	parser  logline.Parser
}

// build makes a resource for each process: consecutive records of one source with one pid.
func (r *records) build(out output) plog.Logs {
	logs := plog.NewLogs()
	for _, group := range out {
		for entries := group.records; len(entries) > 0; {
			n := 1
			for n < len(entries) && entries[n].PID == entries[0].PID {
				n++
			}
			resource := logs.ResourceLogs().AppendEmpty()
			r.resource(resource.Resource().Attributes(), group.source, entries[0].PID)
			scope := resource.ScopeLogs().AppendEmpty()
			scope.Scope().SetName(r.scope)
			scope.Scope().SetVersion(r.version)
			scope.LogRecords().EnsureCapacity(n)
			for i := range entries[:n] {
				r.record(scope.LogRecords().AppendEmpty(), &entries[i], group.settings)
			}
			entries = entries[n:]
		}
	}
	return logs
}

func (r *records) resource(attrs pcommon.Map, source *supervise.Source, pid int) {
	attrs.EnsureCapacity(8 + len(source.Labels))
	id := identity.Identity{Project: source.Project, Deployment: source.Deployment, Server: source.Server, Build: source.Build}
	id.PutResource(attrs)
	put(attrs, attrServiceName, source.Service)
	put(attrs, attrServiceInstance, source.Server)
	put(attrs, attrHost, r.host)
	if pid != 0 {
		attrs.PutInt(attrPID, int64(pid))
		put(attrs, attrExecutable, source.Executable)
	}
	for _, label := range source.Labels {
		attrs.PutStr(label.Key, label.Value)
	}
}

func (r *records) record(to plog.LogRecord, from *line, how settings) {
	at := pcommon.NewTimestampFromTime(from.Time)
	to.SetTimestamp(at)
	to.SetObservedTimestamp(at)
	attrs := to.Attributes()
	if from.Event != nil {
		to.Body().SetStr(from.Line)
		attrs.EnsureCapacity(9)
		event(to, from.Event)
	} else {
		r.line(to, from, how)
	}
	attrs.PutStr(identity.AttrLogUID, from.UID.String())
	if from.Part > 0 {
		attrs.PutBool(attrTruncated, true)
		attrs.PutInt(attrPart, int64(from.Part))
		attrs.PutBool(attrLastPart, from.Last)
	}
	if from.Repaired {
		attrs.PutBool(attrRepaired, true)
	}
	if from.lines > 1 {
		attrs.PutInt(attrLines, int64(from.lines))
	}
	if from.cut {
		attrs.PutBool(attrContinued, true)
	}
}

func event(to plog.LogRecord, e *supervise.Event) {
	to.SetSeverityNumber(plog.SeverityNumberInfo)
	to.SetSeverityText("INFO")
	if e.Failure {
		to.SetSeverityNumber(plog.SeverityNumberError)
		to.SetSeverityText("ERROR")
	}
	attrs := to.Attributes()
	var name string
	switch e.Kind {
	case supervise.Lifecycle:
		name = identity.EventServerLifecycle
		attrs.PutStr(identity.AttrLifecycleState, e.State)
		attrs.PutInt(attrRestarts, int64(e.Restarts))
	case supervise.Health:
		name = identity.EventServerHealth
		attrs.PutStr(identity.AttrHealthStatus, e.State)
	case supervise.DeploymentStatus:
		name = identity.EventDeploymentStatus
		attrs.PutStr(identity.AttrDeploymentStatus, e.State)
	case supervise.BuildStatus:
		name = identity.EventBuildStatus
		attrs.PutStr(identity.AttrBuildStatus, e.State)
		attrs.PutInt(attrRuns, int64(e.Restarts)+1)
	case supervise.OutputDropped:
		name = eventOutputDropped
		attrs.PutInt(attrDroppedLines, e.DroppedLines)
	}
	to.SetEventName(name)
	attrs.PutStr(identity.AttrEventName, name)
	put(attrs, attrReason, e.Reason)
	if e.Exit != nil {
		attrs.PutInt(attrExitCode, int64(e.Exit.Code))
		put(attrs, attrExitSignal, e.Exit.Signal)
	}
	if e.Port > 0 {
		attrs.PutInt(attrPort, int64(e.Port))
	}
	if e.Uptime > 0 {
		key := identity.AttrUptime
		if e.Kind == supervise.BuildStatus {
			key = attrDuration
		}
		attrs.PutDouble(key, e.Uptime.Seconds())
	}
	if e.Usage != nil {
		attrs.PutDouble(identity.AttrCPUPercent, e.CPUPercent)
		attrs.PutDouble(identity.AttrMemoryUsageMB, float64(e.Usage.RSS)/(1<<20))
		attrs.PutInt(attrProcesses, int64(e.Usage.Processes))
		attrs.PutInt(attrThreads, int64(e.Usage.Threads))
		if e.Usage.OpenFiles >= 0 {
			attrs.PutInt(attrOpenFiles, int64(e.Usage.OpenFiles))
		}
	}
}

func put(attrs pcommon.Map, key, value string) {
	if value != "" {
		attrs.PutStr(key, value)
	}
}
