// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package columnar

import "sync"

// reusable is what a Pool keeps.
type reusable interface {
	Reset()
	size() int
}

// Pool keeps emptied blocks, so that their memory is used again. It belongs to one exporter, which has as many blocks in use as it
// has leases. Unlike a sync.Pool it says how much it holds, and what it holds is bounded: by the number of blocks and by
// the size of each. It is safe for concurrent use.
type Pool[B reusable] struct {
	make func() B
	most int

	mu   sync.Mutex
	free []B
	held int // bytes
}

// keepBytes is what an emptied block may hold: a batch of 20,000 spans of 1.2 KB has 24 MB. What a huge batch needed goes to the
// garbage collector.
const keepBytes = 64 << 20

// NewPool returns a pool that keeps at most so many blocks.
func NewPool[B reusable](most int, newBlock func() B) *Pool[B] {
	return &Pool[B]{make: newBlock, most: most}
}

// Get returns an empty block.
func (p *Pool[B]) Get() B {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		p.held -= b.size()
		return b
	}
	return p.make()
}

// Put empties a block and takes it back. The caller must not use it any more.
func (p *Pool[B]) Put(b B) {
	b.Reset()
	n := b.size()
	if n > keepBytes {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < p.most {
		p.free = append(p.free, b)
		p.held += n
	}
}

// Held is about how many bytes are kept for later.
func (p *Pool[B]) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}
