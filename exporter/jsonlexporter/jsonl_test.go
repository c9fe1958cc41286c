// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package jsonlexporter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/tailrace/tailrace/exporter/jsonlexporter/internal/metadata"
	"github.com/tailrace/tailrace/exporter/jsonlexporter/internal/metadatatest"
	"github.com/tailrace/tailrace/internal/segment"
	"github.com/tailrace/tailrace/internal/segment/errorfs"
)

// statusHost remembers the status events of a component.
type statusHost struct {
	component.Host
	events chan *componentstatus.Event
}

func newStatusHost() *statusHost {
	return &statusHost{Host: componenttest.NewNopHost(), events: make(chan *componentstatus.Event, 100)}
}

func (h *statusHost) Report(e *componentstatus.Event) { h.events <- e }

func testConfig(dir string) *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.Path = dir
	return cfg
}

// pipelines are the three exporters that a collector would create for one component.ID.
type pipelines struct {
	traces  exporter.Traces
	logs    exporter.Logs
	metrics exporter.Metrics
}

func create(t testing.TB, set exporter.Settings, cfg *Config) pipelines {
	t.Helper()
	f := NewFactory()
	traces, err := f.CreateTraces(context.Background(), set, cfg)
	require.NoError(t, err)
	logs, err := f.CreateLogs(context.Background(), set, cfg)
	require.NoError(t, err)
	metrics, err := f.CreateMetrics(context.Background(), set, cfg)
	require.NoError(t, err)
	return pipelines{traces, logs, metrics}
}

func (p pipelines) all() []component.Component {
	return []component.Component{p.traces, p.logs, p.metrics}
}

func (p pipelines) start(t testing.TB, host component.Host) {
	t.Helper()
	for _, c := range p.all() {
		require.NoError(t, c.Start(context.Background(), host))
	}
}

func (p pipelines) shutdown(t testing.TB) {
	t.Helper()
	for _, c := range p.all() {
		require.NoError(t, c.Shutdown(context.Background()))
	}
}

func settings() exporter.Settings { return exportertest.NewNopSettings(metadata.Type) }

func traces(project string, n int) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("project.id", project)
	ss := rs.ScopeSpans().AppendEmpty()
	for i := range n {
		s := ss.Spans().AppendEmpty()
		s.SetName(fmt.Sprint("span ", i))
		s.SetStartTimestamp(1)
		s.SetEndTimestamp(2)
	}
	return td
}

func logs(project string, bodies ...string) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("project.id", project)
	sl := rl.ScopeLogs().AppendEmpty()
	for _, b := range bodies {
		sl.LogRecords().AppendEmpty().Body().SetStr(b)
	}
	return ld
}

func bodiesIn(t testing.TB, dir string, typ segment.Type, project string) (bodies []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(segment.Dir(dir, typ, project), "*.jsonl*"))
	require.NoError(t, err)
	slices.Sort(names)
	for _, name := range names {
		data, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) { // published, or removed because it was empty, since the look
			return bodiesIn(t, dir, typ, project)
		}
		require.NoError(t, err)
		for line := range bytes.Lines(data) {
			ld, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(line)
			require.NoError(t, err)
			for _, rl := range ld.ResourceLogs().All() {
				for _, sl := range rl.ScopeLogs().All() {
					for _, r := range sl.LogRecords().All() {
						bodies = append(bodies, r.Body().Str())
					}
				}
			}
		}
	}
	return bodies
}

func TestThreeSignalsOneFolder(t *testing.T) {
	dir := t.TempDir()
	p := create(t, settings(), testConfig(dir))
	p.start(t, componenttest.NewNopHost())

	td := traces("shop", 3)
	td.MarkReadOnly()
	require.NoError(t, p.traces.ConsumeTraces(t.Context(), td))
	ld := logs("shop", "line", "score")
	ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(1).SetEventName("gen_ai.evaluation.result")
	ld.MarkReadOnly()
	require.NoError(t, p.logs.ConsumeLogs(t.Context(), ld))
	md := pmetric.NewMetrics()
	md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptyGauge().DataPoints().AppendEmpty().SetIntValue(1)
	md.MarkReadOnly()
	require.NoError(t, p.metrics.ConsumeMetrics(t.Context(), md))

	// In the files before the answer, not after a flush.
	assert.Equal(t, []string{"line"}, bodiesIn(t, dir, segment.Logs, "shop"))
	assert.Equal(t, []string{"score"}, bodiesIn(t, dir, segment.Scores, "shop"))
	require.NoError(t, p.traces.Shutdown(t.Context()))
	require.NoError(t, p.logs.ConsumeLogs(t.Context(), logs("shop", "after the first shut-down")), "the last pipeline is still served")
	p.shutdown(t)
	require.Error(t, p.logs.ConsumeLogs(t.Context(), logs("shop", "too late")))

	for _, pattern := range []string{"spans/shop", "logs/shop", "scores/shop", "metrics/default"} {
		pending, err := filepath.Glob(filepath.Join(dir, pattern, "*.jsonl"))
		require.NoError(t, err)
		assert.Len(t, pending, 1, pattern)
	}
	open, err := filepath.Glob(filepath.Join(dir, "*", "*", "*.open"))
	require.NoError(t, err)
	assert.Empty(t, open)
	assert.False(t, p.traces.Capabilities().MutatesData)
	assert.False(t, p.logs.Capabilities().MutatesData)
	assert.False(t, p.metrics.Capabilities().MutatesData)
}

func TestShutdownWithoutStart(t *testing.T) {
	p := create(t, settings(), testConfig(t.TempDir()))
	p.shutdown(t)
	p.shutdown(t)
	require.Error(t, p.logs.ConsumeLogs(t.Context(), logs("p", "x")))
}

func TestProjectStaysInItsFolder(t *testing.T) {
	dir := t.TempDir()
	p := create(t, settings(), testConfig(dir))
	p.start(t, componenttest.NewNopHost())
	long := strings.Repeat("x", 4000)
	for _, project := range []string{"../../etc", long, "a/b", ".", "..", "nul", "\x00", "bad\xff"} {
		require.NoError(t, p.logs.ConsumeLogs(t.Context(), logs(project, "x")))
		assert.Equal(t, []string{"x"}, bodiesIn(t, dir, segment.Logs, project))
	}
	p.shutdown(t)
	entries, err := os.ReadDir(filepath.Join(dir, "logs"))
	require.NoError(t, err)
	assert.Len(t, entries, 8)
}

func TestUnusableFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	p := create(t, settings(), testConfig(filepath.Join(file, "jsonl")))
	start := time.Now()
	err := p.logs.Start(t.Context(), componenttest.NewNopHost())
	require.ErrorContains(t, err, "jsonl: path ")
	require.ErrorContains(t, err, file)
	require.ErrorContains(t, err, "choose another folder")
	assert.Less(t, time.Since(start), 2*time.Second)
	p.shutdown(t)
}

func TestTwoExportersOnOneFolder(t *testing.T) {
	dir := t.TempDir()
	first := create(t, settings(), testConfig(dir))
	first.start(t, componenttest.NewNopHost())
	second := create(t, settings(), testConfig(dir))
	err := second.logs.Start(t.Context(), componenttest.NewNopHost())
	require.ErrorIs(t, err, segment.ErrLocked)
	assert.ErrorContains(t, err, dir)
	assert.ErrorContains(t, err, fmt.Sprint(os.Getpid()))
	second.shutdown(t)
	first.shutdown(t)
}

func TestTwoInstancesCoexist(t *testing.T) {
	f := NewFactory()
	var all []exporter.Logs
	for i, dir := range []string{t.TempDir(), t.TempDir()} {
		set := settings()
		set.ID = component.NewIDWithName(metadata.Type, fmt.Sprint(i))
		l, err := f.CreateLogs(t.Context(), set, testConfig(dir))
		require.NoError(t, err)
		require.NoError(t, l.Start(t.Context(), componenttest.NewNopHost()))
		require.NoError(t, l.ConsumeLogs(t.Context(), logs("p", fmt.Sprint(i))))
		assert.Equal(t, []string{fmt.Sprint(i)}, bodiesIn(t, dir, segment.Logs, "p"))
		all = append(all, l)
	}
	for _, l := range all {
		require.NoError(t, l.Shutdown(t.Context()))
	}
}

// A failing disk is the sender's business (retryable), shows as a recoverable status once, and heals by itself.
func TestFailingDisk(t *testing.T) {
	for _, op := range []errorfs.Op{errorfs.Write, errorfs.Open, errorfs.Mkdir} {
		t.Run(string(op), func(t *testing.T) {
			set := settings()
			tel := componenttest.NewTelemetry()
			defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
			set.TelemetrySettings = tel.NewTelemetrySettings()
			dir := t.TempDir()
			e, err := newExporter(set, testConfig(dir))
			require.NoError(t, err)
			faults := errorfs.Wrap(segment.OS())
			e.fs = faults
			host := newStatusHost()
			require.NoError(t, e.Start(t.Context(), host))
			faults.Inject(func(got errorfs.Op, path string) error {
				if got == op && !strings.HasSuffix(path, segment.LockName) {
					return syscall.ENOSPC
				}
				return nil
			})
			for range 5 {
				err := e.exportLogs(t.Context(), logs("p", "x"))
				require.ErrorIs(t, err, syscall.ENOSPC)
				require.False(t, consumererror.IsPermanent(err))
			}
			assert.Equal(t, componentstatus.StatusRecoverableError, (<-host.events).Status())
			assert.Empty(t, host.events, "on change only")
			faults.Inject(nil)
			require.NoError(t, e.exportLogs(t.Context(), logs("p", "x")))
			assert.Equal(t, componentstatus.StatusOK, (<-host.events).Status())
			assert.Equal(t, []string{"x"}, bodiesIn(t, dir, segment.Logs, "p"))
			metadatatest.AssertEqualJsonlWriteErrors(t, tel, []metricdata.DataPoint[int64]{
				{Attributes: e.telem.attrs(segment.Logs), Value: 5},
			}, metricdatatest.IgnoreTimestamp())
			require.NoError(t, e.Shutdown(t.Context()))
		})
	}
}

func TestMetrics(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	set := settings()
	set.TelemetrySettings = tel.NewTelemetrySettings()
	dir := t.TempDir()
	left := filepath.Join(segment.Dir(dir, segment.Spans, "p"), segment.NewID(time.Now())+segment.SuffixOpen)
	require.NoError(t, os.MkdirAll(filepath.Dir(left), 0o750))
	require.NoError(t, os.WriteFile(left, []byte("{}\n{"), 0o600))
	cfg := testConfig(dir)
	cfg.MaxLineBytes = 1024
	cfg.Sync = SyncBatch
	e, err := newExporter(set, cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	td := traces("p", 50)
	span := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().AppendEmpty()
	span.SetEndTimestamp(1)
	span.SetName(strings.Repeat("x", 5000) + "\xff")
	td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().AppendEmpty().SetName("unfinished")
	require.NoError(t, e.exportTraces(t.Context(), td))

	one := func(v int64) []metricdata.DataPoint[int64] { return []metricdata.DataPoint[int64]{{Value: v}} }
	spans := func(v int64) []metricdata.DataPoint[int64] {
		return []metricdata.DataPoint[int64]{{Attributes: e.telem.attrs(segment.Spans), Value: v}}
	}
	ignore := metricdatatest.IgnoreTimestamp()
	metadatatest.AssertEqualJsonlRecords(t, tel, spans(51), ignore)
	metadatatest.AssertEqualJsonlRecordsOversize(t, tel, one(1), ignore)
	metadatatest.AssertEqualJsonlRecordsRepaired(t, tel, one(1), ignore)
	metadatatest.AssertEqualJsonlSpansUnfinished(t, tel, one(1), ignore)
	metadatatest.AssertEqualJsonlSegmentsRecovered(t, tel, spans(1), ignore)
	metadatatest.AssertEqualJsonlSegmentsOpen(t, tel, one(1), ignore)
	metadatatest.AssertEqualJsonlFilesOpen(t, tel, one(1), ignore)
	metadatatest.AssertEqualJsonlPendingFiles(t, tel, one(1), ignore)
	split, err := tel.GetMetric("otelcol_jsonl_lines_split")
	require.NoError(t, err)
	assert.Positive(t, split.Data.(metricdata.Sum[int64]).DataPoints[0].Value)
	written, err := tel.GetMetric("otelcol_jsonl_bytes")
	require.NoError(t, err)
	open, err := filepath.Glob(filepath.Join(dir, "spans", "p", "*.open"))
	require.NoError(t, err)
	info, err := os.Stat(open[0])
	require.NoError(t, err)
	assert.Equal(t, info.Size(), written.Data.(metricdata.Sum[int64]).DataPoints[0].Value)
	_, err = tel.GetMetric("otelcol_jsonl_fsync_duration")
	require.NoError(t, err)
	e.writer.Flush()
	metadatatest.AssertEqualJsonlSegmentsPublished(t, tel, spans(1), ignore)
	require.NoError(t, e.Shutdown(t.Context()))
}

// The three signals write at the same time through one instance, with rotation going on.
func TestConcurrentExports(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.Rotation.MaxBytes = 4 << 10
	cfg.MaxOpenFiles = 2
	p := create(t, settings(), cfg)
	p.start(t, componenttest.NewNopHost())
	const writers, rounds = 6, 40
	var wg sync.WaitGroup
	for g := range writers {
		wg.Go(func() {
			for i := range rounds {
				assert.NoError(t, p.logs.ConsumeLogs(t.Context(), logs(fmt.Sprint("p", i%3), fmt.Sprint(g, "-", i))))
				assert.NoError(t, p.traces.ConsumeTraces(t.Context(), traces("p0", 2)))
			}
		})
	}
	wg.Wait()
	p.shutdown(t)
	seen := map[string]int{}
	for i := range 3 {
		for _, b := range bodiesIn(t, dir, segment.Logs, fmt.Sprint("p", i)) {
			seen[b]++
		}
	}
	assert.Len(t, seen, writers*rounds)
	for b, n := range seen {
		assert.Equal(t, 1, n, b)
	}
}

// A sender that gave up is told so; the data is written all the same, and health is not blamed.
func TestCancelledContext(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.Sync = SyncBatch
	e, err := newExporter(settings(), cfg)
	require.NoError(t, err)
	host := newStatusHost()
	require.NoError(t, e.Start(t.Context(), host))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.exportLogs(ctx, logs("p", "x")); err != nil {
		require.True(t, errors.Is(err, context.Canceled))
	}
	require.NoError(t, e.Shutdown(t.Context()))
	assert.Empty(t, host.events)
}
