// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tailrace/tailrace/internal/clickhouse"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestCluster runs everything on one cluster, each part in a database of its own.
func TestCluster(t *testing.T) {
	all := startCluster(t)
	t.Run("Schema", func(t *testing.T) { testSchema(t, all) })
	t.Run("Repetitions", func(t *testing.T) { testRepetitions(t, all) })
	t.Run("Queries", func(t *testing.T) { testQueries(t, all) })
}

// keeper is a clickhouse_store's, and what it told.
type keeper struct {
	*clickhouse.Keeper
	mu        sync.Mutex
	applied   []string
	recreated []string
	adjusted  []string
	absent    []string
}

func (k *keeper) told(what *[]string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]string(nil), *what...)
}

// startKeeper keeps a database in place through some of the nodes until the test ends.
func startKeeper(t testing.TB, database string, policy clickhouse.Policy, endpoints ...*node) *keeper {
	t.Helper()
	endpoint := "tcp://"
	for i, n := range endpoints {
		if i > 0 {
			endpoint += ","
		}
		endpoint += n.addr()
	}
	migrations, err := clickhouse.Migrations()
	require.NoError(t, err)
	k := &keeper{}
	note := func(what *[]string, texts ...string) {
		k.mu.Lock()
		defer k.mu.Unlock()
		*what = append(*what, texts...)
	}
	k.Keeper, err = clickhouse.NewKeeper(
		clickhouse.Server{Endpoint: endpoint, Database: database, Username: user, Password: password},
		clickhouse.Timing{Check: 200 * time.Millisecond, Probe: 100 * time.Millisecond},
		clickhouse.Migrator{
			Version: "test", Migrations: migrations, Policy: policy,
			Cluster:   &clickhouse.Cluster{Name: clusterName, Path: clickhouse.DefaultClusterPath, Replica: clickhouse.DefaultClusterReplica, WindowSeconds: clickhouse.DefaultWindowSeconds, WindowInserts: clickhouse.DefaultWindowInserts},
			Applied:   func(m clickhouse.Migration) { note(&k.applied, m.String()) },
			Recreated: func(tables []string) { note(&k.recreated, tables...) },
			Adjusted:  func(statement string) { note(&k.adjusted, statement) },
			Absent: func(hosts []string) {
				k.mu.Lock()
				defer k.mu.Unlock()
				k.absent = hosts
			},
		}, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		require.NoError(t, k.Close())
	})
	return k
}

func (k *keeper) ready(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	require.NoError(t, k.WaitReady(ctx))
}

// single answers a query for one number.
func single(t testing.TB, conn driver.Conn, query string, args ...any) uint64 {
	t.Helper()
	var n uint64
	require.NoError(t, conn.QueryRow(t.Context(), query, args...).Scan(&n), query)
	return n
}

// must runs a statement; %s in it is the database.
func must(t testing.TB, conn driver.Conn, statement string, args ...any) {
	t.Helper()
	require.NoError(t, conn.Exec(t.Context(), fmt.Sprintf(statement, args...)), statement)
}

// sync waits until a node has fetched everything of a table.
func (n *node) sync(t testing.TB, table string) {
	t.Helper()
	must(t, n.conn(), "SYSTEM SYNC REPLICA %s", table)
}
