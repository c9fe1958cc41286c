// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tailrace/tailrace/internal/access"
)

// distribution is what is known about a set of observations: how many, their sum, and in what ranges they lie.
type distribution struct {
	count    float64
	sum      float64
	min, max float64 // NaN: not known
	pieces   []piece
}

// piece says that n observations lie in (lo, hi], evenly as far as anyone knows.
type piece struct{ lo, hi, n float64 }

func (d *distribution) add(o distribution) {
	if d.count == 0 {
		d.min, d.max = o.min, o.max
	} else if o.count > 0 {
		d.min, d.max = math.Min(d.min, o.min), math.Max(d.max, o.max) // NaN stays NaN
	}
	d.count += o.count
	d.sum += o.sum
	for _, p := range o.pieces {
		i, ok := slices.BinarySearchFunc(d.pieces, p, func(a, b piece) int {
			if a.lo != b.lo {
				return cmpFloat(a.lo, b.lo)
			}
			return cmpFloat(a.hi, b.hi)
		})
		if ok {
			d.pieces[i].n += p.n
		} else {
			d.pieces = slices.Insert(d.pieces, i, p)
		}
	}
}

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// quantile interpolates. Pieces may overlap, when histograms with different bounds were merged; each is spread evenly.
func (d *distribution) quantile(q float64) float64 {
	total := 0.0
	var edges []float64
	for _, p := range d.pieces {
		total += p.n
		edges = append(edges, p.lo, p.hi)
	}
	if total == 0 {
		return math.NaN()
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	want := q * total
	upTo := func(x float64) (n float64) {
		for _, p := range d.pieces {
			switch {
			case x >= p.hi:
				n += p.n
			case x > p.lo:
				n += p.n * (x - p.lo) / (p.hi - p.lo)
			}
		}
		return n
	}
	i, _ := slices.BinarySearchFunc(edges, want, func(edge, want float64) int { return cmpFloat(upTo(edge), want) })
	if i == 0 {
		return edges[0]
	}
	if i == len(edges) { // rounding
		return edges[len(edges)-1]
	}
	lo, hi := edges[i-1], edges[i]
	a, b := upTo(lo), upTo(hi)
	if b <= a {
		return hi
	}
	return lo + (hi-lo)*(want-a)/(b-a)
}

// value is an aggregate of the distribution over a bucket of so many seconds; NaN when it is not known.
func (d *distribution) value(aggregate string, seconds float64) float64 {
	if d.count == 0 && aggregate != "count" && aggregate != "sum" && aggregate != "rate" {
		return math.NaN()
	}
	switch aggregate {
	case "count":
		return d.count
	case "sum":
		return d.sum
	case "avg":
		return d.sum / d.count
	case "rate":
		return d.count / seconds
	case "min":
		if math.IsNaN(d.min) {
			return d.quantile(0)
		}
		return d.min
	case "max":
		if math.IsNaN(d.max) {
			return d.quantile(1)
		}
		return d.max
	case "p50":
		return d.quantile(0.5)
	case "p90":
		return d.quantile(0.9)
	default:
		return d.quantile(0.99)
	}
}

// buckets makes pieces of an explicit histogram. The first and the last bucket are open: they end at the smallest and the
// largest observation where that is known, else the first begins at 0 and the last is taken to lie at its bound.
func explicitPieces(bounds []float64, counts []float64, lowest, highest float64) []piece {
	var out []piece
	for i, n := range counts {
		if n <= 0 || len(bounds) == 0 || i > len(bounds) {
			continue
		}
		var p piece
		switch i {
		case 0:
			p = piece{lo: math.Min(0, bounds[0]), hi: bounds[0], n: n}
			if !math.IsNaN(lowest) && lowest < bounds[0] {
				p.lo = lowest
			}
		case len(bounds):
			p = piece{lo: bounds[i-1], hi: bounds[i-1], n: n}
			if !math.IsNaN(highest) && highest > bounds[i-1] {
				p.hi = highest
			}
		default:
			p = piece{lo: bounds[i-1], hi: bounds[i], n: n}
		}
		out = append(out, p)
	}
	return out
}

// exponential is one point of an exponential histogram.
type exponential struct {
	scale              int32
	zero               float64
	positive, negative map[int32]float64
}

func exponents(offset int32, counts []uint64) map[int32]float64 {
	m := make(map[int32]float64, len(counts))
	for i, n := range counts {
		if n > 0 {
			m[offset+int32(i)] = float64(n)
		}
	}
	return m
}

// coarser returns the same with a lower scale: two neighbours become one for each step.
func (e exponential) coarser(scale int32) exponential {
	shift := e.scale - scale
	if shift <= 0 {
		return e
	}
	down := func(m map[int32]float64) map[int32]float64 {
		out := make(map[int32]float64, len(m))
		for i, n := range m {
			out[i>>min(shift, 31)] += n
		}
		return out
	}
	return exponential{scale, e.zero, down(e.positive), down(e.negative)}
}

// minus returns the increase since an earlier point of the series.
func (e exponential) minus(o exponential) exponential {
	scale := min(e.scale, o.scale)
	e, o = e.coarser(scale), o.coarser(scale)
	sub := func(a, b map[int32]float64) map[int32]float64 {
		out := make(map[int32]float64, len(a))
		for i, n := range a {
			if n -= b[i]; n > 0 {
				out[i] = n
			}
		}
		return out
	}
	return exponential{scale, math.Max(0, e.zero-o.zero), sub(e.positive, o.positive), sub(e.negative, o.negative)}
}

func (e exponential) pieces() []piece {
	base := math.Exp2(math.Exp2(-float64(e.scale)))
	var out []piece
	for i, n := range e.positive {
		out = append(out, piece{math.Pow(base, float64(i)), math.Pow(base, float64(i)+1), n})
	}
	for i, n := range e.negative {
		out = append(out, piece{-math.Pow(base, float64(i)+1), -math.Pow(base, float64(i)), n})
	}
	if e.zero > 0 {
		out = append(out, piece{0, 0, e.zero})
	}
	return slices.DeleteFunc(out, func(p piece) bool { return math.IsInf(p.lo, 0) || math.IsInf(p.hi, 0) })
}

// maxDistributions is how many points of histograms a series is made of at most; they are merged here, not in ClickHouse.
const maxDistributions = 500_000

// point is one row of a histogram or summary, in the order of its series.
type point struct {
	series      uint64
	group       []string
	at, start   time.Time
	delta       bool
	count       uint64
	sum         float64
	min, max    float64
	bounds      []float64
	counts      []uint64
	exponential *exponential
}

// since returns what was observed between an earlier point of the series and this one. before may be nil.
func (p *point) since(before *point, from time.Time) distribution {
	d := distribution{min: math.NaN(), max: math.NaN()}
	reset := before == nil || p.count < before.count
	switch {
	case p.delta, reset && before != nil, before == nil && p.start.Unix() >= from.Unix():
		before = nil // it counts in full
	case before == nil: // it only says where the series stands
		return d
	}
	d.count, d.sum = float64(p.count), p.sum
	counts := make([]float64, len(p.counts))
	for i, n := range p.counts {
		counts[i] = float64(n)
	}
	lowest, highest := math.NaN(), math.NaN()
	if p.min != 0 || p.max != 0 { // both zero is how an absent pair is stored
		lowest, highest = p.min, p.max
		if before == nil {
			d.min, d.max = p.min, p.max // of exactly these observations
		}
	}
	e := p.exponential
	if before != nil {
		d.count -= float64(before.count)
		d.sum -= before.sum
		if slices.Equal(before.bounds, p.bounds) && len(before.counts) == len(counts) {
			for i, n := range before.counts {
				counts[i] = math.Max(0, counts[i]-float64(n))
			}
		}
		if e != nil && before.exponential != nil {
			less := e.minus(*before.exponential)
			e = &less
		}
	}
	if e != nil {
		d.pieces = e.pieces()
	} else {
		d.pieces = explicitPieces(p.bounds, counts, lowest, highest)
	}
	return d
}

// distributions aggregates histograms, exponential histograms and summaries.
func (q *Querier) distributions(ctx context.Context, b budget, caller *access.Caller, req Request, span Range, typ string, c *chart[Point]) error {
	if typ == "summary" && !slices.Contains([]string{"count", "sum", "avg", "rate"}, req.Aggregate) {
		return wrong("aggregate", "a summary has count, sum, avg and rate; its percentiles can't be merged")
	}
	s := newStatement()
	if _, err := restrict(s, caller, req.Filter.Projects); err != nil {
		return err
	}
	from := span.Start.Add(-span.lookback())
	(&Filter{Start: from, End: span.End.Time}).withinSeconds(s, "TimeUnix")
	req.Filter.common(s, metricColumns)
	s.where(hasValue)
	g, err := groups(s, req.GroupBy, nil, attributeOf)
	if err != nil {
		return err
	}
	s.head = "SELECT " + seriesID + " AS series, " + g.selected() + ", TimeUnix, StartTimeUnix, Count, Sum"
	switch typ {
	case "histogram":
		s.head += ", AggregationTemporality = 1, Min, Max, ExplicitBounds, BucketCounts"
	case "exponential_histogram":
		s.head += ", AggregationTemporality = 1, Min, Max, Scale, ZeroCount, PositiveOffset, PositiveBucketCounts, NegativeOffset, NegativeBucketCounts"
	}
	s.head += "\nFROM " + q.table("otel_metrics_"+typ)
	s.tail = "ORDER BY series, TimeUnix, Count LIMIT " + s.bind(uitoa(maxDistributions+1), "UInt64")

	sums := map[*Series[Point]][]distribution{}
	var before *point
	n := 0
	err = q.run(ctx, b, s, func(scan func(...any) error) error {
		if n++; n > maxDistributions {
			return &LimitError{"points", fmt.Sprintf("%d points of histograms", maxDistributions)}
		}
		p, err := scanPoint(scan, typ)
		if err != nil {
			return err
		}
		last := before
		if last != nil && last.series != p.series {
			last = nil
		}
		if last != nil && last.at.Equal(p.at) && last.count == p.count && last.sum == p.sum { // repeated
			return nil
		}
		before = &p
		i := span.index(p.at.Unix())
		d := p.since(last, from)
		if i < 0 || d.count == 0 && len(d.pieces) == 0 {
			return nil
		}
		line, err := c.line(p.group)
		if err != nil {
			return err
		}
		if sums[line] == nil {
			sums[line] = make([]distribution, span.buckets())
		}
		sums[line][i].add(d)
		return nil
	})
	for line, all := range sums {
		for i := range all {
			if all[i].count > 0 || len(all[i].pieces) > 0 {
				line.Points[i].Value = number(all[i].value(req.Aggregate, span.step().Seconds()))
			}
		}
	}
	return err
}

func scanPoint(scan func(...any) error, typ string) (point, error) {
	var p point
	to := []any{&p.series, &p.group, &p.at, &p.start, &p.count, &p.sum}
	var delta uint8
	var e exponential
	var zero uint64
	var positive, negative int32
	var positives, negatives []uint64
	switch typ {
	case "histogram":
		to = append(to, &delta, &p.min, &p.max, &p.bounds, &p.counts)
	case "exponential_histogram":
		to = append(to, &delta, &p.min, &p.max, &e.scale, &zero, &positive, &positives, &negative, &negatives)
	}
	if err := scan(to...); err != nil {
		return p, err
	}
	p.delta = delta != 0
	if typ == "exponential_histogram" {
		e.zero, e.positive, e.negative = float64(zero), exponents(positive, positives), exponents(negative, negatives)
		p.exponential = &e
	}
	return p, nil
}
