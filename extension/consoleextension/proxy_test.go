// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/audit"
)

func TestOnlyTrustedProxiesNameTheClient(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.TrustedProxies = []string{"10.0.0.0/8", "127.0.0.1", "fd00::/8", "::ffff:192.0.2.0/120"}
	trusted, err := cfg.trusted()
	require.NoError(t, err)
	for _, c := range []struct {
		remote    string
		forwarded []string
		want      string
	}{
		{"127.0.0.1:5000", nil, "127.0.0.1"},
		{"127.0.0.1:5000", []string{"198.51.100.7"}, "198.51.100.7"},
		{"127.0.0.1:5000", []string{"1.2.3.4, 198.51.100.7, 10.9.9.9"}, "198.51.100.7"},
		{"127.0.0.1:5000", []string{"1.2.3.4", "198.51.100.7", "10.9.9.9"}, "198.51.100.7"},
		{"127.0.0.1:5000", []string{"10.1.1.1, 10.2.2.2"}, "10.1.1.1"},
		{"127.0.0.1:5000", []string{"1.2.3.4, nonsense, 10.9.9.9"}, "10.9.9.9"},
		{"127.0.0.1:5000", []string{"1.2.3.4, "}, "127.0.0.1"},
		{"127.0.0.1:5000", []string{"198.51.100.7:4711"}, "198.51.100.7"},
		{"[fd00::1]:5000", []string{"[2001:db8::5]:80"}, "2001:db8::5"},
		{"[::ffff:10.0.0.1]:5000", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{"192.0.2.9:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"203.0.113.1:5000", []string{"198.51.100.7"}, "203.0.113.1"},
		{"@", []string{"198.51.100.7"}, "@"},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		assert.Equal(t, c.want, trusted.client(r), "%v", c)
	}
	r := &http.Request{RemoteAddr: "127.0.0.1:5000", Header: http.Header{"X-Forwarded-For": {"198.51.100.7"}}}
	assert.Equal(t, "127.0.0.1", proxies(nil).client(r), "nobody is trusted by default")

	cfg.TrustedProxies = []string{"10.0.0.0/8", "localhost", "10.0.0.1/33"}
	err = cfg.Validate()
	require.ErrorContains(t, err, "trusted_proxies[1]")
	require.ErrorContains(t, err, "trusted_proxies[2]")
}

// Audit and limits are by the address that a trusted proxy names.
func TestClientsBehindAProxyAreToldApart(t *testing.T) {
	c := start(t, "trusted_proxies: [127.0.0.0/8]\n"+authYAML)
	wrong := func(client string) int {
		return c.ask("POST", "/api/v1/login", `{"username":"ada","password":"wrong"}`, "Content-Type", "application/json", "X-Forwarded-For", "6.6.6.6, "+client).StatusCode
	}
	for range 11 {
		wrong("198.51.100.7")
	}
	assert.Equal(t, http.StatusTooManyRequests, wrong("198.51.100.7"))
	assert.Equal(t, http.StatusUnauthorized, wrong("198.51.100.8"))
	assert.Equal(t, "198.51.100.7", c.audit.await(t, audit.Login, reasonLimit).Client)

	c = start(t, authYAML)
	wrong("198.51.100.7")
	assert.Equal(t, "127.0.0.1", c.audit.await(t, audit.Login, reasonCredential).Client)
}

// A browser stays logged in over a restart, and out after a logout.
func TestASessionOutlivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions.json")
	yaml := authYAML + "  session: {file: " + path + "}\n"
	var cookie []string
	var csrf string
	t.Run("before", func(t *testing.T) { cookie, csrf = start(t, yaml).login("bob") })
	t.Run("after", func(t *testing.T) {
		c := start(t, yaml)
		session := c.ask("GET", "/api/v1/session", "", cookie...)
		require.Equal(t, http.StatusOK, session.StatusCode)
		assert.Equal(t, csrf, session.json(t)["csrf"])
		assert.Equal(t, http.StatusForbidden, c.ask("POST", "/api/v1/logout", "", cookie...).StatusCode)
		assert.Equal(t, http.StatusNoContent, c.ask("POST", "/api/v1/logout", "", append(cookie, CSRFHeader, csrf)...).StatusCode)
	})
	t.Run("after the logout", func(t *testing.T) {
		assert.Equal(t, http.StatusUnauthorized, start(t, yaml).ask("GET", "/api/v1/session", "", cookie...).StatusCode)
	})
}

func TestPuttingBackTakesTheSessionsTokenAndIsAudited(t *testing.T) {
	c := start(t, authYAML)
	failed := &failedFiles{}
	c.ReportFailed("clickhouse_ingest", failed)
	const path = "/api/v1/pipeline/failed/put-back"
	body := `{"file": "logs/shop/1+0.jsonl"}`
	ask := func(headers ...string) int {
		return c.ask("POST", path, body, append(headers, "Content-Type", "application/json")...).StatusCode
	}
	cookie, csrf := c.login("ada")
	assert.Equal(t, http.StatusUnauthorized, ask())
	assert.Equal(t, http.StatusForbidden, ask(cookie...))
	c.audit.await(t, audit.Refusal, reasonCSRF)
	assert.Equal(t, http.StatusForbidden, ask(basic("bob")...), "a viewer")
	c.audit.await(t, audit.Refusal, reasonProject)
	assert.Equal(t, http.StatusNotFound, ask(basic("eve")...))
	assert.Zero(t, failed.back)
	assert.Equal(t, http.StatusForbidden, c.ask("POST", path, body, append(basic("ada"), "Content-Type", "application/json", "Origin", "https://evil.example")...).StatusCode)
	require.Equal(t, http.StatusOK, ask(append(cookie, CSRFHeader, csrf)...))
	assert.Equal(t, 1, failed.back)
	e := c.audit.await(t, audit.PutBack, "")
	assert.Equal(t, audit.Success, e.Outcome)
	assert.Equal(t, "ada", e.Subject)
	assert.Equal(t, "logs/shop/1+0.jsonl", e.Object)
	list := c.ask("GET", "/api/v1/pipeline/failed", "", basic("bob")...).json(t)["data"].([]any)
	assert.Equal(t, "clickhouse_ingest", list[0].(map[string]any)["id"])
	assert.Empty(t, c.ask("GET", "/api/v1/pipeline/failed", "", basic("eve")...).json(t)["data"])
}
