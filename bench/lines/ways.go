// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/filelogreceiver"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"

	"github.com/tailrace/tailrace/extension/runnerextension"
	"github.com/tailrace/tailrace/receiver/runnerlogreceiver"
)

// The ways of a line. All but wayPipe end in the same counter.
const (
	wayPlain       = "runner_log"
	wayJSON        = "runner_log, parse: json"
	wayDefault     = "runner_log, defaults"
	wayFilelog     = "filelog"
	wayFilelogJSON = "filelog, json_parser"
	wayPipe        = "cat through a pipe"
)

// patience bounds one run.
const patience = 10 * time.Minute

// once measures a way in this process, from the start of the components to the last record.
func once(way, path string, lines, heap int, profile string) (measure, error) {
	// A process with an empty heap collects garbage each 4 MB: no collector does.
	ballast := make([]byte, heap<<20)
	defer runtime.KeepAlive(ballast)
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return measure{}, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return measure{}, err
		}
		defer pprof.StopCPUProfile()
	}
	before, err := cpu()
	if err != nil {
		return measure{}, err
	}
	start := time.Now()
	m, stop, err := walk(way, path, lines)
	m.Seconds = time.Since(start).Seconds()
	// Only a child that was waited for counts.
	if err = errors.Join(err, stop()); err != nil {
		return m, err
	}
	after, err := cpu()
	if err != nil {
		return m, err
	}
	m.CPU = (after - before).Seconds()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return m, err
	}
	m.MaxRSS = usage.Maxrss << 10
	if m.Records != int64(lines) {
		return m, fmt.Errorf("%d of %d lines came", m.Records, lines)
	}
	return m, nil
}

// cpu is the time used by this process and its ended children.
func cpu() (time.Duration, error) {
	var all time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		if err := syscall.Getrusage(who, &usage); err != nil {
			return 0, err
		}
		all += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return all, nil
}

func walk(way, path string, lines int) (measure, func() error, error) {
	switch way {
	case wayPlain:
		return runnerLog(path, lines, map[string]any{"parse": "none", "multiline": false})
	case wayJSON:
		return runnerLog(path, lines, map[string]any{"parse": "json", "multiline": false})
	case wayDefault:
		return runnerLog(path, lines, nil)
	case wayFilelog:
		return filelog(path, lines, nil)
	case wayFilelogJSON:
		return filelog(path, lines, []any{map[string]any{
			"type": "json_parser",
			"severity": map[string]any{
				"parse_from": "attributes.level", "preset": "none",
				"mapping": map[string]any{"debug": 20, "info": 30, "warn": 40, "error": 50},
			},
			"timestamp": map[string]any{"parse_from": "attributes.time", "layout_type": "epoch", "layout": "ms"},
		}})
	case wayPipe:
		return pipe(path)
	}
	return measure{}, nothing, fmt.Errorf("unknown way %q", way)
}

func nothing() error { return nil }

// counter is the next consumer.
type counter struct {
	want           int64
	records, bytes atomic.Int64
	done           chan struct{}
}

func newCounter(lines int) *counter { return &counter{want: int64(lines), done: make(chan struct{})} }

func (*counter) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (c *counter) ConsumeLogs(_ context.Context, logs plog.Logs) error {
	records, bytes := int64(0), int64(0)
	for i := range logs.ResourceLogs().Len() {
		scopes := logs.ResourceLogs().At(i).ScopeLogs()
		for j := range scopes.Len() {
			all := scopes.At(j).LogRecords()
			for k := range all.Len() {
				if r := all.At(k); r.EventName() == "" { // a change of state is no line
					records++
					bytes += int64(len(r.Body().Str()))
				}
			}
		}
	}
	c.bytes.Add(bytes)
	if n := c.records.Add(records); n >= c.want && n-records < c.want {
		close(c.done)
	}
	return nil
}

func (c *counter) wait() (measure, error) {
	var err error
	select {
	case <-c.done:
	case <-time.After(patience):
		err = errors.New("not all lines came in time")
	}
	return measure{Records: c.records.Load(), Bytes: c.bytes.Load()}, err
}

type host map[component.ID]component.Component

func (h host) GetExtensions() map[component.ID]component.Component { return h }

// runnerLog lets the runner run cat.
func runnerLog(path string, lines int, config map[string]any) (measure, func() error, error) {
	ctx := context.Background()
	factory := runnerextension.NewFactory()
	cfg := factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(map[string]any{"servers": []any{map[string]any{
		"id": "bench-1", "project": "bench", "command": []any{"cat", path}, "restart": "never",
	}}}).Unmarshal(cfg); err != nil {
		return measure{}, nothing, err
	}
	id := component.MustNewID("runner")
	runner, err := factory.Create(ctx, extension.Settings{ID: id, TelemetrySettings: componenttest.NewNopTelemetrySettings()}, cfg)
	if err != nil {
		return measure{}, nothing, err
	}
	h := host{id: runner}
	counter := newCounter(lines)
	reader, err := startReceiver(runnerlogreceiver.NewFactory(), config, counter, h, runner)
	if err != nil {
		return measure{}, nothing, err
	}
	watcher := runner.(extensioncapabilities.PipelineWatcher)
	if err := watcher.Ready(); err != nil {
		return measure{}, nothing, err
	}
	m, err := counter.wait()
	return m, func() error {
		return errors.Join(watcher.NotReady(), reader.Shutdown(ctx), runner.Shutdown(ctx))
	}, err
}

// filelog reads the file itself.
func filelog(path string, lines int, operators []any) (measure, func() error, error) {
	config := map[string]any{"include": []any{path}, "start_at": "beginning"}
	if operators != nil {
		config["operators"] = operators
	}
	counter := newCounter(lines)
	reader, err := startReceiver(filelogreceiver.NewFactory(), config, counter, host{})
	if err != nil {
		return measure{}, nothing, err
	}
	m, err := counter.wait()
	return m, func() error { return reader.Shutdown(context.Background()) }, err
}

func startReceiver(factory receiver.Factory, config map[string]any, next consumer.Logs, h host, first ...component.Component) (receiver.Logs, error) {
	ctx := context.Background()
	cfg := factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(config).Unmarshal(cfg); err != nil {
		return nil, err
	}
	set := receiver.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	r, err := factory.CreateLogs(ctx, set, cfg, next)
	if err != nil {
		return nil, err
	}
	for _, c := range first {
		if err := c.Start(ctx, h); err != nil {
			return nil, err
		}
	}
	return r, r.Start(ctx, h)
}

// pipe only takes what cat writes: nobody who reads a pipe is faster.
func pipe(path string) (measure, func() error, error) {
	cmd := exec.Command("cat", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return measure{}, nothing, err
	}
	if err := cmd.Start(); err != nil {
		return measure{}, nothing, err
	}
	var m measure
	chunk := make([]byte, 64<<10)
	for {
		n, err := out.Read(chunk)
		m.Bytes += int64(n)
		m.Records += int64(bytes.Count(chunk[:n], []byte{'\n'}))
		if errors.Is(err, io.EOF) {
			return m, cmd.Wait, nil
		}
		if err != nil {
			return m, cmd.Wait, err
		}
	}
}
