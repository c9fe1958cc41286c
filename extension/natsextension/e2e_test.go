// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package natsextension

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/tailrace/tailrace/extension/natsextension/internal/natstest"
	"github.com/tailrace/tailrace/internal/freeport"
	"github.com/tailrace/tailrace/livetailclient"
)

const productConfig = `
receivers:
  otlp:
    protocols:
      http:
        endpoint: %[1]s
processors:
  identity: {}
extensions:
  nats:
    endpoints: [%[3]s]
%[4]sexporters:
  live_tail:
    cluster: nats
    cluster_buffer_bytes: 262144
    client_buffer_bytes: 67108864
    http:
      endpoint: %[2]s
service:
  extensions: [nats]
  telemetry:
    metrics:
      level: none
  pipelines:
    logs:
      receivers: [otlp]
      processors: [identity]
      exporters: [live_tail]
`

// product is a running collector.
type product struct {
	t    *testing.T
	otlp string
	tail string
	log  string
}

func startProduct(t *testing.T, nats, more string) *product {
	t.Helper()
	binary, err := filepath.Abs("../../_build/tailrace")
	require.NoError(t, err)
	require.FileExists(t, binary, "run make build")
	dir := t.TempDir()
	p := &product{t: t, otlp: freeport.Address(t), tail: freeport.Address(t), log: filepath.Join(dir, "tailrace.log")}
	config := filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, productConfig, p.otlp, p.tail, nats, more), 0o600))
	log, err := os.Create(p.log)
	require.NoError(t, err)
	defer log.Close()
	cmd := exec.Command(binary, "--config", config)
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		assert.NoError(t, cmd.Process.Signal(syscall.SIGINT))
		assert.NoError(t, cmd.Wait(), "%s", p.said())
	})
	require.Eventually(t, func() bool {
		for _, addr := range []string{p.otlp, p.tail} {
			conn, err := net.DialTimeout("tcp", addr, time.Second)
			if err != nil {
				return false
			}
			_ = conn.Close()
		}
		return true
	}, waitFor, 20*time.Millisecond, "the collector does not listen")
	return p
}

func (p *product) said() string {
	raw, _ := os.ReadFile(p.log)
	return string(raw)
}

// send sends n numbered lines of a sender.
func (p *product) send(sender string, first, n int) {
	p.t.Helper()
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("project.id", "shop")
	sl := rl.ScopeLogs().AppendEmpty()
	for i := first; i < first+n; i++ {
		lr := sl.LogRecords().AppendEmpty()
		lr.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
		lr.SetSeverityNumber(plog.SeverityNumberInfo)
		lr.Body().SetStr(fmt.Sprintf("%s %06d", sender, i))
	}
	body, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
	require.NoError(p.t, err)
	resp, err := http.Post("http://"+p.otlp+"/v1/logs", "application/x-protobuf", bytes.NewReader(body))
	require.NoError(p.t, err)
	defer resp.Body.Close()
	require.Equal(p.t, http.StatusOK, resp.StatusCode)
}

// watcher is a client of a collector.
type watcher struct {
	t *testing.T

	mu      sync.Mutex // guards what follows
	live    bool
	shown   map[string]int
	records int
	dropped int
	unknown int
	reasons map[string]int
	notices []string
}

func (p *product) watch(channel string) *watcher { return watch(p.t, p.tail, channel) }

func watch(t *testing.T, addr, channel string) *watcher {
	t.Helper()
	w := &watcher{t: t, shown: map[string]int{}, reasons: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = livetailclient.New(livetailclient.Options{URL: "http://" + addr}).Run(ctx, []livetailclient.Subscription{{Channel: channel}}, w.handle)
	}()
	t.Cleanup(func() { cancel(); <-done })
	w.await(func() bool { return w.live })
	return w
}

func (w *watcher) handle(e livetailclient.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.live = w.live || e.Live
	for i := range e.Records {
		w.shown[e.Records[i].Text()]++
		w.records++
	}
	if g := e.Gap; g != nil {
		w.reasons[g.Reason]++
		if g.Dropped == nil {
			w.unknown++
		} else {
			w.dropped += int(*g.Dropped)
		}
	}
	if e.Notice != "" {
		w.notices = append(w.notices, e.Notice)
	}
	return nil
}

func (w *watcher) await(done func() bool) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return done()
	}, waitFor, 5*time.Millisecond)
}

// has waits until so many records were shown or told to be lost, and looks that none was shown twice.
func (w *watcher) has(records int) {
	w.t.Helper()
	w.await(func() bool { return w.records+w.dropped >= records })
	w.mu.Lock()
	defer w.mu.Unlock()
	assert.Equal(w.t, records, w.records+w.dropped)
	assert.Len(w.t, w.shown, w.records, "none twice")
	assert.Zero(w.t, w.unknown)
}

func (w *watcher) told(part string) {
	w.t.Helper()
	w.await(func() bool {
		for _, n := range w.notices {
			if bytes.Contains([]byte(n), []byte(part)) {
				return true
			}
		}
		return false
	})
}

func connected(t *testing.T, all ...*product) {
	t.Helper()
	for _, p := range all {
		require.Eventually(t, func() bool { return bytes.Contains([]byte(p.said()), []byte("connected with other collectors")) }, waitFor, tick)
	}
}

// Two real collectors, a sender and viewers at each, and a NATS that is killed and comes back.
func TestEndToEnd(t *testing.T) {
	server := natstest.Start(t)
	one, two := startProduct(t, server.URL(), ""), startProduct(t, server.URL(), "")
	connected(t, one, two)
	watchers := []*watcher{one.watch("project:shop"), two.watch("project:shop"), one.watch("*"), two.watch("logs:shop")}
	for i := range 20 {
		one.send("one", 50*i, 50)
		two.send("two", 50*i, 50)
	}
	for _, w := range watchers {
		w.has(2000)
		assert.Zero(t, w.dropped)
	}

	server.Kill()
	for _, w := range watchers {
		w.told("other collectors can't be reached")
	}
	for i := range 50 { // more than the buffer takes
		one.send("one", 1000+100*i, 100)
	}
	for _, w := range []*watcher{watchers[0], watchers[2]} { // local goes on
		w.has(7000)
		assert.Zero(t, w.dropped)
	}
	late := one.watch("*")
	late.told("other collectors can't be reached")

	server.Run()
	for _, w := range watchers {
		w.told("are shown again")
	}
	one.send("one", 6000, 10)
	two.send("two", 1000, 10)
	for _, w := range watchers {
		w.has(7020)
	}
	for _, w := range []*watcher{watchers[1], watchers[3]} {
		assert.Positive(t, w.dropped)
		assert.NotZero(t, w.reasons["lost"])
	}
	assert.Zero(t, watchers[0].dropped+watchers[2].dropped)
	assert.Equal(t, 1, bytes.Count([]byte(one.said()), []byte("Live tail can't reach other collectors")), "said once")
	t.Logf("of 5,000 records that came while NATS was away %d were shown elsewhere afterwards, %d were counted as lost", 5000-watchers[1].dropped, watchers[1].dropped)
}

// A client that a load balancer takes to another collector gets there what it has missed, and nothing twice.
func TestEndToEndOfAClientThatMoves(t *testing.T) {
	server := natstest.Start(t, "-js")
	stream := "    stream: {}\n"
	one, two := startProduct(t, server.URL(), stream), startProduct(t, server.URL(), stream)
	connected(t, one, two)
	balancer := natstest.Between(t, one.tail)
	w := watch(t, balancer.Addr(), "project:shop")
	one.send("one", 0, 100)
	two.send("two", 0, 100)
	w.has(200)
	balancer.Cut(true)
	one.send("one", 100, 100)
	two.send("two", 100, 100)
	balancer.To(two.tail)
	balancer.Cut(false)
	two.send("two", 200, 100)
	w.await(func() bool { return w.records >= 500 })
	one.send("one", 200, 100)
	w.await(func() bool { return w.records >= 600 })
	w.mu.Lock()
	defer w.mu.Unlock()
	assert.Equal(t, 600, w.records)
	assert.Len(t, w.shown, 600)
	assert.Equal(t, map[string]int{"evicted": 1}, w.reasons, "it is told that this is another collector")
}
