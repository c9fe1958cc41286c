// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/require"
)

// benchmarkWays runs f with connections to ClickHouse's inner port and to the guard before it.
func benchmarkWays(b *testing.B, f func(b *testing.B, open func() driver.Conn)) {
	cfg, inner := testConfig(b), 0
	s := New(cfg, Options{innerPort: func() (port int, err error) { inner, err = freeInnerPort(); return inner, err }})
	require.NoError(b, s.Start())
	b.Cleanup(func() { s.Stop(context.Background()) })
	awaitState(b, s, Ready)
	for _, way := range []struct {
		name string
		port int
	}{{"direct", inner}, {"guarded", cfg.TCPPort}} {
		b.Run(way.name, func(b *testing.B) {
			f(b, func() driver.Conn {
				conn, err := clickhouse.Open(&clickhouse.Options{
					Addr: []string{net.JoinHostPort(loopback, itoa(way.port))},
					Auth: clickhouse.Auth{Database: cfg.Database, Username: cfg.Username, Password: cfg.Password},
				})
				require.NoError(b, err)
				return conn
			})
		})
	}
}

// BenchmarkInsert sends 100 MB to a table that keeps nothing.
func BenchmarkInsert(b *testing.B) {
	benchmarkWays(b, func(b *testing.B, open func() driver.Conn) {
		const rows, width = 100_000, 1000
		conn := open()
		defer conn.Close()
		require.NoError(b, conn.Exec(b.Context(), "CREATE TABLE IF NOT EXISTS nothing (s String) ENGINE = Null"))
		column := make([]string, rows)
		for i := range column {
			column[i] = strings.Repeat("x", width)
		}
		b.SetBytes(rows * width)
		b.ReportAllocs()
		for b.Loop() {
			batch, err := conn.PrepareBatch(b.Context(), "INSERT INTO nothing")
			require.NoError(b, err)
			require.NoError(b, batch.Column(0).Append(column))
			require.NoError(b, batch.Send())
		}
	})
}

// BenchmarkSelect reads 80 MB of numbers.
func BenchmarkSelect(b *testing.B) {
	benchmarkWays(b, func(b *testing.B, open func() driver.Conn) {
		const rows = 10_000_000
		conn := open()
		defer conn.Close()
		b.SetBytes(rows * 8)
		b.ReportAllocs()
		for b.Loop() {
			got, err := conn.Query(b.Context(), "SELECT number FROM numbers(10000000)")
			require.NoError(b, err)
			n := 0
			for got.Next() {
				n++
			}
			require.NoError(b, got.Err())
			require.Equal(b, rows, n)
		}
	})
}

// BenchmarkPing is the time of the shortest conversation on a connection that is open.
func BenchmarkPing(b *testing.B) {
	benchmarkWays(b, func(b *testing.B, open func() driver.Conn) {
		conn := open()
		defer conn.Close()
		for b.Loop() {
			require.NoError(b, conn.Ping(b.Context()))
		}
	})
}

// BenchmarkConnect is a login with a database, which the guard asks for, and a ping.
func BenchmarkConnect(b *testing.B) {
	benchmarkWays(b, func(b *testing.B, open func() driver.Conn) {
		for b.Loop() {
			conn := open()
			require.NoError(b, conn.Ping(b.Context()))
			require.NoError(b, conn.Close())
		}
	})
}
