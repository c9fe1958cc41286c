// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package otlpjson encodes pdata as OTLP/JSON lines: one document a line, split by project, by type and by
// length, in one pass over the batch and without copying or changing it.
//
// For valid input the bytes are those of pdata's own marshalers (a differential test holds it to that). What those
// write through although readers refuse it (bytes that are no UTF-8, values nested without end) is replaced and
// marked with the attribute AttrRepaired.
package otlpjson

import (
	"github.com/tailrace/tailrace/internal/segment"
)

// keepBytes bounds what a pooled Encoder holds on to between two batches.
const keepBytes = 8 << 20

// Stats says what happened to a batch.
type Stats struct {
	Records    int // written: spans, log records, data points
	Splits     int // lines begun because the one before was full
	Oversize   int // records longer than the limit on their own, each in a line of its own
	Repaired   int // records, resources and scopes in which bytes were replaced
	Unfinished int // spans without an end time: left out, they belong to the live view only
}

// Encoder encodes one batch at a time. The Parts that it returned are valid until the next call.
// Not safe for concurrent use; keep Encoders in a sync.Pool.
type Encoder struct {
	maxLine int
	lines   []*lines // [:used] belong to this batch
	used    int
	index   map[dest]*lines
	dests   []dest
	parts   []segment.Part
	stats   Stats
}

type dest struct {
	t       segment.Type
	project string
}

// NewEncoder returns an Encoder that ends lines before maxLine bytes, newline included.
func NewEncoder(maxLine int) *Encoder {
	return &Encoder{maxLine: maxLine, index: map[dest]*lines{}}
}

func (e *Encoder) begin() {
	clear(e.index)
	e.used, e.stats = 0, Stats{}
	e.dests = e.dests[:0]
	held := 0
	for i, l := range e.lines {
		held += cap(l.buf) + cap(l.scratch)
		if held > keepBytes {
			clear(e.lines[i:])
			e.lines = e.lines[:i]
			break
		}
	}
}

// to returns the lines of a destination. Segments hold documents of one kind, so root depends on the type alone.
func (e *Encoder) to(t segment.Type, project, root string) *lines {
	d := dest{t, project}
	if l, ok := e.index[d]; ok {
		return l
	}
	if e.used == len(e.lines) {
		e.lines = append(e.lines, &lines{})
	}
	l := e.lines[e.used]
	e.used++
	l.reset(root, e.maxLine)
	e.index[d] = l
	e.dests = append(e.dests, d)
	return l
}

// finish ends the last lines and returns what there is to write.
func (e *Encoder) finish() ([]segment.Part, Stats) {
	clear(e.parts)
	e.parts = e.parts[:0]
	for i, l := range e.lines[:e.used] {
		l.endLine()
		e.stats.Splits += l.splits
		e.stats.Oversize += l.oversize
		e.stats.Repaired += l.repaired
		e.stats.Records += l.records
		if l.records > 0 {
			e.parts = append(e.parts, segment.Part{Type: e.dests[i].t, Project: e.dests[i].project, Data: l.buf, Records: l.records})
		}
	}
	return e.parts, e.stats
}
