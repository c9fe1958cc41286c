// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSettleWaitsForWhatLiesThere(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	e := start(t, options(dir, s))
	require.NoError(t, e.Settle(t.Context(), "logs"), "nothing lies there")

	text, uids := lines("a", 50)
	put(t, dir, "logs/p1/1.jsonl.open", text)
	age(t, put(t, dir, "scores/p2/1.jsonl", line("b")))
	put(t, dir, "logs/p3/1.jsonl.open", line("c")+`{"resourceLogs":[{"torn`)
	require.NoError(t, e.Settle(t.Context(), "logs"))
	assert.ElementsMatch(t, append(uids, "b", "c"), s.uids(), "at the very moment it returns; what is torn is not waited for")

	s.answer(errors.New("away"), false)
	put(t, dir, "logs/p1/2.jsonl.open", line("d"))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, e.Settle(ctx, "logs"), context.DeadlineExceeded)

	s.answer(nil, false)
	require.NoError(t, e.Settle(t.Context(), "logs"))
	assert.Contains(t, s.uids(), "d")
	require.Error(t, e.Settle(t.Context(), "traces"), "not read here")
	stop(t, e)
	require.Error(t, e.Settle(t.Context(), "logs"), "it reads no more")
}
