// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/clickhouseserver/guard"
)

// times is how often each mishap is repeated: some kill only when they come at the right moment.
const times = 20

// survivor is a running server of which a test wants to see that it lives on.
type survivor struct {
	*Server
	cfg    Config
	events *events
	pid    int

	mu      sync.Mutex
	refused map[guard.Reason]int // guarded by mu
	open    atomic.Int64
}

func startSurvivor(t testing.TB) *survivor {
	t.Helper()
	v := &survivor{cfg: testConfig(t), events: &events{}, refused: map[guard.Reason]int{}}
	v.Server = New(v.cfg, Options{
		OnState:      v.events.add,
		OnConnection: func(delta int64) { v.open.Add(delta) },
		OnRefused: func(reason guard.Reason) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.refused[reason]++
		},
	})
	require.NoError(t, v.Start())
	t.Cleanup(func() { v.Stop(context.Background()) })
	awaitState(t, v.Server, Ready)
	v.pid = readPid(v.layout.engineLock)
	return v
}

// check fails when ClickHouse has died since the start. A query of its own, over a connection of its own, gives a
// dying process the time to show it.
func (v *survivor) check(t testing.TB, after string) {
	t.Helper()
	require.NoError(t, open(t, v.cfg, v.cfg.Username, testPassword).Exec(t.Context(), "SELECT sleep(0.05)"), after)
	require.Equal(t, v.pid, readPid(v.layout.engineLock), after)
	require.Empty(t, v.events.errors(), after)
}

// awaitIdle returns when ClickHouse has noticed the end of every client.
func (v *survivor) awaitIdle(t testing.TB) {
	t.Helper()
	require.Eventually(t, func() bool { return v.open.Load() == 0 }, 20*time.Second, 5*time.Millisecond, "a connection stays")
}

func (v *survivor) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", v.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	return conn.(*net.TCPConn)
}

func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

func wireString(b []byte, texts ...string) []byte {
	for _, text := range texts {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	return b
}

func wireHello(revision uint64, database, username, password string) []byte {
	b := append(wireString([]byte{0}, "test"), 26, 7)
	return wireString(binary.AppendUvarint(b, revision), database, username, password)
}

// TestRefusedLoginsDoNotEndIt: what a person mistypes.
func TestRefusedLoginsDoNotEndIt(t *testing.T) {
	v := startSurvivor(t)
	for name, c := range map[string]struct {
		auth clickhouse.Auth
		code int32
	}{
		"wrong password":   {clickhouse.Auth{Username: v.cfg.Username, Password: "x"}, 516},
		"unknown user":     {clickhouse.Auth{Username: "nobody", Password: testPassword}, 516},
		"missing database": {clickhouse.Auth{Database: `not'\there`, Username: v.cfg.Username, Password: testPassword}, 81},
	} {
		for range times {
			conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{v.Addr()}, Auth: c.auth})
			require.NoError(t, err)
			err = conn.Ping(t.Context())
			var exception *clickhouse.Exception
			require.ErrorAs(t, err, &exception, name)
			assert.Equal(t, c.code, exception.Code, name)
			assert.Equal(t, "DB::Exception", exception.Name)
			require.NoError(t, conn.Close())
		}
		v.check(t, name)
	}
	assert.Equal(t, map[guard.Reason]int{guard.Login: 2 * times, guard.Database: times}, v.refused)

	// Databases that do exist are let through, whatever they are called.
	conn := open(t, v.cfg, v.cfg.Username, testPassword)
	for _, name := range []string{"later", `a'b\c\n"ü`} {
		require.NoError(t, conn.Exec(t.Context(), "CREATE DATABASE `"+strings.ReplaceAll(name, `\`, `\\`)+"`"))
		there, err := clickhouse.Open(&clickhouse.Options{Addr: []string{v.Addr()}, Auth: clickhouse.Auth{Database: name, Username: v.cfg.Username, Password: testPassword}})
		require.NoError(t, err)
		var got string
		require.NoError(t, there.QueryRow(t.Context(), "SELECT currentDatabase()").Scan(&got))
		assert.Equal(t, name, got)
		require.NoError(t, there.Close())
	}
	v.check(t, "existing databases")
}

// TestStrangersDoNotEndIt: a browser can post to any port, and clients go away at any byte of the handshake.
func TestStrangersDoNotEndIt(t *testing.T) {
	v := startSurvivor(t)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	right := wireHello(54471, "", v.cfg.Username, testPassword)
	strangers := map[string][]byte{
		"TLS":                        []byte("\x16\x03\x01\x02\x00\x01"),
		"nothing":                    nil,
		"zero":                       {0},
		"garbage":                    []byte("\x00\x01\x02\x03\xc8\xc8\xc8\xc8\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
		"too long":                   append([]byte{0, 0xff, 0xff, 0x7f}, make([]byte, 100_000)...),
		"no addendum":                right,
		"half an addendum":           append(append([]byte{}, right...), 5, 'k'),
		"a chunked addendum":         append(wireString(append([]byte{}, right...), "", "chunked", "chunked"), 8),
		"an unknown packet":          append(wireString(append([]byte{}, right...), "", "notchunked", "notchunked"), 8, 99),
		"a Hello again":              append(append(wireString(append([]byte{}, right...), "", "notchunked", "notchunked"), 8), right...),
		"an ancient revision":        wireHello(0, "", v.cfg.Username, testPassword),
		"a revision of the future":   wireHello(99999, "", v.cfg.Username, testPassword),
		"half a query":               append(wireString(append([]byte{}, right...), "", "notchunked", "notchunked"), 8, 1, 5, 'x'),
		"an interserver secret":      wireHello(54471, "", " INTERSERVER SECRET ", ""),
		"all but the last character": right[:len(right)-1],
	}
	for name, bytes := range strangers {
		for i := range times {
			conn := v.dial(t)
			_, _ = conn.Write(bytes)
			switch i % 3 {
			case 0:
				reset(conn)
			case 1:
				_ = conn.Close()
			default:
				_ = conn.CloseWrite()
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			}
		}
		v.check(t, name)
	}
	for range times {
		resp, err := client.Post("http://"+v.Addr()+"/?user=default", "text/plain", strings.NewReader("SELECT 1"))
		require.NoError(t, err)
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
		assert.Contains(t, string(text), itoa(v.cfg.HTTPPort))
	}
	v.check(t, "HTTP")
	require.Eventually(t, func() bool { return v.open.Load() <= int64(len(strangers)+1) }, 20*time.Second, 5*time.Millisecond)
}

// cutConn resets itself after so many bytes.
type cutConn struct {
	*net.TCPConn
	left int
}

func (c *cutConn) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		reset(c.TCPConn)
		return n, net.ErrClosed
	}
	return n, err
}

// Close resets as a killed process does.
func (c *cutConn) Close() error { reset(c.TCPConn); return nil }

// TestClientsThatAreCutOffDoNotEndIt cuts conversations at their bytes, with a reset.
func TestClientsThatAreCutOffDoNotEndIt(t *testing.T) {
	v := startSurvivor(t)
	require.NoError(t, open(t, v.cfg, v.cfg.Username, testPassword).Exec(t.Context(), "CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a"))
	talks := map[string]func(ctx context.Context, conn driver.Conn) error{
		"select": func(ctx context.Context, conn driver.Conn) error {
			rows, err := conn.Query(ctx, "SELECT number, toString(number) FROM numbers(300000)")
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				continue
			}
			return rows.Err()
		},
		"insert": func(ctx context.Context, conn driver.Conn) error {
			batch, err := conn.PrepareBatch(ctx, "INSERT INTO t")
			if err != nil {
				return err
			}
			defer batch.Close()
			for i := range uint64(200) {
				if err := batch.Append(i, fmt.Sprint(i)); err != nil {
					return err
				}
			}
			return batch.Send()
		},
	}
	for name, talk := range talks {
		for after := 1; after < 1500; after += 7 {
			options := &clickhouse.Options{
				Addr: []string{v.Addr()}, Auth: clickhouse.Auth{Username: v.cfg.Username, Password: testPassword},
				DialContext: func(ctx context.Context, addr string) (net.Conn, error) {
					conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
					if err != nil {
						return nil, err
					}
					return &cutConn{TCPConn: conn.(*net.TCPConn), left: after}, nil
				},
			}
			if after%2 == 0 {
				options.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
			}
			conn, err := clickhouse.Open(options)
			require.NoError(t, err)
			_ = talk(t.Context(), conn)
			_ = conn.Close()
		}
		v.check(t, name)
	}
}

// TestMishapsOfTheGoClientDoNotEndIt: all of these close a socket with unread data, which is a reset.
func TestMishapsOfTheGoClientDoNotEndIt(t *testing.T) {
	v := startSurvivor(t)
	require.NoError(t, open(t, v.cfg, v.cfg.Username, testPassword).Exec(t.Context(), "CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a"))
	mishaps := map[string]func(conn driver.Conn){
		"a Scan of the wrong type": func(conn driver.Conn) {
			var wrong time.Time
			// One block: of more, the client's own goroutine would wait for ever to deliver the next.
			assert.Error(t, conn.QueryRow(t.Context(), "SELECT number FROM numbers(100)").Scan(&wrong))
		},
		"rows that are not read": func(conn driver.Conn) {
			ctx, cancel := context.WithCancel(t.Context())
			rows, err := conn.Query(ctx, "SELECT number, randomPrintableASCII(100) FROM numbers(100000000)")
			if assert.NoError(t, err) {
				rows.Next()
				cancel()
				_ = rows.Close()
			}
			cancel()
		},
		"a timeout in a select": func(conn driver.Conn) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			assert.Error(t, conn.Exec(ctx, "SELECT count() FROM numbers(100000000000) WHERE NOT ignore(sipHash64(number))"))
		},
		"a timeout in an insert from a select": func(conn driver.Conn) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			assert.Error(t, conn.Exec(ctx, "INSERT INTO FUNCTION null('x UInt64') SELECT number FROM numbers(100000000000)"))
		},
		"a query that ClickHouse can not cancel at once": func(conn driver.Conn) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			assert.Error(t, conn.Exec(ctx, "SELECT sleep(1)"))
		},
		"a canceled insert": func(conn driver.Conn) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			batch, err := conn.PrepareBatch(ctx, "INSERT INTO t")
			if !assert.NoError(t, err) {
				return
			}
			for i := range uint64(1000) {
				assert.NoError(t, batch.Append(i, "x"))
			}
			cancel()
			_ = batch.Send()
			_ = batch.Close()
		},
		"a mistake in the query": func(conn driver.Conn) { assert.Error(t, conn.Exec(t.Context(), "SELECT nonsense")) },
	}
	for name, mishap := range mishaps {
		for range times {
			conn := open(t, v.cfg, v.cfg.Username, testPassword)
			mishap(conn)
			_ = conn.Close()
		}
		v.check(t, name)
	}
}

// clientEnv makes the test binary play a client, which reads a large result slowly until it is killed.
const clientEnv = "CLICKHOUSESERVER_TEST_CLIENT"

func playClient() {
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{os.Getenv(clientEnv)}, Auth: clickhouse.Auth{Username: DefaultUsername, Password: testPassword}})
	if err != nil {
		fmt.Println(err)
		return
	}
	rows, err := conn.Query(context.Background(), "SELECT number, randomPrintableASCII(100) FROM numbers(1000000000)")
	if err != nil {
		fmt.Println(err)
		return
	}
	for rows.Next() {
		fmt.Println("row")
	}
}

func TestKilledClientsDoNotEndIt(t *testing.T) {
	v := startSurvivor(t)
	self, err := os.Executable()
	require.NoError(t, err)
	for range times {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), clientEnv+"="+v.Addr())
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		line := make([]byte, 3)
		_, err = io.ReadFull(out, line)
		assert.NoError(t, err)
		assert.Equal(t, "row", string(line))
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
	}
	v.check(t, "kill -9")
	// Their queries end as well.
	require.Eventually(t, func() bool {
		var n uint64
		return open(t, v.cfg, v.cfg.Username, testPassword).QueryRow(t.Context(), "SELECT count() FROM system.processes WHERE query LIKE '%randomPrintableASCII%' AND query NOT LIKE '%processes%'").Scan(&n) == nil && n == 0
	}, 20*time.Second, 50*time.Millisecond)
}
