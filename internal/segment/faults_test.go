// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/segment"
	"github.com/tailrace/tailrace/internal/segment/errorfs"
)

func faulty(t *testing.T, o segment.WriterOptions) (*segment.Writer, *errorfs.FS) {
	e := errorfs.Wrap(segment.OS())
	o.FS = e
	return open(t, o), e
}

// A short write must not be joined by the next line, and what is whole stays.
func TestTornWriteIsCut(t *testing.T) {
	for name, truncateFails := range map[string]bool{"cut at once": false, "cut later": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w, e := faulty(t, options(dir))
			add(t, w, part("p", `{"n":1}`))
			e.Inject(func(op errorfs.Op, _ string) error {
				switch {
				case op == errorfs.Write:
					return errorfs.Short{N: 11, Err: syscall.ENOSPC}
				case op == errorfs.Truncate && truncateFails:
					return syscall.EIO
				}
				return nil
			})
			err := w.Append(t.Context(), []segment.Part{part("p", "{\"n\":2}\n{\"n\":3}")})
			require.ErrorIs(t, err, syscall.ENOSPC)
			e.Inject(nil)
			add(t, w, part("p", `{"n":4}`))
			require.NoError(t, w.Close())
			assert.Equal(t, []string{`{"n":1}`, `{"n":2}`, `{"n":4}`}, content(t, dir, "p"))
		})
	}
}

// A full disk is noticed before the first byte of a batch is written, so its repetition doubles nothing.
func TestNoSpaceIsNoticedBeforeWriting(t *testing.T) {
	dir := t.TempDir()
	w, e := faulty(t, options(dir))
	e.Inject(func(op errorfs.Op, path string) error {
		if op == errorfs.Reserve && strings.Contains(path, "p2") {
			return syscall.ENOSPC
		}
		return nil
	})
	batch := []segment.Part{part("p1", "a"), part("p2", "b"), part("p3", "c")}
	for range 3 {
		require.ErrorIs(t, w.Append(t.Context(), batch), syscall.ENOSPC)
	}
	e.Inject(nil)
	add(t, w, batch...)
	require.NoError(t, w.Close())
	for _, p := range []string{"p1", "p2", "p3"} {
		assert.Len(t, content(t, dir, p), 1)
	}
}

// Whatever fails once, at every operation in turn: the sender gets an error and repeats, nothing acknowledged is lost,
// nothing is torn, and nothing stays behind.
func TestEveryOperationFailsOnce(t *testing.T) {
	for _, group := range []bool{false, true} {
		for _, op := range errorfs.Ops() {
			t.Run(fmt.Sprint(op, group), func(t *testing.T) {
				for n := 1; n <= 8; n++ {
					dir := t.TempDir()
					o := options(dir)
					o.Group = group
					o.Rotation.MaxRecords = 3
					o.SyncEvery = time.Millisecond
					o.MaxOpenFiles = 1
					w, e := faulty(t, o)
					seen := 0
					e.Inject(func(got errorfs.Op, _ string) error {
						if got == op {
							if seen++; seen == n {
								return syscall.EIO
							}
						}
						return nil
					})
					want := map[string]bool{}
					for i := range 7 {
						line := fmt.Sprintf(`{"n":%d}`, i)
						want[line] = true
						parts := []segment.Part{part("p", line), part("q", line+"\n"+line)}
						for w.Append(t.Context(), parts) != nil {
						}
					}
					e.Inject(nil)
					require.NoError(t, w.Close())
					assert.Empty(t, files(t, dir, segment.SuffixOpen))
					assert.Empty(t, files(t, dir, ".tmp"))
					for _, p := range []string{"p", "q"} {
						got := map[string]bool{}
						for _, l := range content(t, dir, p) {
							got[l] = true
						}
						require.Equal(t, want, got, "%s failing at call %d", op, n)
					}
				}
			})
		}
	}
}

// After a failed fsync the same file says "fine" although the system has dropped its pages: it is never trusted again.
func TestFsyncErrorEndsTheSegment(t *testing.T) {
	for name, group := range map[string]bool{"write": false, "batch": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			o := options(dir)
			o.Group = group
			o.SyncEvery = 10 * time.Millisecond
			w, e := faulty(t, o)
			add(t, w, part("p", "1"))
			first := files(t, dir, segment.SuffixOpen)
			before, err := os.Stat(filepath.Join(dir, first[0]))
			require.NoError(t, err)
			failed := make(chan struct{}, 100)
			e.Inject(func(op errorfs.Op, path string) error {
				if op == errorfs.Sync && strings.HasSuffix(path, first[0]) {
					failed <- struct{}{}
					return syscall.EIO
				}
				return nil
			})
			err = w.Append(t.Context(), []segment.Part{part("p", "2")})
			if group {
				require.ErrorIs(t, err, syscall.EIO)
			} else {
				require.NoError(t, err, "acknowledged by the write alone")
			}
			<-failed
			pending := strings.TrimSuffix(first[0], segment.SuffixOpen) + segment.SuffixPending
			require.Eventually(t, func() bool { _, err := os.Stat(filepath.Join(dir, pending)); return err == nil }, 5*time.Second, time.Millisecond)
			after, err := os.Stat(filepath.Join(dir, pending))
			require.NoError(t, err)
			assert.False(t, os.SameFile(before, after), "published as a copy")
			add(t, w, part("p", "3"))
			require.NoError(t, w.Close())
			assert.Equal(t, []string{"1", "2", "3"}, content(t, dir, "p"))
		})
	}
}

func TestFolderDeletedUnderTheWriter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "jsonl")
	w := open(t, options(dir))
	add(t, w, part("p", "1"))
	require.NoError(t, os.RemoveAll(dir))
	require.ErrorIs(t, w.Append(t.Context(), []segment.Part{part("p", "2")}), segment.ErrRemoved, "a file without a name keeps nothing")
	add(t, w, part("p", "2"))
	assert.Equal(t, []string{"2"}, content(t, dir, "p"))
	// The lock comes back too.
	require.Eventually(t, func() bool {
		other, err := segment.OpenWriter(options(dir))
		if err == nil {
			_ = other.Close()
		}
		return errors.Is(err, segment.ErrLocked)
	}, 10*time.Second, 50*time.Millisecond)
	// Others find it taken a moment before the writer itself has noticed that it has it again.
	require.Eventually(t, func() bool {
		return w.Append(t.Context(), []segment.Part{part("p", "3")}) == nil
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, w.Close())
	assert.Empty(t, files(t, dir, segment.SuffixOpen))
}

func TestTooManyOpenFilesClosesIdleOnes(t *testing.T) {
	dir := t.TempDir()
	w, e := faulty(t, options(dir))
	for p := range 10 {
		add(t, w, part(fmt.Sprint("p", p), "1"))
	}
	e.Inject(func(op errorfs.Op, _ string) error {
		if op == errorfs.Open && w.Stats().OpenFiles > 5 {
			return syscall.EMFILE
		}
		return nil
	})
	for p := range 10 {
		add(t, w, part(fmt.Sprint("q", p), "1"))
	}
	assert.LessOrEqual(t, w.Stats().OpenFiles, 6)
}

// Health is told on change only, and heals without anybody sending.
func TestHealth(t *testing.T) {
	dir := t.TempDir()
	o := options(dir)
	health := make(chan error, 100)
	o.OnHealth = func(err error) { health <- err }
	w, e := faulty(t, o)
	e.Inject(func(op errorfs.Op, _ string) error {
		if op == errorfs.Write {
			return syscall.ENOSPC
		}
		return nil
	})
	for range 20 {
		require.ErrorIs(t, w.Append(t.Context(), []segment.Part{part("p", "1")}), syscall.ENOSPC)
	}
	require.ErrorIs(t, <-health, syscall.ENOSPC)
	assert.Empty(t, health)
	e.Inject(nil)
	select {
	case err := <-health:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("did not heal")
	}
	add(t, w, part("p", "1"))
	assert.Empty(t, health)
}

func TestSomebodyElseWritesIntoTheSegment(t *testing.T) {
	dir := t.TempDir()
	o := options(dir)
	o.MaxOpenFiles = 1
	w := open(t, o)
	add(t, w, part("p", "1"))
	add(t, w, part("q", "1")) // closes p's descriptor
	folder := segment.Dir(dir, segment.Logs, "p")
	f, err := os.OpenFile(filepath.Join(folder, files(t, folder, segment.SuffixOpen)[0]), os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = f.WriteString("torn")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Error(t, w.Append(t.Context(), []segment.Part{part("p", "2")}))
	add(t, w, part("p", "2"))
	require.NoError(t, w.Close())
	assert.Equal(t, []string{"1", "2"}, content(t, dir, "p"))
}
