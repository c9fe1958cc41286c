// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/tailrace/tailrace/internal/segment"
)

// place is where reading of a compressed file can begin: an offset in the file, and the offset of its lines there.
type place struct{ at, lines int64 }

// content is the lines of a segment's file, whatever its compression: offsets count their bytes. Nil is what is gone.
type content struct {
	file *diskFile
	info fs.FileInfo
	size int64 // of the lines; of a file that is being written, of what is whole

	zstd *segment.Content // nil: not compressed
	from place            // where zstd begins
}

// locate opens a segment in whichever state it is, also a processed one when asked to. Of a compressed file that is still the given
// one, only what stands behind a place is looked at.
func locate(d disk, base string, k Key, processed bool, from place, known fs.FileInfo) (*content, error) {
	id := k.ID()
	dir := k.dir(base)
	names := make([]segment.Name, 0, 3*len(states))
	names = append(append(names, states...), states[:2]...) // it may be renamed right now
	var err error
	for i, state := range append(names, states[:2]...) {
		name := filepath.Join(dir, named(state, id))
		if i >= len(names) {
			if !processed {
				break
			}
			name = filepath.Join(dir, segment.DirProcessed, named(state, id))
		}
		var f *diskFile
		if f, err = d.open(name); err == nil {
			return newContent(f, state.Zstd, from, known)
		}
		if !os.IsNotExist(err) {
			return nil, err
		}
	}
	return nil, err
}

// newContent takes over the file.
func newContent(f *diskFile, compressed bool, from place, known fs.FileInfo) (*content, error) {
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	c := &content{file: f, info: info, size: info.Size()}
	if !compressed {
		return c, nil
	}
	if known != nil && os.SameFile(known, info) && from.at <= info.Size() {
		c.from = from
	}
	c.zstd, err = segment.NewContent(io.NewSectionReader(f, c.from.at, math.MaxInt64-c.from.at), info.Size()-c.from.at, true)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	c.size = c.from.lines + c.zstd.Size()
	return c, nil
}

// ReadAt implements io.ReaderAt. segment.ErrFrame: what stands there can't be decompressed.
func (c *content) ReadAt(p []byte, off int64) (int, error) {
	if c.zstd == nil {
		return c.file.ReadAt(p, off)
	}
	return c.zstd.ReadAt(p, off-c.from.lines)
}

// torn reports whether a compressed file ends within a frame.
func (c *content) torn() bool { return c.zstd != nil && c.from.at+c.zstd.Whole() != c.info.Size() }

// place is where a reader that goes on at an offset may begin.
func (c *content) place(off int64) place {
	at, lines := c.zstd.Place(off - c.from.lines)
	return place{c.from.at + at, c.from.lines + lines}
}

// Close gives back the file and memory.
func (c *content) Close() {
	if c == nil {
		return
	}
	if c.zstd != nil {
		c.zstd.Close()
	}
	_ = c.file.Close()
}
