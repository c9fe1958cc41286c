// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tailrace/tailrace/extension/consoleextension/internal/metadata"
	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/audit"
)

const (
	waitFor = 20 * time.Second
	tick    = 2 * time.Millisecond
)

// testHost is a component.Host with extensions.
type testHost struct {
	extensions map[component.ID]component.Component
	mu         sync.Mutex
	statuses   []*componentstatus.Event
}

func (h *testHost) GetExtensions() map[component.ID]component.Component { return h.extensions }

func (h *testHost) Report(e *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.statuses = append(h.statuses, e)
}

func (h *testHost) last() componentstatus.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.statuses) == 0 {
		return componentstatus.StatusNone
	}
	return h.statuses[len(h.statuses)-1].Status()
}

// passwords stands for basicauth: the password of each is "secret", and groups come after a plus: "bob+support".
type passwords struct {
	component.StartFunc
	component.ShutdownFunc
}

type authData map[string]any

func (d authData) GetAttribute(name string) any { return d[name] }
func (d authData) GetAttributeNames() (names []string) {
	for name := range d {
		names = append(names, name)
	}
	return names
}

func (passwords) Authenticate(ctx context.Context, sources map[string][]string) (context.Context, error) {
	user, password, ok := (&http.Request{Header: sources}).BasicAuth()
	if !ok || password != "secret" {
		return ctx, access.ErrUnauthenticated
	}
	info := client.FromContext(ctx)
	info.Auth = authData{"username": user, "raw": "never to be seen"}
	return client.NewContext(ctx, info), nil
}

// running is a console with a client.
type running struct {
	*console
	t      *testing.T
	host   *testHost
	url    string
	http   *http.Client
	tokens *access.TokenFile
	log    *observer.ObservedLogs
	audit  *sink
}

// sink keeps the audit.
type sink struct {
	mu  sync.Mutex
	got []audit.Event
}

func (s *sink) Deliver(_ context.Context, events []audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, events...)
	return nil
}

// await returns the first event that matches.
func (s *sink) await(t *testing.T, name, reason string) audit.Event {
	t.Helper()
	var found audit.Event
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, e := range s.got {
			if e.Name == name && e.Reason == reason {
				found = e
				return true
			}
		}
		return false
	}, waitFor, tick, "no event %s %s", name, reason)
	return found
}

const authYAML = `
auth:
  authenticators: [basicauth]
  rules:
    - {subjects: [ada], role: operator, projects: ["*"]}
    - {subjects: [bob], role: viewer, projects: [shop, "shop-*"]}
    - {subjects: [eve], role: viewer, projects: [support]}
`

// start runs a console; yaml is below its defaults. With auth, it has a tokens file.
func start(t *testing.T, yaml string) *running {
	t.Helper()
	retrieved, err := confmap.NewRetrievedFromYAML([]byte(yaml))
	require.NoError(t, err)
	conf, err := retrieved.AsConf()
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	cfg.HTTP.NetAddr.Endpoint = "127.0.0.1:0"
	require.NoError(t, conf.Unmarshal(cfg))
	out := &running{t: t, http: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{},
	}}
	if auth := cfg.Auth.Get(); auth != nil && auth.TokensFile == "" {
		auth.TokensFile = filepath.Join(t.TempDir(), "data", "tokens.json")
		out.tokens = access.NewTokenFile(auth.TokensFile)
	}
	require.NoError(t, confmap.Validate(cfg))
	set := extensiontest.NewNopSettings(metadata.Type)
	core, log := observer.New(zap.DebugLevel)
	set.Logger = zap.New(core)
	out.log = log
	c, err := newConsole(set, cfg)
	require.NoError(t, err)
	out.console = c
	out.host = &testHost{extensions: map[component.ID]component.Component{component.MustNewID("basicauth"): passwords{}}}
	out.audit = &sink{}
	detach, err := c.AttachAudit(out.audit)
	require.NoError(t, err)
	require.NoError(t, c.Start(t.Context(), out.host))
	require.NoError(t, c.Ready())
	t.Cleanup(func() {
		out.http.CloseIdleConnections()
		detach()
		require.NoError(t, c.Shutdown(context.Background()))
		require.NoError(t, c.Shutdown(context.Background()))
		for _, entry := range log.All() {
			for _, field := range entry.Context {
				require.NotContains(t, field.String, "never to be seen")
			}
		}
	})
	out.url = "http://" + c.address().String()
	return out
}

// response is an answer that was read.
type response struct {
	*http.Response
	body string
}

func (r response) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.body), &v), r.body)
	return v
}

// ask sends a request; headers are pairs, of which Host is the request's.
func (r *running) ask(method, path, body string, headers ...string) response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	require.NoError(r.t, err)
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := r.http.Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return response{resp, string(raw)}
}

func basic(user string) []string {
	req := &http.Request{Header: http.Header{}}
	req.SetBasicAuth(user, "secret")
	return []string{"Authorization", req.Header.Get("Authorization")}
}

// token creates an API token, and waits until the console knows it.
func (r *running) token(name, role string, expires time.Duration, projects ...access.Pattern) []string {
	r.t.Helper()
	ends := time.Time{}
	if expires != 0 {
		ends = time.Now().Add(expires)
	}
	token, secret, err := r.tokens.Create(name, role, projects, ends)
	require.NoError(r.t, err)
	require.Eventually(r.t, func() bool { _, ok := r.gate.Tokens().ByID(token.ID); return ok }, waitFor, tick)
	return []string{"Authorization", "Bearer " + secret}
}

// login logs in, and returns the headers of the session and its CSRF token.
func (r *running) login(user string) (cookie []string, csrf string) {
	r.t.Helper()
	resp := r.ask("POST", "/api/v1/login", `{"username":"`+user+`","password":"secret"}`, "Content-Type", "application/json")
	require.Equal(r.t, http.StatusOK, resp.StatusCode, resp.body)
	require.Len(r.t, resp.Cookies(), 1)
	c := resp.Cookies()[0]
	return []string{"Cookie", c.Name + "=" + c.Value}, resp.json(r.t)["csrf"].(string)
}

func (r *running) port() string {
	u, err := url.Parse(r.url)
	require.NoError(r.t, err)
	return u.Port()
}

func nopSettings() extension.Settings { return extensiontest.NewNopSettings(metadata.Type) }

func observedSettings() (extension.Settings, *observer.ObservedLogs) {
	set := nopSettings()
	core, log := observer.New(zap.DebugLevel)
	set.Logger = zap.New(core)
	return set, log
}
