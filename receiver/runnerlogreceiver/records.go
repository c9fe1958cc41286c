// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerlogreceiver

import (
	"strings"

	"github.com/oklog/ulid/v2"
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
	attrBytes     = "tailrace.line.bytes"
	attrLines     = "tailrace.line.count"
	attrContinued = "tailrace.line.continued"

	attrDroppedLines = "tailrace.dropped.lines"
	attrDroppedBytes = "tailrace.dropped.bytes"

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
)

// records turns output into pdata. The result belongs to the caller; nothing of it is shared. The same output
// gives the same records. Not safe for concurrent use.
type records struct {
	host      string
	version   string
	scopeName string
	parser    logline.Parser
	uids      strings.Builder // the block that uids share now
}

// uidBlock is how many uids share one string: few, because who keeps one keeps all of them.
const uidBlock = 64

// uid returns the text of a uid.
func (r *records) uid(id ulid.ULID) string {
	var text [ulid.EncodedSize]byte
	_ = id.MarshalTextTo(text[:]) // fails for a wrong length only
	if r.uids.Cap()-r.uids.Len() < len(text) {
		r.uids = strings.Builder{}
		r.uids.Grow(uidBlock * len(text))
	}
	start := r.uids.Len()
	r.uids.Write(text[:])
	return r.uids.String()[start:]
}

// build makes a resource for each process: consecutive records of one source with one pid.
func (r *records) build(out output) plog.Logs {
	logs := plog.NewLogs()
	var into plog.LogRecordSlice
	var source *supervise.Source
	pid := -1
	next := func(i, of int) plog.LogRecord {
		if out[i].source != source || of != pid {
			source, pid = out[i].source, of
			into = r.scope(logs.ResourceLogs(), source, pid)
			n := 0
			for ; i < len(out) && out[i].source == source; i++ {
				n += out[i].Len()
			}
			into.EnsureCapacity(n)
		}
		return into.AppendEmpty()
	}
	for i := range out {
		of := &out[i]
		for j := range of.records {
			r.record(next(i, of.records[j].PID), &of.records[j], of.settings)
		}
		for j := range of.entries {
			one := line{Entry: of.entries[j], lines: 1}
			if one.Event == nil {
				one.Line, one.printed = of.settings.text(one.Line)
			}
			r.record(next(i, one.PID), &one, of.settings)
		}
	}
	return logs
}

// scope adds a resource with its scope, and returns where its records go.
func (r *records) scope(to plog.ResourceLogsSlice, source *supervise.Source, pid int) plog.LogRecordSlice {
	resource := to.AppendEmpty()
	r.resource(resource.Resource().Attributes(), source, pid)
	scope := resource.ScopeLogs().AppendEmpty()
	scope.Scope().SetName(r.scopeName)
	scope.Scope().SetVersion(r.version)
	return scope.LogRecords()
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
	attrs.PutStr(identity.AttrLogUID, r.uid(from.UID))
	if from.Part > 0 {
		attrs.PutBool(attrTruncated, true)
		attrs.PutInt(attrPart, int64(from.Part))
		attrs.PutBool(attrLastPart, from.Last)
	}
	if from.Repaired {
		attrs.PutBool(attrRepaired, true)
		if from.Raw != "" {
			attrs.PutEmptyBytes(attrBytes).FromRaw([]byte(from.Raw))
		}
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
		name = identity.EventOutputDropped
		to.SetSeverityNumber(plog.SeverityNumberWarn)
		to.SetSeverityText("WARN")
		attrs.PutInt(attrDroppedLines, e.DroppedLines)
		attrs.PutInt(attrDroppedBytes, e.DroppedBytes)
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
