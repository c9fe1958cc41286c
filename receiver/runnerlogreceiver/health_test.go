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
