// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package runnerlogreceiver

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/internal/supervise"
)

func recordsOf(batch supervise.Batch) plog.Logs {
	return (&records{}).build(newGrouping(createDefaultConfig().(*Config).of).take(batch, time.Now()))
}

func TestHealthEventCarriesWhatTheServerUses(t *testing.T) {
	event := &supervise.Event{
		Kind: supervise.Health, State: supervise.HealthUnhealthy, Reason: "GET / answered 500", Failure: true, Uptime: 1500 * time.Millisecond,
		Usage:      &supervise.Usage{Processes: 2, CPU: time.Hour, RSS: 3 << 19, Threads: 12, OpenFiles: 34},
		CPUPercent: 120.5,
	}
	build := func() plog.LogRecord {
		entry := supervise.Entry{Time: time.Now(), PID: 42, Line: "server web-1 is unhealthy", Event: event}
		logs := recordsOf(supervise.Batch{{Source: &supervise.Source{Server: "web-1"}, Entries: []supervise.Entry{entry}}})
		return flatten([]plog.Logs{logs})[0].record
	}
	record := build()
	attrs := record.Attributes().AsRaw()
	delete(attrs, "log.record.uid")
	assert.Equal(t, map[string]any{
		"event.name": "server.health", "tailrace.reason": "GET / answered 500",
		// The live tail makes its server:health of these.
		"server.health.status": "unhealthy", "server.uptime_s": 1.5, "server.cpu_percent": 120.5, "server.memory_usage_mb": 1.5,
		"server.processes": int64(2), "server.threads": int64(12), "server.open_files": int64(34),
	}, attrs)
	assert.Equal(t, plog.SeverityNumberError, record.SeverityNumber())

	event.Usage.OpenFiles = -1
	_, known := build().Attributes().Get("server.open_files")
	assert.False(t, known)
}

func TestLabelsAreResourceAttributes(t *testing.T) {
	source := &supervise.Source{Server: "web-1", Labels: []supervise.Label{{Key: "team", Value: "checkout"}, {Key: "tier", Value: ""}}}
	logs := recordsOf(supervise.Batch{{Source: source, Entries: []supervise.Entry{{Line: "line"}}}})
	assert.Equal(t, map[string]any{"server.id": "web-1", "service.instance.id": "web-1", "team": "checkout", "tier": ""},
		flatten([]plog.Logs{logs})[0].resource)
}

func TestRunningTellsTheAssignedPort(t *testing.T) {
	entry := supervise.Entry{Event: &supervise.Event{Kind: supervise.Lifecycle, State: supervise.StateRunning, Port: 4111}}
	logs := recordsOf(supervise.Batch{{Source: &supervise.Source{Server: "web-1"}, Entries: []supervise.Entry{entry}}})
	assert.EqualValues(t, 4111, flatten([]plog.Logs{logs})[0].record.Attributes().AsRaw()["server.port"])
}

func TestBuildsAreRecordsOfTheirOwnResource(t *testing.T) {
	source := &supervise.Source{Project: "shop", Deployment: "shop-web", Build: "b-9", Service: "shop-web", Executable: "npm"}
	logs := recordsOf(supervise.Batch{{Source: source, Entries: []supervise.Entry{
		{PID: 7, Line: "compiling", Stream: supervise.Stdout},
		{PID: 7, Line: "build b-9 has failed: command exited with code 3", Event: &supervise.Event{
			Kind: supervise.BuildStatus, State: supervise.BuildFailed, Failure: true, Reason: "command exited with code 3",
			Exit: &supervise.Exit{Code: 3}, Uptime: 2500 * time.Millisecond, Restarts: 1,
		}},
	}}})
	records := flatten([]plog.Logs{logs})
	resource := map[string]any{
		"project.id": "shop", "deployment.id": "shop-web", "build.id": "b-9", "service.name": "shop-web",
		"process.pid": int64(7), "process.executable.name": "npm",
	}
	for _, record := range records {
		assert.Equal(t, resource, record.resource)
	}
	// The live tail makes its build:log of the first one, and its build:status of the other.
	assert.Equal(t, "compiling", records[0].record.Body().Str())
	assert.Empty(t, records[0].record.EventName())
	attrs := records[1].record.Attributes().AsRaw()
	delete(attrs, "log.record.uid")
	assert.Equal(t, map[string]any{
		"event.name": "build.status", "build.status": "failed", "build.run": int64(2), "build.duration_s": 2.5,
		"tailrace.reason": "command exited with code 3", "process.exit.code": int64(3),
	}, attrs)
	assert.Equal(t, "build.status", records[1].record.EventName())
	assert.Equal(t, plog.SeverityNumberError, records[1].record.SeverityNumber())
}
