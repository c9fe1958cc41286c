// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package runnerlogreceiver

import (
	"context"
	"errors"
	"path/filepath"
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
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/supervise"
)

// runner stands for the runner extension.
type runner struct {
	component.StartFunc
	component.ShutdownFunc
	*supervise.Supervisor
}

func (r runner) Start(context.Context, component.Host) error { return nil }

func (r runner) ServerStats() []supervise.ServerStats { return r.Servers() }

type testHost struct {
	extensions map[component.ID]component.Component

	mu       sync.Mutex
	statuses []componentstatus.Status
}

func (h *testHost) GetExtensions() map[component.ID]component.Component { return h.extensions }

func (h *testHost) Report(event *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.statuses = append(h.statuses, event.Status())
}

func (h *testHost) reported() []componentstatus.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]componentstatus.Status(nil), h.statuses...)
}

func server(id, project, script string) supervise.Server {
	return supervise.Server{
		Source:  &supervise.Source{Project: project, Deployment: project + "-web", Server: id, Service: "web", Executable: "sh"},
		Name:    id,
		Command: []string{"/bin/sh", "-c", script},
		Env:     []string{"PATH=/usr/bin:/bin"},
		Restart: supervise.RestartNever,
	}
}

// start runs servers under the receiver; everything ends with the test.
func start(t *testing.T, next consumer.Logs, servers ...supervise.Server) (*supervise.Supervisor, *testHost) {
	supervisor := supervise.New(supervise.Options{
		Servers: servers, StopSignal: syscall.SIGTERM, GracePeriod: 5 * time.Second, DrainTimeout: 5 * time.Second,
		MaxLineBytes: 256, BufferBytes: 64 << 10, Logger: zap.NewNop(),
		Backoff: supervise.Backoff{Initial: time.Millisecond, Max: time.Millisecond},
	})
	host := &testHost{extensions: map[component.ID]component.Component{
		component.MustNewID("other"):  componentOnly{},
		component.MustNewID("runner"): runner{Supervisor: supervisor},
	}}
	set := receivertest.NewNopSettings(NewFactory().Type())
	r, err := NewFactory().CreateLogs(t.Context(), set, createDefaultConfig(), next)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), host))
	t.Cleanup(func() {
		_ = supervisor.Stop(context.Background())
		require.NoError(t, r.Shutdown(context.Background()))
		require.NoError(t, r.Shutdown(context.Background()))
	})
	supervisor.Start()
	return supervisor, host
}

type componentOnly struct {
	component.StartFunc
	component.ShutdownFunc
}

// flat is a record with its resource.
type flat struct {
	resource map[string]any
	record   plog.LogRecord
}

func flatten(all []plog.Logs) []flat {
	var out []flat
	for _, logs := range all {
		for _, resource := range logs.ResourceLogs().All() {
			for _, scope := range resource.ScopeLogs().All() {
				for _, record := range scope.LogRecords().All() {
					out = append(out, flat{resource.Resource().Attributes().AsRaw(), record})
				}
			}
		}
	}
	return out
}

func bodies(records []flat) []string {
	var out []string
	for _, r := range records {
		if r.record.EventName() == "" {
			out = append(out, r.record.Body().Str())
		}
	}
	return out
}

func TestLinesAndEventsBecomeRecords(t *testing.T) {
	sink := &consumertest.LogsSink{}
	before := time.Now()
	supervisor, _ := start(t, sink, server("web-1", "shop", `echo out; sleep 0.05; printf 'bad \377' >&2; sleep 0.05; head -c 300 /dev/zero | tr '\0' x; exit 3`))
	require.Eventually(t, func() bool {
		records := flatten(sink.AllLogs())
		return len(records) > 0 && strings.Contains(records[len(records)-1].record.Body().Str(), "has failed")
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, supervisor.Stop(t.Context()))

	var events []map[string]any
	var lines []flat
	uids := map[string]bool{}
	for _, r := range flatten(sink.AllLogs()) {
		attrs := r.record.Attributes().AsRaw()
		uid, _ := attrs["log.record.uid"].(string)
		require.Len(t, uid, 26)
		uids[uid] = true
		require.Equal(t, r.record.Timestamp(), r.record.ObservedTimestamp())
		require.WithinRange(t, r.record.Timestamp().AsTime(), before.Add(-time.Millisecond), time.Now())
		require.Equal(t, "shop", r.resource["project.id"])
		require.Equal(t, "shop-web", r.resource["deployment.id"])
		require.NotEmpty(t, r.resource["host.name"])
		if r.record.EventName() != "" {
			require.Equal(t, r.record.EventName(), attrs["event.name"])
			delete(attrs, "log.record.uid")
			delete(attrs, "server.uptime_s")
			events = append(events, attrs)
			continue
		}
		lines = append(lines, r)
	}
	assert.Len(t, uids, len(events)+len(lines))
	assert.ElementsMatch(t, []map[string]any{
		{"event.name": "server.lifecycle", "server.lifecycle.state": "starting", "server.restart_count": int64(0)},
		{"event.name": "server.health", "server.health.status": "starting"},
		{"event.name": "server.lifecycle", "server.lifecycle.state": "running", "server.restart_count": int64(0)},
		{"event.name": "server.health", "server.health.status": "healthy"},
		{"event.name": "deployment.status", "deployment.status": "running"},
		{"event.name": "server.lifecycle", "server.lifecycle.state": "exited", "server.restart_count": int64(0),
			"process.exit.code": int64(3), "tailrace.reason": "exited with code 3"},
		{"event.name": "server.health", "server.health.status": "unhealthy", "process.exit.code": int64(3), "tailrace.reason": "exited with code 3"},
		{"event.name": "deployment.status", "deployment.status": "failed", "tailrace.reason": "server web-1 failed"},
	}, events)

	require.Len(t, lines, 4)
	for i, want := range []struct {
		body  string
		attrs map[string]any
	}{
		{"out", map[string]any{"log.iostream": "stdout"}},
		{"bad \uFFFD", map[string]any{"log.iostream": "stderr", "tailrace.line.repaired": true, "tailrace.line.bytes": []byte("bad \xff")}},
		{strings.Repeat("x", 256), map[string]any{"log.iostream": "stdout",
			"tailrace.line.truncated": true, "tailrace.line.part": int64(1), "tailrace.line.last_part": false}},
		{strings.Repeat("x", 44), map[string]any{"log.iostream": "stdout",
			"tailrace.line.truncated": true, "tailrace.line.part": int64(2), "tailrace.line.last_part": true}},
	} {
		// stderr is read to its end when the process ends; so its order to stdout is not fixed.
		got := lines[i]
		for _, l := range lines {
			if l.record.Body().Str() == want.body {
				got = l
			}
		}
		attrs := got.record.Attributes().AsRaw()
		delete(attrs, "log.record.uid")
		assert.Equal(t, want.body, got.record.Body().Str())
		assert.Equal(t, want.attrs, attrs)
		assert.Equal(t, plog.SeverityNumberUnspecified, got.record.SeverityNumber())
		assert.Equal(t, "web-1", got.resource["server.id"])
		assert.Equal(t, "web-1", got.resource["service.instance.id"])
		assert.Equal(t, "web", got.resource["service.name"])
		assert.Equal(t, "sh", got.resource["process.executable.name"])
		assert.Positive(t, got.resource["process.pid"])
	}
}

// mutating refuses the first tries, and spoils what it was given, as a consumer may.
type mutating struct {
	consumertest.LogsSink
	mu     sync.Mutex
	refuse int
	seen   []string // uids of the refused records
}

func (m *mutating) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

func (m *mutating) ConsumeLogs(ctx context.Context, logs plog.Logs) error {
	m.mu.Lock()
	refuse := m.refuse > 0
	m.refuse--
	m.mu.Unlock()
	if refuse {
		for _, r := range flatten([]plog.Logs{logs}) {
			uid, _ := r.record.Attributes().Get("log.record.uid")
			m.mu.Lock()
			m.seen = append(m.seen, uid.Str())
			m.mu.Unlock()
		}
		logs.ResourceLogs().RemoveIf(func(plog.ResourceLogs) bool { return true })
		return errors.New("the disk is full")
	}
	return m.LogsSink.ConsumeLogs(ctx, logs)
}

func TestRefusedBatchComesAgainWithTheSameUIDs(t *testing.T) {
	next := &mutating{refuse: 3}
	supervisor, _ := start(t, next, server("web-1", "shop", "seq 1000"))
	require.Eventually(t, func() bool { return len(bodies(flatten(next.AllLogs()))) == 1000 }, 10*time.Second, time.Millisecond)
	require.NoError(t, supervisor.Stop(t.Context()))
	accepted := map[string]int{}
	for i, r := range flatten(next.AllLogs()) {
		uid, _ := r.record.Attributes().Get("log.record.uid")
		accepted[uid.Str()]++
		require.Equal(t, 1, accepted[uid.Str()], "record %d is doubled", i)
	}
	require.NotEmpty(t, next.seen)
	for _, uid := range next.seen {
		require.Contains(t, accepted, uid)
	}
}

func TestLongRefusalIsAStatusUntilItEnds(t *testing.T) {
	next := &mutating{refuse: 1 << 30}
	_, host := start(t, next, server("web-1", "shop", "echo here"))
	require.Eventually(t, func() bool { return len(host.reported()) == 1 }, 10*time.Second, time.Millisecond)
	next.mu.Lock()
	next.refuse = 0
	next.mu.Unlock()
	require.Eventually(t, func() bool { return len(host.reported()) == 2 }, 10*time.Second, time.Millisecond)
	assert.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError, componentstatus.StatusOK}, host.reported())
	require.Eventually(t, func() bool { return len(bodies(flatten(next.AllLogs()))) == 1 }, 10*time.Second, time.Millisecond)
}

func TestPermanentRefusalOfOneProjectHarmsNoOther(t *testing.T) {
	var mu sync.Mutex
	held := make(chan struct{})
	var got []string
	next, err := consumer.NewLogs(func(_ context.Context, logs plog.Logs) error {
		<-held // until both servers are in one batch
		for _, r := range flatten([]plog.Logs{logs}) {
			if r.resource["project.id"] == "bad" {
				return consumererror.NewPermanent(errors.New("claims another project"))
			}
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, bodies(flatten([]plog.Logs{logs}))...)
		return nil
	})
	require.NoError(t, err)
	supervisor, _ := start(t, next, server("a", "bad", "echo lost"), server("b", "good", "echo kept"))
	require.Eventually(t, func() bool { return supervisor.Stats().Running == 0 && supervisor.Stats().Stdout.Lines == 2 }, 10*time.Second, time.Millisecond)
	close(held)
	require.NoError(t, supervisor.Stop(t.Context()))
	assert.Equal(t, []string{"kept"}, got)
}

func TestSharedDataIsNotTouchedAfterHandingOn(t *testing.T) {
	sink := &consumertest.LogsSink{}
	next, err := consumer.NewLogs(func(ctx context.Context, logs plog.Logs) error {
		logs.MarkReadOnly()
		return sink.ConsumeLogs(ctx, logs)
	})
	require.NoError(t, err)
	supervisor, _ := start(t, next, server("a", "shop", "seq 5000"))
	require.Eventually(t, func() bool { return len(bodies(flatten(sink.AllLogs()))) == 5000 }, 10*time.Second, time.Millisecond)
	require.NoError(t, supervisor.Stop(t.Context()))
	assert.Equal(t, "1", bodies(flatten(sink.AllLogs()))[0])
	assert.Equal(t, "5000", bodies(flatten(sink.AllLogs()))[4999])
}

func TestStartNamesWhatIsMissing(t *testing.T) {
	other := supervise.New(supervise.Options{})
	defer func() { require.NoError(t, other.Stop(context.Background())) }()
	detach, err := other.Attach(nopSink{})
	require.NoError(t, err)
	defer detach()
	host := &testHost{extensions: map[component.ID]component.Component{
		component.MustNewID("health_check"): componentOnly{},
		component.MustNewID("taken"):        runner{Supervisor: other},
	}}
	for id, want := range map[string]string{
		"runner":       `runner: there is no extension "runner": define it under extensions and list it in service::extensions`,
		"health_check": `runner: the extension "health_check" runs no servers: name an extension of the type runner`,
		"taken":        `runner: "taken" can't be read: its output already goes to another receiver`,
	} {
		cfg := &Config{Runner: component.MustNewID(id)}
		r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(NewFactory().Type()), cfg, consumertest.NewNop())
		require.NoError(t, err)
		require.EqualError(t, r.Start(t.Context(), host), want)
		require.NoError(t, r.Shutdown(t.Context()))
	}
}

type nopSink struct{}

func (nopSink) Deliver(context.Context, supervise.Batch) error { return nil }

func TestShutdownWithoutStart(t *testing.T) {
	r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(NewFactory().Type()), createDefaultConfig(), consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, r.Shutdown(t.Context()))
}

func TestConfig(t *testing.T) {
	all, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	for key, want := range map[string]component.ID{
		"runner_log": component.MustNewID("runner"), "runner_log/web": component.MustNewIDWithName("runner", "web"),
	} {
		sub, err := all.Sub(key)
		require.NoError(t, err)
		cfg := createDefaultConfig().(*Config)
		require.NoError(t, sub.Unmarshal(cfg))
		require.NoError(t, confmap.Validate(cfg))
		assert.Equal(t, want, cfg.Runner)
	}
	require.ErrorContains(t, confmap.Validate(&Config{Parse: "auto", ANSI: "keep"}), "runner: must be the ID of a runner extension")
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))
}

func BenchmarkRecords(b *testing.B) {
	source := &supervise.Source{Project: "shop", Deployment: "shop-web", Server: "web-1", Service: "web", Executable: "node"}
	entries := make([]supervise.Entry, 1000)
	for i := range entries {
		entries[i] = supervise.Entry{Time: time.Now(), PID: 7, Stream: supervise.Stdout, Line: strings.Repeat("x", 100)}
	}
	batch := newGrouping(createDefaultConfig().(*Config).of).take(supervise.Batch{{Source: source, Entries: entries}}, time.Now())
	r := records{host: "host", scopeName: "scope"}
	b.SetBytes(100 * 1000)
	b.ReportAllocs()
	var last pcommon.Value
	for b.Loop() {
		last = r.build(batch).ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(999).Body()
	}
	if last.Str() == "" {
		b.Fatal("no record")
	}
}
