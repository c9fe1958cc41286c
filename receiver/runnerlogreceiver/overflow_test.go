// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package runnerlogreceiver

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tailrace/tailrace/internal/supervise"
)

// gated takes nothing until it is opened.
type gated struct {
	consumertest.LogsSink
	open chan struct{}
	once sync.Once
}

func (g *gated) ConsumeLogs(ctx context.Context, logs plog.Logs) error {
	select {
	case <-g.open:
	case <-ctx.Done():
		return ctx.Err()
	}
	return g.LogsSink.ConsumeLogs(ctx, logs)
}

// TestServerThatDropsTheOldestNeverWaits: it prints to the end while nothing is taken; what is missing is told in its place.
func TestServerThatDropsTheOldestNeverWaits(t *testing.T) {
	const n = 200_000
	next := &gated{open: make(chan struct{})}
	flood := server("flood", "shop", "seq 1 "+strconv.Itoa(n))
	flood.DropOldest = true
	supervisor, _ := start(t, next, flood)
	defer next.once.Do(func() { close(next.open) })
	require.Eventually(t, func() bool {
		s := supervisor.Servers()[0]
		return !s.Running && s.Uptime == 0 && supervisor.Stats().Stdout.Lines == n
	}, 60*time.Second, time.Millisecond, "the server waits")
	next.once.Do(func() { close(next.open) })
	ended := func() []flat {
		records := flatten(next.AllLogs())
		for _, r := range records {
			if state, ok := r.record.Attributes().Get("server.lifecycle.state"); ok && state.Str() == "exited" {
				return records
			}
		}
		return nil
	}
	require.Eventually(t, func() bool { return ended() != nil }, 20*time.Second, time.Millisecond)

	last, lines, dropped, uid := 0, int64(0), int64(0), ""
	gap := int64(0) // there may be several: a batch may be taken while lines are dropped
	for _, r := range ended() {
		if r.resource["server.id"] != "flood" {
			continue
		}
		attrs := r.record.Attributes().AsRaw()
		require.Greater(t, attrs["log.record.uid"], uid)
		uid = attrs["log.record.uid"].(string)
		switch r.record.EventName() {
		case "":
			number, err := strconv.Atoi(r.record.Body().Str())
			require.NoError(t, err)
			require.EqualValues(t, number-last-1, gap, "the gap before %d", number)
			last, gap = number, 0
			lines++
		case "server.output_dropped":
			count := attrs["tailrace.dropped.lines"].(int64)
			assert.Equal(t, strconv.FormatInt(count, 10)+" lines of server flood were dropped here", r.record.Body().Str())
			assert.Equal(t, plog.SeverityNumberWarn, r.record.SeverityNumber())
			assert.Positive(t, attrs["tailrace.dropped.bytes"])
			dropped += count
			gap += count
		}
	}
	assert.Equal(t, n, last, "the newest line")
	assert.EqualValues(t, n, lines+dropped)
	assert.Positive(t, dropped)
	assert.Equal(t, dropped, supervisor.Servers()[0].Dropped)
}

func TestKeysOfAnUnknownServerAreWarnedOf(t *testing.T) {
	supervisor := supervise.New(supervise.Options{
		Servers: []supervise.Server{server("web-1", "shop", "true")}, MaxLineBytes: 256, BufferBytes: 1, Logger: zap.NewNop(),
	})
	logs, seen := observer.New(zap.WarnLevel)
	set := receivertest.NewNopSettings(NewFactory().Type())
	set.Logger = zap.New(logs)
	cfg := createDefaultConfig().(*Config)
	cfg.Servers = map[string]ServerConfig{"web-1": {}, "web-l": {}}
	r, err := newRunnerLog(set, cfg, consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), &testHost{extensions: map[component.ID]component.Component{
		component.MustNewID("runner"): runner{Supervisor: supervisor},
	}}))
	require.NoError(t, r.Shutdown(t.Context()))
	require.NoError(t, supervisor.Stop(t.Context()))
	require.Equal(t, 1, seen.Len())
	message := seen.All()[0].Message
	assert.True(t, strings.HasPrefix(message, `servers::web-l: the runner "runner" has no server with this id`), message)
}
