// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/audit"
)

func TestWithoutAuthEverybodyOnThisMachineIsLocal(t *testing.T) {
	c := start(t, "")
	resp := c.ask("GET", "/api/v1/session", "")
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.JSONEq(t, `{"subject":"local","method":"local","role":"operator","projects":["*"],"operable":["*"],"csrf":"","auth":false}`, resp.body)
	assert.Equal(t, http.StatusOK, c.ask("POST", "/api/v1/login", "").StatusCode)
	assert.Equal(t, http.StatusNoContent, c.ask("POST", "/api/v1/logout", "").StatusCode)
	resp = c.ask("GET", "/api/v1/traces", "")
	assert.Equal(t, http.StatusServiceUnavailable, resp.StatusCode, "there is no store")
	assert.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
	assert.Equal(t, http.StatusOK, c.ask("GET", "/api/v1/pipeline", "").StatusCode)
	resp = c.ask("GET", "/ws", "")
	assert.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	assert.Contains(t, resp.body, "live_tail")
	assert.Contains(t, c.ask("GET", "/traces/abc", "").body, "<title>")
	assert.Equal(t, http.StatusNotFound, c.ask("GET", "/api/v1/nothing", "").StatusCode)
	assert.Equal(t, http.StatusMethodNotAllowed, c.ask("GET", "/api/v1/login", "").StatusCode)
	assert.Equal(t, http.StatusMethodNotAllowed, c.ask("DELETE", "/api/v1/session", "").StatusCode)
}

func TestHealth(t *testing.T) {
	c := start(t, authYAML)
	assert.Equal(t, http.StatusOK, c.ask("GET", "/healthz", "").StatusCode)
	resp := c.ask("GET", "/readyz", "")
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.JSONEq(t, `{"status":"ready","pipelines":"ready","store":"none"}`, resp.body)
	require.NoError(t, c.NotReady())
	resp = c.ask("GET", "/readyz", "")
	assert.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	assert.JSONEq(t, `{"status":"not ready","pipelines":"not ready","store":"none"}`, resp.body)
	require.NoError(t, c.Ready())
}

// Every route by everybody: who gets in, and what the API is told about him.
func TestMatrix(t *testing.T) {
	c := start(t, authYAML)
	var caller *access.Caller
	c.api = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller = access.FromContext(r.Context())
		w.WriteHeader(http.StatusOK)
	})
	short := c.token("short", "operator", 2*time.Second, access.All)
	viewer := c.token("viewer", "viewer", time.Hour, "shop-*")
	operator := c.token("operator", "operator", 0, "shop")
	session, csrf := c.login("bob")
	require.Eventually(t, func() bool { // the expired one
		return c.ask("GET", "/api/v1/projects", "", short...).StatusCode == http.StatusUnauthorized
	}, waitFor, 50*time.Millisecond)
	for _, tc := range []struct {
		who     string
		headers []string
		status  int
		reads   []access.Pattern
		changes []access.Pattern
	}{
		{"nobody", nil, 401, nil, nil},
		{"expired", short, 401, nil, nil},
		{"a token that is none", []string{"Authorization", "Bearer tlr_0011223344556677_x"}, 401, nil, nil},
		{"a JWT that is none", []string{"Authorization", "Bearer x.y.z"}, 401, nil, nil},
		{"a cookie that is none", []string{"Cookie", "tailrace_session=x"}, 401, nil, nil},
		{"a token in the query", nil, 401, nil, nil},
		{"viewer", viewer, 200, []access.Pattern{"shop-*"}, nil},
		{"operator", operator, 200, []access.Pattern{"shop"}, []access.Pattern{"shop"}},
		{"ada", basic("ada"), 200, []access.Pattern{"*"}, []access.Pattern{"*"}},
		{"bob", basic("bob"), 200, []access.Pattern{"shop", "shop-*"}, nil},
		{"bob's browser", session, 200, []access.Pattern{"shop", "shop-*"}, nil},
		{"known, but in no rule", basic("mallory"), 403, nil, nil},
	} {
		for _, path := range []string{
			"/api/v1/projects", "/api/v1/traces", "/api/v1/traces/0af7651916cd43dd8448eb211c80319c", "/api/v1/spans", "/api/v1/logs",
			"/api/v1/logs?project=support", "/api/v1/pipeline", "/api/v1/openapi.json", "/api/v1/", "/api/v2/x", "/api/v1/servers/web-1/logs",
		} {
			if tc.who == "a token in the query" {
				path += "?token=" + strings.TrimPrefix(viewer[1], "Bearer ")
			}
			caller = nil
			if strings.Contains(tc.who, "JWT") { // else the same one is soon limited
				tc.headers[1] += "."
			}
			resp := c.ask("GET", path, "", tc.headers...)
			require.Equal(t, tc.status, resp.StatusCode, "%s %s", tc.who, path)
			if tc.status != 200 {
				require.Nil(t, caller, "%s reached the API at %s", tc.who, path)
				require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
				continue
			}
			require.Equal(t, tc.reads, caller.Readable(), tc.who)
			require.Equal(t, tc.changes, caller.Operable(), tc.who)
			require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
		}
	}
	// Something that changes: with the cookie only with its token.
	for _, tc := range []struct {
		headers []string
		status  int
	}{
		{session, 403}, {append([]string{CSRFHeader, "x"}, session...), 403}, {append([]string{CSRFHeader, csrf}, session...), 200}, {operator, 200}, {nil, 401},
	} {
		assert.Equal(t, tc.status, c.ask("POST", "/api/v1/anything", "", tc.headers...).StatusCode, "%v", tc.headers)
	}
	assert.Equal(t, "bob", c.audit.await(t, audit.Refusal, reasonCSRF).Subject)
	assert.Equal(t, "mallory", c.audit.await(t, audit.Refusal, reasonProject).Subject)
}

func TestMounting(t *testing.T) {
	c := start(t, authYAML)
	callers := make(chan *access.Caller, 1)
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { callers <- access.FromContext(r.Context()) })
	unmount, err := c.Mount("/ws", handler)
	require.NoError(t, err)
	_, err = c.Mount("/ws", handler)
	require.ErrorContains(t, err, "taken by another component")
	for _, bad := range []string{"", "no slash", "POST /api/v1/login", "/api/"} {
		_, err = c.Mount(bad, handler)
		require.Error(t, err, bad)
	}
	// Without a credential, and with a bad one, it is called all the same, without a caller.
	for _, headers := range [][]string{nil, {"Authorization", "Bearer tlr_x_y"}} {
		require.Equal(t, http.StatusOK, c.ask("GET", "/ws", "", headers...).StatusCode)
		require.Nil(t, <-callers)
	}
	c.ask("GET", "/ws", "", basic("bob")...)
	require.Equal(t, "bob", (<-callers).Subject())
	session, _ := c.login("bob")
	c.ask("GET", "/ws", "", session...)
	require.Equal(t, "session", (<-callers).Method())
	require.Equal(t, http.StatusForbidden, c.ask("POST", "/ws", "", session...).StatusCode, "without its CSRF token")

	other, err := c.Mount("GET /api/v1/tail", handler)
	require.NoError(t, err)
	c.ask("GET", "/api/v1/tail", "")
	<-callers
	other()
	unmount()
	unmount()
	assert.Equal(t, http.StatusServiceUnavailable, c.ask("GET", "/ws", "").StatusCode)
	_, err = c.Mount("/ws", handler)
	require.NoError(t, err)
	c.ask("GET", "/ws", "")
	<-callers
}

// Rules and tokens count at once, also for those who are logged in; a broken file changes nothing.
func TestRulesAndTokensReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write("rules: []")
	c := start(t, authYAML+"  rules_file: "+path)
	session, _ := c.login("bob")
	projects := func(headers []string) any { return c.ask("GET", "/api/v1/session", "", headers...).json(t)["projects"] }
	assert.Equal(t, []any{"shop", "shop-*"}, projects(session))

	changed := c.Authority().Changed()
	write("rules: [{subjects: [bob], role: operator, projects: [extra]}]")
	<-changed
	assert.Equal(t, []any{"extra", "shop", "shop-*"}, projects(session))
	assert.Equal(t, []any{"extra", "shop", "shop-*"}, projects(basic("bob")))

	write("rules: [{subjects: [bob], role: emperor, projects: [extra]}]")
	require.Eventually(t, func() bool { return c.host.last() == componentstatus.StatusRecoverableError }, waitFor, tick)
	assert.Equal(t, []any{"extra", "shop", "shop-*"}, projects(session))
	changed = c.Authority().Changed()
	write("rules: []")
	<-changed
	assert.Equal(t, []any{"shop", "shop-*"}, projects(session))
	require.Eventually(t, func() bool { return c.host.last() == componentstatus.StatusOK }, waitFor, tick)

	token := c.token("ci", "viewer", 0, "shop")
	assert.Equal(t, []any{"shop"}, projects(token))
	resp := c.ask("POST", "/api/v1/login", `{"token":"`+strings.TrimPrefix(token[1], "Bearer ")+`"}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	browser := []string{"Cookie", resp.Cookies()[0].Name + "=" + resp.Cookies()[0].Value}
	assert.Equal(t, []any{"shop"}, projects(browser))
	changed = c.Authority().Changed()
	_, err := c.tokens.Revoke("ci")
	require.NoError(t, err)
	<-changed
	for _, headers := range [][]string{token, browser} {
		assert.Equal(t, http.StatusUnauthorized, c.ask("GET", "/api/v1/session", "", headers...).StatusCode)
	}
	// Others may read the file: what was read before counts, and it is told.
	require.NoError(t, os.Chmod(c.tokens.Path(), 0o644))
	require.Eventually(t, func() bool { return c.host.last() == componentstatus.StatusRecoverableError }, waitFor, tick)
}

func TestStartErrors(t *testing.T) {
	id := component.MustNewID
	for want, change := range map[string]func(*Config){
		`store: there is no extension "none"`:                   func(c *Config) { s := id("none"); c.Store = &s },
		`store: the extension "other" is no ClickHouse`:         func(c *Config) { s := id("other"); c.Store = &s },
		`auth::authenticators: there is no extension "none"`:    func(c *Config) { c.Auth.GetOrInsertDefault().Authenticators = []component.ID{id("none")} },
		`"other" authenticates no requests`:                     func(c *Config) { c.Auth.GetOrInsertDefault().Authenticators = []component.ID{id("other")} },
		`auth::rules_file: open /does/not/exist`:                func(c *Config) { c.Auth.GetOrInsertDefault().RulesFile = "/does/not/exist" },
		`which other machines can reach, and everybody may see`: func(c *Config) { c.HTTP.NetAddr.Endpoint = "0.0.0.0:0" },
		`cannot listen on 192.0.2.1:1`:                          func(c *Config) { c.HTTP.NetAddr.Endpoint = "192.0.2.1:1" },
		`auth::tokens_file: mkdir /dev/null: not a directory`:   func(c *Config) { c.Auth.GetOrInsertDefault().TokensFile = "/dev/null/tokens" },
	} {
		cfg := createDefaultConfig().(*Config)
		cfg.HTTP.NetAddr.Endpoint = "127.0.0.1:0"
		change(cfg)
		c, err := newConsole(nopSettings(), cfg)
		require.NoError(t, err)
		other := struct {
			component.StartFunc
			component.ShutdownFunc
		}{}
		require.ErrorContains(t, c.Start(t.Context(), &testHost{extensions: map[component.ID]component.Component{id("other"): other}}), want)
		require.NoError(t, c.Shutdown(context.Background()))
	}
	c := start(t, "")
	cfg := createDefaultConfig().(*Config)
	cfg.HTTP.NetAddr.Endpoint = c.address().String()
	second, err := newConsole(nopSettings(), cfg)
	require.NoError(t, err)
	require.ErrorContains(t, second.Start(t.Context(), c.host), "is in use by another program")
	require.NoError(t, second.Shutdown(context.Background()))
}

// Without a receiver nothing of the audit is nowhere.
func TestTheAuditIsInTheLogWithoutAReceiver(t *testing.T) {
	c := start(t, authYAML)
	detach, err := c.AttachAudit(c.audit)
	require.ErrorIs(t, err, audit.ErrAttached)
	require.Nil(t, detach)

	cfg := createDefaultConfig().(*Config)
	cfg.HTTP.NetAddr.Endpoint = "127.0.0.1:0"
	cfg.Auth.GetOrInsertDefault().Authenticators = []component.ID{component.MustNewID("basicauth")}
	set, log := observedSettings()
	lonely, err := newConsole(set, cfg)
	require.NoError(t, err)
	require.NoError(t, lonely.Start(t.Context(), c.host))
	require.NoError(t, lonely.Ready())
	assert.Equal(t, 1, log.FilterMessageSnippet("No console_audit receiver").Len())
	c.url = "http://" + lonely.address().String()
	c.ask("POST", "/api/v1/login", `{"username":"ada","password":"wrong"}`, "Content-Type", "application/json")
	assert.Equal(t, 1, log.FilterMessageSnippet("Audit: login as ada from 127.0.0.1 was refused: credential").Len())
	require.NoError(t, lonely.Shutdown(context.Background()))
}

func TestDependencies(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	assert.Empty(t, (&console{cfg: cfg}).Dependencies())
	store, auth := component.MustNewID("clickhouse_store"), component.MustNewID("basicauth")
	cfg.Store = &store
	cfg.Auth.GetOrInsertDefault().Authenticators = []component.ID{auth}
	assert.Equal(t, []component.ID{store, auth}, (&console{cfg: cfg}).Dependencies())
}
