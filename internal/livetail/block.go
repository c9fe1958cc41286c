// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"slices"
	"sync"
)

// Severities counts records by level: index 0 those without one, then trace, debug, info, warn, error and fatal. A span
// that failed counts as error, every other record that is no log as without level.
type Severities [7]uint64

// severityClass is the index of a record in Severities.
func (r Record) severityClass() int {
	switch r.Signal() {
	case SignalLog, SignalScore:
		if n := r.level(); n > 0 {
			return min((n-1)/4, 5) + 1
		}
	case SignalSpan:
		if r.Status() == 2 {
			return 5
		}
	}
	return 0
}

func (s *Severities) add(o *Severities) {
	for i := range s {
		s[i] += o[i]
	}
}

func (s *Severities) sum() (n uint64) {
	for _, of := range s {
		n += of
	}
	return n
}

// Bounds of one block: what a client gets, or loses, at a time.
const (
	blockBytes   = 64 << 10
	blockRecords = 512
)

// Block is a run of encoded records, made once and shared by all subscriptions of a view: read only. Body holds the
// records as JSON objects, separated by commas.
type Block struct {
	Body []byte
	// Ends are the ends of the records in Body.
	Ends []uint32

	deflated sync.Once // guards packed
	packed   []byte

	seqs     []uint64
	classes  []uint8 // severityClass of each record
	severity Severities
	at       int64  // when everything up to last had arrived, Unix milliseconds; 0: not known
	last     uint64 // the block covers up to it
	filtered uint64 // the view's count when the block ended
	dropped  uint64 // sampled out of the range
	lost     Severities
}

// Records is the number of records.
func (b *Block) Records() int { return len(b.Ends) }

// Record is one of the records.
func (b *Block) Record(i int) []byte {
	from := uint32(0)
	if i > 0 {
		from = b.Ends[i-1] + 1
	}
	return b.Body[from:b.Ends[i]]
}

// Seq is the sequence number of one of the records.
func (b *Block) Seq(i int) uint64 { return b.seqs[i] }

// Deflated returns what pack makes of Body, which it is asked for only once. Safe for concurrent use.
func (b *Block) Deflated(pack func([]byte) []byte) []byte {
	b.deflated.Do(func() { b.packed = pack(b.Body) })
	return b.packed
}

// size is what the block counts for in a queue.
func (b *Block) size() int { return len(b.Body) + 12*len(b.Ends) + 256 }

func (b *Block) add(encoded []byte, rec Record) {
	if len(b.Body) > 0 {
		b.Body = append(b.Body, ',')
	}
	b.Body = append(b.Body, encoded...)
	b.Ends = append(b.Ends, uint32(len(b.Body)))
	b.seqs = append(b.seqs, rec.Seq())
	class := rec.severityClass()
	b.classes = append(b.classes, uint8(class))
	b.severity[class]++
}

func (b *Block) full(next int) bool {
	return len(b.Ends) > 0 && (len(b.Ends) >= blockRecords || len(b.Body)+next > blockBytes)
}

// after is the part of the block above a sequence number.
func (b *Block) after(seq uint64) *Block {
	i, _ := slices.BinarySearch(b.seqs, seq+1)
	if i == 0 {
		return b
	}
	part := &Block{last: b.last, filtered: b.filtered, at: b.at}
	if i == len(b.seqs) {
		return part
	}
	from := b.Ends[i-1] + 1
	part.Body, part.seqs, part.classes = b.Body[from:], b.seqs[i:], b.classes[i:]
	for j := i; j < len(b.seqs); j++ {
		part.Ends = append(part.Ends, b.Ends[j]-from)
		part.severity[b.classes[j]]++
	}
	return part
}
