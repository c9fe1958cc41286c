// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tailrace/tailrace/internal/access"
)

// Page is a part of a list.
type Page[T any] struct {
	Data []T `json:"data"`
	// NextCursor continues the list where this page ends; "" at its end.
	NextCursor string `json:"next_cursor"`
	HasMore    bool   `json:"has_more"`
	// PrevCursor, of log records only, continues before the first row of the page: what came since, for example.
	PrevCursor string `json:"prev_cursor,omitempty"`
}

// source is a table of rows that are listed by time.
type source[T any] struct {
	table string
	time  string   // the column of type DateTime64(9)
	keys  []string // columns that tell rows of the same time apart; rows alike in them are one row, repeated
	// columns are selected, with what they need bound to the statement.
	columns func(s *statement, full bool) string
	// where adds the conditions of the filter.
	where func(s *statement, f *Filter)
	// scan reads a row of those columns, and returns how many bytes of attributes and text it holds.
	scan func(scan func(...any) error, full bool) (row T, at position, size int, err error)
}

// A list is read in slices of time, from the newest on: most lists end in the first slice, and one that has to go
// far back reads nothing twice, because the slices don't overlap. Each slice is wider than the one before. Also within one project, whose rows
// lie in the order of time: without a range ClickHouse looks into every part of every day.
const (
	firstSlice  = 5 * time.Minute
	sliceGrowth = 24
	widestSlice = 30 * 24 * time.Hour // what is wider is all that is left
)

// walk is one pass over the rows of a source.
type walk[T any] struct {
	q          *Querier
	src        source[T]
	caller     *access.Caller
	req        Request
	ascending  bool
	scope      []string
	start, end time.Time // of the question; zero: open
	edge       time.Time // where the next slice begins; zero: at the beginning
	width      time.Duration
	at         position // the row before the next one, when the slice of edge is not used up; else keys is nil
	done       bool     // nothing is left
}

func newWalk[T any](q *Querier, src source[T], caller *access.Caller, req Request) (*walk[T], error) {
	w := &walk[T]{q: q, src: src, caller: caller, req: req, ascending: req.Ascending, start: req.Filter.Start, end: req.Filter.End, width: firstSlice}
	if req.cursor != "" {
		c, err := parseCursor(req.cursor, req.hash, len(src.keys))
		if err != nil {
			return nil, wrong("cursor", "%s", err)
		}
		w.at, w.scope = c.at, c.scope
		w.start, w.end = c.start, c.end
		w.width = max(c.width, time.Minute)
	}
	return w, nil
}

func (w *walk[T]) cursor(at position) string {
	return cursor{hash: w.req.hash, start: w.start, end: w.end, width: w.width, at: at, scope: w.scope}.String()
}

// next calls row for up to n rows, each once, and leaves the walk behind the last one. Row may end it early with false.
func (w *walk[T]) next(ctx context.Context, n int, row func(T, position, int) bool) error {
	b := w.q.budget()
	for n > 0 && !w.done {
		lo, hi, last := w.slice()
		s := newStatement()
		some, err := restrict(s, w.caller, w.req.Filter.Projects)
		if err != nil {
			return err
		}
		if !some {
			w.done = true
			return nil
		}
		// A few more than needed, since some may be repetitions.
		want := n + 8 + n/16
		w.state(s, lo, hi, want)
		got, stopped, seen := 0, false, w.at
		err = w.q.run(ctx, b, s, func(scan func(...any) error) error {
			got++
			r, at, size, err := w.src.scan(scan, w.req.Full)
			if err != nil {
				return err
			}
			if n == 0 || stopped || seen.keys != nil && at.time == seen.time && slices.Equal(at.keys, seen.keys) {
				return nil
			}
			if !row(r, at, size) {
				stopped = true
				return nil
			}
			seen = at
			n--
			return nil
		})
		if err != nil {
			return err
		}
		w.at = seen
		switch {
		case stopped || n == 0:
			return nil
		case got == want: // all were looked at, the slice may have more
		case last:
			w.done = true
		default:
			w.leave(lo, hi)
		}
	}
	return nil
}

// slice returns the range of time that comes next, half open; last when nothing is behind it. Zero is open.
func (w *walk[T]) slice() (lo, hi time.Time, last bool) {
	lo, hi = w.start, w.end
	edge := w.edge
	if w.at.keys != nil { // others of the same time may follow
		edge = time.Unix(0, w.at.time).UTC()
		if !w.ascending {
			edge = edge.Add(1)
		}
	}
	switch {
	case edge.IsZero():
	case w.ascending:
		lo = edge
	default:
		hi = edge
	}
	if w.width > widestSlice {
		return lo, hi, true
	}
	if w.ascending {
		if lo.IsZero() { // no beginning to count from
			return lo, hi, true
		}
		if end := lo.Add(w.width); hi.IsZero() && end.Before(w.req.now) || !hi.IsZero() && end.Before(hi) {
			return lo, end, false
		}
		return lo, hi, true
	}
	from := hi
	if from.IsZero() || from.After(w.req.now) && edge.IsZero() {
		from = w.req.now // and all that claims to be of the future
	}
	if begin := from.Add(-w.width); lo.IsZero() || begin.After(lo) {
		return begin, hi, false
	}
	return lo, hi, true
}

// leave goes on behind a slice that is used up.
func (w *walk[T]) leave(lo, hi time.Time) {
	w.at = position{}
	if w.ascending {
		w.edge = hi
	} else {
		w.edge = lo
	}
	w.width *= sliceGrowth
}

func (w *walk[T]) state(s *statement, lo, hi time.Time, limit int) {
	f := w.req.Filter
	f.Start, f.End = lo, hi
	f.within(s, w.src.time)
	w.src.where(s, &f)
	if len(w.scope) == scopeSize {
		s.where(scopeColumns[w.scope[0]] + " = " + s.str(w.scope[1]))
		s.where("ProjectId = " + s.str(w.scope[2]))
	}
	order, than := " DESC", " < "
	if w.ascending {
		order, than = " ASC", " > "
	}
	keys := append([]string{w.src.time}, w.src.keys...)
	if w.at.keys != nil {
		bound := []string{s.at(fromNanos(w.at.time))}
		for _, k := range w.at.keys {
			bound = append(bound, s.str(k))
		}
		s.where("(" + strings.Join(keys, ", ") + ")" + than + "(" + strings.Join(bound, ", ") + ")")
	}
	s.head = "SELECT " + w.src.columns(s, w.req.Full) + "\nFROM " + w.q.table(w.src.table)
	s.tail = "ORDER BY " + strings.Join(keys, order+", ") + order + "\nLIMIT " + s.bind(uitoa(limit), "UInt64")
}

// scopeColumns are what a scope may be about; a cursor names them, so it can't name anything else.
var scopeColumns = map[string]string{"server": "ServerId", "build": "BuildId", "service": "ServiceName"}

// fit makes the next slice about as wide as what was just read.
func (w *walk[T]) fit(first, last position) {
	span := time.Duration(last.time - first.time).Abs()
	w.width = min(max(2*span, time.Second), w.width)
}

// page collects one page, and returns the places of its first and last row; keys is nil when there is none.
func (w *walk[T]) page(ctx context.Context, limit int) (page Page[T], first, last position, err error) {
	page.Data = []T{}
	size := 0
	err = w.next(ctx, limit+1, func(r T, at position, n int) bool {
		if size += n; len(page.Data) == limit || len(page.Data) > 0 && size > w.q.limits.Answer {
			page.HasMore = true
			return false
		}
		if first.keys == nil {
			first = at
		}
		page.Data, last = append(page.Data, r), at
		return true
	})
	if err == nil && page.HasMore {
		w.fit(first, last)
		page.NextCursor = w.cursor(last)
	}
	return page, first, last, err
}

// list answers a request for a page of a source.
func list[T any](ctx context.Context, q *Querier, src source[T], caller *access.Caller, req Request) (Page[T], error) {
	w, err := newWalk(q, src, caller, req)
	if err != nil {
		return Page[T]{}, err
	}
	page, _, _, err := w.page(ctx, req.Limit)
	return page, err
}

// exportBytes is what an export holds in memory at a time, more or less.
const exportBytes = 4 << 20

// export hands on all rows of a source, a slice at a time, so that memory stays constant and no connection is held while
// a slow client takes them.
func export[T any](ctx context.Context, q *Querier, src source[T], caller *access.Caller, req Request, each func(T) error) error {
	w, err := newWalk(q, src, caller, req)
	if err != nil {
		return err
	}
	rows := 500
	for !w.done {
		var page []T
		var first, last position
		size := 0
		if err := w.next(ctx, rows, func(r T, at position, n int) bool {
			if first.keys == nil {
				first = at
			}
			if size += n + 256; size > 4*exportBytes && len(page) > 0 {
				return false
			}
			page, last = append(page, r), at
			return true
		}); err != nil {
			return err
		}
		for _, r := range page {
			if err := each(r); err != nil {
				return err
			}
		}
		if len(page) > 0 {
			w.fit(first, last)
			rows = max(100, min(10_000, exportBytes/(size/len(page))))
		}
	}
	return nil
}
