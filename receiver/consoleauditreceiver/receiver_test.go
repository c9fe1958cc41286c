// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleauditreceiver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tailrace/tailrace/internal/audit"
)

// console stands for the extension.
type console struct {
	component.StartFunc
	component.ShutdownFunc
	*audit.Queue
}

func (console) AuditProject() string { return "tailrace-audit" }

type componentOnly struct {
	component.StartFunc
	component.ShutdownFunc
}

type host struct {
	extensions map[component.ID]component.Component
	mu         sync.Mutex
	statuses   []componentstatus.Status
}

func (h *host) GetExtensions() map[component.ID]component.Component { return h.extensions }

func (h *host) Report(e *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.statuses = append(h.statuses, e.Status())
}

func (h *host) reported() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.statuses)
}

func newHost() (*host, *audit.Queue) {
	q := audit.NewQueue(time.Minute, func(audit.Event) {})
	return &host{extensions: map[component.ID]component.Component{
		component.MustNewID("console"): console{Queue: q}, component.MustNewID("other"): componentOnly{},
	}}, q
}

func login(i int) audit.Event {
	return audit.Event{
		Time: time.Unix(1_800_000_000, int64(i)), Name: audit.Login, Outcome: audit.Success, Subject: fmt.Sprint("ada-", i), Method: "basic", Client: "::1",
		HTTPMethod: "POST", Path: "/api/v1/login", Status: 200,
	}
}

func TestEventsBecomeRecords(t *testing.T) {
	sink := &consumertest.LogsSink{}
	next, err := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
		ld.MarkReadOnly()
		return sink.ConsumeLogs(ctx, ld)
	})
	require.NoError(t, err)
	r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(NewFactory().Type()), createDefaultConfig(), next)
	require.NoError(t, err)
	h, q := newHost()
	q.Add(login(0)) // before anything listens
	require.NoError(t, r.Start(t.Context(), h))
	q.Add(audit.Event{
		Time: time.Unix(1_800_000_001, 0), Name: audit.Export, Outcome: audit.Failed, Subject: "ada", Method: "token", HTTPMethod: "GET",
		Path: "/api/v1/logs", Query: "project=shop", Status: 200, Bytes: 7, Duration: 1500 * time.Millisecond,
	})
	require.Eventually(t, func() bool { return sink.LogRecordCount() == 2 }, 10*time.Second, time.Millisecond)
	require.NoError(t, r.Shutdown(t.Context()))
	require.NoError(t, r.Shutdown(t.Context()))

	var records []plog.LogRecord
	for _, ld := range sink.AllLogs() {
		attrs := ld.ResourceLogs().At(0).Resource().Attributes().AsRaw()
		assert.Equal(t, "tailrace-audit", attrs["project.id"])
		assert.Equal(t, "tailrace-console", attrs["service.name"])
		for _, lr := range ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
			records = append(records, lr)
		}
	}
	assert.Equal(t, "ada-0 logged in from ::1", records[0].Body().Str())
	assert.Equal(t, audit.Login, records[0].EventName())
	assert.Equal(t, plog.SeverityNumberInfo, records[0].SeverityNumber())
	attrs := records[0].Attributes().AsRaw()
	assert.Len(t, attrs["log.record.uid"], 26)
	delete(attrs, "log.record.uid")
	assert.Equal(t, map[string]any{
		"event.name": audit.Login, "tailrace.audit.outcome": "success", "tailrace.audit.method": "basic", "user.id": "ada-0", "client.address": "::1",
		"http.request.method": "POST", "url.path": "/api/v1/login", "http.response.status_code": int64(200),
	}, attrs)
	assert.Equal(t, plog.SeverityNumberWarn, records[1].SeverityNumber())
	attrs = records[1].Attributes().AsRaw()
	assert.EqualValues(t, 7, attrs["http.response.body.size"])
	assert.InDelta(t, 1.5, attrs["tailrace.audit.duration_s"], 0)
	assert.Equal(t, "project=shop", attrs["url.query"])
}

// spoiling refuses the first tries and changes what it was given.
type spoiling struct {
	consumertest.LogsSink
	mu     sync.Mutex
	refuse int
	uids   map[string]bool
}

func (s *spoiling) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, lr := range ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
		uid, _ := lr.Attributes().Get("log.record.uid")
		s.uids[uid.Str()] = true
	}
	if s.refuse > 0 {
		s.refuse--
		ld.ResourceLogs().RemoveIf(func(plog.ResourceLogs) bool { return true })
		return errors.New("the disk is full")
	}
	return s.LogsSink.ConsumeLogs(ctx, ld)
}

func TestARefusedBatchComesAgainAndIsAStatus(t *testing.T) {
	next := &spoiling{refuse: 8, uids: map[string]bool{}} // more than tellAfter
	r, err := newReceiver(receivertest.NewNopSettings(NewFactory().Type()), createDefaultConfig().(*Config), next)
	require.NoError(t, err)
	h, q := newHost()
	require.NoError(t, r.Start(t.Context(), h))
	q.Add(login(1))
	require.Eventually(t, func() bool { return h.reported() == 2 }, 20*time.Second, time.Millisecond)
	assert.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError, componentstatus.StatusOK}, h.statuses)
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Equal(t, 1, next.LogRecordCount())
	assert.Len(t, next.uids, 1, "each try has the same uid")
}

func TestWhatWasNotAcceptedStaysWithTheConsole(t *testing.T) {
	next := &spoiling{refuse: 1 << 30, uids: map[string]bool{}}
	r, err := newReceiver(receivertest.NewNopSettings(NewFactory().Type()), createDefaultConfig().(*Config), next)
	require.NoError(t, err)
	h, q := newHost()
	require.NoError(t, r.Start(t.Context(), h))
	q.Add(login(1))
	require.Eventually(t, func() bool { next.mu.Lock(); defer next.mu.Unlock(); return len(next.uids) == 1 }, 10*time.Second, time.Millisecond)
	require.NoError(t, r.Shutdown(t.Context()))
	require.Equal(t, 1, q.Waiting())
}

func TestWhatIsRefusedForGoodIsInTheLog(t *testing.T) {
	next, err := consumer.NewLogs(func(context.Context, plog.Logs) error { return consumererror.NewPermanent(errors.New("no")) })
	require.NoError(t, err)
	core, logs := observer.New(zap.InfoLevel)
	set := receivertest.NewNopSettings(NewFactory().Type())
	set.Logger = zap.New(core)
	r, err := newReceiver(set, createDefaultConfig().(*Config), next)
	require.NoError(t, err)
	h, q := newHost()
	require.NoError(t, r.Start(t.Context(), h))
	q.Add(login(1))
	require.Eventually(t, func() bool { return logs.FilterMessageSnippet("ada-1 logged in").Len() == 1 }, 10*time.Second, time.Millisecond)
	require.NoError(t, r.Shutdown(t.Context()))
}

func TestStartNamesWhatIsMissing(t *testing.T) {
	h, q := newHost()
	for id, want := range map[string]string{
		"console": `console: "console" can't be read: its audit is read by another receiver already`,
		"none":    `console: there is no extension "none": define it under extensions and list it in service::extensions`,
		"other":   `console: the extension "other" has no audit: name an extension of the type console`,
	} {
		if id == "console" {
			detach, err := q.AttachAudit(nil)
			require.NoError(t, err)
			defer detach()
		}
		r, err := newReceiver(receivertest.NewNopSettings(NewFactory().Type()), &Config{Console: component.MustNewID(id)}, consumertest.NewNop())
		require.NoError(t, err)
		require.EqualError(t, r.Start(t.Context(), h), want)
		require.NoError(t, r.Shutdown(t.Context()))
	}
	require.ErrorContains(t, confmap.Validate(&Config{}), "console: must be the ID of a console extension")
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))
}
