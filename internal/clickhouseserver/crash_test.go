// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/clickhousetest"
)

func itoa(n int) string { return strconv.Itoa(n) }

func hostProgram(t testing.TB) string {
	return filepath.Join(clickhousetest.BuildDir(t), hostName)
}

// childEnv makes the test binary play a collector that runs a Server with the given Config, as JSON.
const childEnv = "CLICKHOUSESERVER_TEST_CONFIG"

// playCollector prints a line for every state and runs until it is killed or told to stop.
func playCollector() {
	var cfg Config
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &cfg); err != nil {
		fmt.Println("bad config:", err)
		return
	}
	s := New(cfg, Options{Logger: zap.NewNop(), OnState: func(state State, err error) {
		fmt.Println(int(state), err)
	}})
	if err := s.Start(); err != nil {
		fmt.Println(int(Failed), err)
		return
	}
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // the end of standard input is the order to stop
	s.Stop(context.Background())
}

type collector struct {
	cmd    *exec.Cmd
	states *bufio.Scanner
}

func startCollector(t *testing.T, cfg Config) *collector {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	text, err := json.Marshal(cfg)
	require.NoError(t, err)
	c := &collector{cmd: exec.Command(self)}
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	c.cmd.Stderr = os.Stderr
	_, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	c.states = bufio.NewScanner(out)
	require.NoError(t, c.cmd.Start())
	t.Cleanup(c.kill)
	return c
}

// awaitReady fails when anything but the way to Ready is reported.
func (c *collector) awaitReady(t *testing.T) {
	t.Helper()
	for c.states.Scan() {
		switch line := c.states.Text(); line[:1] {
		case itoa(int(Ready)):
			return
		case itoa(int(Failed)):
			require.Fail(t, "not ready", line)
		}
	}
	require.Fail(t, "the collector ended")
}

func (c *collector) kill() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
}

// gone is true for a zombie too: an orphan's new parent reaps it when it likes.
func gone(pid int) bool {
	stat, err := os.ReadFile("/proc/" + itoa(pid) + "/stat")
	if err != nil {
		return os.IsNotExist(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return rest == "" || rest[0] == 'Z' || rest[0] == 'X'
}

// TestKill9OfTheParent kills the process that runs the Server, under inserts, and starts it again at once: it
// has to come up without a single failure, with all that was acknowledged, and without leaving orphans.
func TestKill9OfTheParent(t *testing.T) {
	cfg := testConfig(t)
	layout := l(t, cfg)
	acknowledged := uint64(0)
	for round := range 6 {
		c := startCollector(t, cfg)
		began := time.Now()
		c.awaitReady(t)
		t.Logf("round %d: ready after %s", round, time.Since(began))
		conn := open(t, cfg, cfg.Username, testPassword)
		require.NoError(t, conn.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS t (a UInt64, b String) ENGINE = MergeTree ORDER BY a"))
		var n uint64
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count() FROM t").Scan(&n))
		require.GreaterOrEqual(t, n, acknowledged)
		acknowledged = n

		const rows = 50_000
		var inserted atomic.Uint64
		ended := make(chan struct{})
		for range 3 {
			go func() {
				defer func() { ended <- struct{}{} }()
				for conn.Exec(context.Background(), fmt.Sprintf("INSERT INTO t SELECT number, randomPrintableASCII(100) FROM numbers(%d)", rows)) == nil {
					inserted.Add(rows)
				}
			}()
		}
		require.Eventually(t, func() bool { return inserted.Load() > 0 }, 20*time.Second, time.Millisecond)
		pid := readPid(layout.engineLock)
		require.NoError(t, syscall.Kill(pid, 0))
		c.kill()
		if round%2 == 1 {
			// Nobody starts it again: it has to go all by itself.
			require.Eventually(t, func() bool { return gone(pid) }, 15*time.Second, 10*time.Millisecond, "an orphan stays")
		} else {
			next := startCollector(t, cfg)
			began := time.Now()
			next.awaitReady(t)
			t.Logf("round %d: ready %s after the kill", round, time.Since(began))
			assert.True(t, gone(pid), "two on one folder")
			next.kill()
		}
		for range 3 {
			<-ended
		}
		acknowledged += inserted.Load()
		_ = conn.Close()
	}
}

// TestCtrlCDoesNotReachIt: the process is in a group of its own.
func TestCtrlCDoesNotReachIt(t *testing.T) {
	s, _ := start(t, testConfig(t))
	awaitState(t, s, Ready)
	pid := readPid(s.layout.engineLock)
	group, err := syscall.Getpgid(pid)
	require.NoError(t, err)
	assert.Equal(t, pid, group)
}

// TestAHangingPredecessorIsKilled: one that does not end by itself must not block the folder for ever.
func TestAHangingPredecessorIsKilled(t *testing.T) {
	cfg := testConfig(t)
	cfg.ShutdownTimeout = 300 * time.Millisecond
	c := startCollector(t, cfg)
	c.awaitReady(t)
	pid := readPid(l(t, cfg).engineLock)
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	c.kill()
	s, _ := start(t, cfg)
	awaitState(t, s, Ready)
	assert.NotEqual(t, pid, readPid(s.layout.engineLock))
}

// TestAnInsertThatWasCutOffCanBeRepeated puts a table and its view where a kill leaves them between the block id and the part: the part has
// still the name that it was written under.
func TestAnInsertThatWasCutOffCanBeRepeated(t *testing.T) {
	const insert = "INSERT INTO t SETTINGS insert_deduplication_token = 'batch', deduplicate_blocks_in_dependent_materialized_views = 1 SELECT number FROM numbers(100)"
	for name, lost := range map[string][]string{"neither": nil, "the view": {"s"}, "both": {"t", "s"}} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			first, _ := start(t, cfg)
			awaitState(t, first, Ready)
			conn := open(t, cfg, cfg.Username, testPassword)
			for _, q := range []string{
				"CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a",
				"CREATE TABLE s (one UInt8, n UInt64) ENGINE = SummingMergeTree ORDER BY one",
				"CREATE MATERIALIZED VIEW v TO s AS SELECT 1 AS one, count() AS n FROM t GROUP BY one",
				insert,
			} {
				require.NoError(t, conn.Exec(t.Context(), q))
			}
			var paths []string
			for _, table := range lost {
				var path string
				require.NoError(t, conn.QueryRow(t.Context(), "SELECT path FROM system.parts WHERE active AND table = $1", table).Scan(&path))
				paths = append(paths, filepath.Clean(path))
			}
			first.Stop(t.Context())
			for _, path := range paths {
				require.NoError(t, os.Rename(path, filepath.Join(filepath.Dir(path), "tmp_insert_"+filepath.Base(path))))
			}

			second, _ := start(t, cfg)
			awaitState(t, second, Ready)
			conn = open(t, cfg, cfg.Username, testPassword)
			for range 2 {
				require.NoError(t, conn.Exec(t.Context(), insert))
				var rows, seen uint64
				require.NoError(t, conn.QueryRow(t.Context(), "SELECT (SELECT count() FROM t), (SELECT sum(n) FROM s)").Scan(&rows, &seen))
				assert.Equal(t, []uint64{100, 100}, []uint64{rows, seen}, "rows, rows that the view saw")
			}
		})
	}
}
