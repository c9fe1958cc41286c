// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/internal/livetail/livetailtest"
	"github.com/tailrace/tailrace/internal/livetail/tailws"
)

// safeBuffer is a buffer that is read while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// tailing is a running `tailctl tail`.
type tailing struct {
	t        *testing.T
	out, err safeBuffer
	cancel   context.CancelFunc
	done     chan error
}

func startTail(t *testing.T, s *livetailtest.Server, args ...string) *tailing {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &tailing{t: t, cancel: cancel, done: make(chan error, 1)}
	command := newTailCommand()
	command.SilenceUsage, command.SilenceErrors = true, true
	command.SetArgs(append([]string{"--address", s.Addr}, args...))
	command.SetOut(&r.out)
	command.SetErr(&r.err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.done <- command.ExecuteContext(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return r
}

func (r *tailing) await(text string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return strings.Contains(r.out.String(), text) }, 20*time.Second, 2*time.Millisecond, "%q", text)
}

func tailOnce(t *testing.T, s *livetailtest.Server, args ...string) string {
	t.Helper()
	r := startTail(t, s, append(args, "--no-follow")...)
	require.NoError(t, <-r.done)
	return r.out.String()
}

func TestTailPast(t *testing.T) {
	s := livetailtest.Start(t, tailws.Door{}, nil)
	s.Print("shop", "web-1", 0, 20)
	s.PrintAt("shop", "web-1", plog.SeverityNumberError, 20, 5)
	s.Print("shop", "web-2", 100, 3)
	s.Print("bank", "web-1", 200, 3)

	assert.Equal(t, "line 23\nline 24\n", tailOnce(t, s, "--project", "shop", "--server", "web-1", "-n", "2", "-o", "raw"))
	assert.Equal(t, "line 20\nline 21\nline 22\nline 23\nline 24\n", tailOnce(t, s, "--level", "warn", "-o", "raw"))
	assert.Equal(t, "line 3\nline 13\nline 23\n", tailOnce(t, s, "-s", "web-1", "-p", "shop", "--grep", "3$", "-o", "raw"))
	assert.Equal(t, "line 3\nline 23\n", tailOnce(t, s, "-s", "web-1", "-p", "shop", "--grep", "3$", "--exclude", "13", "-o", "raw"))
	assert.Equal(t, 31, strings.Count(tailOnce(t, s, "--since", "2026-03-01T12:00:00Z", "-o", "raw"), "\n"))
	assert.Equal(t, 6, strings.Count(tailOnce(t, s, "--since", "2026-03-01T12:00:00.1Z", "-o", "raw"), "\n"))
	assert.Empty(t, tailOnce(t, s, "--server", "none"))
	assert.Empty(t, tailOnce(t, s, "--signals", "spans"))
	assert.Equal(t, "line 200\nline 201\nline 202\n", tailOnce(t, s, "-a", "project.id=bank", "-o", "raw"))

	var record map[string]any
	require.NoError(t, json.Unmarshal([]byte(tailOnce(t, s, "-s", "web-2", "-n", "1", "-o", "json")), &record))
	assert.Equal(t, "line 102", record["body"])
	pretty := tailOnce(t, s, "--level", "error", "-n", "1", "-t", "--color", "always")
	assert.Contains(t, pretty, "\x1b[31merror")
	assert.Contains(t, pretty, "shop/web-1")
	assert.NotContains(t, tailOnce(t, s, "--level", "error", "-n", "1"), "\x1b", "no colours where there is no terminal")
}

func TestTailFollows(t *testing.T) {
	s := livetailtest.Start(t, tailws.Door{}, nil)
	s.Print("shop", "web-1", 0, 1)
	r := startTail(t, s, "-o", "raw")
	r.await("line 0\n")
	s.Cut()
	s.Print("shop", "web-1", 1, 3)
	r.await("line 3\n")
	assert.Equal(t, "line 0\nline 1\nline 2\nline 3\n", r.out.String())
	require.Eventually(t, func() bool { return strings.Contains(r.err.String(), "connected again") }, 20*time.Second, time.Millisecond)
	assert.Contains(t, r.err.String(), "connection lost")
	r.cancel()
	require.NoError(t, <-r.done)
}

func TestTailTree(t *testing.T) {
	s := livetailtest.Start(t, tailws.Door{}, nil)
	r := startTail(t, s, "--trace", "00000000000000000000000000000007")
	require.Eventually(t, func() bool { return s.Hub().Stats().Subscriptions == 1 }, 20*time.Second, time.Millisecond)
	s.Span("shop", "tool", 3, 2, 20*time.Millisecond) // children come first
	s.Span("shop", "chat", 2, 1, 10*time.Millisecond)
	s.Span("shop", "more", 4, 1, 30*time.Millisecond)
	s.Span("shop", "agent", 1, 0, 0)
	r.await("more")
	var shape []string
	for line := range strings.Lines(r.out.String()) {
		_, tree, _ := strings.Cut(line, " shop ")
		shape = append(shape, strings.TrimRight(tree, "\n"))
	}
	assert.Equal(t, []string{"agent 1.5ms", "├─ chat 1.5ms", "│  └─ tool 1.5ms", "└─ more 1.5ms"}, shape)
}

func TestTailUsage(t *testing.T) {
	s := livetailtest.Start(t, tailws.Door{}, nil)
	for _, args := range [][]string{
		{"--output", "xml"}, {"--color", "red"}, {"--signals", "dreams"}, {"--grep", "("}, {"--attribute", "=x"}, {"--token-file", "/none"}, {"--what"},
	} {
		r := startTail(t, s, args...)
		err := <-r.done
		require.Error(t, err, args)
		assert.Equal(t, exitUsage, exitCode(err), "%v: %v", args, err)
	}
	r := startTail(t, s, "--level", "loud")
	err := <-r.done
	require.ErrorContains(t, err, "min_severity")
	assert.Equal(t, exitFailed, exitCode(err))
}

// Nothing that a log holds reaches a terminal as a control sequence.
func TestTailSanitizes(t *testing.T) {
	p, err := newTailPrinter(&bytes.Buffer{}, &bytes.Buffer{}, &tailFlags{output: "pretty", color: "never"}, true)
	require.NoError(t, err)
	assert.Equal(t, "a␛]0;evil␇b\n    c\td␡e\ufffdf", p.sanitize("a\x1b]0;evil\x07b\nc\td\x7fe\u009bf\r\n"))
	assert.Equal(t, "grüße\t✓", p.sanitize("grüße\t✓"))
	raw, err := newTailPrinter(&bytes.Buffer{}, &bytes.Buffer{}, &tailFlags{output: "raw", color: "auto"}, false)
	require.NoError(t, err)
	assert.Equal(t, "a\x1b[1m", raw.sanitize("a\x1b[1m"), "into a file or a pipe it goes as it is")
}

func TestTailToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("secret\n"), 0o600))
	token, err := (&tailFlags{tokenFile: file}).credential()
	require.NoError(t, err)
	assert.Equal(t, "secret", token)
	t.Setenv(envToken, "other")
	token, err = (&tailFlags{}).credential()
	require.NoError(t, err)
	assert.Equal(t, "other", token)
}
