// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package clickhousetest gives tests a real ClickHouse: the process that Tailrace embeds, on free
// loopback ports and a folder of its own. It needs `make clickhouse` and fails, never skips, without.
package clickhousetest

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/clickhouseserver/deduplog"
	"github.com/tailrace/tailrace/internal/clickhouseserver/guard"
	"github.com/tailrace/tailrace/internal/freeport"
)

// Credentials of the test server.
const (
	User     = "tailrace"
	Password = "test-password"
)

// Server is a running ClickHouse. It ends with the test. As in the product, a guard stands before its native port: a client that is
// cut off would end the whole process.
type Server struct {
	TCPPort, HTTPPort int
	Dir               string

	t     testing.TB
	mu    sync.Mutex
	cmd   *exec.Cmd
	in    io.Closer
	log   *bytes.Buffer
	guard *guard.Guard
}

// Start runs a ClickHouse and waits until it answers.
func Start(t testing.TB) *Server {
	t.Helper()
	return StartIn(t, t.TempDir())
}

// StartIn is Start on a folder that outlives the test.
func StartIn(t testing.TB, dir string) *Server {
	t.Helper()
	s := &Server{TCPPort: freeport.For(t), HTTPPort: freeport.For(t), Dir: dir, t: t}
	s.Run()
	t.Cleanup(s.Kill)
	return s
}

// Run starts the process again on the same folder and ports, after Kill or Stop.
func (s *Server) Run() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = &bytes.Buffer{}
	native := freeport.For(s.t)
	cmd, err := Command{
		Build: BuildDir(s.t), Dir: s.Dir, User: User, Password: Password, TCPPort: native, HTTPPort: s.HTTPPort,
		// Memory is counted in small steps, not in those of 4 MiB, so that a small limit holds too.
		Profile: "<max_untracked_memory>4096</max_untracked_memory>",
		// merge_with_ttl_timeout: ClickHouse looks for what has expired in a partition again after four hours, even when the merge that it
		// chose for it found no free thread. Tests wait for minutes.
		Config: "<mark_cache_size>67108864</mark_cache_size><merge_tree><non_replicated_deduplication_window>10000</non_replicated_deduplication_window>" +
			"<merge_with_ttl_timeout>1</merge_with_ttl_timeout></merge_tree>",
	}.Prepare()
	require.NoError(s.t, err)
	taken, err := deduplog.Mend(filepath.Join(s.Dir, "data")) // as the product does
	require.NoError(s.t, err)
	if taken > 0 {
		s.t.Logf("%d blocks whose inserts were cut off can be repeated", taken)
	}
	cmd.Stderr = s.log
	s.cmd = cmd
	in, err := s.cmd.StdinPipe()
	require.NoError(s.t, err)
	s.in = in
	require.NoError(s.t, s.cmd.Start())
	s.guard = guard.New(guard.Config{Username: User, Password: Password, DatabaseExists: func(context.Context, string) (bool, error) { return true, nil }})
	require.NoError(s.t, s.guard.Listen(s.Addr()))
	s.guard.Open(net.JoinHostPort("127.0.0.1", strconv.Itoa(native)))

	conn := s.open()
	defer conn.Close()
	require.Eventually(s.t, func() bool { return conn.Ping(context.Background()) == nil }, 30*time.Second, 20*time.Millisecond,
		"ClickHouse does not answer")
}

// Conn returns a connection that is closed with the test.
func (s *Server) Conn() driver.Conn {
	conn := s.open()
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Addr is host:port of the native protocol.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.TCPPort)) }

func (s *Server) open() driver.Conn {
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{s.Addr()},
		Auth: clickhouse.Auth{Username: User, Password: Password},
	})
	require.NoError(s.t, err)
	return conn
}

// Kill ends the process with SIGKILL, as a crash does, and waits for it.
func (s *Server) Kill() { s.end(func() { _ = s.cmd.Process.Kill() }) }

// Stop ends the process gracefully by closing its standard input, and waits for it.
func (s *Server) Stop() { s.end(func() { _ = s.in.Close() }) }

func (s *Server) end(signal func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	signal()
	_ = s.cmd.Wait()
	_ = s.in.Close()
	s.guard.Close()
	if s.t.Failed() {
		s.t.Logf("ClickHouse's log, the last errors:\n%s", lastErrors(s.log.String()))
	}
	s.cmd = nil
}

var noise = regexp.MustCompile(`(^|<Fatal> ClientBase:)\s*\d+\. .* @ |<(Debug|Trace|Information)>|^$`)

// lastErrors is what helps of a server's log: without frames of its stack and what it says at start and end.
func lastErrors(log string) string {
	lines := slices.DeleteFunc(strings.Split(log, "\n"), noise.MatchString)
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// Kills is how many times as long the tests are that kill processes: 1, or what TAILRACE_TEST_KILLS says (make test-kills).
func Kills(t testing.TB) int {
	t.Helper()
	text := os.Getenv("TAILRACE_TEST_KILLS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "TAILRACE_TEST_KILLS")
	return n
}

// BuildDir returns the repository's _build folder, and fails the test when the embedded ClickHouse is not there.
func BuildDir(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "builder-config.yaml")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		require.NotEqual(t, dir, parent, "not inside the repository")
		dir = parent
	}
	build := filepath.Join(dir, "_build")
	for _, name := range []string{"tailrace-clickhouse", "libchdb.so"} {
		_, err := os.Stat(filepath.Join(build, name))
		require.NoError(t, err, "run `make clickhouse` first")
	}
	return build
}
