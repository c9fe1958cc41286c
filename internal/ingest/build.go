// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/tailrace/tailrace/internal/segment"
)

// settle is how long a batch waits for company after a time without data: what is written at once comes at once.
const settle = 10 * time.Millisecond

// builder reads what is readable into batches, and hands each to the sender when the sender is free and the
// batch is full or due. So a batch grows while the one before it is being sent. At most one batch is held here
// and one by the sender.
type builder struct {
	d     disk
	base  string
	src   Source
	cat   *catalog
	limit Limits
	held  *atomic.Int64 // see Engine
	out   chan *batch
	drain chan struct{} // closed: hand over at once, and end when nothing is readable any more
	quit  chan struct{} // closed: end at once
	onErr func(Key, error)
	kept  keptOpen
}

// keptOpen is a compressed file that is read turn by turn: a decoder can only begin at a frame, and a foreign file may be a single one.
// Without it, each turn would decompress again all that came before.
type keptOpen struct {
	key  Key
	c    *content
	r    *segment.Reader
	next int64 // the offset at which the reader stands
}

func (h *keptOpen) drop() {
	h.c.Close()
	*h = keptOpen{}
}

func (b *builder) run() {
	defer close(b.out)
	defer b.kept.drop()
	var cur *batch
	var last time.Time // when the last batch was handed over
	for {
		if cur == nil {
			cur = &batch{data: b.src.NewBatch(), maxLine: b.limit.MaxLineBytes}
		}
		more := b.fill(cur)

		var out chan *batch
		var timer <-chan time.Time
		draining := false
		select {
		case <-b.drain:
			draining = true
		default:
		}
		if len(cur.cuts) > 0 {
			due := cur.first.Add(settle)
			if next := last.Add(b.limit.MaxDelay); next.After(due) {
				due = next
			}
			if wait := time.Until(due); wait <= 0 || b.full(cur) || draining {
				out = b.out
			} else {
				timer = time.After(wait)
			}
		} else if draining && !more {
			return
		}
		wake, drain := b.cat.wake, b.drain
		if b.full(cur) {
			wake = nil // no room for more
		}
		if draining {
			drain = nil
		}
		select {
		case <-b.quit:
			return
		case out <- cur:
			cur, last = nil, time.Now()
		case <-wake:
		case <-timer:
		case <-drain:
		}
	}
}

// full reports whether the batch takes no more. After an outage every source has as much as it can hold, so what they hold together
// is bounded too; each still makes batches that are worth an insert.
func (b *builder) full(cur *batch) bool {
	most := int64(b.limit.MaxBytes)
	return cur.records >= b.limit.MaxRecords || cur.bytes >= most || (cur.bytes >= most/4 && b.held.Load() >= 3*most)
}

// fill reads on until the batch is full or nothing is readable, and reports whether something is left.
func (b *builder) fill(cur *batch) bool {
	for {
		if b.ended() {
			return false
		}
		if b.full(cur) {
			return true
		}
		t, ok := b.cat.next()
		if !ok {
			return false
		}
		// One turn may take many small files of the stream.
		for end := cur.bytes + turnBytes; ok && !b.ended(); {
			p, err := b.read(cur, t, end)
			if err != nil {
				if !errors.Is(err, os.ErrNotExist) { // gone in between: the watcher will say so
					b.onErr(t.key, err)
				}
				b.cat.failed(t, p.read, time.Now().Add(b.limit.PollInterval/2))
				break
			}
			if p.damage != "" {
				b.onErr(t.key, errors.New(p.damage))
			}
			t, ok = b.cat.took(t, p, !b.full(cur) && cur.bytes < end)
		}
	}
}

// ended reports whether quit is closed.
func (b *builder) ended() bool {
	select {
	case <-b.quit:
		return true
	default:
		return false
	}
}

// read takes whole lines of a file up to the batch's end, and returns how far it came.
func (b *builder) read(cur *batch, t turn, end int64) (p progress, err error) {
	p.read, p.searched = t.from, t.from
	if h := b.kept; h.key == t.key && h.next == t.from && h.c != nil && os.SameFile(h.c.info, t.info) {
		if done, err := b.take(cur, t, end, h.c, h.r, &p); err != nil || !done {
			return p, err
		}
		b.kept.drop()
		return p, nil
	}
	c, err := locate(b.d, b.base, t.key, false, t.mark, t.info)
	if err != nil {
		return p, err
	}
	if c.zstd == nil && t.searched > t.from && !t.final {
		// A long last line that is still growing: only what came since can hold its end.
		found, upTo, err := hasNewline(c, t.searched)
		if err != nil || !found {
			c.Close()
			p.searched = upTo
			return p, err
		}
	}
	if c.zstd == nil && c.size < t.size {
		c.Close()
		return p, fmt.Errorf("it had %d bytes and has %d", t.size, c.size)
	}
	r := segment.NewReader(io.NewSectionReader(c, t.from, max(c.size-t.from, 0)), t.from, b.limit.MaxLineBytes)
	r.Final = t.final
	done, err := b.take(cur, t, end, c, r, &p)
	if done || err != nil || c.zstd == nil {
		c.Close()
		return p, err
	}
	r.Final = false // more may be appended than it knows of
	b.kept.drop()
	b.kept = keptOpen{key: t.key, c: c, r: r, next: p.read}
	return p, nil
}

// take reads lines until the turn ends, and reports whether there are no more.
func (b *builder) take(cur *batch, t turn, end int64, c *content, r *segment.Reader, p *progress) (done bool, err error) {
	for !b.full(cur) && cur.bytes < end {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			p.searched, done = c.size, true
			break
		}
		if errors.Is(err, segment.ErrFrame) {
			p.damage, done = fmt.Sprintf("it can't be decompressed behind byte %d of its lines: %v", p.read, err), true
			break
		}
		if err != nil {
			p.searched = p.read
			b.kept.drop()
			return false, err
		}
		if len(cur.cuts) == 0 {
			cur.first = time.Now()
		}
		cur.extend(t.key, line)
		cur.add(line)
		b.held.Add(line.To - line.From)
		p.read = line.To
	}
	if !done {
		p.searched = p.read
	}
	if c.zstd == nil {
		return done, nil
	}
	if done && p.damage == "" && c.torn() && (t.final || c.zstd.Damage() != nil) {
		p.damage = fmt.Sprintf("what stands behind byte %d of its lines is not a whole zstd frame", c.size)
	}
	p.info, p.size, p.looked, p.mark = c.info, c.size, c.info.Size(), c.place(p.read)
	if !done && b.kept.c == c {
		b.kept.next = p.read
	}
	return done, nil
}

// hasNewline searches the file from an offset on, and returns how far it came.
func hasNewline(f io.ReaderAt, from int64) (bool, int64, error) {
	buf := make([]byte, 64<<10)
	for {
		n, err := f.ReadAt(buf, from)
		if bytes.IndexByte(buf[:n], '\n') >= 0 {
			return true, from, nil
		}
		from += int64(n)
		if errors.Is(err, io.EOF) {
			return false, from, nil
		}
		if err != nil {
			return false, from, err
		}
	}
}
