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

// turnBytes is how much of one project gets into a batch before the next project has its turn.
const turnBytes = 256 << 10

// Why a line is in failed/.
const (
	KindUnreadable = "unreadable" // it can't be decoded
	KindTooLong    = "too_long"   // it is above max_line_bytes
	KindRejected   = "rejected"   // the store is known to refuse this record of the line
	KindRefused    = "refused"    // the next consumer refused it for good
	KindChanged    = "changed"    // the file was changed after it had become part of a batch
)

// badLine is a line, or a record of it, for failed/.
type badLine struct {
	cut      int // index of the cut that it is from
	from, to int64
	kind     string
	reason   string
	line     []byte // nil: the bytes of the file from..to
	token    string // under which it was refused
}

// batch is decoded lines and where they are from.
type batch struct {
	data    Batch
	cuts    []Cut
	bad     []badLine
	records int
	bytes   int64
	lines   int64
	maxLine int
	first   time.Time // when its first line was read
}

// add decodes a line of the last cut.
func (b *batch) add(line segment.Line) {
	b.lines++
	b.bytes += line.To - line.From
	cut := len(b.cuts) - 1
	bad := badLine{cut: cut, from: line.From, to: line.To}
	if line.TooLong {
		bad.kind, bad.reason = KindTooLong, fmt.Sprintf("the line has %d bytes, max_line_bytes is %d", line.To-line.From, b.maxLine)
		b.bad = append(b.bad, bad)
		return
	}
	if len(bytes.TrimSpace(line.Bytes)) == 0 {
		return
	}
	added, err := b.data.Add(b.cuts[cut].File, line.Bytes)
	if err != nil {
		bad.kind, bad.reason = KindUnreadable, err.Error()
		b.bad = append(b.bad, bad)
		return
	}
	b.records += added.Records
	for _, r := range added.Rejected {
		bad.kind, bad.reason, bad.line = KindRejected, r.Reason, r.Line
		b.bad = append(b.bad, bad)
	}
}

// extend makes the line a part of the cuts: of the last one when it follows it.
func (b *batch) extend(k Key, line segment.Line) {
	if n := len(b.cuts); n == 0 || b.cuts[n-1].File != k || b.cuts[n-1].To != line.From {
		b.cuts = append(b.cuts, Cut{File: k, From: line.From})
	}
	c := &b.cuts[len(b.cuts)-1]
	c.To, c.Sum = line.To, fold(c.Sum, line.Sum)
}

// load makes the batch of a manifest again from the files. Cuts whose bytes are gone or not what they were
// are left out and returned: what is sent under a known token either arrived before, then the store drops it, or did
// not, then the rest arrives now; both are right for the rest.
func load(d disk, base string, m *Manifest, src Source) (*batch, []badLine, error) {
	b := &batch{data: src.NewBatch(), cuts: m.Cuts, maxLine: m.MaxLine}
	var changed []badLine
	for i, c := range m.Cuts {
		what, err := check(d, base, c, m.MaxLine)
		if err != nil {
			return nil, nil, err
		}
		if what != "" {
			changed = append(changed, badLine{cut: i, from: c.From, to: c.To, kind: KindChanged, reason: what})
			continue
		}
		// add books bad lines on the last cut; here the cuts are all there from the beginning.
		b.cuts = m.Cuts[:i+1]
		if err := eachLine(d, base, c, m.MaxLine, b.add); err != nil {
			return nil, nil, err
		}
	}
	b.cuts = m.Cuts
	return b, changed, nil
}

// check compares a cut with what is on the disk, and says what is different.
func check(d disk, base string, c Cut, maxLine int) (string, error) {
	var sum uint64
	end := c.From
	err := eachLine(d, base, c, maxLine, func(line segment.Line) { sum, end = fold(sum, line.Sum), line.To })
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "the file is gone", nil
	case errors.Is(err, segment.ErrFrame):
		return fmt.Sprintf("the file can't be decompressed any more behind byte %d of its lines", end), nil
	case err != nil:
		return "", err
	case end != c.To:
		return fmt.Sprintf("the file was %d bytes long when it became part of a batch, now %d", c.To, end), nil
	case sum != c.Sum:
		return "the bytes are not those that became part of a batch", nil
	}
	return "", nil
}

// eachLine calls f with the lines of a cut.
func eachLine(d disk, base string, c Cut, maxLine int, f func(segment.Line)) error {
	file, err := locate(d, base, c.File, true, place{}, nil)
	if err != nil {
		return err
	}
	defer file.Close()
	r := segment.NewReader(io.NewSectionReader(file, c.From, c.To-c.From), c.From, maxLine)
	r.Final = true // a cut ends at the end of a line
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f(line)
	}
}
