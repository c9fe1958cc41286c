// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWatchSeesEachKindOfChange(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "rules.yaml")
	var mu sync.Mutex
	content := "?"
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		WatchFile(ctx, path, func() {
			raw, err := os.ReadFile(path)
			mu.Lock()
			defer mu.Unlock()
			if content = string(raw); err != nil {
				content = "gone"
			}
		})
	})
	defer done.Wait()
	defer cancel()
	// Well below the poll: what is tested is the notification.
	see := func(want string) {
		t.Helper()
		require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return content == want }, watchPoll-time.Second, time.Millisecond, want)
	}
	see("gone")
	require.NoError(t, os.WriteFile(path, []byte("one"), 0o600))
	see("one")
	require.NoError(t, os.WriteFile(path, []byte("two"), 0o600))
	see("two")
	require.NoError(t, replaceFile(path, []byte("three")))
	see("three")
	require.NoError(t, os.Remove(path))
	see("gone")

	// As Kubernetes mounts a config map.
	for _, version := range []string{"v1", "v2"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, version), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, version, "rules.yaml"), []byte(version), 0o600))
		require.NoError(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
		if version == "v1" {
			require.NoError(t, os.Symlink("..data/rules.yaml", path))
		}
		see(version)
	}
}

func TestWatchOfAFolderThatComesLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "later", "rules.yaml")
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan struct{}, 100)
	var done sync.WaitGroup
	done.Go(func() {
		WatchFile(ctx, path, func() {
			if _, err := os.Stat(path); err == nil {
				seen <- struct{}{}
			}
		})
	})
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	select {
	case <-seen:
	case <-time.After(4 * watchPoll):
		t.Error("the poll has not seen the file")
	}
	cancel()
	done.Wait()
}
