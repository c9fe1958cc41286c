// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package runnerlogreceiver

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/supervise"
)

func TestListenConfig(t *testing.T) {
	all, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	sub, err := all.Sub("runner_log/listen")
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, sub.Unmarshal(cfg))
	require.NoError(t, confmap.Validate(cfg))
	want := defaultListen()
	want.Socket, want.Mode = "/run/tailrace/runner.sock", "0660"
	want.TCP = &ListenTCPConfig{Endpoint: "localhost:4319", Token: "0123456789abcdef"}
	assert.Equal(t, want, cfg.Listen)

	for key, test := range map[string]struct {
		value any
		want  string
	}{
		"socket":          {"", "socket: must be the path"},
		"mode":            {"0100", "mode: must be octal digits"},
		"tcp":             {map[string]any{"endpoint": "0.0.0.0:1", "token": "0123456789abcdef"}, "an address of this machine"},
		"otlp_endpoint":   {"localhost:1", "otlp_endpoint: must be a URL"},
		"max_line_bytes":  {10, "max_line_bytes: must be from 256"},
		"max_connections": {0, "max_connections: must be at least 1"},
		"lost_after":      {"0s", "lost_after: must be at least 1ms"},
	} {
		listen := map[string]any{"socket": "s", key: test.value}
		cfg := createDefaultConfig().(*Config)
		require.NoError(t, confmap.NewFromStringMap(map[string]any{"listen": listen}).Unmarshal(cfg))
		assert.ErrorContains(t, confmap.Validate(cfg), test.want)
		assert.ErrorContains(t, confmap.Validate(cfg), "listen: ")
	}
	cfg = createDefaultConfig().(*Config)
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"listen": map[string]any{"tcp": map[string]any{"endpoint": "localhost:1"}}}).Unmarshal(cfg))
	assert.ErrorContains(t, confmap.Validate(cfg), "token: must have at least 16 characters")
}

// registry stands for a runner extension without servers.
type registry struct {
	component.StartFunc
	component.ShutdownFunc
	mu     sync.Mutex
	tokens map[string]identity.Identity
}

func (r *registry) Attach(supervise.Sink) (func(), error) { return func() {}, nil }

func (r *registry) RegisterToken(token string, id identity.Identity) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens[token] = id
	return true
}

func (r *registry) ForgetToken(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tokens, token)
}

func (r *registry) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.tokens)
}

func TestListenHoldsTheAckOfWhatIsHeldAndForgetsTheRun(t *testing.T) {
	dir, err := os.MkdirTemp("", "rl")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	sink := &consumertest.LogsSink{}
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"listen": map[string]any{
		"socket": filepath.Join(dir, "s"), "remember": "20ms", "lost_after": "20ms",
	}}).Unmarshal(cfg))
	r, err := newRunnerLog(receivertest.NewNopSettings(NewFactory().Type()), cfg, sink)
	require.NoError(t, err)
	tokens := &registry{tokens: map[string]identity.Identity{}}
	require.NoError(t, r.Start(t.Context(), &testHost{extensions: map[component.ID]component.Component{component.MustNewID("runner"): tokens}}))
	t.Cleanup(func() { assert.NoError(t, r.Shutdown(context.Background())) })

	c, err := net.Dial("unix", filepath.Join(dir, "s"))
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(30*time.Second)))
	token := strings.Repeat("ab", 16)
	now := time.Now().UnixNano()
	_, err = fmt.Fprintf(c, `{"type":"hello","version":1,"run":"01ARZ3NDEKTSV4RRFFQ69G5FAV","project":"shop","server":"web-1","otlp_token":"%s"}
{"type":"line","seq":1,"time":"%d","stream":"stdout","text":"plain"}
{"type":"line","seq":2,"time":"%d","stream":"stderr","text":"TypeError: boom"}
{"type":"line","seq":3,"time":"%d","stream":"stderr","text":"    at f (a.js:1:2)"}
{"type":"line","seq":4,"time":"%d","stream":"stdout","text":"after"}
`, token, now, now, now, now)
	require.NoError(t, err)
	in := bufio.NewScanner(c)
	require.True(t, in.Scan())
	assert.Contains(t, in.Text(), `"authorization":"Bearer `+token+`"`)
	assert.Equal(t, identity.Identity{Project: "shop", Server: "web-1"}, tokens.tokens[token])
	for in.Scan() && !strings.Contains(in.Text(), `"seq":4`) {
		// Whatever was acknowledged has arrived: 2 and 3 are one record.
		if strings.Contains(in.Text(), `"seq":2`) {
			t.Error("the beginning of a stack trace was acknowledged alone")
		}
	}
	require.NoError(t, in.Err())
	assert.ElementsMatch(t, []string{"plain", "TypeError: boom\n    at f (a.js:1:2)", "after"}, bodies(flatten(sink.AllLogs())))
	_, err = fmt.Fprintf(c, `{"type":"event","seq":5,"time":"%d","event":"exited","code":0}`+"\n", now)
	require.NoError(t, err)
	for in.Scan() && !strings.Contains(in.Text(), `"seq":5`) {
	}
	_ = c.Close()
	require.Eventually(t, func() bool { return tokens.len() == 0 }, 30*time.Second, time.Millisecond)
	r.mu.Lock()
	defer r.mu.Unlock()
	assert.Empty(t, r.listen.unsettled)
}

func TestListenFailsClearly(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.Listen = defaultListen()
	cfg.Listen.Socket = "/tmp/" + strings.Repeat("x", 200)
	r, err := newRunnerLog(receivertest.NewNopSettings(NewFactory().Type()), cfg, &consumertest.LogsSink{})
	require.NoError(t, err)
	require.ErrorContains(t, r.Start(t.Context(), &testHost{}), "listen::socket: the path of a Unix socket may have 103 bytes")
	require.NoError(t, r.Shutdown(t.Context()))
	cfg.runnerNamed = true
	require.ErrorContains(t, r.Start(t.Context(), &testHost{}), "there is no extension")
	require.NoError(t, r.Shutdown(t.Context()))
}
