// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"errors"
	"time"
)

// errNotReading says that the folder is another process's, or that the engine has ended.
var errNotReading = errors.New("this process does not read the folder")

// settleEvery is how often Settle looks.
const settleEvery = 20 * time.Millisecond

// Settle waits until all whole lines of a signal that lay in the folder when it was called are answered by the next consumer
// (or their file was set aside), or until ctx ends. It never hastens anything.
func (e *Engine) Settle(ctx context.Context, signal string) error {
	w := e.worker(signal)
	e.mu.Lock()
	watch := e.watch
	e.mu.Unlock()
	if watch == nil || w == nil {
		return errNotReading
	}
	looked := make(chan struct{})
	select {
	case watch.asked <- looked:
	case <-watch.quit:
		return errNotReading
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-looked:
	case <-watch.quit:
		return errNotReading
	case <-ctx.Done():
		return ctx.Err()
	}
	left := w.cat.unanswered()
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for !w.cat.answered(left) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// unanswered are the files with lines that are not answered, and up to where.
func (c *catalog) unanswered() map[Key]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := map[Key]int64{}
	for k, f := range c.files {
		if f.present && f.bad == "" && (f.committed < f.size || f.unlooked()) {
			left[k] = f.size
		}
	}
	return left
}

// answered removes from left what is answered by now, and reports whether that was all. The size of a compressed file is
// known only when all of it was looked at; of an open file, a torn last line is not waited for.
func (c *catalog) answered(left map[Key]int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, size := range left {
		f := c.files[k]
		switch {
		case f == nil, !f.present, f.bad != "":
		case f.unlooked():
			left[k] = max(size, f.size)
			continue
		case f.committed >= size:
		case f.open && f.searched >= size && f.committed >= f.read: // what is left has no newline
		default:
			continue
		}
		delete(left, k)
	}
	return len(left) == 0
}
