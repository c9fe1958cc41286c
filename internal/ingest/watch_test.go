// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tailrace/tailrace/internal/segment"
)

type quietObserver struct{ Observer }

func (quietObserver) Trouble(string, string) {}

func TestWithoutNotificationsThePollFindsEverything(t *testing.T) {
	dir := t.TempDir()
	core, logs := observer.New(zapcore.WarnLevel)
	c := newCatalog(disk{}, dir)
	w := newWatcher(disk{}, dir, 5*time.Millisecond, map[segment.Type]*catalog{segment.Spans: c},
		map[segment.Type]string{segment.Spans: "traces"}, zap.New(core), quietObserver{})
	w.goBlind(dir, os.ErrPermission)
	w.goBlind(dir, os.ErrPermission)
	w.done.Go(w.run)
	defer w.stop()
	project := filepath.Join(dir, "spans", "p")
	require.NoError(t, os.MkdirAll(filepath.Join(project, "processed"), 0o750))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "spans", "dir.jsonl", "x.jsonl"), 0o750))
	for _, name := range []string{"1.jsonl.open", "2.jsonl", "processed/0.jsonl", "notes.txt", ".jsonl"} {
		require.NoError(t, os.WriteFile(filepath.Join(project, name), []byte("x\n"), 0o600))
	}
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(project, "3.jsonl")))
	require.NoError(t, os.Symlink("/etc", filepath.Join(dir, "spans", "link")))
	require.Eventually(t, func() bool { return len(c.keys()) == 3 }, 5*time.Second, time.Millisecond)
	assert.ElementsMatch(t, []Key{"spans/p/1", "spans/p/2", "spans/p/3"}, c.keys())
	assert.EqualValues(t, 3, c.pending(time.Now()).Files)
	assert.NotEmpty(t, c.files["spans/p/3"].bad, "a link is not followed")

	require.NoError(t, os.Remove(filepath.Join(project, "2.jsonl")))
	require.Eventually(t, func() bool { return len(c.keys()) == 2 }, 5*time.Second, time.Millisecond)
	warnings := logs.FilterMessageSnippet("can't be watched")
	require.Equal(t, 1, warnings.Len(), "told once")
	assert.Contains(t, warnings.All()[0].Message, "max_user_watches")
}
