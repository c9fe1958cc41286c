// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/internal/access"
)

// connectV1 dials with the subprotocol and takes the greeting.
func connectV1(t *testing.T, url string, header http.Header) *client {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{"tailrace.v1"}, EnableCompression: true}
	ws, resp, err := d.Dial(url, header)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	t.Cleanup(func() { ws.Close() })
	require.NoError(t, ws.SetReadDeadline(time.Now().Add(waitFor)))
	return &client{Conn: ws, t: t}
}

// of reads until a message of the type.
func (c *client) of(typ string) message {
	c.t.Helper()
	for {
		if m := c.next(); m.Type == typ {
			return m
		}
	}
}

// records reads batches until there are n records.
func (c *client) records(n int) (out []map[string]any) {
	c.t.Helper()
	for len(out) < n {
		for _, r := range c.of("batch").Payload["records"].([]any) {
			out = append(out, r.(map[string]any))
		}
	}
	return out
}

// printOf sends lines of a server of a project.
func (tl *tail) printOf(t testing.TB, project string, first, n int) {
	t.Helper()
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("project.id", project)
	rl.Resource().Attributes().PutStr("server.id", "web-1")
	sl := rl.ScopeLogs().AppendEmpty()
	for i := first; i < first+n; i++ {
		lr := sl.LogRecords().AppendEmpty()
		lr.Body().SetStr(fmt.Sprint(project, " ", i))
		lr.Attributes().PutStr("log.iostream", "stdout")
		lr.Attributes().PutStr("log.record.uid", fmt.Sprint(project, i))
	}
	require.NoError(t, tl.logs.ConsumeLogs(context.Background(), ld))
}

const subscribeAll = `{"type":"subscribe","payload":{"channel":"*"},"id":1}`

func TestFirstMessageToken(t *testing.T) {
	console := newFakeConsole()
	console.allow("ada", time.Time{}, "shop")
	tl := startOnConsole(t, console, func(c *Config) { c.AuthTimeout = 300 * time.Millisecond })

	c := connectV1(t, tl.url, nil)
	hello := c.of("hello")
	assert.Equal(t, false, hello.Payload["authenticated"])
	c.ask(`{"type":"ping"}`, `{"type":"pong","payload":{}}`)
	c.ask(`{"type":"auth","payload":{"token":"ada"},"id":7}`, `{"type":"authenticated","payload":{"subject":"ada"},"id":7}`)
	c.say(subscribeAll)
	assert.Equal(t, "subscribed", c.next().Type)
	tl.printOf(t, "bank", 0, 3)
	tl.printOf(t, "shop", 0, 2)
	for i, r := range c.records(2) {
		assert.Equal(t, fmt.Sprint("shop ", i), r["body"])
	}
	c.say(`{"type":"subscribe","payload":{"channel":"project:bank"}}`)
	assert.Equal(t, "FORBIDDEN", c.of("error").Payload["code"])

	for name, tc := range map[string]struct {
		say  string
		code int
	}{
		"a wrong token":              {`{"type":"auth","payload":{"token":"eve"}}`, 4401},
		"no token but a request":     {subscribeAll, 4401},
		"nothing at all":             {"", 4408},
		"pings only":                 {`{"type":"ping"}`, 4408},
		"a long message":             {`{"type":"auth","payload":{"token":"` + strings.Repeat("x", 10_000) + `"}}`, 4413},
		"something that is no JSON":  {`GET / HTTP/1.1`, 4400},
		"the token in the URL alone": {"", 4408},
	} {
		url := tl.url
		if strings.Contains(name, "URL") {
			url += "?token=ada"
		}
		c := connectV1(t, url, nil)
		c.of("hello")
		if tc.say != "" {
			c.say(tc.say)
		}
		code, _ := c.closed()
		assert.Equal(t, tc.code, code, name)
	}
	c = dial(t, tl.url, nil)
	code, _ := c.closed()
	assert.Equal(t, 4001, code, "a classic client has to come with it")
}

// Connections that don't say who they are can't take the places of those that do.
func TestUnknownClientsAreFew(t *testing.T) {
	console := newFakeConsole()
	console.allow("ada", time.Time{}, "shop")
	tl := startOnConsole(t, console, func(c *Config) { c.MaxClients, c.MaxClientsPerIdentity = 8, 3 })
	for range 2 {
		connectV1(t, tl.url, nil).of("hello")
	}
	code, _ := connectV1(t, tl.url, nil).closed()
	assert.Equal(t, 4429, code)
	var known []*client
	for range 3 {
		c := connectV1(t, tl.url, bearer("ada"))
		c.of("hello")
		known = append(known, c)
	}
	code, _ = connectV1(t, tl.url, bearer("ada")).closed()
	assert.Equal(t, 4429, code, "one identity has a limit of its own")
	resp := tl.get(t, "channel=*", bearer("ada"))
	assert.Equal(t, http.StatusTooManyRequests, resp.StatusCode)
	known[0].Close()
	require.Eventually(t, func() bool {
		resp := tl.get(t, "channel=*", bearer("ada"))
		return resp.StatusCode == http.StatusOK
	}, waitFor, tick, "the place is free again")
}

// What a caller may see is decided again when its time is over and when the rules change.
func TestDecidedAgain(t *testing.T) {
	for _, level := range []string{"v1", "classic"} {
		t.Run(level, func(t *testing.T) {
			console := newFakeConsole()
			console.allow("ada", time.Time{}, "shop", "bank")
			tl := startOnConsole(t, console, nil)
			var c *client
			texts := func(n int) (out []string) {
				for len(out) < n {
					m := c.next()
					switch m.Type {
					case "batch":
						for _, r := range m.Payload["records"].([]any) {
							out = append(out, r.(map[string]any)["body"].(string))
						}
					case "server:log":
						out = append(out, m.Payload["line"].(string))
					}
				}
				return out
			}
			goingAway := 4401
			if level == "v1" {
				c = connectV1(t, tl.url, bearer("ada"))
			} else {
				c = dial(t, tl.url, bearer("ada"))
				goingAway = 4001
			}
			c.say(`{"type":"subscribe","payload":{"channel":"server:web-1"},"id":1}`)
			c.of("subscribed")
			tl.printOf(t, "bank", 0, 1)
			tl.printOf(t, "shop", 0, 1)
			assert.Equal(t, []string{"bank 0", "shop 0"}, texts(2))

			console.allow("ada", time.Time{}, "shop")
			require.Eventually(t, func() bool { return tl.hub.Stats().Subscriptions == 1 && console.times() >= 2 }, waitFor, tick)
			tl.awaitCaller(t, "bank", false)
			tl.printOf(t, "bank", 1, 5)
			tl.printOf(t, "shop", 1, 2)
			assert.Equal(t, []string{"shop 1", "shop 2"}, texts(2), "nothing foreign in between")

			console.allow("ada", time.Now().Add(100*time.Millisecond), "shop")
			code, _ := c.closed() // the same answer again, that it is over
			assert.Equal(t, goingAway, code)
		})
	}
}

// times is how often somebody asked who a credential is from.
func (c *fakeConsole) times() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// awaitCaller waits until what the only client sees of a project has changed.
func (tl *tail) awaitCaller(t *testing.T, project string, may bool) {
	t.Helper()
	require.Eventually(t, func() bool { return tl.ws.MayAnyRead(project) == may }, waitFor, tick)
}

func TestRevokedAndForbidden(t *testing.T) {
	console := newFakeConsole()
	console.allow("ada", time.Time{}, "shop")
	tl := startOnConsole(t, console, nil)
	c := connectV1(t, tl.url, bearer("ada"))
	c.of("hello")
	console.allow("ada", time.Time{})
	code, _ := c.closed()
	assert.Equal(t, 4401, code)

	console.mu.Lock()
	console.callers["eve"] = access.NewCaller("eve", "token", time.Time{}, nil)
	console.mu.Unlock()
	code, _ = connectV1(t, tl.url, bearer("eve")).closed()
	assert.Equal(t, 4403, code)
	assert.Equal(t, http.StatusForbidden, tl.get(t, "channel=*", bearer("eve")).StatusCode)
}

// A small message that inflates to a big one is refused at the limit.
func TestInflatedMessage(t *testing.T) {
	tl := start(t, func(c *Config) { c.MaxMessageBytes = 4096 }, nil)
	c := connectV1(t, tl.url, nil)
	c.of("hello")
	c.EnableWriteCompression(true)
	require.NoError(t, c.SetCompressionLevel(flate.BestSpeed))
	require.NoError(t, c.WriteMessage(websocket.TextMessage, bytes.Repeat([]byte(" "), 1<<20)), "some kilobytes on the wire")
	code, _ := c.closed()
	assert.Equal(t, 4413, code)
}

// Regular expressions that would be costly are refused when they are asked for.
func TestCostlyFilters(t *testing.T) {
	tl := start(t, nil, nil)
	c := connectV1(t, tl.url, nil)
	c.of("hello")
	for _, filter := range []string{
		`{"regex":"` + strings.Repeat("x", 2000) + `"}`, `{"regex":"((a{100}){100}){100}"}`, `{"regex":"(x{1000}){2}y{999}z{999}"}`, `{"regex":"("}`,
		`{"not":{"not":{"not":{"not":{"not":{"text":"x"}}}}}}`, `{"text":"` + strings.Repeat("x", 20_000) + `"}`, `{"unknown":1}`,
		`{"attributes":{"a":{"gt":1}}}`, `{"attributes":{"a":[]}}`, `{"min_duration_ms":-1}`, `[1]`, `"x"`, `{"service":[]}`,
	} {
		c.say(`{"type":"subscribe","payload":{"channel":"*","filter":` + filter + `},"id":"f"}`)
		m := c.next()
		assert.Equal(t, "error", m.Type, filter)
		assert.Equal(t, "INVALID_FILTER", m.Payload["code"], filter)
		assert.Equal(t, "f", m.ID)
	}
}

// get asks the HTTP endpoint; the answer is closed when the test ends.
func (tl *tail) get(t *testing.T, query string, header http.Header) *http.Response {
	t.Helper()
	base := strings.TrimSuffix("http"+strings.TrimPrefix(tl.url, "ws"), "/ws")
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v1/tail?"+query, http.NoBody)
	require.NoError(t, err)
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestTailAsLines(t *testing.T) {
	console := newFakeConsole()
	console.allow("ada", time.Time{}, "shop")
	tl := startOnConsole(t, console, nil)
	assert.Equal(t, http.StatusUnauthorized, tl.get(t, "channel=*", nil).StatusCode)
	assert.Equal(t, http.StatusUnauthorized, tl.get(t, "channel=*&token=ada", nil).StatusCode)
	assert.Equal(t, http.StatusForbidden, tl.get(t, "channel=project:bank", bearer("ada")).StatusCode)
	for _, bad := range []string{"", "channel=x", "channel=*&filter={", "channel=*&since=soon", "channel=*&backfill=-1", "channel=*&resume=x", "channel=*&level=warn"} {
		resp := tl.get(t, bad, bearer("ada"))
		assert.Equal(t, http.StatusBadRequest, resp.StatusCode, bad)
		assert.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
	}
	tl.printOf(t, "bank", 0, 2)
	tl.printOf(t, "shop", 0, 3)
	resp := tl.get(t, `channel=*&backfill=2&filter={"text":"shop"}`, bearer("ada"))
	require.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, "application/x-ndjson", resp.Header.Get("Content-Type"))
	lines := bufio.NewScanner(resp.Body)
	tl.printOf(t, "shop", 3, 1)
	for i := 1; i < 4; i++ {
		require.True(t, lines.Scan())
		var r map[string]any
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r))
		assert.Equal(t, fmt.Sprint("shop ", i), r["body"])
	}
	console.allow("ada", time.Time{})
	_, err := io.ReadAll(resp.Body)
	require.NoError(t, err, "the stream ends with the right to see it")
}

func TestTailAsEvents(t *testing.T) {
	tl := start(t, nil, nil)
	read := func(body io.Reader, events int) (out []string) {
		s := bufio.NewScanner(body)
		s.Split(func(data []byte, _ bool) (int, []byte, error) {
			if i := bytes.Index(data, []byte("\n\n")); i >= 0 {
				return i + 2, data[:i], nil
			}
			return 0, nil, nil
		})
		for len(out) < events && s.Scan() {
			out = append(out, s.Text())
		}
		return out
	}
	header := http.Header{"Accept": {"text/event-stream"}}
	resp := tl.get(t, "channel=server:web-1", header)
	assert.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	epoch := resp.Header.Get("Tailrace-Epoch")
	tl.printOf(t, "shop", 0, 2)
	events := read(resp.Body, 3)
	require.Len(t, events, 3)
	assert.Contains(t, events[0], "event: subscribed\ndata: {")
	assert.Regexp(t, "^id: "+epoch+":1:[0-9]{13}\ndata: {\"seq\":1,", events[1])
	resp.Body.Close()

	tl.printOf(t, "shop", 2, 2)
	header.Set("Last-Event-ID", epoch+":2") // as a browser does when it connects again
	events = read(tl.get(t, "channel=server:web-1", header).Body, 3)
	assert.Contains(t, events[1], "\"body\":\"shop 2\"")
	assert.Contains(t, events[2], "\"body\":\"shop 3\"")

	header.Set("Last-Event-ID", "another:2")
	events = read(tl.get(t, "channel=server:web-1", header).Body, 1)
	assert.Contains(t, events[0], `"reason":"evicted"`)
	assert.Equal(t, http.StatusForbidden, tl.get(t, "channel=*", http.Header{"Origin": {"https://evil.example"}}).StatusCode)
}
