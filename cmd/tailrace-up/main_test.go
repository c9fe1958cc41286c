// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPasswordIsGeneratedOnceAndPrivate(t *testing.T) {
	env := map[string]string{"TAILRACE_DATA": filepath.Join(t.TempDir(), "new", "data")}
	getenv := func(name string) string { return env[name] }
	first, err := loadSettings(getenv)
	require.NoError(t, err)
	assert.Len(t, first.password, 32)
	info, err := os.Stat(first.passwordFile())
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	again, err := loadSettings(getenv)
	require.NoError(t, err)
	assert.Equal(t, first.password, again.password)

	env["TAILRACE_CLICKHOUSE_PASSWORD"] = "mine"
	mine, err := loadSettings(getenv)
	require.NoError(t, err)
	assert.Equal(t, "mine", mine.password)
	assert.Equal(t, []string{"TAILRACE_CLICKHOUSE_PASSWORD=mine"}, mine.environ())
	assert.NotContains(t, mine.passwordFile(), "clickhouse-password")
}

func TestLogShowsOnlyWhatNeedsAttention(t *testing.T) {
	var shown []string
	log, err := openLog(filepath.Join(t.TempDir(), "tailrace.log"), func(line string) { shown = append(shown, line) })
	require.NoError(t, err)
	_, err = log.Write([]byte("t\terror\ta.go\twhile starting\n"))
	require.NoError(t, err)
	log.showing.Store(true)
	for _, part := range []string{"t\tinfo\ta.go\tfine\nt\ter", "ror\tb.go\tbroken\nError: plain\n"} {
		_, err := log.Write([]byte(part))
		require.NoError(t, err)
	}
	require.NoError(t, log.Close())
	assert.Equal(t, []string{"t\terror\tb.go\tbroken"}, shown)
	assert.Equal(t, "t\terror\ta.go\twhile starting\nt\tinfo\ta.go\tfine\nt\terror\tb.go\tbroken\nError: plain", log.tail())
	whole, err := os.ReadFile(log.path)
	require.NoError(t, err)
	assert.Equal(t, log.tail()+"\n", string(whole))
}

func TestDefaultsAreThoseOfTheConfig(t *testing.T) {
	raw, err := os.ReadFile("../../config/local.yaml")
	require.NoError(t, err)
	for _, v := range variables() {
		if v.fallback == "" {
			assert.Contains(t, string(raw), "${env:"+v.name+"}")
			continue
		}
		assert.Contains(t, string(raw), "${env:"+v.name+":-"+v.fallback+"}")
	}
}

func TestCountFiles(t *testing.T) {
	base := t.TempDir()
	for _, name := range []string{"spans/p/a.jsonl.open", "spans/p/b.jsonl", "logs/p/processed/c.jsonl", "logs/p/failed/d.jsonl", ".jsonl.lock"} {
		path := filepath.Join(base, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(t, os.WriteFile(path, nil, 0o600))
	}
	open, pending, processed, failed := countFiles(base)
	assert.Equal(t, []int{1, 1, 1, 1}, []int{open, pending, processed, failed})
}
