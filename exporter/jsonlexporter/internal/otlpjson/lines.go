// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

// lines collects the records of one destination (type and project) as newline-terminated documents:
//
//	{"resourceSpans":[ {"resource":…,"scopeSpans":[ {"scope":…,"spans":[ R,R ],"schemaUrl":…} ],"schemaUrl":…} ]}\n
//	└─ root            └─ header of level 0         └─ header of level 1  └─ suffix 1         └─ suffix 0        └─ end
//
// Metrics have a third level, the metric, around their data points. A record that would take a line above
// max starts a new line, which repeats the headers; so nothing is encoded twice and pdata is never copied.
type lines struct {
	buffer     // finished lines, then the one being built
	max    int // bytes of a line, newline included
	root   string

	levels  [3]level
	open    int // levels that enclose the next record
	written int // of those, how many stand in the current line already

	start  int // where the current line begins
	inLine int // records in the current line

	records  int
	splits   int // lines that were begun because the one before was full
	oversize int // records that are longer than max on their own
	repaired int // records, resources and scopes with replaced bytes
	scratch  []byte
}

type level struct {
	id             int // which container of the batch this is; -1 for none
	header, suffix []byte
}

const end = "]}\n"

func (l *lines) reset(root string, maxBytes int) {
	l.buf, l.damaged = l.buf[:0], false
	l.root, l.max = root, maxBytes
	l.open, l.written, l.start, l.inLine = 0, 0, 0, 0
	l.records, l.splits, l.oversize, l.repaired = 0, 0, 0, 0
	for i := range l.levels {
		l.levels[i].id = -1
	}
}

// enter makes container id the enclosing one at level i and reports whether it was not so yet; then the
// caller has to call define.
func (l *lines) enter(i, id int) bool {
	if l.open > i && l.levels[i].id == id {
		return false
	}
	for j := l.written - 1; j >= i; j-- {
		l.buf = append(l.buf, l.levels[j].suffix...)
		l.written = j
	}
	l.open = i + 1
	l.levels[i].id = id
	return true
}

// define encodes the header and the suffix of level i. The functions are called again with mark set if
// bytes had to be replaced.
func (l *lines) define(i int, header, suffix func(b *buffer, mark bool)) {
	out := l.buf
	lv := &l.levels[i]
	mark := false
	for {
		l.damaged = false
		l.buf = lv.header[:0]
		header(&l.buffer, mark)
		lv.header = l.buf
		l.buf = lv.suffix[:0]
		suffix(&l.buffer, mark)
		lv.suffix = l.buf
		if !l.damaged || mark {
			break
		}
		mark = true
		l.repaired++
	}
	l.damaged = false
	l.buf = out
}

// record appends one record, which encode writes. encode is called again with mark set if bytes had to be replaced.
func (l *lines) record(encode func(b *buffer, mark bool)) {
	before := len(l.buf)
	wasWritten := l.written
	l.headers()
	l.elem()
	from := len(l.buf)
	encode(&l.buffer, false)
	if l.damaged {
		l.repaired++
		l.buf = l.buf[:from]
		encode(&l.buffer, true)
		l.damaged = false
	}
	if l.lineBytes() > l.max && l.inLine > 0 {
		l.scratch = append(l.scratch[:0], l.buf[from:]...)
		l.buf, l.written = l.buf[:before], wasWritten
		l.endLine()
		l.splits++
		l.headers()
		l.buf = append(l.buf, l.scratch...)
	}
	l.inLine++
	l.records++
	if l.inLine == 1 && l.lineBytes() > l.max {
		l.oversize++
	}
}

// headers writes what encloses the next record and is not in the line yet.
func (l *lines) headers() {
	if len(l.buf) == l.start {
		l.raw(l.root)
	}
	for ; l.written < l.open; l.written++ {
		l.elem()
		l.buf = append(l.buf, l.levels[l.written].header...)
	}
}

// lineBytes is the length of the current line if it ended here.
func (l *lines) lineBytes() int {
	n := len(l.buf) - l.start + len(end)
	for i := range l.open {
		n += len(l.levels[i].suffix)
	}
	return n
}

func (l *lines) endLine() {
	if l.inLine == 0 {
		return
	}
	for j := l.written - 1; j >= 0; j-- {
		l.buf = append(l.buf, l.levels[j].suffix...)
	}
	l.raw(end)
	l.written, l.inLine, l.start = 0, 0, len(l.buf)
}
