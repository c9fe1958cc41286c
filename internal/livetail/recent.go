// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

// recent remembers the newest keys, so that what a sender repeats is shown once. It holds two generations of up to
// size keys; when the young one is full, the old one is forgotten. So at least the newest size keys are known, at
// most twice as many, in at most 2 × 2 × 8 × size bytes, which are taken only as they are needed.
//
// Keys are 64-bit hashes under a random seed: that a record is taken for another one has a chance of 10^-13, and
// nobody outside can choose colliding ones. Not safe for concurrent use.
type recent struct {
	size  int
	young keySet
	old   keySet
}

func newRecent(size int) recent { return recent{size: size} }

// add reports whether key is new, and remembers it.
func (r *recent) add(key uint64) bool {
	if key == 0 {
		key = 1 // 0 marks an empty slot
	}
	if r.old.has(key) || !r.young.add(key) {
		return false
	}
	if r.young.n >= r.size {
		r.old, r.young = r.young, r.old.cleared()
	}
	return true
}

// has reports whether key is remembered.
func (r *recent) has(key uint64) bool {
	if key == 0 {
		key = 1
	}
	return r.old.has(key) || r.young.has(key)
}

// keySet is an open-addressing hash set, at most half full.
type keySet struct {
	slots []uint64
	n     int
}

func (s *keySet) has(key uint64) bool {
	if s.n == 0 {
		return false
	}
	mask := uint64(len(s.slots) - 1)
	for i := key & mask; ; i = (i + 1) & mask {
		switch s.slots[i] {
		case key:
			return true
		case 0:
			return false
		}
	}
}

func (s *keySet) add(key uint64) bool {
	if 2*(s.n+1) > len(s.slots) {
		s.grow()
	}
	mask := uint64(len(s.slots) - 1)
	for i := key & mask; ; i = (i + 1) & mask {
		switch s.slots[i] {
		case key:
			return false
		case 0:
			s.slots[i] = key
			s.n++
			return true
		}
	}
}

// cleared is an empty set in the memory of s, so that it need not grow again.
func (s *keySet) cleared() keySet {
	clear(s.slots)
	return keySet{slots: s.slots}
}

func (s *keySet) grow() {
	old := s.slots
	s.slots = make([]uint64, max(1024, 2*len(old)))
	s.n = 0
	for _, key := range old {
		if key != 0 {
			s.add(key)
		}
	}
}
