// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/segment"
	"github.com/tailrace/tailrace/internal/segment/errorfs"
)

func compressed(dir string) segment.WriterOptions {
	o := options(dir)
	o.Zstd = true
	return o
}

// lines reads a file of either compression through Content.
func lines(t testing.TB, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	n, ok := segment.Parse(path)
	require.True(t, ok, path)
	c, err := segment.NewContent(f, info.Size(), n.Zstd)
	require.NoError(t, err)
	defer c.Close()
	data := make([]byte, c.Size())
	got, err := c.ReadAt(data, 0)
	require.NoError(t, err, "%s at %d", path, got)
	if len(data) == 0 {
		return nil
	}
	require.True(t, bytes.HasSuffix(data, []byte("\n")), "%s has a torn line", path)
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

func frames(t testing.TB, texts ...string) (out []byte, ends []int) {
	enc, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	defer enc.Close()
	for _, text := range texts {
		out = enc.EncodeAll([]byte(text), out)
		ends = append(ends, len(out))
	}
	return out, ends
}

// What is written compressed is what the zstd tool reads, and what Content reads, while it is written and afterwards.
func TestCompressedSegment(t *testing.T) {
	dir := t.TempDir()
	w := open(t, compressed(dir))
	var want []string
	for i := range 100 {
		line := fmt.Sprintf(`{"n":%d,"text":"the same in every line, so that it compresses well when the lines are together"}`, i)
		want = append(want, line)
		add(t, w, part("p", line))
	}
	folder := segment.Dir(dir, segment.Logs, "p")
	openFile := files(t, folder, segment.SuffixZstdOpen)
	require.Len(t, openFile, 1)
	assert.Equal(t, want, lines(t, filepath.Join(folder, openFile[0])))
	small, err := os.Stat(filepath.Join(folder, openFile[0]))
	require.NoError(t, err)
	require.NoError(t, w.Close())

	done := files(t, folder, segment.SuffixZstd)
	require.Len(t, done, 1)
	path := filepath.Join(folder, done[0])
	assert.Equal(t, want, lines(t, path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Less(t, info.Size(), small.Size()/4, "small frames are put together when the segment is complete")
	assert.Empty(t, files(t, dir, ".open"))
	assert.Empty(t, files(t, dir, ".tmp"))

	out, err := exec.Command("zstd", "-dc", path).Output()
	require.NoError(t, err, "the zstd tool is needed: apt-get install zstd")
	assert.Equal(t, strings.Join(want, "\n")+"\n", string(out))
}

func TestRecoveryOfCompressedSegments(t *testing.T) {
	dir := t.TempDir()
	folder := segment.Dir(dir, segment.Logs, "p")
	require.NoError(t, os.MkdirAll(folder, 0o750))
	data, ends := frames(t, "1\n", strings.Repeat("2", 300)+"\n", "3\n")
	for cut := range len(data) + 1 {
		path := filepath.Join(folder, segment.NewID(testTime(cut))+segment.SuffixZstdOpen)
		require.NoError(t, os.WriteFile(path, data[:cut], 0o600))
		// A power failure leaves zeros where the length had been written and the data had not.
		path = filepath.Join(folder, segment.NewID(testTime(cut+1000))+segment.SuffixZstdOpen)
		require.NoError(t, os.WriteFile(path, append(bytes.Clone(data[:cut]), make([]byte, 40)...), 0o600))
	}
	w := open(t, compressed(dir))
	require.NoError(t, w.Close())
	assert.Empty(t, files(t, dir, ".open"))
	want := map[int]int{} // size → files
	for cut := range len(data) + 1 {
		size := 0
		for _, end := range ends {
			if end <= cut {
				size = end
			}
		}
		if size > 0 {
			want[size]++
		}
	}
	got := map[int]int{}
	for _, name := range files(t, folder, segment.SuffixZstd) {
		n, _ := segment.Parse(name)
		info, err := os.Stat(filepath.Join(folder, name))
		require.NoError(t, err)
		lines(t, filepath.Join(folder, name))
		if strings.HasPrefix(n.ID, "20260101T000000") {
			got[int(info.Size())]++
		}
	}
	assert.Equal(t, want, got)
}

// What is damaged in the middle is not cut: whole frames may follow that were acknowledged.
func TestRecoveryKeepsADamagedSegment(t *testing.T) {
	dir := t.TempDir()
	folder := segment.Dir(dir, segment.Logs, "p")
	require.NoError(t, os.MkdirAll(folder, 0o750))
	data, ends := frames(t, "1\n", "2\n", "3\n")
	data[ends[0]] ^= 0xFF
	require.NoError(t, os.WriteFile(filepath.Join(folder, segment.NewID(testTime(0))+segment.SuffixZstdOpen), data, 0o600))
	require.NoError(t, open(t, compressed(dir)).Close())
	names := files(t, folder, segment.SuffixZstd)
	require.Len(t, names, 1)
	kept, err := os.ReadFile(filepath.Join(folder, names[0]))
	require.NoError(t, err)
	assert.Equal(t, data, kept)
}

// A short write leaves half a frame, which is cut off, at once or before publication.
func TestTornFrameIsCut(t *testing.T) {
	for name, truncateFails := range map[string]bool{"cut at once": false, "cut later": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w, e := faulty(t, compressed(dir))
			add(t, w, part("p", "1"))
			e.Inject(func(op errorfs.Op, _ string) error {
				switch {
				case op == errorfs.Write:
					return errorfs.Short{N: 9, Err: syscall.ENOSPC}
				case op == errorfs.Truncate && truncateFails:
					return syscall.EIO
				}
				return nil
			})
			require.ErrorIs(t, w.Append(t.Context(), []segment.Part{part("p", "2\n3")}), syscall.ENOSPC)
			e.Inject(nil)
			add(t, w, part("p", "4"))
			require.NoError(t, w.Close())
			assert.Equal(t, []string{"1", "4"}, content(t, dir, "p"))
		})
	}
}

// growing is a file that is written while it is read.
type growing struct{ data []byte }

func (g *growing) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(g.data)) {
		return 0, io.EOF
	}
	n := copy(p, g.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// A follower sees whole frames only, in order, from wherever it begins, however the file grows, with and without the
// content's size in the frames.
func TestContentFollowsAGrowingFile(t *testing.T) {
	var want, file []byte
	sized, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	defer sized.Close()
	for i := range 400 {
		text := fmt.Appendf(nil, "line %d %s\n", i, strings.Repeat(fmt.Sprint(rand.Int()), rand.IntN(200)))
		want = append(want, text...)
		switch i % 5 {
		case 3: // as from a pipe
			var b bytes.Buffer
			enc, err := zstd.NewWriter(&b)
			require.NoError(t, err)
			_, err = enc.Write(text)
			require.NoError(t, err)
			require.NoError(t, enc.Flush())
			require.NoError(t, enc.Close())
			file = append(file, b.Bytes()...)
		case 4: // skippable, and an empty frame
			file = append(file, 0x53, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3)
			file = sized.EncodeAll(nil, file)
			file = sized.EncodeAll(text, file)
		default:
			file = sized.EncodeAll(text, file)
		}
	}
	g := &growing{}
	c, err := segment.NewContent(g, 0, true)
	require.NoError(t, err)
	defer c.Close()
	var got []byte
	for len(g.data) < len(file) {
		g.data = file[:min(len(file), len(g.data)+1+rand.IntN(3000))]
		require.NoError(t, c.Refresh(int64(len(g.data))))
		require.LessOrEqual(t, c.Size(), int64(len(want)))
		if rand.IntN(3) == 0 {
			continue // nobody reads now
		}
		for int64(len(got)) < c.Size() {
			buf := make([]byte, 1+rand.IntN(1000))
			n, err := c.ReadAt(buf, int64(len(got)))
			if err != nil {
				require.ErrorIs(t, err, io.EOF)
				require.Equal(t, c.Size(), int64(len(got)+n))
			}
			got = append(got, buf[:n]...)
		}
	}
	n := len(got)
	rest := make([]byte, int64(len(want)-n))
	_, err = c.ReadAt(rest, int64(n))
	require.NoError(t, err)
	require.Equal(t, want, append(got, rest...))
	for range 200 { // anywhere
		off := rand.Int64N(c.Size())
		buf := make([]byte, rand.Int64N(min(c.Size()-off, 5000)+1))
		n, err := c.ReadAt(buf, off)
		require.NoError(t, err)
		require.Equal(t, want[off:off+int64(n)], buf)
	}
	_, err = c.ReadAt(make([]byte, 1), c.Size())
	require.ErrorIs(t, err, io.EOF)

	r := segment.NewReader(io.NewSectionReader(c, 0, c.Size()), 0, 1<<20)
	for i := range 400 {
		line, err := r.Next()
		require.NoError(t, err)
		require.True(t, bytes.HasPrefix(line.Bytes, fmt.Appendf(nil, "line %d ", i)))
	}
}

// What is damaged is told where it is; what stands before it can be read.
func TestDamagedContent(t *testing.T) {
	good, ends := frames(t, "one\n", strings.Repeat("two ", 100)+"\n", "three\n")
	whole := 4 + 401 + 6
	for i := range good {
		for _, flip := range []byte{0x01, 0x80, 0xFF} {
			data := bytes.Clone(good)
			data[i] ^= flip
			c, err := segment.NewContent(bytes.NewReader(data), int64(len(data)), true)
			require.NoError(t, err)
			buf := make([]byte, whole+10)
			n, err := c.ReadAt(buf, 0)
			require.Error(t, err)
			if !errors.Is(err, io.EOF) {
				require.ErrorIs(t, err, segment.ErrFrame)
			}
			if i >= ends[0] {
				require.GreaterOrEqual(t, n, 4)
				require.Equal(t, "one\n", string(buf[:4]))
			}
			if errors.Is(err, io.EOF) {
				// Only what looks as if it went on (or a checksum that was switched off) can't be told from a file that still grows.
				require.LessOrEqual(t, n, whole)
			}
			c.Close()
		}
	}
	for name, data := range map[string][]byte{
		"text": []byte("{\"a\":1}\n"), "gzip": {0x1f, 0x8b, 8, 0, 0, 0}, "zeros": make([]byte, 100),
	} {
		c, err := segment.NewContent(bytes.NewReader(data), int64(len(data)), true)
		require.NoError(t, err, name)
		_, err = c.ReadAt(make([]byte, 1), 0)
		require.ErrorIs(t, err, segment.ErrFrame, name)
		c.Close()
	}
}

func FuzzContent(f *testing.F) {
	good, _ := frames(f, "one\n", strings.Repeat("two ", 100)+"\n")
	f.Add(good)
	f.Add(append([]byte{0x50, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, 7}, good...))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := segment.NewContent(bytes.NewReader(data), int64(len(data)), true)
		require.NoError(t, err)
		defer c.Close()
		buf := make([]byte, 1000)
		n, err := c.ReadAt(buf, 0)
		if err == nil {
			require.Equal(t, len(buf), n)
		}
		again := make([]byte, n)
		_, err = c.ReadAt(again, 0)
		if err == nil {
			require.Equal(t, buf[:n], again)
		}
	})
}

// Two tables of one project are two files; compaction and rotation don't mix them up.
func TestTablesHaveFilesOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	w := open(t, compressed(dir))
	for i := range 20 {
		for _, table := range []string{"gauge", "sum", ""} {
			p := part("p", fmt.Sprintf("%s %d", table, i))
			p.Type, p.Table = segment.Metrics, table
			require.NoError(t, w.Append(context.Background(), []segment.Part{p}))
		}
	}
	require.NoError(t, w.Close())
	folder := segment.Dir(dir, segment.Metrics, "p")
	seen := map[string]int{}
	for _, name := range files(t, folder, segment.SuffixZstd) {
		n, ok := segment.Parse(name)
		require.True(t, ok)
		for _, l := range lines(t, filepath.Join(folder, name)) {
			require.True(t, strings.HasPrefix(l, n.Table+" "), "%s in %s", l, name)
			seen[n.Table]++
		}
	}
	assert.Equal(t, map[string]int{"gauge": 20, "sum": 20, "": 20}, seen)
}
