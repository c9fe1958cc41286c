// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package objectstoreextension

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/extension/objectstoreextension/internal/metadata"
	"github.com/tailrace/tailrace/internal/segment"
)

var errKilled = errors.New("killed")

func never(string, string) error { return nil }

// world is an edge, a bucket in a folder, and centres. Everything that a process keeps in memory is thrown away when it is
// "killed" at a point: what follows has only the disk and the bucket.
type world struct {
	t           *testing.T
	bucket      string
	edge        string
	afterUpload string
	afterLoad   string
	deletes     bool // clickhouse_ingest deletes what it loaded

	mu      sync.Mutex
	written map[string]string // key → content
	loaded  map[string]int    // content → how often
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, bucket: t.TempDir(), edge: t.TempDir(), afterUpload: afterDelete, afterLoad: afterMove,
		written: map[string]string{}, loaded: map[string]int{},
	}
	return w
}

func (w *world) config(path string) *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.Bucket, cfg.Path, cfg.Prefix = "file://"+w.bucket+"?no_tmp_dir=true", path, "p/"
	return cfg
}

func (w *world) telemetry() observer {
	tb, err := metadata.NewTelemetryBuilder(componenttest.NewNopTelemetrySettings())
	require.NoError(w.t, err)
	return observer{tb}
}

func (w *world) open(cfg *Config) *bucket {
	w.t.Helper()
	b, err := openBucket(w.t.Context(), cfg)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = b.Close() })
	return b
}

func newAttempts() *attempts { return &attempts{first: 0, failed: func() {}} }

// write makes complete segments at the edge.
func (w *world) write(n int) {
	w.t.Helper()
	for i := range n {
		r := ref{segment.Types()[i%4], fmt.Sprintf("shop%d", i%3), segment.Name{ID: segment.NewID(time.Now()), Zstd: i%5 == 0}}
		text := fmt.Sprintf("{\"segment\":%q}\n", r.key())
		name := r.file(w.edge)
		require.NoError(w.t, os.MkdirAll(filepath.Dir(name), 0o750))
		require.NoError(w.t, os.WriteFile(name, []byte(text), 0o600))
		old := time.Now().Add(-time.Minute)
		require.NoError(w.t, os.Chtimes(name, old, old))
		w.written[r.key()] = text
	}
}

// upload lets a new process upload, with a hook, and returns what it ended with.
func (w *world) upload(hook func(string, string) error) (int, error) {
	cfg := w.config(w.edge)
	u := &uploader{cfg: cfg, after: w.afterUpload, tel: w.telemetry(), hook: hook}
	return u.pass(w.t.Context(), w.open(cfg), newAttempts())
}

// centre is a new process on a folder.
func (w *world) centre(path string, hook func(string, string) error) *downloader {
	w.t.Helper()
	cfg := w.config(path)
	cfg.Download = configoptional.Some(DownloadConfig{AfterLoad: w.afterLoad, MaxPendingBytes: 1 << 30})
	require.NoError(w.t, os.MkdirAll(stateDir(path), 0o750))
	d, err := newDownloader(cfg, w.telemetry(), zap.NewNop(), hook)
	require.NoError(w.t, err)
	return d
}

func (w *world) pass(d *downloader) (int, error) {
	return d.pass(w.t.Context(), w.open(d.cfg), newAttempts())
}

// ingest does with a folder what clickhouse_ingest does: what is complete is loaded, and moved or deleted.
func (w *world) ingest(path string) {
	w.t.Helper()
	all, _, err := pending(path, 0)
	require.NoError(w.t, err)
	for _, o := range all {
		name := o.file(path)
		text, err := os.ReadFile(name)
		require.NoError(w.t, err)
		w.mu.Lock()
		w.loaded[string(text)]++
		w.mu.Unlock()
		if w.deletes {
			require.NoError(w.t, os.Remove(name))
			continue
		}
		_, err = makeDirs(filepath.Dir(name), segment.DirProcessed)
		require.NoError(w.t, err)
		require.NoError(w.t, os.Rename(name, filepath.Join(filepath.Dir(name), segment.DirProcessed, filepath.Base(name))))
	}
}

// requireOnce requires that everything that was written was loaded once, and that nothing is left on the way.
func (w *world) requireOnce(paths ...string) {
	w.t.Helper()
	require.Len(w.t, w.loaded, len(w.written))
	for key, text := range w.written {
		require.Equal(w.t, 1, w.loaded[text], key)
	}
	objects, err := w.open(w.config(w.edge)).list(w.t.Context())
	require.NoError(w.t, err)
	require.Empty(w.t, objects, "objects that are loaded lie among those that are not")
	for _, path := range append(paths, w.edge) {
		require.NoError(w.t, eachFile(path, func(r ref, suffix string, _ fs.DirEntry) {
			w.t.Errorf("%s is left", r.file(path)+suffix)
		}))
	}
}

// objects lists what is in the bucket, below a prefix.
func (w *world) objects(prefix string) (keys []string) {
	base := filepath.Join(w.bucket, "p")
	_ = filepath.WalkDir(filepath.Join(base, prefix), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(path, ".attrs") {
			rel, _ := filepath.Rel(base, path)
			keys = append(keys, rel)
		}
		return nil
	})
	return keys
}

// killing ends a process the nth time that it comes to a point. What other goroutines of it were doing ends at their next point.
func killing(point string, nth int) func(string, string) error {
	var mu sync.Mutex
	dead := false
	return func(p, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if p == point {
			nth--
		}
		if nth <= 0 {
			dead = true
		}
		if dead {
			return errKilled
		}
		return nil
	}
}

// sometimes kills at a random point.
func sometimes(seed uint64) func(string, string) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	points := []string{pointUploaded, pointReady, pointClaimed, pointKnown, pointHanded, pointCopied}
	return killing(points[rng.IntN(len(points))], 1+rng.IntN(10))
}
