// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhousetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestKilledInsertsAreThereOnce kills ClickHouse under small inserts, which spend much of their time between the block id and the part: two
// in a hundred kills hit a table or its view there.
func TestKilledInsertsAreThereOnce(t *testing.T) {
	const writers, rows = 4, 10
	s := Start(t)
	for _, q := range []string{
		"CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a",
		"CREATE TABLE s (one UInt8, n UInt64) ENGINE = SummingMergeTree ORDER BY one",
		"CREATE MATERIALIZED VIEW v TO s AS SELECT 1 AS one, count() AS n FROM t GROUP BY one",
	} {
		require.NoError(t, s.Conn().Exec(t.Context(), q))
	}
	var answered [writers]int // what is not answered is repeated under its token
	insert := func(conn driver.Conn, w int) error {
		err := conn.Exec(context.Background(), fmt.Sprintf("INSERT INTO t SETTINGS async_insert = 0, deduplicate_blocks_in_dependent_materialized_views = 1, "+
			"insert_deduplication_token = '%d-%d' SELECT number FROM numbers(%d)", w, answered[w], rows))
		if err == nil {
			answered[w]++
		}
		return err
	}
	n := 20 * Kills(t)
	for range n {
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				conn := s.open()
				defer conn.Close()
				for insert(conn, w) == nil { // the kill is its end
				}
			})
		}
		time.Sleep(time.Duration(50+rand.IntN(100)) * time.Millisecond)
		s.Kill()
		all.Wait()
		s.Run()
	}

	conn := s.Conn()
	want := uint64(0)
	for w := range writers {
		require.NoError(t, insert(conn, w))
		want += uint64(answered[w]) * rows
	}
	var there, seen uint64
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT (SELECT count() FROM t), (SELECT sum(n) FROM s)").Scan(&there, &seen))
	assert.Equal(t, []uint64{want, want}, []uint64{there, seen}, "rows, rows that the view saw")
	t.Logf("%d kills, %d rows of %d inserts", n, want, want/rows)
}
