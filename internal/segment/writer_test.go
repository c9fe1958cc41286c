// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tailrace/tailrace/internal/segment"
	"github.com/tailrace/tailrace/internal/segment/errorfs"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(envWriter) != "":
		runWriterProcess()
		return
	case os.Getenv(envFull) != "":
		runOnFullDisk()
		return
	}
	goleak.VerifyTestMain(m)
}

// options are slow enough that nothing rotates by time unless a test asks for it.
func options(dir string) segment.WriterOptions {
	return segment.WriterOptions{
		Dir:       dir,
		SyncEvery: time.Hour,
		Rotation:  segment.Rotation{MaxBytes: 10 << 20, MaxRecords: 1e6, MaxAge: time.Hour, Idle: time.Hour},
	}
}

func open(t testing.TB, o segment.WriterOptions) *segment.Writer {
	t.Helper()
	w, err := segment.OpenWriter(o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func part(project, line string) segment.Part {
	return segment.Part{Type: segment.Logs, Project: project, Data: []byte(line + "\n"), Records: strings.Count(line, "\n") + 1}
}

func add(t testing.TB, w *segment.Writer, parts ...segment.Part) {
	t.Helper()
	require.NoError(t, w.Append(context.Background(), parts))
}

// testTime is a time that is n milliseconds into a day.
func testTime(n int) time.Time {
	return time.Date(2026, 1, 1, 0, 0, 0, n*int(time.Millisecond), time.UTC)
}

// files returns the names (relative to dir) of all segments in a state, in order.
func files(t testing.TB, dir, suffix string) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if strings.HasSuffix(path, suffix) {
			rel, _ := filepath.Rel(dir, path)
			names = append(names, rel)
		}
		return nil
	}))
	slices.Sort(names)
	return names
}

// content returns the lines of all segments of a project's logs, in the order of their names.
func content(t testing.TB, dir, project string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(segment.Dir(dir, segment.Logs, project))
	require.NoError(t, err)
	for _, e := range entries {
		if _, ok := segment.Parse(e.Name()); !ok {
			continue
		}
		all = append(all, lines(t, filepath.Join(segment.Dir(dir, segment.Logs, project), e.Name()))...)
	}
	return all
}

func TestStatesOfASegment(t *testing.T) {
	dir := t.TempDir()
	w := open(t, options(dir))
	add(t, w, part("shop", `{"n":1}`))
	add(t, w, part("shop", `{"n":2}`), part("../../etc", `{"n":3}`))
	assert.Len(t, files(t, dir, segment.SuffixOpen), 2)
	assert.Empty(t, files(t, dir, segment.SuffixPending))
	assert.Equal(t, 2, w.Stats().OpenSegments)
	assert.Equal(t, []string{`{"n":1}`, `{"n":2}`}, content(t, dir, "shop"), "readable at once")

	require.NoError(t, w.Close())
	require.NoError(t, w.Close())
	assert.Empty(t, files(t, dir, segment.SuffixOpen))
	assert.Len(t, files(t, dir, segment.SuffixPending), 2)
	assert.Equal(t, []string{`{"n":3}`}, content(t, dir, "../../etc"))
	require.ErrorIs(t, w.Append(t.Context(), []segment.Part{part("shop", "x")}), segment.ErrClosed)
	for _, f := range files(t, dir, segment.SuffixPending) {
		assert.Equal(t, "logs", strings.Split(f, string(filepath.Separator))[0], "left its folder")
	}
}

func TestRotation(t *testing.T) {
	for name, tc := range map[string]struct {
		r       segment.Rotation
		appends int
		want    int // pending segments afterwards
	}{
		"bytes":       {segment.Rotation{MaxBytes: 100}, 10, 4}, // 26 bytes each: three a segment
		"records":     {segment.Rotation{MaxRecords: 4}, 10, 2}, // four a segment
		"one too big": {segment.Rotation{MaxBytes: 10}, 3, 2},   // never below one batch
		"age":         {segment.Rotation{MaxAge: time.Nanosecond}, 3, 3},
		"idle":        {segment.Rotation{Idle: 50 * time.Millisecond}, 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			o := options(dir)
			o.Rotation = tc.r
			w := open(t, o)
			for i := range tc.appends {
				add(t, w, part("p", fmt.Sprintf(`{"some":"record","n":%03d}`, i)))
			}
			if name == "bytes" {
				tc.want = 3
			}
			require.Eventually(t, func() bool { return len(files(t, dir, segment.SuffixPending)) >= tc.want }, 5*time.Second, 5*time.Millisecond)
			require.NoError(t, w.Close())
			lines := content(t, dir, "p")
			assert.Len(t, lines, tc.appends)
			assert.True(t, slices.IsSorted(lines), "names sort by time: %v", lines)
		})
	}
}

func TestNamesSortWhenTheClockGoesBack(t *testing.T) {
	dir := t.TempDir()
	folder := segment.Dir(dir, segment.Logs, "p")
	require.NoError(t, os.MkdirAll(folder, 0o750))
	future := segment.NewID(time.Now().Add(24 * time.Hour))
	require.NoError(t, os.WriteFile(filepath.Join(folder, future+segment.SuffixPending), []byte("{}\n"), 0o600))
	o := options(dir)
	o.Rotation.MaxRecords = 1
	w := open(t, o)
	for i := range 20 {
		add(t, w, part("p", fmt.Sprintf(`%02d`, i)))
	}
	require.NoError(t, w.Close())
	lines := content(t, dir, "p")
	require.Len(t, lines, 21)
	assert.Equal(t, "{}", lines[0], "later than what the last run left")
	assert.True(t, slices.IsSorted(lines[1:]))
}

func TestSecondWriterIsRefused(t *testing.T) {
	dir := t.TempDir()
	w := open(t, options(dir))
	_, err := segment.OpenWriter(options(dir))
	require.ErrorIs(t, err, segment.ErrLocked)
	assert.ErrorContains(t, err, dir)
	assert.ErrorContains(t, err, fmt.Sprint("process ", os.Getpid()))
	require.NoError(t, w.Close())
	open(t, options(dir))
}

func TestFolderThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := segment.OpenWriter(options(filepath.Join(file, "jsonl")))
	require.ErrorContains(t, err, filepath.Join(file, "jsonl"))
	require.ErrorContains(t, err, "choose another folder")

	for _, op := range []errorfs.Op{errorfs.Mkdir, errorfs.Open} {
		e := errorfs.Wrap(segment.OS())
		e.Inject(fail(op, syscall.EACCES))
		o := options(t.TempDir())
		o.FS = e
		_, err = segment.OpenWriter(o)
		require.ErrorIs(t, err, os.ErrPermission)
		require.ErrorContains(t, err, "choose another folder")
	}
}

func TestConcurrentAppends(t *testing.T) {
	for _, group := range []bool{false, true} {
		t.Run(fmt.Sprint("group=", group), func(t *testing.T) {
			dir := t.TempDir()
			e := errorfs.Wrap(segment.OS())
			o := options(dir)
			o.Group, o.FS = group, e
			o.Rotation.MaxRecords = 40
			o.MaxOpenFiles = 3
			w := open(t, o)
			const writers, rounds, projects = 8, 30, 7
			var wg sync.WaitGroup
			for g := range writers {
				wg.Go(func() {
					for i := range rounds {
						line := fmt.Sprintf(`{"g":%d,"i":%d}`, g, i)
						a, b := (g+i)%projects, (g+i+3)%projects
						assert.NoError(t, w.Append(t.Context(), []segment.Part{part(fmt.Sprint("p", a), line), part(fmt.Sprint("p", b), line)}))
					}
				})
			}
			wg.Wait()
			require.NoError(t, w.Close())
			seen := map[string]int{}
			for p := range projects {
				for _, l := range content(t, dir, fmt.Sprint("p", p)) {
					seen[l]++
				}
			}
			assert.Len(t, seen, writers*rounds)
			for l, n := range seen {
				assert.Equal(t, 2, n, l)
			}
			assert.Empty(t, files(t, dir, segment.SuffixOpen))
		})
	}
}

// One fsync serves all that wait: with a slow disk far fewer fsyncs than acknowledgements.
func TestGroupCommitSharesFsyncs(t *testing.T) {
	e := errorfs.Wrap(segment.OS())
	o := options(t.TempDir())
	o.Group, o.FS = true, slowSync{e}
	w := open(t, o)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 4 {
				assert.NoError(t, w.Append(t.Context(), []segment.Part{part("p", "x")}))
			}
		})
	}
	wg.Wait()
	assert.Less(t, e.Count(errorfs.Sync), 60, "200 acknowledgements")
	assert.GreaterOrEqual(t, e.Count(errorfs.Sync), 4)
}

// slowSync makes an fsync take as long as on a disk, so that callers meet.
type slowSync struct{ segment.FS }

func (s slowSync) OpenFile(name string, flag int, perm os.FileMode) (segment.File, error) {
	f, err := s.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return slowFile{f}, nil
}

func (s slowSync) Lock(f segment.File) error { return s.FS.Lock(f.(slowFile).File) }

type slowFile struct{ segment.File }

func (f slowFile) Sync() error {
	time.Sleep(5 * time.Millisecond)
	return f.File.Sync()
}

func TestManyProjectsFewDescriptors(t *testing.T) {
	dir := t.TempDir()
	o := options(dir)
	o.MaxOpenFiles = 16
	w := open(t, o)
	const projects = 1000
	for round := range 2 {
		for p := range projects {
			add(t, w, part(fmt.Sprint("p", p), fmt.Sprint(round)))
		}
	}
	s := w.Stats()
	assert.Equal(t, projects, s.OpenSegments)
	assert.LessOrEqual(t, s.OpenFiles, 16)
	// One batch for more projects than there may be files.
	var batch []segment.Part
	for p := range projects {
		batch = append(batch, part(fmt.Sprint("p", p), "batch"))
	}
	add(t, w, batch...)
	assert.LessOrEqual(t, w.Stats().OpenFiles, 16+32)
	require.NoError(t, w.Close())
	for p := range projects {
		require.Equal(t, []string{"0", "1", "batch"}, content(t, dir, fmt.Sprint("p", p)))
	}
}

func TestDiskBudget(t *testing.T) {
	dir := t.TempDir()
	o := options(dir)
	o.MaxDiskBytes = 1000
	health := make(chan error, 10)
	o.OnHealth = func(err error) { health <- err }
	w := open(t, o)
	line := strings.Repeat("x", 99)
	for range 10 {
		add(t, w, part("p", line))
	}
	err := w.Append(t.Context(), []segment.Part{part("p", line)})
	require.ErrorIs(t, err, segment.ErrFull)
	require.ErrorIs(t, <-health, segment.ErrFull)
	w.Flush()
	pending := files(t, dir, segment.SuffixPending)
	require.Len(t, pending, 1)
	processed := filepath.Join(segment.Dir(dir, segment.Logs, "p"), segment.DirProcessed)
	require.NoError(t, os.MkdirAll(processed, 0o750))
	require.NoError(t, os.Rename(filepath.Join(dir, pending[0]), filepath.Join(processed, filepath.Base(pending[0]))))
	// Heals without anybody sending.
	select {
	case err := <-health:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("did not heal")
	}
	add(t, w, part("p", line))
}

func fail(op errorfs.Op, err error) func(errorfs.Op, string) error {
	return func(o errorfs.Op, _ string) error {
		if o == op {
			return err
		}
		return nil
	}
}
