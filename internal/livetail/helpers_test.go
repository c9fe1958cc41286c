// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/goleak"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/classic"
	"github.com/tailrace/tailrace/internal/livetail/tailv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newHub(tb testing.TB, change func(*livetail.Options)) *livetail.Hub {
	tb.Helper()
	opts := livetail.DefaultOptions()
	opts.Format, opts.AppendRecord = classic.Format{}, tailv1.AppendRecord
	if change != nil {
		change(&opts)
	}
	h := livetail.New(opts)
	h.Start()
	tb.Cleanup(h.Close)
	return h
}

func channel(tb testing.TB, name string) livetail.Channel {
	tb.Helper()
	c, err := livetail.ParseChannel(name)
	require.NoError(tb, err)
	return c
}

// epoch is the time of line 0; line i is i milliseconds later.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// lines are n runner lines of a server, numbered from first.
func lines(project, server string, first, n int) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("project.id", project)
	rl.Resource().Attributes().PutStr("server.id", server)
	rl.Resource().Attributes().PutStr("service.name", "svc")
	sl := rl.ScopeLogs().AppendEmpty()
	for i := first; i < first+n; i++ {
		lr := sl.LogRecords().AppendEmpty()
		lr.SetTimestamp(pcommon.NewTimestampFromTime(epoch.Add(time.Duration(i) * time.Millisecond)))
		lr.SetSeverityNumber(plog.SeverityNumberInfo)
		lr.Body().SetStr(fmt.Sprintf("%s line %d", server, i))
		lr.Attributes().PutStr("log.iostream", "stdout")
		lr.Attributes().PutInt("process.pid", 4242)
		lr.Attributes().PutStr("log.record.uid", fmt.Sprintf("%s/%s/%d", project, server, i))
	}
	ld.MarkReadOnly()
	return ld
}

func publish(h *livetail.Hub, ld plog.Logs) {
	b := h.NewBatch()
	b.AddLogs(ld)
	h.Publish(b)
}

// message is what a client sees.
type message struct {
	Type    string         `json:"type"`
	Payload map[string]any `json:"payload"`
}

func (m message) text() string {
	if s, ok := m.Payload["line"].(string); ok {
		return s
	}
	s, _ := m.Payload["body"].(string)
	return s
}

// number of a line that lines made.
func (m message) number(tb testing.TB) int {
	tb.Helper()
	var n int
	_, rest, ok := strings.Cut(m.text(), " line ")
	require.True(tb, ok, "%v", m)
	_, err := fmt.Sscanf(rest, "%d", &n)
	require.NoError(tb, err)
	return n
}

func decode(tb testing.TB, data []byte) message {
	tb.Helper()
	var m message
	require.NoError(tb, json.Unmarshal(data, &m), "%s", data)
	return m
}

// client takes everything that a subscriber gets, until stopped.
type client struct {
	tb       testing.TB
	sub      *livetail.Subscriber
	wake     chan struct{}
	messages []message
	records  int
	dropped  uint64
}

func notify(wake chan struct{}) func() {
	return func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

func newClient(tb testing.TB, h *livetail.Hub) *client {
	tb.Helper()
	c := &client{tb: tb, wake: make(chan struct{}, 1)}
	c.sub = h.NewSubscriber(access.Local(), notify(c.wake))
	tb.Cleanup(c.sub.Close)
	return c
}

func (c *client) subscribe(name string, backfill int) {
	c.tb.Helper()
	err := c.sub.Subscribe(channel(c.tb, name), backfill, func(n int) []byte {
		return fmt.Appendf(nil, `{"type":"subscribed","payload":{"channel":%q,"n":%d}}`, name, n)
	})
	require.NoError(c.tb, err)
}

func (c *client) unsubscribe(name string) {
	c.tb.Helper()
	c.sub.Unsubscribe(channel(c.tb, name), []byte(`{"type":"unsubscribed","payload":{}}`))
}

// take reads what is there now.
func (c *client) take() {
	c.tb.Helper()
	var t livetail.Taken
	for c.sub.Take(&t, 4096) {
		c.dropped += t.Dropped
		c.records += t.Records
		for _, data := range t.Messages {
			c.messages = append(c.messages, decode(c.tb, data))
		}
		c.sub.Sent(t.Records)
	}
}

// await takes until done.
func (c *client) await(done func() bool) {
	c.tb.Helper()
	timeout := time.After(20 * time.Second)
	for c.take(); !done(); c.take() {
		select {
		case <-c.wake:
		case <-timeout:
			require.FailNow(c.tb, "timed out", "%d records, %d dropped", c.records, c.dropped)
		}
	}
}

func (c *client) awaitRecords(n int) {
	c.tb.Helper()
	c.await(func() bool { return c.records+int(c.dropped) >= n })
}

func (c *client) of(types ...string) []message {
	var out []message
	for _, m := range c.messages {
		for _, t := range types {
			if m.Type == t {
				out = append(out, m)
			}
		}
	}
	return out
}

const (
	waitFor = 20 * time.Second
	tick    = time.Millisecond
)
