// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// signals are the tables that the collectors fill, and what is different in each row.
var signals = map[string]string{"otel_traces": "SpanId", "otel_logs": "LogAttributes['log.record.uid']", "otel_metrics_gauge": "Attributes['n']"}

// TestKill: two collectors, one with each exporter, make the tables at the same time and fill them; a replica of each shard is killed under
// load and started again. What was acknowledged is there once, on every replica.
func TestKill(t *testing.T) {
	all := startCluster(t)
	collectors := []*collector{startCollector(t, "columnar", all), startCollector(t, "like-contrib", all, contrib(all)...)}
	sendAll := func() {
		for _, c := range collectors {
			c.send(t, 100)
		}
	}
	// stored is how much of each collector there is, of the signal that has least.
	stored := func(at *node) uint64 {
		conn := at.open()
		defer conn.Close()
		least := ^uint64(0)
		for table := range signals {
			for _, c := range collectors {
				var n uint64
				if err := conn.QueryRow(t.Context(), fmt.Sprintf("SELECT count() FROM tailrace.%s WHERE ProjectId = ?", table), c.name).Scan(&n); err != nil {
					return 0
				}
				least = min(least, n)
			}
		}
		return least
	}
	// more goes on sending until more is stored than there was.
	more := func(at *node) {
		t.Helper()
		before := stored(at)
		require.Eventually(t, func() bool {
			sendAll()
			return stored(at) > before
		}, 90*time.Second, 10*time.Millisecond, "nothing more arrives")
	}

	more(all[1])
	for _, victim := range []*node{all[0], all[3]} { // the one that all connect to first, and one that they reach by way of it
		other := map[*node]*node{all[0]: all[1], all[3]: all[2]}[victim]
		for range 5 {
			sendAll()
		}
		victim.kill() // while batches are on their way
		more(other)
		more(other)
		victim.start()
		victim.wait()
		more(other)
	}
	sent := uint64(collectors[0].sent)
	require.Equal(t, collectors[0].sent, collectors[1].sent)
	require.Eventually(t, func() bool { return stored(all[0]) >= sent }, 90*time.Second, 100*time.Millisecond, "%d are sent", sent)

	for table, id := range signals {
		sum := map[int]uint64{}
		for _, n := range all {
			n.sync(t, "tailrace."+table+"_local")
			rows := single(t, n.conn(), fmt.Sprintf("SELECT count() FROM tailrace.%s_local", table))
			assert.Equal(t, rows, single(t, n.conn(), fmt.Sprintf("SELECT uniqExact(%s) FROM tailrace.%s_local", id, table)), "%s has a row of %s twice", n, table)
			if known, ok := sum[n.shard]; ok {
				assert.Equal(t, known, rows, "the replicas of shard %d differ in %s", n.shard, table)
			}
			sum[n.shard] = rows
			assert.Equal(t, 2*sent, single(t, n.conn(), "SELECT count() FROM tailrace."+table), "%s asked at %s", table, n)
		}
		assert.Equal(t, 2*sent, sum[1]+sum[2], table)
		assert.NotZero(t, sum[1]*sum[2], "each shard has a share of %s", table)
	}
	for _, n := range all {
		n.sync(t, "tailrace.trace_states_local")
		n.sync(t, "tailrace.log_states_local")
	}
	for _, n := range all {
		assert.Equal(t, 2*sent, single(t, n.conn(), "SELECT toUInt64(sum(Spans)) FROM tailrace.span_counts_hourly"), "spans counted at %s", n)
		assert.Equal(t, 2*sent, single(t, n.conn(), "SELECT toUInt64(sum(Logs)) FROM tailrace.log_counts_hourly"), "log records counted at %s", n)
		assert.Equal(t, 2*sent/4, single(t, n.conn(), "SELECT count() FROM tailrace.trace_summaries"), "traces at %s", n)
	}
	t.Logf("%d spans, log records and points each, of two collectors", 2*sent)
}
