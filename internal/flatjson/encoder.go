// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package flatjson

import (
	"github.com/tailrace/tailrace/internal/segment"
)

// keepBytes bounds what a pooled Encoder holds on to between two batches.
const keepBytes = 8 << 20

// Stats says what happened to a batch.
type Stats struct {
	Records    int // written: spans, log records, data points
	Splits     int // always 0: every record has a line of its own anyway
	Oversize   int // lines longer than the limit
	Repaired   int // records in which bytes were replaced
	Unfinished int // spans without an end time: left out, they belong to the live view only
}

// Encoder encodes one batch at a time. The Parts that it returned are valid until the next call.
// Not safe for concurrent use; keep Encoders in a sync.Pool.
type Encoder struct {
	maxLine int
	outs    []*out // [:used] belong to this batch
	used    int
	index   map[dest]*out
	parts   []segment.Part
	stats   Stats
}

type dest struct {
	t       segment.Type
	table   string
	project string
}

// out collects the lines of one destination.
type out struct {
	row
	dest    dest
	records int
	// shared is what all records of one resource and scope have in common, encoded once.
	shared        []byte
	sharedDamaged bool
	resource      int // which resource and scope of the batch shared belongs to; -1: none
	scope         int
}

// NewEncoder returns an Encoder that counts lines above maxLine bytes, newline included.
func NewEncoder(maxLine int) *Encoder {
	return &Encoder{maxLine: maxLine, index: map[dest]*out{}}
}

func (e *Encoder) begin() {
	clear(e.index)
	e.used, e.stats = 0, Stats{}
	held := 0
	for i, o := range e.outs {
		if held += cap(o.buf) + cap(o.shared); held > keepBytes {
			clear(e.outs[i:])
			e.outs = e.outs[:i]
			break
		}
	}
}

func (e *Encoder) to(t segment.Type, table, project string) *out {
	d := dest{t, table, project}
	if o, ok := e.index[d]; ok {
		return o
	}
	if e.used == len(e.outs) {
		e.outs = append(e.outs, &out{})
	}
	o := e.outs[e.used]
	e.used++
	o.buf, o.dest, o.records, o.resource, o.scope = o.buf[:0], d, 0, -1, -1
	e.index[d] = o
	return o
}

// share makes what encode appends the shared columns of the records that follow, unless they are already.
func (o *out) share(resource, scope int, encode func(r *row)) {
	if o.resource == resource && o.scope == scope {
		return
	}
	o.resource, o.scope = resource, scope
	r := row{buf: append(o.shared[:0], '{'), sorted: o.sorted}
	encode(&r)
	o.shared, o.sharedDamaged = r.buf, r.damaged
}

// record appends a line. encode is called again with mark set if bytes had to be replaced.
func (o *out) record(e *Encoder, encode func(r *row, mark bool)) {
	from := len(o.buf)
	o.damaged = o.sharedDamaged
	for mark := false; ; mark = true {
		o.buf = append(o.buf[:from], '{')
		encode(&o.row, mark)
		if mark || !o.damaged {
			break
		}
		e.stats.Repaired++
	}
	o.buf = append(o.buf, '}', '\n')
	o.records++
	if len(o.buf)-from > e.maxLine {
		e.stats.Oversize++
	}
}

// common appends the shared columns.
func (o *out) common() {
	o.key("")
	o.buf = append(o.buf, o.shared[1:]...)
}

func (e *Encoder) finish() ([]segment.Part, Stats) {
	clear(e.parts)
	e.parts = e.parts[:0]
	for _, o := range e.outs[:e.used] {
		clear(o.sorted[:cap(o.sorted)]) // it refers to the batch
		e.stats.Records += o.records
		e.parts = append(e.parts, segment.Part{
			Type: o.dest.t, Table: o.dest.table, Project: o.dest.project, Data: o.buf, Records: o.records,
		})
	}
	return e.parts, e.stats
}
