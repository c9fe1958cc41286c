// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHarness(t *testing.T) {
	all := startCluster(t)
	for _, n := range all {
		require.NoError(t, n.conn().Exec(t.Context(), "CREATE TABLE default.t (x UInt64) ENGINE = ReplicatedMergeTree('/t/{shard}', '{replica}') ORDER BY x"))
	}
	require.NoError(t, all[0].conn().Exec(t.Context(), "INSERT INTO default.t SELECT number FROM numbers(100000)"))
	require.NoError(t, all[1].conn().Exec(t.Context(), "SYSTEM SYNC REPLICA default.t"))
	var n uint64
	require.NoError(t, all[1].conn().QueryRow(t.Context(), "SELECT count() FROM default.t").Scan(&n))
	require.EqualValues(t, 100000, n)
}
