// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/klauspost/compress/zstd"
)

// indexEvery is how far apart the places in a compressed file are that reading can begin at.
const indexEvery = 64 << 10

// Content is the lines of a segment's file, whatever its compression: offsets, and Size, count the bytes of the lines. Of a file
// that is still being written it shows what is whole: bytes behind the last whole zstd frame do not exist yet. Memory is
// bounded, whatever a frame claims to hold. Not safe for concurrent use.
type Content struct {
	file *watchedFile
	size int64 // of the content, up to its last whole frame

	zstd   bool
	behind int64   // the offset in the file behind the last whole frame
	index  []frame // where reading can begin, indexEvery apart
	resume frame   // where it can begin too: what was the end at the last Refresh
	broken error   // why there is nothing behind size

	dec    *zstd.Decoder
	pos    int64 // of the content, where dec stands; -1: nowhere
	decEnd int64 // of the file, where what dec reads ends
}

// NewContent returns the content of a file that is size bytes long. The file stays the caller's; Close only gives back memory.
// The error is the file's; damage is reported by ReadAt, when reading gets there.
func NewContent(file io.ReaderAt, size int64, compressed bool) (*Content, error) {
	c := &Content{file: &watchedFile{ReaderAt: file}, zstd: compressed, pos: -1}
	if err := c.Refresh(size); err != nil {
		return nil, err
	}
	return c, nil
}

// Size is how many bytes can be read.
func (c *Content) Size() int64 { return c.size }

// Whole is where the last whole frame ends in the file; what stands behind it is being written, torn, or damaged. Of an
// uncompressed file it is the file's size.
func (c *Content) Whole() int64 {
	if !c.zstd {
		return c.size
	}
	return c.behind
}

// Damage is why there is nothing behind Size although the file goes on, and not just with a frame that has not ended; nil when
// nothing is known of damage.
func (c *Content) Damage() error { return c.broken }

// Place returns where a reader that wants to go on at an offset of the content may begin: an offset in the file, and the offset of
// the content there, which is not above the given one. A Content of the file from there on need not pass over what is before.
func (c *Content) Place(off int64) (at, content int64) {
	switch {
	case !c.zstd:
		return off, off
	case off >= c.size:
		return c.behind, c.size
	}
	i := sort.Search(len(c.index), func(i int) bool { return c.index[i].content > off })
	return c.index[i-1].at, c.index[i-1].content
}

// Refresh takes in what was appended to the file, which is size bytes long now.
func (c *Content) Refresh(size int64) error {
	if !c.zstd {
		c.size = size
		return nil
	}
	c.resume = frame{c.behind, c.size}
	scan := &frameScanner{r: c.file, size: size}
	for c.broken == nil && c.behind < size {
		end, content, err := scan.next(c.behind)
		switch {
		case errors.Is(err, errTorn):
			return nil
		case errors.Is(err, ErrFrame):
			c.broken = err
			return nil
		case err != nil:
			return err
		}
		if content < 0 {
			if content, err = c.measure(c.behind, end); err != nil {
				if !errors.Is(err, ErrFrame) {
					return err
				}
				c.broken = err
				return nil
			}
		}
		if n := len(c.index); n == 0 || c.behind-c.index[n-1].at >= indexEvery {
			c.index = append(c.index, frame{c.behind, c.size})
		}
		c.behind = end
		c.size += content
	}
	return nil
}

// measure decompresses a frame that does not say how much it holds.
func (c *Content) measure(from, to int64) (int64, error) {
	if err := c.seek(frame{from, -1}, to); err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, c.dec)
	if err != nil {
		return 0, c.damaged(fmt.Errorf("frame at %d: %w", from, err))
	}
	c.pos = -1 // not at a known place of the content
	return n, nil
}

// seek makes dec begin at a frame and end at an offset of the file.
func (c *Content) seek(at frame, end int64) error {
	src := io.NewSectionReader(c.file, at.at, end-at.at)
	c.pos, c.decEnd = at.content, end
	if c.dec != nil {
		return c.dec.Reset(src)
	}
	dec, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	c.dec = dec
	return err
}

// ReadAt implements io.ReaderAt, fast when offsets ascend. io.EOF: nothing more is whole; ErrFrame: the file is damaged
// there, for good; any other error is the file's.
func (c *Content) ReadAt(p []byte, off int64) (int, error) {
	if !c.zstd {
		if off >= c.size {
			return 0, io.EOF
		}
		short := int64(len(p)) > c.size-off
		n, err := c.file.ReadAt(p[:min(int64(len(p)), c.size-off)], off)
		if err == nil && short {
			err = io.EOF
		}
		return n, err
	}
	n := 0
	for n < len(p) {
		if off+int64(n) >= c.size {
			if c.broken != nil {
				return n, c.broken
			}
			return n, io.EOF
		}
		got, err := c.read(p[n:min(int64(len(p)), c.size-off)], off+int64(n))
		n += got
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// read reads at least one byte at an offset below size.
func (c *Content) read(p []byte, off int64) (int, error) {
	i := sort.Search(len(c.index), func(i int) bool { return c.index[i].content > off })
	begin := c.index[i-1]
	if c.resume.content <= off && c.resume.content > begin.content {
		begin = c.resume
	}
	if c.pos < 0 || c.pos > off || c.pos < begin.content {
		if err := c.seek(begin, c.behind); err != nil {
			return 0, err
		}
	}
	if c.pos < off {
		n, err := io.CopyN(io.Discard, c.dec, off-c.pos)
		c.pos += n
		if err != nil {
			return 0, c.damaged(err)
		}
	}
	n, err := c.dec.Read(p)
	c.pos += int64(n)
	if n > 0 {
		return n, nil
	}
	if err == nil {
		return 0, nil
	}
	if errors.Is(err, io.EOF) && c.decEnd < c.behind {
		return 0, c.seek(begin, c.behind) // more was appended since dec began
	}
	return 0, c.damaged(err)
}

// damaged ends the decoder, so that the next attempt begins afresh. It tells the file's errors, which may pass, from what
// can't be decompressed.
func (c *Content) damaged(err error) error {
	at := c.pos
	c.pos = -1
	if failed := c.file.failed; failed != nil {
		c.file.failed = nil
		return failed
	}
	return fmt.Errorf("%w: cannot be decompressed behind offset %d: %w", ErrFrame, at, err)
}

// watchedFile remembers the file's own errors, which a decoder may report as its own.
type watchedFile struct {
	io.ReaderAt
	failed error
}

func (f *watchedFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.ReaderAt.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		f.failed = err
	}
	return n, err
}

// Close gives back memory.
func (c *Content) Close() {
	if c.dec != nil {
		c.dec.Close()
	}
}
