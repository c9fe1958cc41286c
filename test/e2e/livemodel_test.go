// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/tailrace/tailrace/livetailclient"
)

// liveConfig has no ClickHouse: the files are taken away by the test. A folder of 3 MiB is often full.
const liveConfig = `
extensions:
  health_check: {endpoint: "${env:TAILRACE_HEALTH}"}
receivers:
  otlp: {protocols: {http: {endpoint: "${env:TAILRACE_OTLP_HTTP}"}}}
processors:
  identity:
exporters:
  jsonl: {path: "${env:TAILRACE_DATA}/jsonl", max_disk_bytes: 12582912, rotation: {max_age: 1s}}
  live_tail: {http: {endpoint: "${env:TAILRACE_CONSOLE}"}, client_buffer_bytes: 65536, ring: {records: 2000}}
service:
  extensions: [health_check]
  telemetry: {metrics: {level: none}}
  pipelines:
    logs: {receivers: [otlp], processors: [identity], exporters: [jsonl, live_tail]}
`

// cutter passes TCP connections on, and breaks them when it is told to.
type cutter struct {
	net.Listener
	to    string
	mu    sync.Mutex
	conns []net.Conn
	away  bool
}

func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{Listener: l, to: to}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.serve()
	}()
	t.Cleanup(func() { l.Close(); c.cut(); <-done })
	return c
}

func (c *cutter) serve() {
	var passing sync.WaitGroup
	defer passing.Wait()
	for {
		in, err := c.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", c.to)
		if err != nil {
			in.Close()
			continue
		}
		c.mu.Lock()
		if c.away {
			c.mu.Unlock()
			in.Close()
			out.Close()
			continue
		}
		c.conns = append(c.conns, in, out)
		c.mu.Unlock()
		pass := func(a, b net.Conn) {
			_, _ = io.Copy(a, b)
			a.Close()
			b.Close()
		}
		passing.Go(func() { pass(in, out) })
		passing.Go(func() { pass(out, in) })
	}
}

// stop cuts, and lets nobody through until goOn.
func (c *cutter) stop() {
	c.mu.Lock()
	c.away = true
	c.mu.Unlock()
	c.cut()
}

func (c *cutter) goOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = false
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

// liveSender sends numbered lines of one project, and repeats a request until it is acknowledged.
type liveSender struct {
	p       *product
	project string
	calm    bool // about a hundred lines a second, none of them big
	mu      sync.Mutex
	next    int
	refused int
}

func (s *liveSender) run(stop <-chan struct{}, rng *rand.Rand) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		n := 1 + rng.IntN(60)
		if s.calm {
			time.Sleep(250 * time.Millisecond)
		}
		ld := plog.NewLogs()
		rl := ld.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutStr("project.id", s.project)
		sl := rl.ScopeLogs().AppendEmpty()
		for i := s.next; i < s.next+n; i++ {
			lr := sl.LogRecords().AppendEmpty()
			lr.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
			text := fmt.Sprint(i, " ")
			if i%300 == 7 && !s.calm {
				text += strings.Repeat("big ", 30_000) // above what may wait for a client
			}
			lr.Body().SetStr(text)
			lr.Attributes().PutStr("log.record.uid", fmt.Sprint(s.project, "-", i))
		}
		body, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
		if err != nil {
			panic(err)
		}
		for acknowledged(s.p.post("/v1/logs", protobuf, body)) != nil { // full, or killed
			s.mu.Lock()
			s.refused++
			s.mu.Unlock()
			time.Sleep(10 * time.Millisecond)
		}
		s.mu.Lock()
		s.next += n
		s.mu.Unlock()
	}
}

func (s *liveSender) sent() (n, refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next, s.refused
}

// liveViewer checks a subscription to one project as its records and gaps come.
type liveViewer struct {
	t       *testing.T
	project string
	match   func(int) bool
	rng     *rand.Rand
	stall   bool

	mu        sync.Mutex
	last      int // number of the last line, -1: none
	known     uint64
	unknown   bool // a gap whose size is not known came since
	restarted bool // one came ever, as after a restart
	lost      map[int]bool
	delivered int
	dropped   uint64
	cut       int // records
	gaps      int
	live      bool
	failed    []string
}

func (v *liveViewer) event(e livetailclient.Event) error {
	if v.stall && v.rng.IntN(60) == 0 {
		time.Sleep(time.Duration(v.rng.IntN(600)) * time.Millisecond)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.live = v.live || e.Live
	if e.Gap != nil {
		v.gaps++
		if e.Gap.Dropped == nil {
			v.unknown, v.restarted = true, true
		} else {
			v.known += *e.Gap.Dropped
			v.dropped += *e.Gap.Dropped
		}
	}
	for _, r := range e.Records {
		var n int
		_, err := fmt.Sscan(r.Text(), &n)
		var raw struct{ Truncated bool }
		_ = json.Unmarshal(r.Raw, &raw)
		missing := uint64(0)
		for i := v.last + 1; i < n; i++ {
			if v.match(i) {
				missing++
				v.lost[i] = true
			}
		}
		// A request that was not answered when the collector was killed is sent again. What of it had been shown is not shown again, but what had been
		// told to be lost is: late, once.
		if err == nil && r.Project == v.project && n <= v.last && v.restarted && v.lost[n] {
			delete(v.lost, n)
			v.delivered++
			continue
		}
		switch {
		case err != nil, r.Project != v.project, !v.match(n):
			v.failed = append(v.failed, "a foreign record: "+string(r.Raw[:min(200, len(r.Raw))]))
		case n <= v.last:
			v.failed = append(v.failed, fmt.Sprintf("%d after %d", n, v.last))
		case missing != v.known && !v.unknown && v.last >= 0:
			v.failed = append(v.failed, fmt.Sprintf("%d are missing before %d, told were %d", missing, n, v.known))
		case raw.Truncated != (n%300 == 7):
			v.failed = append(v.failed, fmt.Sprintf("%d: truncated is %v", n, raw.Truncated))
		}
		if raw.Truncated {
			v.cut++
		}
		v.last, v.known, v.unknown = n, 0, false
		v.delivered++
	}
	return nil
}

// While the folder is full now and then, connections break, viewers stall and the collector is killed, every viewer sees
// its records in order and once, no foreign one, and is told of every one that it does not see.
func TestLiveTailModel(t *testing.T) {
	config := filepath.Join(t.TempDir(), "live.yaml")
	require.NoError(t, os.WriteFile(config, []byte(liveConfig), 0o600))
	p := newProduct(t, config)
	p.start()
	p.await(60*time.Second, "ready", p.healthy)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))

	ctx, cancel := context.WithCancel(context.Background())
	proxy := newCutter(t, p.tail)
	var viewers []*liveViewer
	var running sync.WaitGroup
	for i, sub := range []struct {
		livetailclient.Subscription
		project string
		match   func(int) bool
	}{
		{livetailclient.Subscription{Channel: "project:shop"}, "shop", func(int) bool { return true }},
		{livetailclient.Subscription{Channel: "logs:bank"}, "bank", func(int) bool { return true }},
		{livetailclient.Subscription{Channel: "*", Filter: []byte(`{"attributes":{"project.id":"shop"},"regex":"^\\d*3 "}`)}, "shop", func(n int) bool { return n%10 == 3 }},
		{livetailclient.Subscription{Channel: "project:bank", Filter: []byte(`{"not":{"regex":"^\\d*[02468] "}}`)}, "bank", func(n int) bool { return n%2 == 1 }},
		{livetailclient.Subscription{Channel: "project:shop"}, "shop", func(int) bool { return true }},
		{livetailclient.Subscription{Channel: "project:bank"}, "bank", func(int) bool { return true }},
	} {
		v := &liveViewer{t: t, project: sub.project, match: sub.match, stall: i >= 3, rng: rand.New(rand.NewPCG(seed, uint64(i+1))), last: -1, lost: map[int]bool{}}
		viewers = append(viewers, v)
		running.Go(func() {
			c := livetailclient.New(livetailclient.Options{URL: "http://" + proxy.Addr().String(), MinBackoff: 5 * time.Millisecond, MaxBackoff: 50 * time.Millisecond})
			_ = c.Run(ctx, []livetailclient.Subscription{sub.Subscription}, v.event)
		})
	}
	for _, v := range viewers {
		p.await(20*time.Second, "subscribed", func() error {
			v.mu.Lock()
			defer v.mu.Unlock()
			if !v.live {
				return fmt.Errorf("not yet")
			}
			return nil
		})
	}
	stop := make(chan struct{})
	senders := []*liveSender{{p: p, project: "shop"}, {p: p, project: "bank"}}
	var sending sync.WaitGroup
	for i, s := range senders {
		sending.Go(func() { s.run(stop, rand.New(rand.NewPCG(seed, uint64(100+i)))) })
	}
	kills := 0
	for end := time.Now().Add(25 * time.Second); time.Now().Before(end); {
		time.Sleep(time.Duration(50+rng.IntN(400)) * time.Millisecond)
		switch rng.IntN(8) {
		case 0, 1:
			proxy.cut()
		case 2, 3: // what was full has room again
			files, _ := filepath.Glob(filepath.Join(p.data, "jsonl", "logs", "*", "*.jsonl"))
			for _, f := range files {
				_ = os.Remove(f)
			}
		case 4:
			if kills < 3 {
				kills++
				p.kill()
				p.start()
			}
		}
	}
	done := make(chan struct{})
	go func() { // room for the last ones
		for {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
				files, _ := filepath.Glob(filepath.Join(p.data, "jsonl", "logs", "*", "*.jsonl"))
				for _, f := range files {
					_ = os.Remove(f)
				}
			}
		}
	}()
	close(stop)
	sending.Wait()
	close(done)
	for i, v := range viewers {
		total, refused := senders[map[string]int{"shop": 0, "bank": 1}[v.project]].sent()
		final := total - 1
		for !v.match(final) {
			final--
		}
		p.await(30*time.Second, fmt.Sprintf("viewer %d at %d", i, final), func() error {
			v.mu.Lock()
			defer v.mu.Unlock()
			if v.last < final && !v.unknown && v.known == 0 {
				return fmt.Errorf("is at %d", v.last)
			}
			return nil
		})
		v.mu.Lock()
		assert.Empty(t, v.failed, "viewer %d", i)
		assert.Positive(t, v.delivered)
		t.Logf("viewer %d: %d sent, %d requests refused, %d delivered, %d dropped in %d gaps, %d cut; %d kills", i, total, refused, v.delivered, v.dropped, v.gaps, v.cut, kills)
		v.mu.Unlock()
	}
	cancel()
	running.Wait()
}
