// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/clickhousetest"
)

var update = flag.Bool("update", false, "write the golden files")

const goldenCluster = "testdata/cluster.golden.sql"

func TestCluster(t *testing.T) {
	all, err := Migrations()
	require.NoError(t, err)
	c := &Cluster{Name: "prod", Path: DefaultClusterPath, Replica: DefaultClusterReplica, WindowSeconds: DefaultWindowSeconds, WindowInserts: DefaultWindowInserts}
	require.NoError(t, c.Validate())
	var statements []string
	for _, ddl := range []string{ledgerTable(), leaseTable()} {
		for _, statement := range c.render(ddl) {
			statements = append(statements, fill(statement.text, "tail-race"))
		}
	}
	for _, m := range all {
		statements = append(statements, c.Statements("tail-race", all, m)...)
	}
	m := Migrator{Database: "tail-race", Cluster: c}
	got := strings.Join(statements, ";\n\n") + ";\n"
	if *update {
		require.NoError(t, os.WriteFile(goldenCluster, []byte(got), 0o644))
	}
	want, err := os.ReadFile(goldenCluster)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
	assert.Equal(t, "`tail-race`.x", m.in("x"))

	for _, statement := range statements {
		if strings.HasPrefix(statement, "/*") {
			continue
		}
		assert.NotContains(t, statement, "{{")
		assert.NotContains(t, statement, "non_replicated", statement)
		if strings.Contains(statement, "MergeTree") {
			assert.Regexp(t, `ENGINE = Replicated\w*MergeTree\('/clickhouse/tables/(\{shard\}|all)/tail-race/\w+', '(\{shard\}_)?\{replica\}'\)`, statement)
		}
	}
	for _, name := range c.objects(all) {
		assert.Equal(t, 1, strings.Count(got, " IF NOT EXISTS `tail-race`."+name+" ")+strings.Count(got, " IF NOT EXISTS `tail-race`."+name+"\n"), name)
	}
	assert.Subset(t, c.objects(all), append(objects(all), "otel_traces_local", "trace_states_local", ledger, leases))
	assert.NotContains(t, c.objects(all), "model_prices_local")

	t.Run("A real server understands every statement", func(t *testing.T) {
		conn := clickhousetest.Start(t).Conn()
		for _, statement := range statements {
			if !strings.HasPrefix(statement, "/*") {
				require.NoError(t, conn.Exec(t.Context(), "EXPLAIN AST "+statement), statement)
			}
		}
	})

	t.Run("A single server's database is refused", func(t *testing.T) {
		conn := clickhousetest.Start(t).Conn()
		firstForm(t, conn, "d", all)
		m := Migrator{Conn: conn, Database: "d", Migrations: all, Cluster: c}
		err := m.asideOnCluster(t.Context(), "otel_traces")
		require.ErrorAs(t, err, new(*RefusedError))
		require.ErrorContains(t, err, "was made for a single server and can't become a table of cluster prod")
	})
}

func TestClusterValidate(t *testing.T) {
	err := Cluster{Name: "a b", Path: "/x/{table}", Replica: ""}.Validate()
	for _, want := range []string{"cluster::name", "cluster::path", "cluster::replica", "cluster::deduplication_window", "cluster::deduplication_inserts"} {
		require.ErrorContains(t, err, want)
	}
}
