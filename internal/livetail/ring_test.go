// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/internal/livetail"
)

func TestRingKeepsExactlyItsRecords(t *testing.T) {
	h := newHub(t, func(o *livetail.Options) { o.RingRecords = 100 })
	for i := range 1234 {
		publish(h, lines("shop", "web-1", i, 1))
	}
	publish(h, lines("shop", "web-2", 0, 30))
	s := h.Stats()
	assert.Equal(t, 130, s.RingRecords)
	assert.Equal(t, 2, s.Sources)
	c := newClient(t, h)
	c.subscribe("server:web-1", 10_000)
	c.awaitRecords(100)
	logs := c.of("server:log")
	require.Len(t, logs, 100)
	for i, m := range logs {
		require.Equal(t, 1134+i, m.number(t))
	}
}

func TestRingsAreBoundedInBytes(t *testing.T) {
	h := newHub(t, func(o *livetail.Options) { o.RingBytes, o.TotalBytes = 64<<10, 256<<10 })
	publish(h, lines("shop", "quiet", 0, 20))
	for i := range 400 {
		for s := range 8 {
			publish(h, lines("shop", fmt.Sprint("noisy-", s), i*5, 5))
		}
		require.LessOrEqual(t, h.Stats().RingBytes, 256<<10+64<<10)
	}
	c := newClient(t, h)
	c.subscribe("server:quiet", 100)
	c.awaitRecords(20)
	assert.Equal(t, 20, c.records, "the noisy ones pay")
}

func TestSilentSourcesAreForgotten(t *testing.T) {
	h := newHub(t, func(o *livetail.Options) { o.MaxSources = 64 })
	for i := range 1000 {
		publish(h, lines("shop", fmt.Sprint("web-", i), 0, 1))
		publish(h, lines("shop", "steady", i, 1))
		require.LessOrEqual(t, h.Stats().Sources, 64)
	}
	c := newClient(t, h)
	c.subscribe("server:steady", 1000)
	c.awaitRecords(1000)
	assert.Equal(t, 1000, c.records)
}

func bigLog(body string, attributes int, uid string) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("project.id", "shop")
	lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	lr.Body().SetStr(body)
	for i := range attributes {
		lr.Attributes().PutStr(fmt.Sprint("key.", i), strings.Repeat("v", 100))
	}
	lr.Attributes().PutStr("log.record.uid", uid)
	ld.MarkReadOnly()
	return ld
}

// What is above the limit is cut at a character and marked; it keeps its uid.
func TestBigRecordsAreCut(t *testing.T) {
	h := newHub(t, func(o *livetail.Options) { o.MaxRecord = 4096 })
	c := newClient(t, h)
	c.subscribe("project:shop", 0)
	publish(h, bigLog(strings.Repeat("ä", 100_000), 3, "the-uid"))
	publish(h, bigLog("small", 100, "another"))
	c.awaitRecords(1)
	c.await(func() bool { return len(c.of("log")) >= 1 })
	m := c.of("log")[0]
	assert.Equal(t, true, m.Payload["truncated"])
	assert.Equal(t, "the-uid", m.Payload["uid"])
	body := m.text()
	assert.Less(t, len(body), 4096)
	assert.Equal(t, strings.Repeat("ä", len(body)/2), body)
}

func TestParseChannel(t *testing.T) {
	for _, name := range []string{
		"server:web-1", "build:b", "deployment:d", "project:../../etc", "logs:p", "spans:p", "metrics:p", "scores:p",
		"trace:0102030405060708090a0b0c0d0e0f10", "trace:01020304-0506-0708-090A-0B0C0D0E0F10", "*", "project:*", "server:a:b",
	} {
		_, err := livetail.ParseChannel(name)
		assert.NoError(t, err, name)
	}
	for _, name := range []string{
		"", "server", "server:", "Server:x", "unknown:x", "trace:xyz", "trace:01", "server:a\x00b", "server:\xff", ":", "**",
		"server:" + strings.Repeat("x", livetail.MaxChannelID+1),
	} {
		_, err := livetail.ParseChannel(name)
		assert.ErrorIs(t, err, livetail.ErrInvalidChannel, "%q", name)
	}
	assert.Equal(t, channel(t, "trace:01020304-0506-0708-090A-0B0C0D0E0F10"), channel(t, "trace:0102030405060708090a0b0c0d0e0f10"))
}
