// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package torture

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/goleak"

	"github.com/tailrace/tailrace/extension/runnerextension"
	"github.com/tailrace/tailrace/receiver/runnerlogreceiver"
)

const planVariable = "TAILRACE_TORTURE_PLAN"

var (
	lines = flag.Int("torture.lines", 200_000, "lines of both streams together")
	seed  = flag.Uint64("torture.seed", 1, "seed of the lines")
)

func TestMain(m *testing.M) {
	if text := os.Getenv(planVariable); text != "" {
		var plan Plan
		if err := json.Unmarshal([]byte(text), &plan); err != nil {
			panic(err)
		}
		plan.Run()
	}
	goleak.VerifyTestMain(m)
}

type host map[component.ID]component.Component

func (h host) GetExtensions() map[component.ID]component.Component { return h }

// run lets a runner run this program as a child of plan, and returns when runner_log has handed on what it printed.
func run(t *testing.T, plan Plan, config map[string]any) *Checker {
	text, err := json.Marshal(plan)
	require.NoError(t, err)
	ctx := context.Background()
	factory := runnerextension.NewFactory()
	cfg := factory.CreateDefaultConfig()
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"servers": []any{map[string]any{
		"id": "torture-1", "project": "torture", "command": []any{os.Args[0]}, "restart": "never",
		// The race detector would hold up the end of the child by a second.
		"env": map[string]any{planVariable: string(text), "GORACE": "atexit_sleep_ms=0"},
	}}}).Unmarshal(cfg))
	id := component.MustNewID("runner")
	runner, err := factory.Create(ctx, extension.Settings{ID: id, TelemetrySettings: componenttest.NewNopTelemetrySettings()}, cfg)
	require.NoError(t, err)
	h := host{id: runner}
	require.NoError(t, runner.Start(ctx, h))
	defer func() { assert.NoError(t, runner.Shutdown(ctx)) }()

	checker := NewChecker(plan)
	logs := runnerlogreceiver.NewFactory()
	logsConfig := logs.CreateDefaultConfig()
	require.NoError(t, confmap.NewFromStringMap(config).Unmarshal(logsConfig))
	reader, err := logs.CreateLogs(ctx, receiver.Settings{
		ID: component.MustNewID("runner_log"), TelemetrySettings: componenttest.NewNopTelemetrySettings(),
	}, logsConfig, checker)
	require.NoError(t, err)
	require.NoError(t, reader.Start(ctx, h))
	defer func() { assert.NoError(t, reader.Shutdown(ctx)) }()
	watcher := runner.(extensioncapabilities.PipelineWatcher)
	require.NoError(t, watcher.Ready())
	defer func() { assert.NoError(t, watcher.NotReady()) }()
	select {
	case <-checker.Done():
	case <-time.After(20 * time.Minute):
		t.Error("not everything came")
	}
	require.NoError(t, checker.Err())
	return checker
}

var byteForByte = map[string]any{"parse": "none", "multiline": false}

func TestTortureArrivesByteForByte(t *testing.T) {
	start := time.Now()
	checker := run(t, Plan{Seed: *seed, Lines: *lines / 2}, byteForByte)
	assert.Contains(t, checker.Exited, "exited with code 0")
	report(t, start, checker)
}

// TestTortureWithEverythingRecognised: whatever is parsed and joined, the lines can be had back.
func TestTortureWithEverythingRecognised(t *testing.T) {
	start := time.Now()
	checker := run(t, Plan{Seed: *seed + 1, Lines: *lines / 10}, nil)
	report(t, start, checker)
}

func TestKilledInTheMiddleOfALine(t *testing.T) {
	for n := range uint64(3) {
		checker := run(t, Plan{Seed: *seed + 10 + n, Lines: 500, Kill: true}, byteForByte)
		assert.Contains(t, checker.Exited, "SIGKILL")
	}
}

// TestHundredMegabytesWithoutANewline: fewer under the race detector, whose own memory is many times as much.
func TestHundredMegabytesWithoutANewline(t *testing.T) {
	start := time.Now()
	checker := run(t, Plan{Seed: *seed + 2, Lines: 3, First: huge}, byteForByte)
	assert.Greater(t, checker.Bytes, int64(huge))
	report(t, start, checker)
}

func report(t *testing.T, start time.Time, c *Checker) {
	var usage syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	t.Logf("%d records, %d MB, in %s; peak memory so far, with the checker: %d MiB", c.Records, c.Bytes/1_000_000,
		time.Since(start).Round(time.Millisecond), usage.Maxrss>>10)
}
