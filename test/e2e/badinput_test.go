// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBadInput(t *testing.T) {
	quotas := filepath.Join(t.TempDir(), "quotas.yaml")
	require.NoError(t, os.WriteFile(quotas, []byte("processors: {identity: {quotas: {projects: {greedy: {records_per_second: 5, burst: 1s}}}}}\n"), 0o600))
	p := startProduct(t, "config/otlp-only.yaml", quotas)

	t.Run("a project above its quota is told to wait, others are not held up", func(t *testing.T) {
		require.NoError(t, p.sendLogs(logs("greedy", "first", 5)))
		err := p.sendLogs(logs("greedy", "second", 5))
		require.ErrorContains(t, err, "429")
		require.ErrorContains(t, err, `project "greedy" sends more than its quota`)
		require.NoError(t, p.sendLogs(logs("modest", "other", 5)))
		p.await(10*time.Second, "room again", func() error { return p.sendLogs(logs("greedy", "second", 5)) })
		p.awaitCount(10*time.Second, 10, "SELECT count() FROM tailrace.otel_logs WHERE ProjectId = 'greedy'")
		n, err := p.metric("otelcol_identity_refused_records", `reason="quota"`)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, n, 5.0)
	})

	t.Run("malformed OTLP is answered with 400 and counted", func(t *testing.T) {
		for _, body := range []struct{ path, contentType, text string }{
			{"/v1/traces", "application/json", `{"resourceSpans": [{`},
			{"/v1/traces", "application/json", `{"resourceSpans": 7}`},
			{"/v1/logs", protobuf, "\xff\xff\xff not protobuf"},
			{"/v1/metrics", "application/json", `no JSON at all`},
		} {
			code, answer, err := p.post(body.path, body.contentType, []byte(body.text))
			require.NoError(t, err)
			assert.Equal(t, http.StatusBadRequest, code, "%q: %s", body.text, answer)
		}
		p.await(5*time.Second, "counted", func() error {
			n, err := p.metric("http_server_request_duration_count", `http_response_status_code="400"`)
			if err == nil && n < 4 {
				err = fmt.Errorf("%v counted", n)
			}
			return err
		})
	})

	t.Run("project ids stay inside their folder", func(t *testing.T) {
		long := strings.Repeat("x", 4000)
		for i, project := range []string{"../../etc", "/absolute", "a\x00b", "..", long, "con", ""} {
			prefix := fmt.Sprintf("where%d", i)
			require.NoError(t, p.sendLogs(logs(project, prefix, 1)))
			p.awaitCount(10*time.Second, 1, "SELECT count() FROM tailrace.otel_logs WHERE Body = $1", prefix+"-0")
		}
		n, err := p.count("SELECT count() FROM tailrace.otel_logs WHERE ResourceAttributes['project.id'] = 'default' AND Body = 'where6-0'")
		require.NoError(t, err)
		assert.EqualValues(t, 1, n, "a record without any id lands in the default project")

		entries, err := os.ReadDir(p.data)
		require.NoError(t, err)
		for _, e := range entries {
			assert.Contains(t, []string{"clickhouse", "jsonl", "tailrace.log"}, e.Name(), "something was written outside of its folder")
		}
		projects, err := os.ReadDir(filepath.Join(p.data, "jsonl", "logs"))
		require.NoError(t, err)
		for _, e := range projects {
			assert.LessOrEqual(t, len(e.Name()), 200)
			assert.NotContains(t, e.Name(), "\x00")
		}
	})

	t.Run("a log record without a time has that of its arrival", func(t *testing.T) {
		code, answer, err := p.post("/v1/logs", "application/json", []byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"timeless"}}]}]}]}`))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, code, "%s", answer)
		p.awaitCount(10*time.Second, 1, "SELECT count() FROM tailrace.otel_logs WHERE Body = 'timeless' AND Timestamp BETWEEN now() - 60 AND now() + 60")
	})

	t.Run("a span that ends before it starts takes no time", func(t *testing.T) {
		now := time.Now().UnixNano()
		code, answer, err := p.post("/v1/traces", "application/json", fmt.Appendf(nil, `{"resourceSpans":[{"scopeSpans":[{"spans":[
			{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"backwards","startTimeUnixNano":"%d","endTimeUnixNano":"%d"}]}]}]}`, now, now-1))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, code, "%s", answer)
		p.awaitCount(10*time.Second, 1, "SELECT count() FROM tailrace.otel_traces WHERE SpanName = 'backwards' AND Duration = 0")
		p.awaitCount(10*time.Second, 1, "SELECT count() FROM tailrace.trace_summaries WHERE RootName = 'backwards' AND Duration = 0")
	})

	t.Run("a bad WebSocket message gets an error and harms nobody", func(t *testing.T) {
		bad, good := p.watch(), p.watch("logs:ws")
		for i, text := range []string{`no JSON`, `{"type":"subscribe"}`, `{"type":"subscribe","payload":{}}`, `{"type":"dance","payload":{}}`, `[]`, `{"type":"subscribe","payload":{"channel":"nonsense"}}`} {
			bad.send(text)
			require.Eventually(t, func() bool {
				n := 0
				for _, m := range bad.all() {
					if m.Type == "error" && m.field("code") != "" {
						n++
					}
				}
				return n == i+1
			}, 5*time.Second, 5*time.Millisecond, "no error for %q", text)
		}
		require.NoError(t, bad.conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping"}`)))
		bad.await("pong after all errors", ofType("pong"))
		require.NoError(t, p.sendLogs(logs("ws", "still", 1)))
		good.await("the log of another viewer", ofType("log"))
	})

	t.Run("another site's page is refused", func(t *testing.T) {
		_, resp, err := websocket.DefaultDialer.Dial("ws://"+p.tail+"/ws", http.Header{"Origin": {"http://evil.example"}})
		require.Error(t, err)
		require.NotNil(t, resp)
		assert.Equal(t, http.StatusForbidden, resp.StatusCode)
	})
}

func TestBadConfiguration(t *testing.T) {
	const inline = "yaml:…: "
	for name, c := range map[string]struct {
		overlay string
		want    []string
	}{
		"unknown key":     {"exporters: {jsonl: {pathh: /tmp}}", []string{inline + "exporters::jsonl::pathh: unknown key; allowed: path, encoding, compression, sync,", `did you mean "path"?`}},
		"wrong value":     {"exporters: {jsonl: {sync: sometimes}}", []string{inline + `exporters::jsonl::sync: "sometimes" is not known; allowed: write, batch`}},
		"wrong duration":  {"receivers: {clickhouse_ingest: {poll_interval: soon}}", []string{inline + `receivers::clickhouse_ingest::poll_interval: "soon" is not a duration; write one such as 10s or 250ms`}},
		"no password":     {`extensions: {clickhouse_server: {password: ""}}`, []string{inline + "extensions::clickhouse_server::password: is required"}},
		"unknown default": {"processors: {identity: {on_unknown_token: shrug}}", []string{inline + `processors::identity::on_unknown_token: "shrug" is not allowed: refuse or ignore`}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProduct(t, "config/otlp-only.yaml", "yaml:"+c.overlay)
			out := p.failsToStart()
			for _, want := range c.want {
				assert.Contains(t, out, want)
			}
		})
	}
	t.Run("several mistakes in a file", func(t *testing.T) {
		overlay := filepath.Join(t.TempDir(), "overlay.yaml")
		require.NoError(t, os.WriteFile(overlay, []byte(`exporters:
  jsonl:
    pathh: /tmp
    rotation:
      max_age: ${env:TAILRACE_TEST_MAX_AGE:-whenever}
receivers:
  clickhouse_ingest:
    batch:
      max_records: many
`), 0o600))
		p := newProduct(t, "config/otlp-only.yaml", "file:"+overlay)
		out := p.failsToStart()
		for _, want := range []string{
			"3 mistakes in the configuration:",
			"\n" + overlay + ":3: exporters::jsonl::pathh: unknown key; allowed: path, encoding, compression, sync,",
			"\n" + overlay + `:5: exporters::jsonl::rotation::max_age: "whenever" is not a duration; write one such as 10s or 250ms`,
			"\n" + overlay + `:9: receivers::clickhouse_ingest::batch::max_records: "many" is not a whole number; write one such as 100`,
		} {
			assert.Contains(t, out, want)
		}
	})
	t.Run("several overlays on the command line", func(t *testing.T) {
		p := newProduct(t, "config/otlp-only.yaml", "yaml:extensions: {clickhouse_server: {tcp_port: 4423}}", "yaml:extensions: {clickhouse_server: {http_port: 4423}}")
		assert.Contains(t, p.failsToStart(), "yaml:… (--config no. 3): extensions::clickhouse_server::http_port: is 4423 like tcp_port, must be another port")
	})
}

func TestBadSurroundings(t *testing.T) {
	t.Run("live tail port in use", func(t *testing.T) {
		p := newProduct(t, "config/otlp-only.yaml")
		other := newProduct(t, "config/otlp-only.yaml")
		other.start()
		other.await(20*time.Second, "healthy", other.healthy)
		p.tail = other.tail
		out := p.failsToStart()
		assert.Contains(t, out, other.tail)
		assert.Contains(t, out, "in use")
		assert.Contains(t, out, "endpoint")
	})
	for _, name := range []string{"OTLP over gRPC", "OTLP over HTTP", "health check", "metrics"} {
		t.Run("port of "+name+" in use", func(t *testing.T) {
			taken, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer taken.Close()
			p := newProduct(t, "config/otlp-only.yaml")
			switch name {
			case "OTLP over gRPC":
				p.grpc = taken.Addr().String()
			case "OTLP over HTTP":
				p.http = taken.Addr().String()
			case "health check":
				p.health = taken.Addr().String()
			case "metrics":
				p.metrics = taken.Addr().(*net.TCPAddr).Port
			}
			out := p.failsToStart()
			assert.Contains(t, out, strconv.Itoa(taken.Addr().(*net.TCPAddr).Port))
			assert.Contains(t, out, "address already in use")
			p.awaitGone(10 * time.Second)
		})
	}
	t.Run("data folder that cannot be written", func(t *testing.T) {
		p := newProduct(t, "config/otlp-only.yaml", "yaml:exporters: {jsonl: {path: /proc/tailrace}}", "yaml:receivers: {clickhouse_ingest: {path: /proc/tailrace}}")
		out := p.failsToStart()
		assert.Contains(t, out, "/proc/tailrace")
		assert.Contains(t, out, "path")
	})
	t.Run("two products on one data folder", func(t *testing.T) {
		first := newProduct(t, "config/otlp-only.yaml")
		first.start()
		first.await(20*time.Second, "healthy", first.healthy)
		second := newProduct(t, "config/otlp-only.yaml", "yaml:exporters: {jsonl: {path: "+first.data+"/jsonl}}")
		out := second.failsToStart()
		assert.Contains(t, out, filepath.Join(first.data, "jsonl"))
		assert.Contains(t, out, fmt.Sprint(first.cmd.Process.Pid))
	})
	t.Run("no ClickHouse anywhere", func(t *testing.T) {
		p := newProduct(t, "config/otlp-only.yaml", "yaml:extensions: {clickhouse_server: {binary: /nowhere/clickhouse}}")
		out := p.failsToStart()
		assert.Contains(t, out, "/nowhere/clickhouse")
		assert.Contains(t, out, "binary")
	})
}

// failsToStart requires that the collector ends with code 1 within 2 s, and returns what it printed.
func (p *product) failsToStart() string {
	p.t.Helper()
	begin := time.Now()
	p.start()
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		p.fail("still running")
	}
	assert.Less(p.t, time.Since(begin), 2*time.Second, "the answer came late")
	assert.Equal(p.t, 1, p.cmd.ProcessState.ExitCode())
	out := p.logTail(100)
	p.t.Logf("%s", p.logTail(2))
	return out
}
