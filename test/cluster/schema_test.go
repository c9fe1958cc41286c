// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/clickhouse"
)

// testSchema: two collectors at once, the same again, a retention, a host that is away, one that lost its disk.
func testSchema(t *testing.T, all nodes) {
	const database = "schema"
	policy := clickhouse.Policy{Retention: &clickhouse.Retention{Spans: 24 * time.Hour}}
	first, second := startKeeper(t, database, policy, all[0]), startKeeper(t, database, policy, all[3], all[0])
	first.ready(t)
	second.ready(t)
	migrations, err := clickhouse.Migrations()
	require.NoError(t, err)
	names := make([]string, len(migrations))
	for i, m := range migrations {
		names[i] = m.String()
	}
	assert.ElementsMatch(t, names, append(first.told(&first.applied), second.told(&second.applied)...), "each migration once")
	assert.Empty(t, append(first.told(&first.recreated), second.told(&second.recreated)...))

	definitions := make([]string, len(all))
	read := func(n *node) string {
		var text string
		require.NoError(t, n.conn().QueryRow(t.Context(), "SELECT arrayStringConcat(arraySort(groupArray(create_table_query)), '\n') FROM system.tables WHERE database = ?", database).Scan(&text))
		return text
	}
	require.Eventually(t, func() bool {
		for i, n := range all {
			definitions[i] = read(n)
		}
		return len(slices.Compact(slices.Clone(definitions))) == 1
	}, 20*time.Second, 100*time.Millisecond, "all hosts have the same tables")
	assert.Contains(t, definitions[0], "toIntervalSecond(86400)")
	assert.Contains(t, definitions[0], "GLOBAL IN")
	assert.Contains(t, definitions[0], "min_bytes_for_wide_part = 134217728")
	for _, n := range all {
		assert.EqualValues(t, 1, single(t, n.conn(), "SELECT count() FROM system.clusters WHERE cluster = ? AND is_local", clusterName), "%s knows itself", n)
		n.sync(t, database+".tailrace_migrations")
		assert.EqualValues(t, len(names), single(t, n.conn(), "SELECT count() FROM schema.tailrace_migrations"), n)
	}
	changes := len(append(first.told(&first.adjusted), second.told(&second.adjusted)...))

	t.Run("Again", func(t *testing.T) {
		third := startKeeper(t, database, policy, all[1])
		third.ready(t)
		assert.Empty(t, third.told(&third.applied))
		assert.Empty(t, third.told(&third.recreated))
		assert.Empty(t, third.told(&third.adjusted))
		assert.Equal(t, changes, len(append(first.told(&first.adjusted), second.told(&second.adjusted)...)))
	})

	t.Run("One host is away", func(t *testing.T) {
		all[1].kill()
		third := startKeeper(t, database, policy, all[2])
		third.ready(t)
		require.Len(t, third.told(&third.absent), 1)
		fresh := startKeeper(t, "another", policy, all[2])
		require.Eventually(t, func() bool { return len(fresh.told(&fresh.absent)) == 1 }, 20*time.Second, 20*time.Millisecond)
		assert.Empty(t, fresh.told(&fresh.applied), "a migration waits")
		all[1].start()
		all[1].wait()
		fresh.ready(t)
		assert.Equal(t, names, fresh.told(&fresh.applied))
		require.Eventually(t, func() bool { return len(third.told(&third.absent)) == 0 }, 20*time.Second, 20*time.Millisecond)
	})

	t.Run("A host lost its disk", func(t *testing.T) {
		must(t, all[0].conn(), "INSERT INTO schema.otel_traces_local (Timestamp, TraceId, SpanId, ResourceAttributes) SELECT now64(9), toString(number), toString(number), map('project.id', 'p') FROM numbers(1000)")
		all[1].kill()
		require.NoError(t, os.RemoveAll(filepath.Join(all[1].command.Dir, "data")))
		for _, name := range []string{"schema", "another"} { // as docs/cluster.md says
			for _, replica := range []string{"2", "1_2"} {
				require.Eventually(t, func() bool { // once Keeper has seen that it is gone
					return all[0].conn().Exec(t.Context(), fmt.Sprintf("SYSTEM DROP REPLICA '%s' FROM DATABASE %s", replica, name)) == nil
				}, 30*time.Second, 200*time.Millisecond)
			}
		}
		all[1].start()
		all[1].wait()
		require.Eventually(t, func() bool { return read(all[1]) == definitions[0] }, 60*time.Second, 200*time.Millisecond, "it has its tables again")
		all[1].sync(t, "schema.otel_traces_local")
		all[1].sync(t, "schema.trace_states_local")
		assert.EqualValues(t, 1000, single(t, all[1].conn(), "SELECT count() FROM schema.otel_traces_local"))
		assert.EqualValues(t, 1000, single(t, all[1].conn(), "SELECT uniqExact(TraceId) FROM schema.trace_states_local"))
	})
}
