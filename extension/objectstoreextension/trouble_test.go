// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package objectstoreextension

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/tailrace/tailrace/extension/objectstoreextension/internal/metadata"
	"github.com/tailrace/tailrace/internal/segment"
)

func TestKeysOfObjects(t *testing.T) {
	for _, key := range []string{"spans/shop/a.jsonl", "logs/%2E%2E/a.jsonl.zst", "metrics/%/20060102T150405.000Z_x.gauge.jsonl", "scores/a~0f/a+17.jsonl"} {
		r, ok := parseKey(key)
		assert.True(t, ok, key)
		assert.Equal(t, key, r.key())
	}
	for _, key := range []string{
		"", "a.jsonl", "spans/a.jsonl", "spans/../a.jsonl", "spans/./a.jsonl", "spans//a.jsonl", "spans/shop/../a.jsonl", "spans/shop/x/a.jsonl", "other/shop/a.jsonl",
		"spans/shop/a.jsonl.open", "spans/shop/a.txt", "spans/shop/.jsonl", "spans/shop/.a.jsonl", "spans/processed/a.jsonl", "spans/failed/a.jsonl", "../spans/a.jsonl",
		"spans/a\\b/a.jsonl", "spans/shop/a\x00.jsonl", "/spans/shop/a.jsonl", "claims/spans/a.jsonl",
	} {
		_, ok := parseKey(key)
		assert.False(t, ok, key)
	}
}

func TestAnotherObjectHasTheKey(t *testing.T) {
	w := newWorld(t)
	w.write(4)
	var taken ref
	for key := range w.written {
		taken, _ = parseKey(key)
	}
	name := taken.file(filepath.Join(w.bucket, "p"))
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o750))
	require.NoError(t, os.WriteFile(name, []byte("something else"), 0o600))
	left, err := w.upload(never)
	require.ErrorContains(t, err, "another object (14 bytes")
	require.ErrorContains(t, err, taken.key())
	require.Equal(t, 1, left, "the others have to go their way")
	require.FileExists(t, taken.file(w.edge))
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, "something else", string(text))
}

func TestDamagedObjectIsNotLoaded(t *testing.T) {
	w := newWorld(t)
	centre := t.TempDir()
	w.write(4)
	_, err := w.upload(never)
	require.NoError(t, err)
	var damaged ref
	for key := range w.written {
		damaged, _ = parseKey(key)
	}
	name := damaged.file(filepath.Join(w.bucket, "p"))
	good, err := os.ReadFile(name)
	require.NoError(t, err)
	bad := append([]byte(nil), good...)
	bad[3] ^= 1
	require.NoError(t, os.WriteFile(name, bad, 0o600))

	d := w.centre(centre, never)
	for range 3 {
		_, err = w.pass(d)
		require.ErrorContains(t, err, damaged.key())
		require.ErrorContains(t, err, "sha256")
		w.ingest(centre)
	}
	require.Len(t, w.loaded, 3)
	require.NoError(t, os.WriteFile(name, good, 0o600))
	w.settle(centre)
	w.requireOnce(centre)
}

func TestNoMoreThanMaxPendingBytes(t *testing.T) {
	w := newWorld(t)
	centre := t.TempDir()
	w.write(10)
	_, err := w.upload(never)
	require.NoError(t, err)
	d := w.centre(centre, never)
	d.conf.MaxPendingBytes = 250
	for range 20 {
		_, err := w.pass(d)
		require.NoError(t, err)
		all, _, err := pending(centre, 0)
		require.NoError(t, err)
		var sum int64
		for _, o := range all {
			sum += o.size
		}
		require.LessOrEqual(t, sum, int64(250))
		w.ingest(centre)
	}
	w.settle(centre)
	w.requireOnce(centre)
}

func TestFolderThatWasReplaced(t *testing.T) {
	w := newWorld(t)
	centre := t.TempDir()
	d := w.centre(centre, never)
	require.NoError(t, os.RemoveAll(stateDir(centre)))
	_, err := w.pass(d)
	require.ErrorContains(t, err, "taken away")
	require.NoDirExists(t, stateDir(centre))
}

// statusHost remembers what the extension reports.
type statusHost struct {
	mu     sync.Mutex
	events []*componentstatus.Event
}

func (*statusHost) GetExtensions() map[component.ID]component.Component { return nil }

func (h *statusHost) Report(e *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *statusHost) last() (componentstatus.Status, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.events) == 0 {
		return componentstatus.StatusNone, nil
	}
	e := h.events[len(h.events)-1]
	return e.Status(), e.Err()
}

func start(t *testing.T, cfg *Config) (*statusHost, func()) {
	t.Helper()
	require.NoError(t, cfg.Validate())
	e, err := NewFactory().Create(t.Context(), extensiontest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	host := &statusHost{}
	require.NoError(t, e.Start(t.Context(), host))
	stop := sync.OnceFunc(func() { require.NoError(t, e.Shutdown(context.Background())) })
	t.Cleanup(stop)
	return host, stop
}

func (w *world) edgeConfig() *Config {
	cfg := w.config(w.edge)
	cfg.Upload = configoptional.Some(UploadConfig{PollInterval: 100 * time.Millisecond, AfterUpload: afterDelete, ShutdownTimeout: time.Second})
	return cfg
}

func (w *world) centreConfig(path string) *Config {
	cfg := w.config(path)
	cfg.Download = configoptional.Some(DownloadConfig{PollInterval: 100 * time.Millisecond, AfterLoad: afterMove, MaxPendingBytes: 1 << 30})
	return cfg
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	require.Eventually(t, check, time.Minute, 10*time.Millisecond, what)
}

// putAway reports whether n objects are below processed/, and none in its place.
func (w *world) putAway(n int) bool {
	waiting := 0
	for _, t := range segment.Types() {
		waiting += len(w.objects(string(t)))
	}
	return waiting == 0 && len(w.objects(dirProcessed)) == n
}

func TestBucketAwayForAWhile(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, os.Remove(w.bucket))
	w.write(4)
	edge, _ := start(t, w.edgeConfig())
	centre := t.TempDir()
	there, _ := start(t, w.centreConfig(centre))
	for _, h := range []*statusHost{edge, there} {
		eventually(t, "an error as status", func() bool {
			status, err := h.last()
			return status == componentstatus.StatusRecoverableError && err != nil && assert.ErrorContains(t, err, w.bucket)
		})
	}
	all, _, err := pending(w.edge, 0)
	require.NoError(t, err)
	require.Len(t, all, 4, "nothing is removed while the bucket is away")

	require.NoError(t, os.Mkdir(w.bucket, 0o750))
	eventually(t, "everything loaded", func() bool {
		w.ingest(centre)
		return len(w.loaded) == 4 && w.putAway(4)
	})
	for _, h := range []*statusHost{edge, there} {
		eventually(t, "ok as status", func() bool {
			status, _ := h.last()
			return status == componentstatus.StatusOK
		})
	}
	eventually(t, "the edge's folder empty", func() bool {
		all, young, err := pending(w.edge, 0)
		return err == nil && len(all)+young == 0
	})
	w.requireOnce(centre)
}

// TestShutdownUploadsTheLast: what the pipelines complete in their shutdown is uploaded before the process ends.
func TestShutdownUploadsTheLast(t *testing.T) {
	w := newWorld(t)
	cfg := w.edgeConfig()
	cfg.Upload.Get().PollInterval = time.Hour
	cfg.Upload.Get().ShutdownTimeout = time.Minute
	_, stop := start(t, cfg)
	w.write(4)
	stop()
	all, young, err := pending(w.edge, 0)
	require.NoError(t, err)
	require.Zero(t, len(all)+young)
	require.Len(t, w.objects("spans"), 1)
}

// TestOneCollectorAFolder: nobody loads here what is uploaded, and a second centre on a folder stands by until the first has ended.
func TestOneCollectorAFolder(t *testing.T) {
	w := newWorld(t)
	ingest := flock.New(filepath.Join(w.edge, ".ingest", "logs", "lock"))
	require.NoError(t, os.MkdirAll(filepath.Dir(ingest.Path()), 0o750))
	ok, err := ingest.TryLock()
	require.NoError(t, err)
	require.True(t, ok)
	e, err := NewFactory().Create(t.Context(), extensiontest.NewNopSettings(metadata.Type), w.edgeConfig())
	require.NoError(t, err)
	require.ErrorContains(t, e.Start(t.Context(), &statusHost{}), "in use by")
	require.NoError(t, e.Shutdown(t.Context()))
	require.NoError(t, ingest.Close())
	_, stopEdge := start(t, w.edgeConfig())
	ok, err = ingest.TryLock()
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, ingest.Close())

	centre := t.TempDir()
	_, stopFirst := start(t, w.centreConfig(centre))
	start(t, w.centreConfig(centre)) // stands by
	stopFirst()
	w.write(4)
	eventually(t, "the second took over", func() bool {
		w.ingest(centre)
		return len(w.loaded) == 4 && w.putAway(4)
	})
	stopEdge()
	w.requireOnce(centre)
}
