// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/segment"
)

// States of a part.
const (
	partSplit   = "split"   // it is sent as its two halves from now on
	partStored  = "stored"  // the next consumer accepted it
	partRefused = "refused" // it goes to failed/
)

// allTables stands for a whole unit, which is split into one part for each table.
const allTables = "*"

// part is a range of records of a unit that is taken apart, counted among those that go to one table. A journal's
// record of it freezes what is sent under which token.
type part struct {
	Seq    uint64 `json:"seq"`
	Unit   int    `json:"unit"`
	Table  string `json:"table,omitempty"`
	From   int    `json:"from"`
	To     int    `json:"to"`
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
	Token  string `json:"token,omitempty"` // of a refused one
}

// same reports whether two records are about the same part.
func (p *part) same(q *part) bool {
	return p.Unit == q.Unit && p.Table == q.Table && p.From == q.From && p.To == q.To
}

// token is the unit's own for all records of a table: what of them arrived with the whole unit is known under it.
// That some other table refused its records does not matter, each table knows tokens for itself.
func (p *part) token(unit string, records int) string {
	if p.From == 0 && p.To == records {
		return unit
	}
	return unit + "/" + p.Table + strconv.Itoa(p.From) + "-" + strconv.Itoa(p.To)
}

// refusedParts lists the parts of a unit that go to failed/.
func (s *snapshot) refusedParts(unit int) (parts []*part) {
	for _, p := range s.Parts {
		if p.Unit == unit && p.State == partRefused {
			parts = append(parts, p)
		}
	}
	return parts
}

// apart is a unit that is being taken apart: halved until the record that the store refuses stands alone.
type apart struct {
	w     *worker
	m     *Manifest
	unit  int
	token string
	data  Splitter
	whole Unit // never sent, only copied from
	sizes map[string]int
	known map[part]*part // what the journal says, by identity

	queue    []part
	alone    []suspect       // records that failed alone, to be tried again
	passed   map[string]bool // tables that something of the unit was stored in: they work
	ask      bool            // parts may have been written although they were refused
	rounds   int
	doubtful bool
}

type suspect struct {
	part
	tries int
	err   error
}

// takeApart settles a unit that is refused again and again. It ends when each of its records is stored or, alone, marked as
// refused. What is sent under which token is in the journal before.
func (w *worker) takeApart(ctx context.Context, m *Manifest, unit int, token string, why error, class Class) bool {
	a := &apart{w: w, m: m, unit: unit, token: token, ask: class != Refused, doubtful: class == Doubtful, known: map[part]*part{}, passed: map[string]bool{}}
	if !w.retry("taking a batch apart", a.load) {
		return false
	}
	if why != nil {
		w.log.Warn("a batch is refused again and again: it is taken apart, to find the records that are refused", zap.String("token", token), zap.Error(why))
		w.opts.Observer.Trouble(w.src.Signal, "apart")
		w.ill("apart", fmt.Errorf("a batch is refused again and again, it is taken apart to find the records: %w", why))
	}
	w.apart = true
	defer func() { w.apart = false }()
	for {
		for len(a.queue) > 0 {
			p := a.queue[0]
			a.queue = a.queue[1:]
			if !a.settle(ctx, p) {
				return false
			}
		}
		if len(a.alone) == 0 {
			break
		}
		if !a.judge() {
			return false
		}
	}
	if refused := w.journal.state.refusedParts(unit); len(refused) > 0 {
		// The decisions are durable before anything of them is visible in failed/.
		if !w.retry("recording refusals", w.journal.sync) {
			return false
		}
		w.log.Error("records are refused, they go to failed/; the rest of their batch is stored", zap.Int("records", len(refused)),
			zap.String("token", token), zap.String("first_reason", refused[0].Reason))
	}
	w.apart = false
	w.well("taking a batch apart")
	return true
}

// load makes the unit again from the files, and continues where an earlier run was killed.
func (a *apart) load() error {
	b, _, err := load(a.w.opts.disk(), a.w.opts.Path, a.m, a.w.src)
	if err != nil {
		return err
	}
	units, err := b.data.Units(a.m.Plan)
	if err != nil {
		return err
	}
	var ok bool
	if a.data, ok = b.data.(Splitter); !ok || units[a.unit] == nil {
		return errors.New("the batch can't be taken apart")
	}
	a.whole = units[a.unit]
	tables, err := a.data.Tables(a.whole)
	if err != nil {
		return err
	}
	root := part{Seq: a.m.Seq, Unit: a.unit, Table: allTables, To: a.whole.Records(), State: partSplit}
	state := &a.w.journal.state
	begun := false
	for _, p := range state.Parts {
		if p.Unit != a.unit {
			continue
		}
		if p.Table == allTables {
			if begun = p.same(&root); !begun {
				return fmt.Errorf("a segment was changed while a batch with a part of it was being taken apart: it had %d records and has %d, so which "+
					"of them are stored can't be told; restore the segment", p.To, root.To)
			}
			a.ask = a.ask || a.w.src.Missing != nil // how it was refused is not known any more
		}
		a.known[p.identity()] = p
	}
	if !begun {
		if err := a.w.journal.commit(entry{Part: &root}); err != nil {
			return err
		}
		a.w.hook(PointSplit)
	}
	a.sizes = map[string]int{}
	for _, t := range tables {
		a.sizes[t.Name] = t.Records
		a.queue = append(a.queue, part{Seq: a.m.Seq, Unit: a.unit, Table: t.Name, To: t.Records})
	}
	return nil
}

func (p part) identity() part {
	p.State, p.Reason, p.Token = "", "", ""
	return p
}

// settle sends a part once, and halves it when it is refused.
func (a *apart) settle(ctx context.Context, p part) bool {
	tries := 0
	if i := slices.IndexFunc(a.alone, func(s suspect) bool { return s.same(&p) }); i >= 0 {
		tries = a.alone[i].tries
		a.alone = slices.Delete(a.alone, i, i+1)
	}
	if known := a.known[p.identity()]; known != nil {
		switch known.State {
		case partSplit:
			a.halve(p)
		case partStored:
			a.passed[p.Table] = true
		}
		return true
	}
	var failed error
	var class Class
	ok := a.w.retry("sending a part of a batch", func() error {
		u, err := a.data.Slice(a.whole, p.Table, p.From, p.To)
		if err != nil {
			return err
		}
		class, failed = a.w.attempt(ctx, a.m, p.token(a.token, a.sizes[p.Table]), u, a.ask)
		if failed != nil && (class == Refused || (class == Doubtful && a.w.src.Missing != nil)) {
			return errSuspect
		}
		return failed
	})
	switch {
	case !ok:
		return false
	case failed == nil:
		a.passed[p.Table] = true
		a.record(p, partStored, nil)
	case p.To-p.From > 1:
		a.ask = a.ask || class != Refused
		next := p
		next.State = partSplit
		if !a.w.retry("recording a split", func() error { return a.w.journal.commit(entry{Part: &next}) }) {
			return false
		}
		a.known[p.identity()] = &next
		a.w.hook(PointSplit)
		a.halve(p)
	default:
		a.ask = a.ask || class != Refused
		a.doubtful = class == Doubtful
		a.alone = append(a.alone, suspect{part: p, tries: tries + 1, err: failed})
		if !a.passed[p.Table] && len(a.alone) >= systemic {
			return a.judge()
		}
	}
	return true
}

func (a *apart) halve(p part) {
	mid := p.From + (p.To-p.From)/2
	left, right := p.identity(), p.identity()
	left.To, right.From = mid, mid
	a.queue = slices.Insert(a.queue, 0, left, right)
}

// judge decides about the records that failed alone: when others of the batch are stored they are to blame. Otherwise the
// store may be, and it gets time.
func (a *apart) judge() bool {
	a.rounds++
	limit := refusedRounds
	if a.doubtful {
		limit = doubtfulRounds
	}
	// When everything is refused for a reason that nobody knows, nothing is given up.
	giveUp := a.rounds > limit && (!a.doubtful || a.whole.Records() < systemic)
	blamed := slices.ContainsFunc(a.alone, func(s suspect) bool { return a.passed[s.Table] })
	if !blamed && !giveUp && !a.w.pause(a.rounds) {
		return false
	}
	var again []part
	var left []suspect
	for _, s := range a.alone {
		if (a.passed[s.Table] && s.tries >= refusedTries) || giveUp {
			a.record(s.part, partRefused, s.err)
			continue
		}
		again, left = append(again, s.part), append(left, s)
	}
	a.alone = left
	a.queue = append(again, a.queue...)
	return true
}

// record notes what became of a part. Lost by a power failure, it is only found out again.
func (a *apart) record(p part, state string, why error) {
	p.State = state
	if why != nil {
		p.Reason, p.Token = why.Error(), p.token(a.token, a.sizes[p.Table])
	}
	a.known[p.identity()] = &p
	a.w.tell("recording what became of a part of a batch", a.w.journal.note(entry{Part: &p}))
}

// refusedLines returns the refused records of a unit as lines, in the order of the batch.
func refusedLines(d disk, base string, m *Manifest, src Source, unit int, refused []*part) (lines, changed []badLine, err error) {
	b, changed, err := load(d, base, m, src)
	if err != nil {
		return nil, nil, err
	}
	data, ok := b.data.(Splitter)
	if !ok {
		return nil, nil, errors.New("the batch can't be taken apart")
	}
	if _, err := data.Units(m.Plan); err != nil {
		return nil, nil, err
	}
	at := map[string]int{} // records of the lines before, by table
	for _, p := range refused {
		at[p.Table] = 0
	}
	err = eachGood(d, base, m, b, changed, func(cut int, l segment.Line) error {
		for table, begin := range at {
			_, n, err := data.LineSlice(m.Cuts[cut].File, l.Bytes, unit, table, 0, 0)
			if err != nil {
				return err
			}
			at[table] += n
			for _, p := range refused {
				if p.Table != table || p.To <= begin || p.From >= begin+n {
					continue
				}
				text, _, err := data.LineSlice(m.Cuts[cut].File, l.Bytes, unit, table, max(p.From-begin, 0), p.To-begin)
				if err != nil {
					return err
				}
				lines = append(lines, badLine{cut: cut, from: l.From, to: l.To, kind: KindRefused, reason: p.Reason, line: slices.Clone(text), token: p.Token})
			}
		}
		return nil
	})
	return lines, changed, err
}
