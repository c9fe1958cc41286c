// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/clickhouse"
	"github.com/tailrace/tailrace/internal/insert"
)

// testRepetitions: a batch that is sent again under its token is stored once, whatever host takes it, and also after the one that
// took it first has died.
func testRepetitions(t *testing.T, all nodes) {
	const database = "repeated"
	startKeeper(t, database, clickhouse.Policy{}, all[0]).ready(t)
	day := time.Now().UTC().Truncate(24 * time.Hour)

	// send inserts a batch of 200 traces of 5 spans over two days, as exporters do.
	send := func(conn driver.Conn, batch int) error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		b, err := conn.PrepareBatch(insert.NewContext(ctx, fmt.Sprintf("batch %d", batch)), "INSERT INTO "+database+".otel_traces (Timestamp, TraceId, SpanId, ResourceAttributes)")
		if err != nil {
			return err
		}
		defer b.Close()
		for i := range 1000 {
			at := day.Add(time.Duration(i-500) * time.Second)
			if err := b.Append(at, fmt.Sprintf("%d-%d", batch, i/5), fmt.Sprintf("%d-%d", batch, i), map[string]string{"project.id": "p"}); err != nil {
				return err
			}
		}
		return b.Send()
	}
	check := func(t *testing.T, spans uint64, of nodes) {
		t.Helper()
		var sum, states [3]uint64
		for _, n := range of {
			n.sync(t, database+".otel_traces_local")
			n.sync(t, database+".trace_states_local")
			rows := single(t, n.conn(), "SELECT count() FROM repeated.otel_traces_local")
			assert.Equal(t, rows, single(t, n.conn(), "SELECT uniqExact(SpanId) FROM repeated.otel_traces_local"), "%s has a span twice", n)
			assert.Equal(t, rows/5, single(t, n.conn(), "SELECT uniqExact(TraceId) FROM repeated.otel_traces_local"), "%s has a part of a trace", n)
			counted := single(t, n.conn(), "SELECT sum(length(UnsetIds) + length(OkIds) + length(ErrorIds)) FROM repeated.trace_states_local FINAL")
			assert.Equal(t, rows, counted, "%s: the rollup", n)
			if sum[n.shard] != 0 {
				assert.Equal(t, sum[n.shard], rows, "the replicas of shard %d differ", n.shard)
			}
			sum[n.shard], states[n.shard] = rows, counted
		}
		assert.Equal(t, spans, sum[1]+sum[2])
		assert.NotZero(t, sum[1])
		assert.NotZero(t, sum[2])
		for _, n := range of {
			assert.Equal(t, spans, single(t, n.conn(), "SELECT count() FROM repeated.otel_traces"), "asked at %s", n)
		}
	}

	for batch := range 4 {
		for range 2 {
			for _, n := range all {
				require.NoError(t, send(n.conn(), batch))
			}
		}
	}
	check(t, 4000, all)

	t.Run("After the death of the replica that took it", func(t *testing.T) {
		// Alone with the batch: the other one is not told of it until it asks.
		must(t, all[1].conn(), "SYSTEM STOP FETCHES repeated.otel_traces_local")
		require.NoError(t, send(all[0].conn(), 4))
		all[0].kill()
		for _, n := range all[1:] {
			require.Eventually(t, func() bool { return send(n.conn(), 4) == nil }, 60*time.Second, 200*time.Millisecond, "%s does not take it", n)
		}
		all[0].start()
		all[0].wait()
		must(t, all[1].conn(), "SYSTEM START FETCHES repeated.otel_traces_local")
		check(t, 5000, all)
	})

	t.Run("A whole shard is away", func(t *testing.T) {
		for _, n := range all[2:] {
			n.kill()
		}
		require.Error(t, send(all[0].conn(), 5), "the insert is not answered")
		var n uint64
		require.Error(t, all[0].conn().QueryRow(t.Context(), "SELECT count() FROM repeated.otel_traces").Scan(&n), "half an answer is none")
		for _, n := range all[2:] {
			n.start()
		}
		for _, n := range all[2:] {
			n.wait()
		}
		require.Eventually(t, func() bool { return send(all[1].conn(), 5) == nil }, 60*time.Second, 200*time.Millisecond)
		check(t, 6000, all)
	})

	t.Run("It is the token that is remembered", func(t *testing.T) {
		conn := all[2].conn()
		ctx := insert.NewContext(t.Context(), "of somebody else")
		must(t, conn, "SYSTEM SYNC REPLICA repeated.otel_traces_local")
		require.NoError(t, conn.Exec(ctx, "INSERT INTO repeated.otel_traces (Timestamp, TraceId, SpanId, ResourceAttributes) SELECT Timestamp, TraceId, SpanId, ResourceAttributes FROM repeated.otel_traces WHERE SpanId LIKE '0-%'"))
		assert.EqualValues(t, 7000, single(t, conn, "SELECT count() FROM repeated.otel_traces"))
	})
}
