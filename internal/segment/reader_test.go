// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func readAll(t testing.TB, r *Reader) []Line {
	t.Helper()
	var lines []Line
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		require.NoError(t, err)
		line.Bytes = bytes.Clone(line.Bytes)
		lines = append(lines, line)
	}
}

func TestReaderReturnsWholeLinesOnly(t *testing.T) {
	lines := readAll(t, NewReader(strings.NewReader("one\n\ntwo\ntor"), 100, 10))
	require.Len(t, lines, 3)
	assert.Equal(t, Line{From: 100, To: 104, Bytes: []byte("one"), Sum: xxhash.Sum64String("one")}, lines[0])
	assert.Equal(t, []int64{104, 105}, []int64{lines[1].From, lines[1].To})
	assert.Equal(t, []int64{105, 109}, []int64{lines[2].From, lines[2].To})
}

func TestReaderFinalReturnsTheLastLineWithoutNewline(t *testing.T) {
	r := NewReader(strings.NewReader("one\ntwo"), 0, 10)
	r.Final = true
	lines := readAll(t, r)
	require.Len(t, lines, 2)
	assert.Equal(t, "two", string(lines[1].Bytes))
	assert.EqualValues(t, 7, lines[1].To)
}

func TestReaderPassesOverLongLinesInConstantMemory(t *testing.T) {
	long := strings.Repeat("x", 8<<20)
	r := NewReader(strings.NewReader("a\n"+long+"\nb\n"+long), 0, 1000)
	lines := readAll(t, r)
	require.Len(t, lines, 3)
	assert.True(t, lines[1].TooLong)
	assert.Nil(t, lines[1].Bytes)
	assert.Equal(t, xxhash.Sum64String(long), lines[1].Sum)
	assert.EqualValues(t, 2+len(long)+1, lines[1].To)
	assert.Equal(t, "b", string(lines[2].Bytes))
	assert.LessOrEqual(t, len(r.arr), 4*readBuffer)
}

func TestReaderReturnsTheErrorOfItsSource(t *testing.T) {
	broken := errors.New("broken disk")
	r := NewReader(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), 0, 10)
	_, err := r.Next()
	require.NoError(t, err)
	_, err = r.Next()
	require.ErrorIs(t, err, broken)
}

// FuzzReader holds the reader, over any content, limit and chunking, to the plain definition: split at newlines.
func FuzzReader(f *testing.F) {
	f.Add([]byte("a\nbb\n\nccc"), uint16(2), byte(1), true)
	f.Add([]byte("\n\n"), uint16(0), byte(3), false)
	f.Fuzz(func(t *testing.T, data []byte, limit uint16, chunk byte, final bool) {
		r := NewReader(&chunked{data: data, n: int(chunk)%7 + 1}, 5, int(limit))
		r.Final = final
		got := readAll(t, r)
		want := bytes.SplitAfter(data, []byte("\n"))
		if last := want[len(want)-1]; !final || len(last) == 0 {
			want = want[:len(want)-1]
		}
		require.Len(t, got, len(want))
		off := int64(5)
		for i, raw := range want {
			text := bytes.TrimSuffix(raw, []byte("\n"))
			assert.Equal(t, off, got[i].From)
			off += int64(len(raw))
			assert.Equal(t, off, got[i].To)
			assert.Equal(t, xxhash.Sum64(text), got[i].Sum)
			assert.Equal(t, len(text) > int(limit), got[i].TooLong)
			if !got[i].TooLong {
				assert.Equal(t, string(text), string(got[i].Bytes))
			}
		}
	})
}

// chunked returns at most n bytes a read.
type chunked struct {
	data []byte
	n    int
}

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(c.n, len(p))], c.data)
	c.data = c.data[n:]
	return n, nil
}

func BenchmarkReader(b *testing.B) {
	data := bytes.Repeat(append(bytes.Repeat([]byte("x"), 1023), '\n'), 4096)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(bytes.NewReader(data), 0, 1<<20)
		for {
			if _, err := r.Next(); err != nil {
				break
			}
		}
	}
}
