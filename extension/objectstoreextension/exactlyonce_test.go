// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package objectstoreextension

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/segment"
)

// TestKillPoints kills edge and centre at every point of the way, with everything that may become of a segment behind it.
func TestKillPoints(t *testing.T) {
	for _, after := range []string{afterMove, afterDelete} {
		for _, deletes := range []bool{false, true} {
			for _, point := range []string{pointUploaded, pointReady, pointClaimed, pointKnown, pointHanded, pointCopied} {
				t.Run(fmt.Sprintf("%s/ingest_deletes_%t/%s", after, deletes, point), func(t *testing.T) {
					if point == pointCopied && after == afterDelete {
						return // what is deleted is not copied
					}
					w := newWorld(t)
					w.afterLoad, w.deletes = after, deletes
					centre := t.TempDir()
					w.write(12)
					killed := 0
					for nth := 1; nth <= 3; nth++ {
						_, err := w.upload(killing(point, nth))
						if errors.Is(err, errKilled) {
							killed++
						}
						for range 2 {
							_, err = w.pass(w.centre(centre, killing(point, nth)))
							if errors.Is(err, errKilled) {
								killed++
							}
							w.ingest(centre)
						}
					}
					require.NotZero(t, killed, "nobody came to this point")
					w.settle(centre)
					w.requireOnce(centre)
				})
			}
		}
	}
}

// settle lets new processes work until nothing is left to be done.
func (w *world) settle(centres ...string) {
	w.t.Helper()
	left, err := w.upload(never)
	require.NoError(w.t, err)
	require.Zero(w.t, left)
	for _, centre := range centres {
		d := w.centre(centre, never)
		for range 4 {
			_, err := w.pass(d)
			require.NoError(w.t, err)
			w.ingest(centre)
		}
	}
}

// TestUploadedAgainAfterLoading: an edge that was killed between the upload and letting go of its file uploads again when all is long
// loaded and gone from the bucket, and from the folder of the centre as well.
func TestUploadedAgainAfterLoading(t *testing.T) {
	for _, after := range []string{afterMove, afterDelete} {
		t.Run(after, func(t *testing.T) {
			w := newWorld(t)
			w.afterLoad, w.deletes = after, true
			centre := t.TempDir()
			w.write(8)
			_, err := w.upload(killing(pointUploaded, 1))
			require.ErrorIs(t, err, errKilled)
			d := w.centre(centre, never)
			for range 3 {
				_, err := w.pass(d)
				require.NoError(t, err)
				w.ingest(centre)
			}
			require.NotEmpty(t, w.loaded)
			w.settle(centre) // the edge uploads again
			w.requireOnce(centre)
			if after == afterMove {
				require.Len(t, w.objects(dirProcessed), 8)
			} else {
				require.Empty(t, w.objects(dirProcessed))
			}
			require.Len(t, w.objects(dirClaims), 8)
		})
	}
}

// TestUploadedAgainBeforeLoading: the object is there already, and stays as it is.
func TestUploadedAgainBeforeLoading(t *testing.T) {
	w := newWorld(t)
	w.write(8)
	_, err := w.upload(killing(pointUploaded, 1))
	require.ErrorIs(t, err, errKilled)
	times := map[string]time.Time{}
	for _, key := range w.objects("") {
		info, err := os.Stat(filepath.Join(w.bucket, "p", key))
		require.NoError(t, err)
		times[key] = info.ModTime()
	}
	require.NotEmpty(t, times)
	left, err := w.upload(never)
	require.NoError(t, err)
	require.Zero(t, left)
	all, young, err := pending(w.edge, 0)
	require.NoError(t, err)
	require.Zero(t, len(all)+young)
	for key, at := range times {
		info, err := os.Stat(filepath.Join(w.bucket, "p", key))
		require.NoError(t, err)
		require.Equal(t, at, info.ModTime(), "%s was written again", key)
	}
	require.Len(t, w.objects(""), 8)
}

// TestCentresShareABucket: several centres with folders of their own, which are killed and come back.
func TestCentresShareABucket(t *testing.T) {
	w := newWorld(t)
	w.deletes = true
	centres := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	for round := range uint64(8) {
		w.write(20)
		_, _ = w.upload(sometimes(round))
		var wg sync.WaitGroup
		for i, centre := range centres {
			d := w.centre(centre, sometimes(100*round+uint64(i)))
			b := w.open(d.cfg)
			wg.Go(func() {
				_, _ = d.pass(t.Context(), b, newAttempts())
				w.ingest(centre)
			})
		}
		wg.Wait()
	}
	w.settle(centres...)
	w.requireOnce(centres...)
	some := 0
	for _, centre := range centres {
		if dirs, _ := filepath.Glob(filepath.Join(centre, "*", "*")); len(dirs) > 0 {
			some++
		}
	}
	require.Greater(t, some, 1, "one centre did everything, so nothing was shared")
}

// TestTakenByAnotherWhileDown: what a centre had downloaded and not claimed when it was killed, another one loads; coming back it lets go.
func TestTakenByAnotherWhileDown(t *testing.T) {
	w := newWorld(t)
	w.deletes = true
	w.afterLoad = afterDelete
	first, second := t.TempDir(), t.TempDir()
	w.write(4)
	_, err := w.upload(never)
	require.NoError(t, err)
	_, err = w.pass(w.centre(first, killing(pointReady, 1)))
	require.ErrorIs(t, err, errKilled)
	ready, err := filepath.Glob(filepath.Join(first, "*", "*", "*"+suffixReady))
	require.NoError(t, err)
	require.NotEmpty(t, ready)
	w.settle(second, first)
	w.requireOnce(first, second)
}

// TestTheSameSegmentCompressed: a segment was loaded, and an object of its id with another compression comes. It is kept for a human.
func TestTheSameSegmentCompressed(t *testing.T) {
	w := newWorld(t)
	w.deletes = true
	centre := t.TempDir()
	w.write(1)
	w.settle(centre)
	for key := range w.written {
		r, ok := parseKey(key)
		require.True(t, ok)
		r.name.Zstd = !r.name.Zstd
		name := r.file(filepath.Join(w.bucket, "p"))
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o750))
		require.NoError(t, os.WriteFile(name, []byte("{}\n"), 0o600))
		w.settle(centre)
		require.Equal(t, []string{filepath.Join(dirFailed, r.key())}, w.objects(dirFailed))
	}
	w.requireOnce(centre)
}

// TestFailedSegments: an object whose segment clickhouse_ingest put into failed/ as a whole goes to failed/ too.
func TestFailedSegments(t *testing.T) {
	w := newWorld(t)
	w.afterLoad = afterDelete
	centre := t.TempDir()
	w.write(1)
	_, err := w.upload(never)
	require.NoError(t, err)
	d := w.centre(centre, never)
	_, err = w.pass(d)
	require.NoError(t, err)
	for key := range w.written {
		r, _ := parseKey(key)
		name := r.file(centre)
		_, err := makeDirs(filepath.Dir(name), segment.DirFailed)
		require.NoError(t, err)
		require.NoError(t, os.Rename(name, filepath.Join(filepath.Dir(name), segment.DirFailed, filepath.Base(name))))
	}
	for range 2 {
		_, err = w.pass(d)
		require.NoError(t, err)
	}
	require.Len(t, w.objects(dirFailed), 1)
}
