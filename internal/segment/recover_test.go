// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/segment"
)

// leave writes an open segment as a dead predecessor would have left it.
func leave(t testing.TB, dir, project string, data []byte) string {
	t.Helper()
	folder := segment.Dir(dir, segment.Logs, project)
	require.NoError(t, os.MkdirAll(folder, 0o750))
	path := filepath.Join(folder, segment.NewID(time.Now())+segment.SuffixOpen)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

func TestRecovery(t *testing.T) {
	big := strings.Repeat("x", 200<<10)
	for name, tc := range map[string]struct{ left, want string }{
		"whole":                   {"a\nb\n", "a\nb\n"},
		"torn":                    {"a\nb\nto", "a\nb\n"},
		"torn, long":              {"a\n" + big, "a\n"},
		"torn, zeros":             {"a\n" + strings.Repeat("\x00", 5000), "a\n"},
		"no whole line":           {"tor", ""},
		"no whole line, long":     {big, ""},
		"empty":                   {"", ""},
		"newline at block border": {big[:64<<10-1] + "\n" + big[:64<<10], big[:64<<10-1] + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := leave(t, dir, "p", []byte(tc.left))
			open(t, options(dir))
			assert.NoFileExists(t, path)
			pending := strings.TrimSuffix(path, segment.SuffixOpen) + segment.SuffixPending
			if tc.want == "" {
				assert.NoFileExists(t, pending)
				return
			}
			got, err := os.ReadFile(pending)
			require.NoError(t, err)
			assert.Equal(t, tc.want, string(got))
		})
	}
}

func TestRecoveryLeavesTheRestAlone(t *testing.T) {
	dir := t.TempDir()
	folder := segment.Dir(dir, segment.Logs, "p")
	for _, name := range []string{"processed/x.jsonl.open", "failed/x.jsonl.open", "notes.txt", "x.jsonl", ".jsonl.open"} {
		path := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(t, os.WriteFile(path, []byte("torn"), 0o600))
	}
	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.WriteFile(outside, []byte("torn"), 0o600))
	require.NoError(t, os.Symlink(outside, filepath.Join(folder, "link.jsonl.open")))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "half"+".jsonl.tmp"), []byte("torn"), 0o600))
	w := open(t, options(dir))
	require.NoError(t, w.Close())
	for _, name := range []string{"processed/x.jsonl.open", "failed/x.jsonl.open", "notes.txt", "x.jsonl", ".jsonl.open", "link.jsonl.open"} {
		data, err := os.ReadFile(filepath.Join(folder, name))
		require.NoError(t, err)
		assert.Equal(t, "torn", string(data), name)
	}
	assert.NoFileExists(t, filepath.Join(folder, "half.jsonl.tmp"), "an unfinished copy")
}

func TestRecoveryOfManyFiles(t *testing.T) {
	dir := t.TempDir()
	const n = 2000
	for i := range n {
		leave(t, dir, fmt.Sprint("p", i%50), []byte("whole\ntorn"))
	}
	open(t, options(dir))
	assert.Empty(t, files(t, dir, segment.SuffixOpen))
	assert.Len(t, files(t, dir, segment.SuffixPending), n)
	for i := range 50 {
		for _, l := range content(t, dir, fmt.Sprint("p", i)) {
			require.Equal(t, "whole", l)
		}
	}
}

func BenchmarkRecover10000(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		for i := range 10000 {
			leave(b, dir, fmt.Sprint("p", i%100), []byte("whole\ntorn"))
		}
		b.StartTimer()
		w, err := segment.OpenWriter(options(dir))
		require.NoError(b, err)
		_ = w.Close()
	}
}

// Whatever stands in an open file, recovery keeps exactly its whole lines.
func FuzzRecover(f *testing.F) {
	for _, s := range []string{"", "\n", "a", "a\n", "a\nb", "\x00\xff\n\n\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		path := leave(t, dir, "p", data)
		w, err := segment.OpenWriter(options(dir))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		require.NoFileExists(t, path)
		want := data[:bytes.LastIndexByte(data, '\n')+1]
		got, err := os.ReadFile(strings.TrimSuffix(path, segment.SuffixOpen) + segment.SuffixPending)
		if len(want) == 0 {
			require.ErrorIs(t, err, os.ErrNotExist)
			return
		}
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}
