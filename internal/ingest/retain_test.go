// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/ingest"
)

func left(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "logs", "*", "processed", "*.jsonl"))
	require.NoError(t, err)
	for i := range names {
		names[i], err = filepath.Rel(filepath.Join(dir, "logs"), names[i])
		require.NoError(t, err)
	}
	return names
}

func TestRetainBySizeIsOldestFirstAndFair(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	text, _ := lines("x", 10)
	put(t, dir, "logs/small/processed/0.jsonl", text)
	put(t, dir, "logs/small/failed/0.jsonl", text)
	put(t, dir, "logs/small/processed/notes.txt", text)
	for i := range 8 { // from an earlier run
		put(t, dir, fmt.Sprintf("logs/big/processed/%d.jsonl", i), text)
	}
	o := options(dir, s)
	o.Retain = ingest.Retain{MaxBytes: int64(4 * len(text)), Every: 5 * time.Millisecond}
	start(t, o)
	eventually(t, func() bool { return len(left(t, dir)) == 4 }, "deleted")
	assert.Equal(t, []string{"big/processed/5.jsonl", "big/processed/6.jsonl", "big/processed/7.jsonl", "small/processed/0.jsonl"}, left(t, dir))
	for i := range 3 { // of this run
		age(t, put(t, dir, fmt.Sprintf("logs/big/%d.jsonl", 8+i), text))
	}
	eventually(t, func() bool { return isFile(filepath.Join(dir, "logs/big/processed/10.jsonl")) && s.gone() == 8 }, "moved, and others deleted")
	assert.Len(t, left(t, dir), 4)
	assert.FileExists(t, filepath.Join(dir, "logs/small/processed/0.jsonl"))
	assert.FileExists(t, filepath.Join(dir, "logs/small/failed/0.jsonl"))
	assert.FileExists(t, filepath.Join(dir, "logs/small/processed/notes.txt"))
}

func TestRetainByAge(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	for i := range 600 { // more than go at one look
		old := time.Now().Add(-time.Hour)
		require.NoError(t, os.Chtimes(put(t, dir, fmt.Sprintf("logs/p%d/processed/%03d.jsonl", i%3, i), "x\n"), old, old))
	}
	put(t, dir, "logs/p1/processed/999.jsonl", "x\n")
	o := options(dir, s)
	o.Retain = ingest.Retain{MaxAge: time.Minute, Every: 5 * time.Millisecond}
	start(t, o)
	eventually(t, func() bool { return s.gone() == 600 }, "deleted")
	assert.Equal(t, []string{"p1/processed/999.jsonl"}, left(t, dir))
}

func (s *store) gone() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.expired
}
