// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/exporter/livetailexporter/internal/metadata"
)

const (
	waitFor = 20 * time.Second
	tick    = 2 * time.Millisecond
)

// host is a component.Host with extensions.
type host map[component.ID]component.Component

func (h host) GetExtensions() map[component.ID]component.Component { return h }

// tail is a running exporter with one pipeline for each signal.
type tail struct {
	*liveTail
	logs    exporter.Logs
	traces  exporter.Traces
	metrics exporter.Metrics
	url     string
}

// ownServer gives the configuration a server of its own, and returns it.
func ownServer(cfg *Config) *serverConfig {
	if !cfg.HTTP.HasValue() {
		cfg.HTTP = configoptional.Some(defaultServer())
	}
	return cfg.HTTP.Get()
}

func start(t *testing.T, change func(*Config), extensions host) *tail {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	ownServer(cfg).NetAddr.Endpoint = "127.0.0.1:0"
	if change != nil {
		change(cfg)
	}
	require.NoError(t, cfg.Validate())
	f := &factory{shared: newShared()}
	set := exportertest.NewNopSettings(metadata.Type)
	ctx := context.Background()
	if extensions == nil {
		extensions = host{}
	}
	out := &tail{}
	var err error
	out.logs, err = f.createLogs(ctx, set, cfg)
	require.NoError(t, err)
	out.traces, err = f.createTraces(ctx, set, cfg)
	require.NoError(t, err)
	out.metrics, err = f.createMetrics(ctx, set, cfg)
	require.NoError(t, err)
	h, err := f.handle(set, cfg)
	require.NoError(t, err)
	out.liveTail = h.Unwrap()
	require.NoError(t, h.Shutdown(ctx)) // the handle only served to look inside
	for _, c := range []component.Component{out.logs, out.traces, out.metrics} {
		require.NoError(t, c.Start(ctx, extensions))
		t.Cleanup(func() { require.NoError(t, c.Shutdown(ctx)) })
	}
	if out.addr != nil {
		out.url = "ws://" + out.addr.String() + cfg.Path
	}
	return out
}

func (tl *tail) stop(t *testing.T) {
	t.Helper()
	for _, c := range []component.Component{tl.logs, tl.traces, tl.metrics} {
		require.NoError(t, c.Shutdown(context.Background()))
	}
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// print sends n lines of a server through the pipeline.
func (tl *tail) print(t testing.TB, server string, first, n int, width int) {
	t.Helper()
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("project.id", "shop")
	rl.Resource().Attributes().PutStr("server.id", server)
	sl := rl.ScopeLogs().AppendEmpty()
	for i := first; i < first+n; i++ {
		lr := sl.LogRecords().AppendEmpty()
		lr.SetTimestamp(pcommon.NewTimestampFromTime(epoch.Add(time.Duration(i) * time.Millisecond)))
		lr.Body().SetStr(fmt.Sprintf("%0*d", width, i))
		lr.Attributes().PutStr("log.iostream", "stdout")
		lr.Attributes().PutStr("log.record.uid", fmt.Sprint(server, i))
	}
	ld.MarkReadOnly()
	require.NoError(t, tl.logs.ConsumeLogs(context.Background(), ld))
}

// client is an independent minimal client: it knows JSON text frames and nothing of the server's code.
type client struct {
	*websocket.Conn
	t *testing.T
}

type message struct {
	Type    string         `json:"type"`
	ID      any            `json:"id"`
	Payload map[string]any `json:"payload"`
}

func dial(t *testing.T, url string, header http.Header) *client {
	t.Helper()
	ws, resp, err := websocket.DefaultDialer.Dial(url, header)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	t.Cleanup(func() { ws.Close() })
	require.NoError(t, ws.SetReadDeadline(time.Now().Add(waitFor)))
	return &client{Conn: ws, t: t}
}

// connect dials and takes the greeting.
func connect(t *testing.T, url string) *client {
	t.Helper()
	c := dial(t, url, nil)
	m := c.next()
	require.Equal(t, "connected", m.Type)
	require.NotEmpty(t, m.Payload["clientId"])
	return c
}

func (c *client) say(text string) {
	c.t.Helper()
	require.NoError(c.t, c.WriteMessage(websocket.TextMessage, []byte(text)))
}

func (c *client) text() string {
	c.t.Helper()
	kind, data, err := c.ReadMessage()
	require.NoError(c.t, err)
	require.Equal(c.t, websocket.TextMessage, kind)
	return string(data)
}

func (c *client) next() message {
	c.t.Helper()
	var m message
	require.NoError(c.t, json.Unmarshal([]byte(c.text()), &m))
	return m
}

// ask sends and compares the next message.
func (c *client) ask(request, reply string) {
	c.t.Helper()
	c.say(request)
	require.JSONEq(c.t, reply, c.text())
}

// closed reads until the close frame and returns its code.
func (c *client) closed() (code int, reason string) {
	c.t.Helper()
	for {
		_, _, err := c.ReadMessage()
		if err == nil {
			continue
		}
		var ce *websocket.CloseError
		require.ErrorAs(c.t, err, &ce)
		return ce.Code, ce.Text
	}
}
