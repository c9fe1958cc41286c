// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/tailrace/tailrace/internal/segment"
)

// settle is how long a batch waits for company after a time without data: what is written at once comes at once.
const settle = 10 * time.Millisecond

// builder reads what is readable into batches, and hands each to the sender when the sender is free and the
// batch is full or due. So a batch grows while the one before it is being sent. At most one batch is held here
// and one by the sender.
type builder struct {
	base  string
	src   Source
	cat   *catalog
	limit Limits
	out   chan *batch
	drain chan struct{} // closed: hand over at once, and end when nothing is readable any more
	quit  chan struct{} // closed: end at once
	onErr func(Key, error)
}

func (b *builder) run() {
	defer close(b.out)
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

func (b *builder) full(cur *batch) bool {
	return cur.records >= b.limit.MaxRecords || cur.bytes >= int64(b.limit.MaxBytes)
}

// fill reads on until the batch is full or nothing is readable, and reports whether something is left.
func (b *builder) fill(cur *batch) bool {
	for {
		select {
		case <-b.quit:
			return false
		default:
		}
		if b.full(cur) {
			return true
		}
		t, ok := b.cat.next()
		if !ok {
			return false
		}
		// One turn may take many small files of the stream.
		for end := cur.bytes + turnBytes; ok; {
			read, searched, err := b.read(cur, t, end)
			if err != nil {
				if !errors.Is(err, os.ErrNotExist) { // gone in between: the watcher will say so
					b.onErr(t.key, err)
				}
				b.cat.failed(t, read, time.Now().Add(b.limit.PollInterval/2))
				break
			}
			t, ok = b.cat.took(t, read, searched, !b.full(cur) && cur.bytes < end)
		}
	}
}

// read takes whole lines of a file up to the batch's end, and returns how far it took them and how far it looked.
func (b *builder) read(cur *batch, t turn, end int64) (read, searched int64, err error) {
	f, err := locate(b.base, t.key, false)
	if err != nil {
		return t.from, t.from, err
	}
	defer f.Close()
	if t.searched > t.from && !t.final {
		// A long last line that is still growing: only what came since can hold its end.
		found, upTo, err := hasNewline(f, t.searched)
		if err != nil || !found {
			return t.from, upTo, err
		}
	}
	info, err := f.Stat()
	if err != nil {
		return t.from, t.from, err
	}
	if info.Size() < t.size {
		return t.from, t.from, fmt.Errorf("it had %d bytes and has %d", t.size, info.Size())
	}
	r := segment.NewReader(io.NewSectionReader(f, t.from, info.Size()-t.from), t.from, b.limit.MaxLineBytes)
	r.Final = t.final
	read = t.from
	for !b.full(cur) && cur.bytes < end {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return read, info.Size(), nil
		}
		if err != nil {
			return read, read, err
		}
		if len(cur.cuts) == 0 {
			cur.first = time.Now()
		}
		cur.extend(t.key, line)
		cur.add(line)
		read = line.To
	}
	return read, read, nil
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
