// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/segment"
	"github.com/tailrace/tailrace/internal/segment/errorfs"
)

// scenario is a life of a writer: start on a folder with a torn segment, batches of several files, rotation, eviction of
// descriptors, shut-down, and a start after it. Every attempt has ids of its own. It returns what was acknowledged and
// how many file operations there were.
func scenario(t *testing.T, dir string, o segment.WriterOptions, fault func(call int64, op errorfs.Op) error) (acked map[string]bool, calls int64) {
	t.Helper()
	e := errorfs.Wrap(segment.OS())
	e.SkipSyncs()
	var n atomic.Int64
	e.Inject(func(op errorfs.Op, _ string) error { return fault(n.Add(1), op) })
	o.FS = e
	// What a killed writer leaves.
	left, suffix := []byte("old\ntorn"), segment.SuffixOpen
	if o.Zstd {
		whole, ends := frames(t, "old\n", "torn\n")
		left, suffix = whole[:ends[0]+5], segment.SuffixZstdOpen
	}
	folder := segment.Dir(dir, segment.Logs, "p")
	require.NoError(t, os.MkdirAll(folder, 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(folder, segment.NewID(testTime(0))+suffix), left, 0o600))

	start := func() *segment.Writer {
		for range 3 {
			if w, err := segment.OpenWriter(o); err == nil {
				return w
			}
		}
		t.Fatal("does not start although only one operation failed")
		return nil
	}
	acked = map[string]bool{"p old": true}
	attempt := 0
	w := start()
	for batch := range 9 {
		for tries := 0; ; tries++ {
			require.Less(t, tries, 5, "one failing operation must not stop everything")
			attempt++
			one, two := fmt.Sprintf("b%d-a%d-1", batch, attempt), fmt.Sprintf("b%d-a%d-2", batch, attempt)
			if w.Append(t.Context(), []segment.Part{part("p", one), part("q", one+"\n"+two)}) == nil {
				acked["p "+one], acked["q "+one], acked["q "+two] = true, true, true
				break
			}
		}
		if batch == 7 {
			w.Flush()
		}
	}
	_ = w.Close() // what could not be published is recovered
	w = start()
	_ = w.Close()
	return acked, n.Load()
}

// Every single file operation of a life fails once, with every error in turn: what was acknowledged is there exactly once,
// what was not at most once, nothing is torn and nothing stays behind.
func TestEveryCallFailsOnce(t *testing.T) {
	errs := []error{syscall.ENOSPC, syscall.EIO, syscall.EMFILE, syscall.EACCES, errorfs.Short{N: 4, Err: syscall.ENOSPC}}
	for m, mode := range []struct {
		name        string
		group, zstd bool
	}{{"write", false, false}, {"batch", true, false}, {"write zstd", false, true}, {"batch zstd", true, true}} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			o := options("")
			o.Group, o.Zstd = mode.group, mode.zstd
			if !mode.zstd {
				o.Rotation.MaxRecords = 8
			} // else enough small frames come together for compaction
			o.SyncEvery = time.Hour
			o.MaxOpenFiles = 1
			o.Dir = t.TempDir()
			_, calls := scenario(t, o.Dir, o, func(int64, errorfs.Op) error { return nil })
			require.Greater(t, calls, int64(50))
			for call := int64(1); call <= calls; call++ {
				for i, err := range errs {
					if i != int(call+int64(m))%len(errs) {
						continue // each call with one of them; its like, nearby and in the other modes, with the others
					}
					o.Dir = filepath.Join(t.TempDir(), "jsonl")
					var failed errorfs.Op
					acked, _ := scenario(t, o.Dir, o, func(n int64, op errorfs.Op) error {
						if n != call {
							return nil
						}
						failed = op
						return err
					})
					what := fmt.Sprintf("call %d (%s) failed with %v", call, failed, err)
					seen := map[string]int{}
					for _, p := range []string{"p", "q"} {
						for _, l := range content(t, o.Dir, p) {
							seen[p+" "+l]++
						}
					}
					for id := range acked {
						require.Equal(t, 1, seen[id], "%s: acknowledged %s", what, id)
					}
					for id, times := range seen {
						require.Equal(t, 1, times, "%s: %s", what, id)
					}
					if !strings.Contains(what, "(rename)") && !strings.Contains(what, "(remove)") {
						assert.Empty(t, files(t, o.Dir, ".tmp"), what)
					}
					assert.Empty(t, files(t, o.Dir, ".open"), what)
				}
			}
		})
	}
}

// At max_disk_bytes the oldest pending segments of all projects go first; open ones and what is loaded stay.
func TestDropOldest(t *testing.T) {
	dir := t.TempDir()
	o := options(dir)
	o.MaxDiskBytes = 1000
	o.DropOldest = true
	dropped := &drops{}
	o.Observer = dropped
	w := open(t, o)
	line := strings.Repeat("x", 90)
	for i := range 30 {
		add(t, w, part(fmt.Sprint("p", i%3), fmt.Sprintf("%09d%s", i, line)))
		w.Flush()
		nextMillisecond() // names count them
	}
	var left []string
	for p := range 3 {
		left = append(left, content(t, dir, fmt.Sprint("p", p))...)
	}
	assert.LessOrEqual(t, len(left), 10)
	assert.GreaterOrEqual(t, len(left), 8)
	for _, l := range left {
		assert.GreaterOrEqual(t, l[:9], fmt.Sprintf("%09d", 30-len(left)), "the newest are kept")
	}
	assert.EqualValues(t, 30-len(left), dropped.files.Load())
	assert.EqualValues(t, (30-len(left))*100, dropped.bytes.Load())

	// A batch that can never fit is refused for good, and nothing is dropped for it.
	err := w.Append(t.Context(), []segment.Part{part("p0", strings.Repeat("y", 2000))})
	require.ErrorIs(t, err, segment.ErrTooLarge)
	assert.EqualValues(t, 30-len(left), dropped.files.Load())

	// What is being written is never dropped.
	for range 6 {
		add(t, w, part("p9", line))
	}
	require.NoError(t, w.Append(t.Context(), []segment.Part{part("p9", strings.Repeat("z", 400))}))
	err = w.Append(t.Context(), []segment.Part{part("p9", line)})
	require.ErrorIs(t, err, segment.ErrFull)
}

func nextMillisecond() {
	for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; {
		runtime.Gosched()
	}
}

type drops struct {
	segment.Observer
	files, bytes atomic.Int64
}

func (*drops) Fsync(time.Duration, error) {}
func (*drops) Published(segment.Type)     {}
func (*drops) Recovered(segment.Type)     {}
func (*drops) WriteFailed(segment.Type)   {}
func (d *drops) Dropped(_ segment.Type, bytes int64) {
	d.files.Add(1)
	d.bytes.Add(bytes)
}

func TestOldestPending(t *testing.T) {
	dir := t.TempDir()
	w := open(t, options(dir))
	assert.True(t, w.Stats().Oldest.IsZero())
	before := time.Now().Truncate(time.Millisecond)
	add(t, w, part("p", "1"))
	require.NoError(t, w.Close())
	w = open(t, options(dir))
	oldest := w.Stats().Oldest
	assert.False(t, oldest.Before(before))
	assert.False(t, oldest.After(time.Now()))
}
