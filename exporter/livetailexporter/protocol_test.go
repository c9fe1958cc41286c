// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// The classic protocol, message for message.
func TestConversation(t *testing.T) {
	tl := start(t, nil, nil)
	tl.print(t, "web-1", 0, 3, 1)
	c := connect(t, tl.url)
	c.ask(`{"type":"ping"}`, `{"type":"pong","payload":{}}`)
	c.ask(`{"type":"subscribe","payload":{"channel":"server:web-1","backfill":{"records":2}},"id":1}`,
		`{"type":"subscribed","payload":{"channel":"server:web-1","backfill":{"records":2}},"id":1}`)
	for i := 1; i < 3; i++ {
		require.JSONEq(t, fmt.Sprintf(`{"type":"server:log","payload":{"serverId":"web-1","line":"%d",
			"timestamp":"2026-03-01T12:00:00.00%dZ","stream":"stdout","id":"web-1%d"}}`, i, i, i), c.text())
	}
	tl.print(t, "web-1", 3, 1, 1)
	require.JSONEq(t, `{"type":"server:log","payload":{"serverId":"web-1","line":"3",
		"timestamp":"2026-03-01T12:00:00.003Z","stream":"stdout","id":"web-13"}}`, c.text(), "the record's own time, not that of sending")
	c.ask(`{"type":"subscribe","payload":{"channel":"build:not-yet"}}`, `{"type":"subscribed","payload":{"channel":"build:not-yet"}}`)
	c.ask(`{"type":"subscribe","payload":{"channel":"deployment:d"}}`, `{"type":"subscribed","payload":{"channel":"deployment:d"}}`)
	c.ask(`{"type":"unsubscribe","payload":{"channel":"server:web-1"}}`, `{"type":"unsubscribed","payload":{"channel":"server:web-1"}}`)
	c.ask(`{"type":"unsubscribe","payload":{"channel":"server:never"}}`, `{"type":"unsubscribed","payload":{"channel":"server:never"}}`)
	tl.print(t, "web-1", 4, 1, 1)
	c.ask(`{"type":"ping","id":"x"}`, `{"type":"pong","payload":{},"id":"x"}`)
}

func TestProjectChannelShowsEverySignal(t *testing.T) {
	tl := start(t, nil, nil)
	c := connect(t, tl.url)
	c.ask(`{"type":"subscribe","payload":{"channel":"project:shop"}}`, `{"type":"subscribed","payload":{"channel":"project:shop"}}`)

	tl.print(t, "web-1", 0, 1, 1)
	assert.Equal(t, "log", c.next().Type)

	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("project.id", "shop")
	sp := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	sp.SetSpanID(pcommon.SpanID{1})
	sp.SetTraceID(pcommon.TraceID{1})
	sp.SetEndTimestamp(1)
	td.MarkReadOnly()
	require.NoError(t, tl.traces.ConsumeTraces(context.Background(), td))
	require.NoError(t, tl.traces.ConsumeTraces(context.Background(), td)) // the sender's repeat
	assert.Equal(t, "span:ended", c.next().Type)

	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("project.id", "shop")
	rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptyGauge().DataPoints().AppendEmpty()
	md.MarkReadOnly()
	require.NoError(t, tl.metrics.ConsumeMetrics(context.Background(), md))
	assert.Equal(t, "metric", c.next().Type)

	assert.False(t, tl.logs.Capabilities().MutatesData)
	assert.False(t, tl.traces.Capabilities().MutatesData)
	assert.False(t, tl.metrics.Capabilities().MutatesData)
}

// Bad messages are answered and harm nobody.
func TestBadMessages(t *testing.T) {
	tl := start(t, nil, nil)
	other := connect(t, tl.url)
	other.ask(`{"type":"subscribe","payload":{"channel":"server:web-1"}}`, `{"type":"subscribed","payload":{"channel":"server:web-1"}}`)
	c := connect(t, tl.url)
	for in, code := range map[string]string{
		"hello": "INVALID_MESSAGE", "": "INVALID_MESSAGE", "[1]": "INVALID_MESSAGE", `{"type":"subscribe"}`: "INVALID_MESSAGE",
		`{"type":"subscribe","payload":{}}`: "INVALID_MESSAGE", `{"type":"shout"}`: "UNKNOWN_MESSAGE_TYPE",
		`{"type":"subscribe","payload":{"channel":"nope"}}`: "INVALID_CHANNEL", "{\"type\":\"\xff\"}": "INVALID_MESSAGE",
	} {
		c.say(in)
		m := c.next()
		require.Equal(t, "error", m.Type, in)
		assert.Equal(t, code, m.Payload["code"], in)
		assert.NotEmpty(t, m.Payload["message"])
	}
	require.NoError(t, c.WriteMessage(websocket.BinaryMessage, []byte(`{"type":"ping"}`)))
	assert.Equal(t, "INVALID_MESSAGE", c.next().Payload["code"])
	c.ask(`{"type":"ping"}`, `{"type":"pong","payload":{}}`) // still there

	tl.print(t, "web-1", 0, 1, 1)
	assert.Equal(t, "server:log", other.next().Type)
}

func TestTooBigMessage(t *testing.T) {
	tl := start(t, func(c *Config) { c.MaxMessageBytes = 2048 }, nil)
	c := connect(t, tl.url)
	c.say(strings.Repeat("x", 2048))
	assert.Equal(t, "INVALID_MESSAGE", c.next().Payload["code"], "at the limit it is read")
	c.say(strings.Repeat("x", 2049))
	code, _ := c.closed()
	assert.Equal(t, 4413, code)
}

func TestBrokenFrames(t *testing.T) {
	tl := start(t, nil, nil)
	c := connect(t, tl.url)
	_, err := c.NetConn().Write([]byte{0xff, 0xff, 0xff})
	require.NoError(t, err)
	code, _ := c.closed()
	assert.Equal(t, websocket.CloseProtocolError, code)
	connect(t, tl.url).ask(`{"type":"ping"}`, `{"type":"pong","payload":{}}`)
}

func TestCaps(t *testing.T) {
	tl := start(t, func(c *Config) { c.MaxClients, c.MaxSubscriptions = 2, 1 }, nil)
	a, b := connect(t, tl.url), connect(t, tl.url)
	code, _ := dial(t, tl.url, nil).closed()
	assert.Equal(t, 4429, code)
	a.ask(`{"type":"subscribe","payload":{"channel":"*"}}`, `{"type":"subscribed","payload":{"channel":"*"}}`)
	a.say(`{"type":"subscribe","payload":{"channel":"server:x"},"id":3}`)
	m := a.next()
	assert.Equal(t, "TOO_MANY_SUBSCRIPTIONS", m.Payload["code"])
	assert.InDelta(t, 3, m.ID, 0)
	require.NoError(t, b.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "")))
	code, _ = b.closed()
	assert.Equal(t, 1000, code, "close is answered")
	require.Eventually(t, func() bool { return tl.hub.Stats().Subscribers == 1 }, waitFor, tick)
	require.Eventually(t, func() bool { // the place is free again
		ws, resp, err := websocket.DefaultDialer.Dial(tl.url, nil)
		if err != nil {
			return false
		}
		defer ws.Close()
		resp.Body.Close()
		_, _, err = ws.ReadMessage()
		return err == nil
	}, waitFor, tick)
}

func TestForeignPagesAndNames(t *testing.T) {
	tl := start(t, func(c *Config) {
		c.AllowedOrigins, c.AllowedHosts = []string{"https://admin.example.com"}, []string{"tail.example.com"}
	}, nil)
	for _, tc := range []struct {
		host, origin string
		status       int
	}{
		{"", "", 101},
		{"", "http://" + tl.addr.String(), 101},
		{"", "https://admin.example.com", 101},
		{"tail.example.com", "", 101},
		{"", "https://evil.example", 403},
		{"", "null", 403},
		{"evil.example", "", 403},
		{"evil.example", "http://evil.example", 403},
	} {
		header := http.Header{}
		if tc.host != "" {
			header.Set("Host", tc.host)
		}
		if tc.origin != "" {
			header.Set("Origin", tc.origin)
		}
		ws, resp, err := websocket.DefaultDialer.Dial(tl.url, header)
		if err == nil {
			ws.Close()
		} else {
			require.ErrorIs(t, err, websocket.ErrBadHandshake)
		}
		assert.Equal(t, tc.status, resp.StatusCode, "%v", tc)
	}
	assert.Equal(t, uint64(4), tl.serverStats().RefusedOrigin)

	resp, err := http.Get("http://" + tl.addr.String() + "/ws")
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, http.StatusUpgradeRequired, resp.StatusCode)
	resp, err = http.Get("http://" + tl.addr.String() + "/other")
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, http.StatusNotFound, resp.StatusCode)
}

// tokens is an auth extension that knows one token.
type tokens struct {
	component.StartFunc
	component.ShutdownFunc
}

func (tokens) Authenticate(ctx context.Context, header map[string][]string) (context.Context, error) {
	if a := http.Header(header).Get("Authorization"); a != "Bearer secret" {
		return ctx, errors.New("no")
	}
	return ctx, nil
}

func TestAuthentication(t *testing.T) {
	id := component.MustNewID("tokens")
	for _, queryToken := range []bool{false, true} {
		tl := start(t, func(c *Config) {
			ownServer(c).Auth = configoptional.Some(confighttp.AuthConfig{Config: configauth.Config{AuthenticatorID: id}})
			c.Classic.QueryToken = queryToken
		}, host{id: tokens{}})
		for _, tc := range []struct {
			query, header string
			ok            bool
		}{
			{"", "", false},
			{"", "Bearer secret", true},
			{"", "Bearer wrong", false},
			{"?token=secret", "", queryToken}, // in a URL only where it was switched on
			{"?token=wrong", "", false},
			{"?token=secret", "Bearer wrong", false},
		} {
			header := http.Header{}
			if tc.header != "" {
				header.Set("Authorization", tc.header)
			}
			c := dial(t, tl.url+tc.query, header)
			if tc.ok {
				assert.Equal(t, "connected", c.next().Type)
				continue
			}
			code, _ := c.closed()
			assert.Equal(t, 4001, code, "%v", tc)
		}
		tl.stop(t)
	}
}

func TestPings(t *testing.T) {
	tl := start(t, func(c *Config) { c.PingInterval = time.Second }, nil)
	c := connect(t, tl.url)
	pinged := make(chan struct{}, 10)
	c.SetPingHandler(func(data string) error {
		pinged <- struct{}{}
		return c.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
	})
	ponged := make(chan string, 1)
	c.SetPongHandler(func(data string) error { ponged <- data; return nil })
	read := make(chan struct{})
	go func() {
		defer close(read)
		for {
			if _, _, err := c.ReadMessage(); err != nil {
				return
			}
		}
	}()
	require.NoError(t, c.WriteControl(websocket.PingMessage, []byte("you?"), time.Now().Add(time.Second)))
	assert.Equal(t, "you?", <-ponged)
	<-pinged
	<-pinged
	c.Close()
	<-read
}

// A client that only listens, and is sent something all the time, is not taken for gone: it answers pings.
func TestBusyListenerStays(t *testing.T) {
	for _, v1 := range []bool{false, true} {
		tl := start(t, func(c *Config) { c.PingInterval = time.Second }, nil)
		c := dial(t, tl.url, nil)
		if v1 {
			c = connectV1(t, tl.url, nil)
		}
		c.say(`{"type":"subscribe","payload":{"channel":"server:web-1"}}`)
		c.of("subscribed")
		for i := 0; i < 60; i++ { // beyond two intervals and their grace
			tl.print(t, "web-1", i, 1, 10)
			for m := c.next(); m.Type != "server:log" && m.Type != "batch"; m = c.next() {
				require.NotEqual(t, "error", m.Type)
			}
			time.Sleep(100 * time.Millisecond)
		}
		tl.stop(t)
	}
}

func TestGoodbye(t *testing.T) {
	tl := start(t, nil, nil)
	clients := []*client{connect(t, tl.url), connect(t, tl.url)}
	for _, c := range clients {
		c.ask(`{"type":"subscribe","payload":{"channel":"server:web-1"}}`, `{"type":"subscribed","payload":{"channel":"server:web-1"}}`)
	}
	silent := connect(t, tl.url) // never answers
	tl.print(t, "web-1", 0, 50, 1)
	stopped := make(chan struct{})
	go func() { defer close(stopped); tl.stop(t) }()
	for _, c := range clients {
		for i := range 50 { // the last words first
			require.Equal(t, fmt.Sprint(i), c.next().Payload["line"])
		}
		code, reason := c.closed()
		assert.Equal(t, 1001, code)
		assert.Equal(t, "server is going away", reason)
	}
	select {
	case <-stopped:
	case <-time.After(waitFor):
		require.Fail(t, "shutdown waits for a client")
	}
	silent.Close()
	_, err := net.Dial("tcp", tl.addr.String())
	require.Error(t, err)
}

// One client stops reading while others go on: they get everything, it is told what it lost, to the record.
func TestStalledConnection(t *testing.T) {
	const batches, perBatch, width = 200, 20, 2000
	tl := start(t, func(c *Config) { c.ClientBufferBytes = 256 << 10 }, nil)
	subscribe := func(c *client) {
		c.ask(`{"type":"subscribe","payload":{"channel":"server:web-1"}}`, `{"type":"subscribed","payload":{"channel":"server:web-1"}}`)
	}
	stalled, lively := connect(t, tl.url), connect(t, tl.url)
	subscribe(stalled)
	subscribe(lively)
	for b := range batches {
		tl.print(t, "web-1", b*perBatch, perBatch, width)
		for i := range perBatch {
			m := lively.next()
			require.Equal(t, "server:log", m.Type)
			require.Equal(t, fmt.Sprintf("%0*d", width, b*perBatch+i), m.Payload["line"])
		}
	}
	next, dropped, reports := 0, 0, 0
	for next < batches*perBatch {
		m := stalled.next()
		if m.Type == "error" {
			require.Equal(t, "RECORDS_DROPPED", m.Payload["code"])
			n := int(m.Payload["dropped"].(float64))
			dropped += n
			require.InDelta(t, dropped, m.Payload["total"], 0)
			next += n // precisely these are missing
			reports++
			continue
		}
		require.Equal(t, fmt.Sprintf("%0*d", width, next), m.Payload["line"])
		next++
	}
	assert.Positive(t, dropped)
	assert.Positive(t, reports)
	require.Eventually(t, func() bool {
		s := tl.hub.Stats()
		return s.Matched == s.Delivered+s.DroppedSlow && int(s.DroppedSlow) == dropped
	}, waitFor, tick)
	stalled.ask(`{"type":"ping"}`, `{"type":"pong","payload":{}}`)
}

// A client that asks and never reads the answers is not read any more; nothing grows.
func TestFloodOfRequests(t *testing.T) {
	tl := start(t, nil, nil)
	c := connect(t, tl.url)
	require.NoError(t, c.NetConn().(*net.TCPConn).SetReadBuffer(4096))
	flooded := make(chan struct{})
	go func() {
		defer close(flooded)
		for {
			_ = c.SetWriteDeadline(time.Now().Add(time.Second / 4))
			if c.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping"}`)) != nil {
				return // the server has stopped reading
			}
		}
	}()
	select {
	case <-flooded:
	case <-time.After(waitFor):
		require.Fail(t, "the server reads for ever")
	}
	connect(t, tl.url).ask(`{"type":"ping"}`, `{"type":"pong","payload":{}}`)
}
