// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// Each test here is named for a weakness of the system that the classic protocol was taken from, or for a trap that other live
// tails fell into, and shows it absent by a client that knows nothing of the server's code.

const subscribeServer = `{"type":"subscribe","payload":{"channel":"server:web-1"}}`

// subscribed is the reply to a plain subscribe.
func subscribed(channel string) string {
	return fmt.Sprintf(`{"type":"subscribed","payload":{"channel":%q}}`, channel)
}

// record sends one log record, told apart by its body, with the identity of the resource and what else fill puts.
func (tl *tail) record(t *testing.T, at time.Time, identity map[string]string, body string, fill func(plog.LogRecord)) {
	t.Helper()
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("project.id", "shop")
	for k, v := range identity {
		rl.Resource().Attributes().PutStr(k, v)
	}
	lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	lr.SetTimestamp(pcommon.NewTimestampFromTime(at))
	if body != "" {
		lr.Body().SetStr(body)
	}
	fill(lr)
	ld.MarkReadOnly()
	require.NoError(t, tl.logs.ConsumeLogs(context.Background(), ld))
}

func stdout(lr plog.LogRecord) { lr.Attributes().PutStr("log.iostream", "stdout") }

func eventOf(name string, attrs ...string) func(plog.LogRecord) {
	return func(lr plog.LogRecord) {
		lr.SetEventName(name)
		for i := 0; i < len(attrs); i += 2 {
			lr.Attributes().PutStr(attrs[i], attrs[i+1])
		}
	}
}

// lineOf is the message of a line that print sent.
func lineOf(n int) string {
	return fmt.Sprintf(`{"type":"server:log","payload":{"serverId":"web-1","line":"%d","timestamp":%q,"stream":"stdout","id":"web-1%[1]d"}}`,
		n, epoch.Add(time.Duration(n)*time.Millisecond).Format("2006-01-02T15:04:05.000Z"))
}

func TestWeaknessNoHeartbeat(t *testing.T) {
	t.Parallel()
	tl := start(t, func(c *Config) { c.PingInterval = time.Second }, nil)
	dead, alive := greet(t, tl), greet(t, tl)
	gone := make(chan error, 1)
	go func() { // it reads, but says nothing
		_, err := io.Copy(io.Discard, dead.conn)
		gone <- err
	}()
	for alive.pings < 3 { // all the time this one said nothing but pongs
		op, payload := alive.read()
		require.Equal(t, byte(opPing), op)
		alive.pings++
		alive.frame(opPong, string(payload))
	}
	for done := false; !done; {
		select {
		case err := <-gone:
			require.NoError(t, err, "who does not answer is let go")
			done = true
		default:
			op, payload := alive.read()
			require.Equal(t, byte(opPing), op)
			alive.frame(opPong, string(payload))
		}
	}
	require.Eventually(t, func() bool { return tl.hub.Stats().Subscribers == 1 }, waitFor, tick)
	alive.say(`{"type":"ping"}`)
	alive.hears(`{"type":"pong","payload":{}}`)
	alive.frame(opPing, "you?") // the other way round
	for {
		op, payload := alive.read()
		if op == opPing {
			continue
		}
		require.Equal(t, byte(opPong), op)
		require.Equal(t, "you?", string(payload))
		break
	}
}

// One that never reads, and one that does. Ingestion is not held up, the other one misses nothing, and what was lost is told to the
// record, in reports that are not capped.
func TestWeaknessNoBackpressure(t *testing.T) {
	t.Parallel()
	const batches, perBatch, width = 400, 25, 1000
	tl := start(t, func(c *Config) { c.ClientBufferBytes = 256 << 10 }, nil)
	stalled, lively := greet(t, tl), greet(t, tl)
	require.NoError(t, stalled.conn.SetReadBuffer(64<<10))
	for _, c := range []*minimal{stalled, lively} {
		c.say(subscribeServer)
		c.hears(subscribed("server:web-1"))
	}
	for b := range batches {
		tl.print(t, "web-1", b*perBatch, perBatch, width) // returns, whoever does not read
		for i := range perBatch {
			m := lively.next()
			require.Equal(t, "server:log", m.Type)
			require.Equal(t, fmt.Sprintf("%0*d", width, b*perBatch+i), m.Payload["line"])
		}
	}
	assert.LessOrEqual(t, tl.hub.Stats().Matched-tl.hub.Stats().Delivered-tl.hub.Stats().DroppedSlow, uint64(600), "what waits for it is bounded")
	next, dropped, biggest := 0, 0, 0
	for next < batches*perBatch {
		m := stalled.next()
		if m.Type == "error" {
			require.Equal(t, "RECORDS_DROPPED", m.Payload["code"])
			n := int(m.Payload["dropped"].(float64))
			dropped += n
			biggest = max(biggest, n)
			require.InDelta(t, dropped, m.Payload["total"], 0)
			next += n
			continue
		}
		require.Equal(t, fmt.Sprintf("%0*d", width, next), m.Payload["line"], "in order, and precisely those are missing that were told")
		next++
	}
	assert.Greater(t, biggest, 1000, "one report tells all")
	require.Eventually(t, func() bool {
		s := tl.hub.Stats()
		return int(s.DroppedSlow) == dropped && s.Matched == s.Delivered+s.DroppedSlow && s.Matched == 2*batches*perBatch
	}, waitFor, tick)
}

func TestWeaknessNoLimits(t *testing.T) {
	t.Parallel()
	tl := start(t, func(c *Config) { c.MaxClients, c.MaxSubscriptions, c.MaxMessageBytes = 2, 2, 2048 }, nil)
	a, b := greet(t, tl), greet(t, tl)
	third, status := handshake(t, tl, "")
	require.Equal(t, http.StatusSwitchingProtocols, status)
	require.Equal(t, 4429, third.closed())

	for _, channel := range []string{"server:web-1", "build:b"} {
		a.say(`{"type":"subscribe","payload":{"channel":"` + channel + `"}}`)
		a.hears(subscribed(channel))
	}
	a.say(`{"type":"subscribe","payload":{"channel":"server:web-2"},"id":"third"}`)
	m := a.next()
	require.Equal(t, "error", m.Type)
	require.Equal(t, "TOO_MANY_SUBSCRIPTIONS", m.Payload["code"])
	require.Equal(t, "third", m.ID)
	a.say(`{"type":"subscribe","payload":{"channel":"server:` + strings.Repeat("x", 5000) + `"}}`)
	require.Equal(t, 4413, a.closed())

	b.say(subscribeServer)
	b.hears(subscribed("server:web-1"))
	tl.print(t, "web-1", 0, 1, 1)
	b.hears(lineOf(0))
}

// A client that was away sees what it has missed, then what comes, without a hole or a record twice.
func TestWeaknessNoReplay(t *testing.T) {
	t.Parallel()
	tl := start(t, nil, nil)
	first := greet(t, tl)
	first.say(subscribeServer)
	first.hears(subscribed("server:web-1"))
	tl.print(t, "web-1", 0, 3, 1)
	first.hears(lineOf(0), lineOf(1), lineOf(2))
	require.NoError(t, first.conn.Close())
	tl.print(t, "web-1", 3, 5, 1) // nobody sees that

	again := greet(t, tl)
	again.say(`{"type":"subscribe","payload":{"channel":"server:web-1","backfill":{"records":5}},"id":1}`)
	tl.print(t, "web-1", 8, 2, 1)
	m := again.next()
	require.Equal(t, "subscribed", m.Type)
	require.InDelta(t, 5, m.Payload["backfill"].(map[string]any)["records"], 0)
	var lines []string
	for len(lines) == 0 || lines[len(lines)-1] != "9" {
		lines = append(lines, again.next().Payload["line"].(string))
	}
	// The last two came before the request was read, or after it.
	if lines[0] == "3" {
		require.Equal(t, []string{"3", "4", "5", "6", "7", "8", "9"}, lines)
	} else {
		require.Equal(t, []string{"5", "6", "7", "8", "9"}, lines)
	}
}

// The classic messages have no room for a number; on tailrace.v1 every record has one, ranges join, and a new connection goes on
// behind the last one.
func TestWeaknessNoSequenceNumbers(t *testing.T) {
	t.Parallel()
	tl := start(t, nil, nil)
	v1 := func() (*minimal, message) {
		m, status := handshake(t, tl, "Sec-WebSocket-Protocol: tailrace.v1\r\n")
		require.Equal(t, http.StatusSwitchingProtocols, status)
		require.Equal(t, "tailrace.v1", m.header.Get("Sec-WebSocket-Protocol"))
		hello := m.next()
		require.Equal(t, "hello", hello.Type)
		return m, hello
	}
	var seqs []float64
	last := 0.0
	follow := func(c *minimal, records int) {
		for n := 0; n < records; {
			m := c.next()
			require.Equal(t, "batch", m.Type)
			require.InDelta(t, last, m.Payload["after"], 0, "ranges join")
			last = m.Payload["last"].(float64)
			for _, r := range m.Payload["records"].([]any) {
				seqs = append(seqs, r.(map[string]any)["seq"].(float64))
				n++
			}
		}
	}
	c, hello := v1()
	c.say(`{"type":"subscribe","payload":{"channel":"server:web-1"},"id":1}`)
	m := c.next()
	require.Equal(t, "subscribed", m.Type)
	last = m.Payload["seq"].(float64)
	for i := range 4 {
		tl.print(t, "web-1", 2*i, 1, 1)
		tl.print(t, "web-2", 2*i, 1, 1) // has numbers of the same order
	}
	follow(c, 4)
	require.NoError(t, c.conn.Close())
	tl.print(t, "web-1", 100, 5, 1)

	c, again := v1()
	require.Equal(t, hello.Payload["epoch"], again.Payload["epoch"])
	c.say(fmt.Sprintf(`{"type":"subscribe","payload":{"channel":"server:web-1","resume":{"epoch":%q,"seq":%d}}}`, hello.Payload["epoch"], int(last)))
	m = c.next()
	require.Equal(t, "subscribed", m.Type)
	require.Equal(t, true, m.Payload["recovered"])
	require.InDelta(t, last, m.Payload["seq"], 0)
	follow(c, 5)
	require.Equal(t, []float64{1, 3, 5, 7, 9, 10, 11, 12, 13}, seqs)
}

func TestWeaknessTimesRestampedAtBroadcast(t *testing.T) {
	t.Parallel()
	tl := start(t, nil, nil)
	old := time.Date(2020, 2, 29, 23, 59, 59, 987_654_321, time.UTC)
	first := greet(t, tl)
	for _, channel := range []string{"server:web-1", "build:b-1"} {
		first.say(`{"type":"subscribe","payload":{"channel":"` + channel + `"}}`)
		first.hears(subscribed(channel))
	}
	server, build := map[string]string{"server.id": "web-1"}, map[string]string{"build.id": "b-1"}
	tl.record(t, old, server, "a line", stdout)
	tl.record(t, old, server, "", eventOf("server.health", "server.health.status", "healthy"))
	tl.record(t, old, build, "a step", stdout)
	logLine := `{"type":"server:log","payload":{"serverId":"web-1","line":"a line","timestamp":"2020-02-29T23:59:59.987Z","stream":"stdout"}}`
	health := `{"type":"server:health","payload":{"serverId":"web-1","status":"healthy","lastCheck":"2020-02-29T23:59:59.987Z","details":{}}}`
	first.hears(logLine, health,
		`{"type":"build:log","payload":{"buildId":"b-1","line":"a step","timestamp":"2020-02-29T23:59:59.987Z","level":"info"}}`)

	later := greet(t, tl) // by another way, at another time
	later.say(`{"type":"subscribe","payload":{"channel":"server:web-1","backfill":{"records":10}}}`)
	require.Equal(t, "subscribed", later.next().Type)
	later.hears(logLine, health)
}

func TestWeaknessSubscribeWithoutPayloadCrashes(t *testing.T) {
	t.Parallel()
	tl := start(t, nil, nil)
	other := greet(t, tl)
	other.say(subscribeServer)
	other.hears(subscribed("server:web-1"))
	c := greet(t, tl)
	for _, kind := range []string{"subscribe", "unsubscribe"} {
		for _, payload := range []string{
			``, `,"payload":null`, `,"payload":{}`, `,"payload":{"channel":null}`, `,"payload":[]`, `,"payload":"server:web-1"`,
			`,"payload":{"channel":7}`, `,"payload":{"channel":""}`, `,"payload":{"channel":{"channel":"server:x"}}`,
		} {
			c.say(`{"type":"` + kind + `"` + payload + `,"id":"` + kind + `"}`)
			m := c.next()
			require.Equal(t, "error", m.Type, payload)
			require.Contains(t, []any{"INVALID_MESSAGE", "INVALID_CHANNEL"}, m.Payload["code"], payload)
			require.NotEmpty(t, m.Payload["message"])
		}
	}
	c.say(subscribeServer) // it is as good as before, and so are the others
	c.hears(subscribed("server:web-1"))
	tl.print(t, "web-1", 0, 1, 1)
	c.hears(lineOf(0))
	other.hears(lineOf(0))
	greet(t, tl)
}

// The replaced system knew a server only once its deployment had succeeded, so that nobody saw it start.
func TestWeaknessNoSubscriptionBeforeTheServerExists(t *testing.T) {
	t.Parallel()
	tl := start(t, nil, nil)
	c := greet(t, tl)
	for _, channel := range []string{"build:b-1", "deployment:d-1", "server:web-1"} {
		c.say(`{"type":"subscribe","payload":{"channel":"` + channel + `"}}`)
		c.hears(subscribed(channel))
	}
	build, deployment := map[string]string{"build.id": "b-1"}, map[string]string{"deployment.id": "d-1"}
	server := map[string]string{"server.id": "web-1", "deployment.id": "d-1"}
	at := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }
	tl.record(t, at(0), build, "", eventOf("build.status", "build.status", "building"))
	tl.record(t, at(1), build, "npm ci", stdout)
	tl.record(t, at(2), build, "exit 0", eventOf("build.status", "build.status", "succeeded"))
	tl.record(t, at(3), deployment, "", eventOf("deployment.status", "deployment.status", "pending"))
	tl.record(t, at(4), server, "", eventOf("server.health", "server.health.status", "starting"))
	tl.record(t, at(5), server, "boot", stdout)
	tl.record(t, at(6), server, "Error: no", func(lr plog.LogRecord) { lr.Attributes().PutStr("log.iostream", "stderr") })
	tl.record(t, at(7), deployment, "", eventOf("deployment.status", "deployment.status", "failed"))
	c.hears(
		`{"type":"build:status","payload":{"buildId":"b-1","status":"building"}}`,
		`{"type":"build:log","payload":{"buildId":"b-1","line":"npm ci","timestamp":"2026-03-01T12:00:01.000Z","level":"info"}}`,
		`{"type":"build:status","payload":{"buildId":"b-1","status":"succeeded","message":"exit 0"}}`,
		`{"type":"deployment:status","payload":{"deploymentId":"d-1","status":"pending"}}`,
		`{"type":"server:health","payload":{"serverId":"web-1","status":"starting","lastCheck":"2026-03-01T12:00:04.000Z","details":{}}}`,
		`{"type":"server:log","payload":{"serverId":"web-1","line":"boot","timestamp":"2026-03-01T12:00:05.000Z","stream":"stdout"}}`,
		`{"type":"server:log","payload":{"serverId":"web-1","line":"Error: no","timestamp":"2026-03-01T12:00:06.000Z","stream":"stderr"}}`,
		`{"type":"deployment:status","payload":{"deploymentId":"d-1","status":"failed"}}`,
	)
	c.say(`{"type":"unsubscribe","payload":{"channel":"server:web-1"}}`)
	c.hears(`{"type":"unsubscribed","payload":{"channel":"server:web-1"}}`)
}

// remotetap and others let any page connect.
func TestTrapAnyOriginIsAllowed(t *testing.T) {
	t.Parallel()
	tl := start(t, nil, nil)
	for _, foreign := range []string{"Origin: https://evil.example\r\n", "Origin: null\r\n", "Origin: http://localhost:1\r\n"} {
		_, status := handshake(t, tl, foreign)
		require.Equal(t, http.StatusForbidden, status, foreign)
	}
	_, status := handshake(t, tl, "Origin: http://"+tl.addr.String()+"\r\n")
	require.Equal(t, http.StatusSwitchingProtocols, status)
}

// Escape sequences and markup of a line reach the client as the text that they are, in JSON that no page can take for markup.
func TestTrapEscapeSequences(t *testing.T) {
	t.Parallel()
	tl := start(t, nil, nil)
	c := greet(t, tl)
	c.say(subscribeServer)
	c.hears(subscribed("server:web-1"))
	const evil = "\x1b[31m<img src=x onerror=alert(1)>\x1b]8;;javascript:alert(1)\a\x00\u2028"
	tl.record(t, epoch, map[string]string{"server.id": "web-1"}, evil, stdout)
	raw := c.text()
	for _, r := range raw {
		require.GreaterOrEqual(t, r, ' ', "a control character in %q", raw)
	}
	require.JSONEq(t, `{"type":"server:log","payload":{"serverId":"web-1","timestamp":"2026-03-01T12:00:00.000Z","stream":"stdout",
		"line":"\u001b[31m<img src=x onerror=alert(1)>\u001b]8;;javascript:alert(1)\u0007\u0000\u2028"}}`, raw)
}

// A compressor that remembers earlier messages costs 650 KB a connection. Here none has one.
func TestTrapACompressorEach(t *testing.T) {
	t.Parallel()
	tl := start(t, nil, nil)
	m, status := handshake(t, tl, "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: tailrace.v1\r\n")
	require.Equal(t, http.StatusSwitchingProtocols, status)
	require.Contains(t, m.header.Get("Sec-WebSocket-Extensions"), "server_no_context_takeover")
	m, status = handshake(t, tl, "Sec-WebSocket-Protocol: tailrace.v1\r\n")
	require.Equal(t, http.StatusSwitchingProtocols, status)
	require.Empty(t, m.header.Get("Sec-WebSocket-Extensions"), "only to who asked for it")
}
