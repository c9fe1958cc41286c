// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/tailrace/tailrace/internal/freeport"
)

const testPassword = "p<&>'\"ß:x"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		playCollector()
		return
	}
	if os.Getenv(clientEnv) != "" {
		playClient()
		return
	}
	goleak.VerifyTestMain(m)
}

// events collects what OnState was told.
type events struct {
	mu   sync.Mutex
	all  []State
	errs []string
}

func (e *events) add(state State, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, state)
	if err != nil {
		e.errs = append(e.errs, err.Error())
	}
}

func (e *events) errors() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.errs, "\n")
}

func testConfig(t testing.TB) Config {
	return Config{
		Path: filepath.Join(t.TempDir(), "with space & <sign>"), TCPPort: freeport.For(t), HTTPPort: freeport.For(t),
		Database: "tailrace", Username: DefaultUsername, Password: testPassword, Binary: hostProgram(t),
		MaxServerMemoryUsage: 1 << 30, ShutdownTimeout: 20 * time.Second,
	}
}

// start runs a server that ends with the test.
func start(t testing.TB, cfg Config) (*Server, *events) {
	t.Helper()
	e := &events{}
	s := New(cfg, Options{Logger: zaptest.NewLogger(t), OnState: e.add})
	require.NoError(t, s.Start())
	t.Cleanup(func() { s.Stop(context.Background()) })
	return s, e
}

func awaitState(t testing.TB, s *Server, want State) {
	t.Helper()
	require.Eventually(t, func() bool { return s.State() == want }, 30*time.Second, 5*time.Millisecond, "state %d", want)
}

func open(t testing.TB, cfg Config, user, password string) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{net.JoinHostPort(loopback, itoa(cfg.TCPPort))},
		Auth: clickhouse.Auth{Username: user, Password: password},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestStartsAnswersAndStops(t *testing.T) {
	cfg := testConfig(t)
	s, _ := start(t, cfg)
	began := time.Now()
	awaitState(t, s, Ready)
	t.Logf("ready after %s", time.Since(began))

	// The database is there from the first moment on.
	early, err := clickhouse.Open(&clickhouse.Options{Addr: []string{s.Addr()}, Auth: clickhouse.Auth{Database: "tailrace", Username: cfg.Username, Password: testPassword}})
	require.NoError(t, err)
	require.NoError(t, early.Ping(t.Context()))
	require.NoError(t, early.Close())

	var version, level string
	conn := open(t, cfg, cfg.Username, testPassword)
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT version()").Scan(&version))
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT value FROM system.merge_tree_settings WHERE name = 'non_replicated_deduplication_window'").Scan(&level))
	assert.Equal(t, "10000", level)
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'").Scan(&level))
	assert.Equal(t, "1073741824", level)

	r, err := readRecord(s.layout.record)
	require.NoError(t, err)
	assert.Equal(t, version, r.Version)
	for _, path := range []string{s.layout.config, s.layout.users} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.EqualValues(t, 0o600, info.Mode().Perm(), path)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.NotContains(t, string(text), testPassword)
	}
	pid := readPid(s.layout.engineLock)
	cmdline, err := os.ReadFile("/proc/" + itoa(pid) + "/cmdline")
	require.NoError(t, err)
	assert.NotContains(t, string(cmdline), testPassword)

	s.Stop(t.Context())
	s.Stop(t.Context())
	assert.Equal(t, Stopped, s.State())
	assert.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
}

func TestRestartsAfterACrashAndKeepsItsData(t *testing.T) {
	cfg := testConfig(t)
	s, e := start(t, cfg)
	awaitState(t, s, Ready)
	conn := open(t, cfg, cfg.Username, testPassword)
	require.NoError(t, conn.Exec(t.Context(), "CREATE TABLE t (x UInt8) ENGINE = MergeTree ORDER BY x"))
	require.NoError(t, conn.Exec(t.Context(), "INSERT INTO t VALUES (1)"))

	pid := readPid(s.layout.engineLock)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	require.Eventually(t, func() bool { return e.errors() != "" }, 10*time.Second, 5*time.Millisecond)
	assert.Contains(t, e.errors(), "signal: killed")
	awaitState(t, s, Ready)
	assert.NotEqual(t, pid, readPid(s.layout.engineLock))
	var n uint64
	require.NoError(t, open(t, cfg, cfg.Username, testPassword).QueryRow(t.Context(), "SELECT count() FROM t").Scan(&n))
	assert.EqualValues(t, 1, n)
}

func TestStopBeforeReadyLeavesNothingBehind(t *testing.T) {
	for _, after := range []time.Duration{0, 30 * time.Millisecond, 200 * time.Millisecond} {
		s, _ := start(t, testConfig(t))
		time.Sleep(after) // points of a start to be hit, not a condition
		s.Stop(t.Context())
		lock, err := tryLock(s.layout.engineLock)
		require.NoError(t, err)
		require.NotNil(t, lock, "somebody still lives")
		require.NoError(t, lock.Close())
	}
}

func TestStopWithoutStart(t *testing.T) {
	New(testConfig(t), Options{}).Stop(t.Context())
}

func TestAnImpatientStopKills(t *testing.T) {
	s, _ := start(t, testConfig(t))
	awaitState(t, s, Ready)
	pid := readPid(s.layout.engineLock)
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP)) // it can not end gracefully
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Stop(ctx)
	assert.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
}

func TestAHangingStopEndsWithTheTimeout(t *testing.T) {
	cfg := testConfig(t)
	cfg.ShutdownTimeout = 50 * time.Millisecond
	s, _ := start(t, cfg)
	awaitState(t, s, Ready)
	pid := readPid(s.layout.engineLock)
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	s.Stop(t.Context())
	assert.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
}

func TestAPortTakenByAnotherIsToldAndHeals(t *testing.T) {
	cfg := testConfig(t)
	listener, err := net.Listen("tcp", net.JoinHostPort(loopback, itoa(cfg.TCPPort)))
	require.NoError(t, err)
	defer listener.Close()
	s, e := start(t, cfg)
	awaitState(t, s, Failed)
	assert.Contains(t, e.errors(), "tcp_port: port "+itoa(cfg.TCPPort)+" is in use by another program")
	require.NoError(t, listener.Close())
	awaitState(t, s, Ready)
}

func TestTwoProcessesOnOneFolder(t *testing.T) {
	cfg := testConfig(t)
	first, _ := start(t, cfg)
	awaitState(t, first, Ready)
	cfg.TCPPort, cfg.HTTPPort = freeport.For(t), freeport.For(t)
	second, e := start(t, cfg)
	awaitState(t, second, Failed)
	assert.Contains(t, e.errors(), "in use by another running process (pid "+itoa(os.Getpid())+")")
	first.Stop(t.Context())
	awaitState(t, second, Ready)
}

func TestTwoServersSideBySide(t *testing.T) {
	a, _ := start(t, testConfig(t))
	b, _ := start(t, testConfig(t))
	awaitState(t, a, Ready)
	awaitState(t, b, Ready)
}

func TestADataFolderOfANewerVersionIsRefused(t *testing.T) {
	cfg := testConfig(t)
	l, err := newLayout(cfg.Path)
	require.NoError(t, err)
	require.NoError(t, prepareFolder(l))
	require.NoError(t, record{Version: "99.1.2.3"}.write(l.record))
	err = New(cfg, Options{}).Start()
	require.ErrorContains(t, err, "was written by ClickHouse 99.1.2")
	assert.ErrorContains(t, err, "set `path` to another folder")
}

func TestAnUnusableFolderIsRefused(t *testing.T) {
	cfg := testConfig(t)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, path := range []string{filepath.Join(file, "x"), "/proc/tailrace"} {
		cfg.Path = path
		require.ErrorContains(t, New(cfg, Options{}).Start(), "set `path` to another folder")
	}
	if _, err := os.Stat("/dev/full"); err == nil {
		// What a full disk answers, without one: the same call fails with the same error.
		f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		require.NoError(t, err)
		defer f.Close()
		_, err = f.Write([]byte{0})
		require.ErrorIs(t, err, syscall.ENOSPC)
		assert.ErrorContains(t, folderError(l(t, cfg), err), "is full")
	}
}

func l(t testing.TB, cfg Config) layout {
	t.Helper()
	l, err := newLayout(cfg.Path)
	require.NoError(t, err)
	return l
}
