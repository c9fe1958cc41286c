// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"context"
	"maps"
	"slices"

	"github.com/tailrace/tailrace/internal/access"
)

// page reads the next page, or finds out that there is none. It holds no lock while it reads.
func (f *fill) page(h *Hub, req *Request, caller *access.Caller) *filledPage {
	if !f.begun {
		f.begun = true
		wait := fillSettle
		if f.newest > 0 && !f.older {
			wait = fillSettleNewest
		}
		ctx, cancel := context.WithTimeout(f.ctx, wait)
		if err := h.fills.settle(ctx, h.opts.History, f.taken); err != nil {
			f.problem = "it is not sure that everything has been stored yet: " + err.Error()
		} else if h.opts.Peers != nil {
			f.problem = "it is not sure that what came in at other collectors has been stored yet"
		}
		cancel()
	}
	f.scan(h, req.Channel, caller)
	var found []stored
	if f.newest > 0 {
		found = f.readNewest(h, req, caller)
	} else {
		found = f.readOldest(h, req, caller)
	}
	if f.unseen && f.older { // it may have been sent from the rings
		found, f.problem = nil, "records came faster than the store could be read"
	}
	p := &filledPage{blocks: encodeStored(h, found)}
	if !slices.ContainsFunc(f.signals, func(s *fillSignal) bool { return !s.done || len(s.waiting) > 0 }) {
		p.done = f.result(f.problem)
		// What the rings held they may have lost before it is read, and then another fill has to bring it.
		maps.DeleteFunc(f.known, func(_ uint64, stored bool) bool { return !stored })
	}
	return p
}

// readOldest reads the oldest that are left, in the order of their times.
func (f *fill) readOldest(h *Hub, req *Request, caller *access.Caller) (found []stored) {
	for len(found) < fillPage {
		var first *fillSignal
		for _, s := range f.signals {
			if len(s.waiting) == 0 && !s.done {
				f.read(h, req, caller, s)
			}
			switch {
			case len(s.waiting) > 0:
				if first == nil || s.waiting[0].rec.UnixNano() < first.waiting[0].rec.UnixNano() {
					first = s
				}
			case !s.done: // it goes on with the next page
				return found
			}
		}
		if first == nil {
			break
		}
		found = append(found, first.waiting[0])
		first.waiting = first.waiting[1:]
	}
	return found
}

// readNewest reads all that is wanted at once, since what is read last is to be shown first.
func (f *fill) readNewest(h *Hub, req *Request, caller *access.Caller) (found []stored) {
	for _, s := range f.signals {
		for !s.done && len(s.waiting) < f.newest {
			f.read(h, req, caller, s)
		}
		s.done = true
		found = append(found, s.waiting[:min(f.newest, len(s.waiting))]...)
		s.waiting = nil
	}
	slices.SortStableFunc(found, func(a, b stored) int { return int(min(max(a.rec.UnixNano()-b.rec.UnixNano(), -1), 1)) })
	more := max(0, len(found)-f.newest)
	for _, e := range found[:more] {
		delete(f.known, e.rec.identity(h, e.src.Project))
	}
	return found[more:]
}

// read reads one page of a signal.
func (f *fill) read(h *Hub, req *Request, caller *access.Caller, s *fillSignal) {
	stop := func(problem string) {
		s.done, f.problem = true, problem
	}
	if s.read >= fillRecords {
		stop("there is more than is filled in at once")
		return
	}
	select {
	case h.fills.readers <- struct{}{}:
	case <-f.ctx.Done():
		stop("it took too long")
		return
	}
	page, err := h.opts.History.Read(f.ctx, HistoryQuery{
		Signal: s.signal, Channel: req.Channel, Filter: req.Filter, Caller: caller, From: f.from, To: f.to,
		Newest: f.newest > 0, Cursor: s.cursor, Limit: fillPage,
	})
	<-h.fills.readers
	switch {
	case f.ctx.Err() != nil:
		stop("it took too long")
		return
	case err != nil:
		stop("ClickHouse can't be asked: " + err.Error())
		return
	}
	s.cursor, s.done = page.Next, page.Next == ""
	b := &Batch{limit: h.opts.MaxRecord, seed: h.seed}
	if s.signal == SignalSpan {
		b.AddSpans(page.Spans)
	} else {
		b.AddLogs(page.Logs)
	}
	s.read += max(len(b.recs), 1)
	f.scan(h, req.Channel, caller) // what arrives later can only be in the page if it is stored before it is seen here
	filter := req.Filter.ofStored()
	for i, g := range b.groups {
		to := len(b.recs)
		if i+1 < len(b.groups) {
			to = b.groups[i+1].from
		}
		for i := range b.recs[g.from:to] {
			rec := b.record(&b.recs[g.from+i])
			if !caller.MayRead(g.source.Project) || !req.Channel.hasRecord(g.source, rec) || !filter.Match(&g.source, rec) || !f.isNew(h, g.source, rec) {
				continue
			}
			s.waiting = append(s.waiting, stored{g.source, rec})
		}
	}
}

// scan notes what the rings hold of a channel, since that was sent, or will come from there. It also notes whether something came and was
// lost again since the last time.
func (f *fill) scan(h *Hub, ch Channel, caller *access.Caller) {
	type piece struct {
		src Source
		buf []byte
	}
	var pieces []piece
	first := f.known == nil
	if first {
		f.known = map[uint64]bool{}
	}
	h.mu.Lock()
	upTo := h.seq
	f.unseen = f.unseen || !first && h.forgotten > f.scanned
	for _, r := range h.rings {
		if r.lastSeq <= f.scanned || r.source.Signal == SignalMetric || !ch.has(r.source) || !caller.MayRead(r.source.Project) {
			continue
		}
		f.unseen = f.unseen || !first && r.lost() > f.scanned
		for c, off := r.oldest(); c != nil; c, off = c.next, 0 {
			if c.lastSeq > f.scanned {
				pieces = append(pieces, piece{r.source, c.buf[off:]})
			}
		}
	}
	h.mu.Unlock()
	for _, p := range pieces { // safe without the lock while scanning is counted (Hub.keep)
		for b := p.buf; len(b) > 0; {
			rec := Record(b[:recordLen(b)])
			b = b[len(rec):]
			if key := rec.identity(h, p.src.Project); key != 0 && rec.Seq() > f.scanned && !f.known[key] {
				f.known[key] = false // there, and not from the history
			}
		}
	}
	f.scanned = upTo
}

func (f *fill) isNew(h *Hub, src Source, rec Record) bool {
	key := rec.identity(h, src.Project)
	if key == 0 {
		return true
	}
	_, known := f.known[key]
	if !known {
		f.known[key] = true
	}
	return !known
}

// encodeStored makes blocks of records of the history. They have no place in the sequence.
func encodeStored(h *Hub, records []stored) (blocks []*Block) {
	var encoded []byte
	for _, e := range records {
		encoded = h.opts.AppendRecord(encoded[:0], e.src, e.rec)
		if len(blocks) == 0 || blocks[len(blocks)-1].full(len(encoded)) {
			blocks = append(blocks, &Block{})
		}
		blocks[len(blocks)-1].add(encoded, e.rec)
	}
	return blocks
}
