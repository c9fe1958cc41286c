// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhousetest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKeepsItsDataOverKillAndStop(t *testing.T) {
	s := Start(t)
	require.NoError(t, s.Conn().Exec(t.Context(), "CREATE TABLE t (x UInt8) ENGINE = MergeTree ORDER BY x"))
	require.NoError(t, s.Conn().Exec(t.Context(), "INSERT INTO t VALUES (1)"))
	for _, end := range []func(){s.Kill, s.Stop} {
		end()
		s.Run()
		var n uint64
		require.NoError(t, s.Conn().QueryRow(t.Context(), "SELECT count() FROM t").Scan(&n))
		assert.EqualValues(t, 1, n)
	}
}
