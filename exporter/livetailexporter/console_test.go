// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter/exportertest"

	"github.com/tailrace/tailrace/exporter/livetailexporter/internal/metadata"
	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/audit"
)

// fakeConsole is a console extension: a mux, and an authority that knows callers by their bearer token.
type fakeConsole struct {
	component.StartFunc
	component.ShutdownFunc

	mu       sync.Mutex
	mounted  map[string]http.Handler
	callers  map[string]*access.Caller
	changed  chan struct{}
	open     bool // without authentication
	asked    int
	unmounts int
	recorded []audit.Event
}

func newFakeConsole() *fakeConsole {
	return &fakeConsole{mounted: map[string]http.Handler{}, callers: map[string]*access.Caller{}, changed: make(chan struct{})}
}

func (c *fakeConsole) Mount(pattern string, h http.Handler) (func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mounted[pattern] = h
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.mounted, pattern)
		c.unmounts++
	}, nil
}

func (c *fakeConsole) Authority() access.Authority {
	if c.open {
		return nil
	}
	return c
}

func (c *fakeConsole) Authenticate(_ context.Context, headers http.Header) (*access.Caller, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	caller := c.callers[strings.TrimPrefix(headers.Get("Authorization"), "Bearer ")]
	if caller == nil {
		return nil, access.ErrUnauthenticated
	}
	return caller, nil
}

func (c *fakeConsole) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// allow sets what a token may see; nothing: it is unknown.
func (c *fakeConsole) allow(token string, expires time.Time, projects ...access.Pattern) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(projects) == 0 {
		delete(c.callers, token)
	} else {
		c.callers[token] = access.NewCaller(token, "token", expires, []access.Grant{{Role: access.RoleViewer, Projects: projects}})
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *fakeConsole) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	h := c.mounted[r.URL.Path]
	c.mu.Unlock()
	if h == nil {
		http.Error(w, "not yet", http.StatusServiceUnavailable)
		return
	}
	if r.Header.Get("Authorization") != "" {
		if caller, err := c.Authenticate(r.Context(), r.Header); err == nil {
			r = r.WithContext(access.NewContext(r.Context(), caller))
		}
	}
	h.ServeHTTP(w, r)
}

var consoleID = component.MustNewID("console")

// startOnConsole returns an exporter that has no port of its own; its url is the console's.
func startOnConsole(t *testing.T, c *fakeConsole, change func(*Config)) *tail {
	t.Helper()
	tl := start(t, func(cfg *Config) {
		cfg.HTTP, cfg.Console = createDefaultConfig().(*Config).HTTP, &consoleID
		if change != nil {
			change(cfg)
		}
	}, host{consoleID: c})
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	tl.url = "ws" + strings.TrimPrefix(srv.URL, "http") + "/ws"
	return tl
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func TestMountedOnConsole(t *testing.T) {
	console := newFakeConsole()
	console.open = true
	tl := startOnConsole(t, console, nil)
	assert.Nil(t, tl.addr, "no port of its own")
	c := connect(t, tl.url)
	c.ask(`{"type":"ping"}`, `{"type":"pong","payload":{}}`)
	c.Close()
	tl.stop(t)
	assert.Empty(t, console.mounted)
}

func TestConsoleThatIsNone(t *testing.T) {
	for name, extensions := range map[string]host{
		"there is no extension": {}, "is no console": {consoleID: tokens{}},
	} {
		cfg := createDefaultConfig().(*Config)
		cfg.Console = &consoleID
		e, err := NewFactory().CreateLogs(context.Background(), exportertest.NewNopSettings(metadata.Type), cfg)
		require.NoError(t, err)
		require.ErrorContains(t, e.Start(context.Background(), extensions), name)
		require.NoError(t, e.Shutdown(context.Background()))
	}
}

// RecordAudit keeps what a console would record.
func (c *fakeConsole) RecordAudit(e audit.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recorded = append(c.recorded, e)
}

// awaitAudit waits for so many events, and returns them in words; durations are only there or not.
func (c *fakeConsole) awaitAudit(t *testing.T, n int) (all []string) {
	t.Helper()
	require.Eventually(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.recorded) >= n }, 10*time.Second, time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.recorded {
		assert.Equal(t, "127.0.0.1", e.Client)
		assert.Equal(t, e.Name == audit.TailEnd, e.Duration > 0)
		all = append(all, strings.TrimPrefix(e.Name, "tailrace.audit.")+" "+e.Subject+" "+e.Path+"?"+e.Query)
	}
	c.recorded = nil
	return all
}

// Beginning and end of each connection are told, of who is known only, and never a credential.
func TestConnectionsAreAudited(t *testing.T) {
	console := newFakeConsole()
	console.allow("ada", time.Time{}, "shop")
	tl := startOnConsole(t, console, func(cfg *Config) { cfg.Classic.QueryToken = true })
	c := connectV1(t, tl.url, bearer("ada"))
	assert.Equal(t, []string{"tail_start ada /ws?"}, console.awaitAudit(t, 1))
	c.Close()
	assert.Equal(t, []string{"tail_end ada /ws?"}, console.awaitAudit(t, 1))

	c = connectV1(t, tl.url, nil) // known by its first message
	c.of("hello")
	c.ask(`{"type":"auth","payload":{"token":"ada"},"id":7}`, `{"type":"authenticated","payload":{"subject":"ada"},"id":7}`)
	assert.Equal(t, []string{"tail_start ada /ws?"}, console.awaitAudit(t, 1))
	console.allow("ada", time.Time{}) // nobody any more
	assert.Equal(t, []string{"tail_end ada /ws?"}, console.awaitAudit(t, 1))

	console.allow("ada", time.Time{}, "shop")
	c = dial(t, tl.url+"?token=ada", nil)
	c.Close()
	assert.Equal(t, []string{"tail_start ada /ws?token=%E2%80%A6", "tail_end ada /ws?token=%E2%80%A6"}, console.awaitAudit(t, 2))

	// Who is not known leaves no trace; one that follows does.
	c = connectV1(t, tl.url, nil)
	c.of("hello")
	c.Close()
	resp := tl.get(t, "channel=project:shop", bearer("ada"))
	assert.Equal(t, []string{"tail_start ada /api/v1/tail?channel=project%3Ashop"}, console.awaitAudit(t, 1))
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, []string{"tail_end ada /api/v1/tail?channel=project%3Ashop"}, console.awaitAudit(t, 1))
}
