// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLargeInsertsAndResults go through the guard unharmed, with and without compression.
func TestLargeInsertsAndResults(t *testing.T) {
	v := startSurvivor(t)
	for i, method := range []clickhouse.CompressionMethod{clickhouse.CompressionNone, clickhouse.CompressionLZ4, clickhouse.CompressionZSTD} {
		conn, err := clickhouse.Open(&clickhouse.Options{
			Addr: []string{v.Addr()}, Auth: clickhouse.Auth{Database: "tailrace", Username: v.cfg.Username, Password: testPassword},
			Compression: &clickhouse.Compression{Method: method},
		})
		require.NoError(t, err)
		table := "t" + itoa(i)
		require.NoError(t, conn.Exec(t.Context(), "CREATE TABLE "+table+" (a UInt64, b String) ENGINE = MergeTree ORDER BY a"))
		const rows, width = 100_000, 1000
		batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO "+table)
		require.NoError(t, err)
		text := strings.Repeat("0123456789", width/10)
		for a := range uint64(rows) {
			require.NoError(t, batch.Append(a, text))
		}
		require.NoError(t, batch.Send()) // 100 MB
		got, err := conn.Query(t.Context(), "SELECT a, b FROM "+table+" ORDER BY a")
		require.NoError(t, err)
		var a, want uint64
		var b string
		for ; got.Next(); want++ {
			require.NoError(t, got.Scan(&a, &b))
			require.Equal(t, want, a)
			require.Len(t, b, width)
		}
		require.NoError(t, got.Err())
		require.EqualValues(t, rows, want)
		require.NoError(t, conn.Close())
	}
	v.awaitIdle(t)
	v.check(t, "large inserts")
}

// TestClientsWaitOutARestart: a client that comes while ClickHouse is started again only waits.
func TestClientsWaitOutARestart(t *testing.T) {
	v := startSurvivor(t)
	process, err := os.FindProcess(v.pid)
	require.NoError(t, err)
	require.NoError(t, process.Kill())
	require.Eventually(t, func() bool { return v.events.errors() != "" }, 10*time.Second, time.Millisecond)
	require.NoError(t, open(t, v.cfg, v.cfg.Username, testPassword).Ping(t.Context()))
	assert.NotEqual(t, v.pid, readPid(v.layout.engineLock))
}

// TestATakenInnerPortIsReplaced: another program may take the port before ClickHouse does.
func TestATakenInnerPortIsReplaced(t *testing.T) {
	taken, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	require.NoError(t, err)
	defer taken.Close()
	asked := 0
	e := &events{}
	s := New(testConfig(t), Options{OnState: e.add, innerPort: func() (int, error) {
		if asked++; asked == 1 {
			return taken.Addr().(*net.TCPAddr).Port, nil
		}
		return freeInnerPort()
	}})
	require.NoError(t, s.Start())
	awaitState(t, s, Ready)
	s.Stop(t.Context())
	assert.Equal(t, 2, asked)
	assert.Empty(t, e.errors())
}

// TestStopWithConnectedClients: they are told, and nothing is left behind (goleak).
func TestStopWithConnectedClients(t *testing.T) {
	v := startSurvivor(t)
	idle := open(t, v.cfg, v.cfg.Username, testPassword)
	require.NoError(t, idle.Ping(t.Context()))
	silent, half := v.dial(t), v.dial(t)
	_, err := half.Write([]byte{0, 3})
	require.NoError(t, err)
	began := time.Now()
	v.Stop(t.Context())
	t.Logf("stopped after %s", time.Since(began))
	for _, conn := range []net.Conn{silent, half} {
		_, err := conn.Read(make([]byte, 1))
		require.Error(t, err)
	}
	assert.Error(t, idle.Ping(t.Context()))
	assert.Zero(t, v.open.Load())
	_, err = net.Dial("tcp", v.Addr())
	assert.Error(t, err)
}
