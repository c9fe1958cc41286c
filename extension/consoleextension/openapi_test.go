// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/pipelinestatus"
)

// The document that is served has our paths beside the API's, and describes what they answer.
func TestTheDocumentHasTheConsolesPaths(t *testing.T) {
	c := start(t, authYAML)
	resp := c.ask("GET", "/api/v1/openapi.json", "", basic("bob")...)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	paths := resp.json(t)["paths"].(map[string]any)
	require.Contains(t, paths, "/traces")
	for path, method := range map[string]string{"/login": "post", "/logout": "post", "/session": "get"} {
		require.Contains(t, paths[path], method)
	}
	// Ours are all in the document.
	for pattern := range c.routes() {
		if method, path, ok := strings.Cut(pattern, " /api/v1"); ok && path != "" {
			require.Contains(t, paths[path], strings.ToLower(method), pattern)
		}
	}
	schema := paths["/session"].(map[string]any)["get"].(map[string]any)["responses"].(map[string]any)["200"].(map[string]any)["content"].(map[string]any)["application/json"].(map[string]any)["schema"].(map[string]any)
	session, _ := c.login("bob")
	for _, headers := range [][]string{basic("ada"), session, c.token("ci", "viewer", 0, "shop")} {
		answer := c.ask("GET", "/api/v1/session", "", headers...).json(t)
		for _, name := range schema["required"].([]any) {
			assert.Contains(t, answer, name)
		}
		for name := range answer {
			assert.Contains(t, schema["properties"], name, "the document does not know it")
		}
	}
}

func TestPipeline(t *testing.T) {
	c := start(t, authYAML)
	forget := c.ReportIngest(func() pipelinestatus.Ingest {
		return pipelinestatus.Ingest{ID: "clickhouse_ingest", Leader: true, Error: "dial tcp 10.1.2.3:9000: refused", Signals: []pipelinestatus.IngestSignal{
			{Signal: "logs", PendingFiles: 2, PendingBytes: 300, Oldest: 1500e6, FailedFiles: 1, FailedBytes: 7},
		}}
	})
	c.ReportLiveTail(func() pipelinestatus.LiveTail {
		return pipelinestatus.LiveTail{ID: "live_tail", Clients: 3, Subscriptions: 4, Delivered: 5, Dropped: 6}
	})
	data := func(user string) map[string]any {
		return c.ask("GET", "/api/v1/pipeline", "", basic(user)...).json(t)["data"].(map[string]any)
	}
	p := data("ada")
	assert.Equal(t, []any{map[string]any{
		"id": "clickhouse_ingest", "signal": "logs", "pendingFiles": 2.0, "pendingBytes": 300.0, "oldestPendingSeconds": 1.5, "failedFiles": 1.0, "failedBytes": 7.0,
	}}, p["files"])
	assert.Equal(t, []any{map[string]any{"id": "clickhouse_ingest", "lagSeconds": 1.5, "leader": true, "error": "dial tcp 10.1.2.3:9000: refused"}}, p["ingest"])
	assert.Equal(t, []any{map[string]any{"id": "live_tail", "clients": 3.0, "subscriptions": 4.0, "delivered": 5.0, "dropped": 6.0}}, p["liveTail"])
	assert.Nil(t, p["clickHouse"])
	// Addresses are for those who operate everything.
	assert.NotContains(t, data("bob")["ingest"].([]any)[0].(map[string]any)["error"], "10.1.2.3")
	forget()
	assert.Empty(t, data("ada")["ingest"])
}
