// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Bounds of a series.
const (
	maxBuckets = 2000
	maxGroups  = 500
	// defaultRange of a series whose start is not given.
	defaultRange = 24 * time.Hour
	wantBuckets  = 120
)

// Range is the time of a series: buckets of a step each, from Start on. Start and End lie on whole steps since 1970.
type Range struct {
	Start  Time  `json:"start"`
	End    Time  `json:"end"`
	StepMS int64 `json:"stepMs"`
}

func (r Range) step() time.Duration { return time.Duration(r.StepMS) * time.Millisecond }
func (r Range) buckets() int        { return int(r.End.Sub(r.Start.Time) / r.step()) }

// index is the bucket of a time, in seconds since 1970; -1 outside of the range.
func (r Range) index(unix int64) int {
	if i := (unix - r.Start.Unix()) * 1000 / r.StepMS; unix >= r.Start.Unix() && i < int64(r.buckets()) {
		return int(i)
	}
	return -1
}

// Series is one line of a chart. P are its points: one for every bucket, the oldest first.
type Series[P any] struct {
	// Group says by name what the line is of; empty without group_by.
	Group  map[string]string `json:"group"`
	Points []P               `json:"points"`
}

// Chart is the answer to a question about a series.
type Chart[P any] struct {
	Data  []Series[P] `json:"data"`
	Range Range       `json:"range"`
}

// Point is a value at a time; null where there is none.
type Point struct {
	Time  Time     `json:"time"`
	Value *float64 `json:"value"`
}

var niceSteps = []time.Duration{time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
	10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}

// span resolves the range of a series.
func (r *Request) span() (Range, error) {
	end := r.Filter.End
	if end.IsZero() {
		end = r.now
	}
	start := r.Filter.Start
	if start.IsZero() {
		start = clampTime(end.Add(-defaultRange))
	}
	if !start.Before(end) {
		return Range{}, wrong("start", "must be before end")
	}
	step := r.Step
	if step == 0 {
		step = niceSteps[len(niceSteps)-1]
		for _, s := range niceSteps {
			if end.Sub(start) <= wantBuckets*s {
				step = s
				break
			}
		}
	}
	seconds := int64(step / time.Second)
	from := floorDiv(start.Unix(), seconds) * seconds
	to := floorDiv(end.Add(time.Second-1).Unix()+seconds-1, seconds) * seconds
	if n := (to - from) / seconds; n > maxBuckets {
		return Range{}, wrong("step", "%s makes %d buckets of this range; at most %d are allowed", step, n, maxBuckets)
	}
	return Range{Start: Time{time.Unix(from, 0).UTC()}, End: Time{time.Unix(to, 0).UTC()}, StepMS: seconds * 1000}, nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// bucket is the SQL of the beginning of the bucket of a time, in seconds since 1970.
func (r Range) bucket(s *statement, column string) string {
	step := s.num(r.StepMS / 1000)
	return "toInt64(intDiv(toInt64(toUnixTimestamp(" + column + ")), " + step + ") * " + step + ")"
}

// grouping is what a series is grouped by: names in answers, and their SQL.
type grouping struct {
	names, exprs []string
}

var groupColumns = map[string]string{"project": "ProjectId", "deployment": "DeploymentId", "server": "ServerId", "build": "BuildId", "service": "ServiceName"}

// groups resolves group_by. attribute makes the SQL of any other name; nil: there are no others.
func groups(s *statement, by []string, more map[string]string, attribute func(*statement, string) string) (grouping, error) {
	var g grouping
	for _, name := range by {
		expr := groupColumns[name]
		if expr == "" {
			expr = more[name]
		}
		if expr == "" && attribute != nil {
			expr = attribute(s, name)
		}
		if expr == "" {
			known := slices.Sorted(maps.Keys(groupColumns))
			return g, wrong("group_by", "%q is none of %s", cutTo(name, 100), strings.Join(append(known, slices.Sorted(maps.Keys(more))...), ", "))
		}
		if slices.Contains(g.names, name) {
			return g, wrong("group_by", "%q is given twice", cutTo(name, 100))
		}
		g.names, g.exprs = append(g.names, name), append(g.exprs, "toString("+expr+")")
	}
	return g, nil
}

// selected is the SQL of an array of the group's values.
func (g grouping) selected() string {
	if len(g.exprs) == 0 {
		return "CAST([], 'Array(String)')"
	}
	return "[" + strings.Join(g.exprs, ", ") + "]"
}

// chart collects the lines of a chart.
type chart[P any] struct {
	span   Range
	names  []string
	empty  func(Time) P
	lines  map[string]*Series[P]
	groups [][]string
}

func newChart[P any](span Range, names []string, empty func(Time) P) *chart[P] {
	return &chart[P]{span: span, names: names, empty: empty, lines: map[string]*Series[P]{}}
}

// line returns the line of a group, whose points are those of an empty one at first.
func (c *chart[P]) line(values []string) (*Series[P], error) {
	key := fmt.Sprintf("%q", values)
	if s := c.lines[key]; s != nil {
		return s, nil
	}
	if len(c.lines) == maxGroups {
		return nil, &LimitError{"groups", fmt.Sprintf("%d lines", maxGroups)}
	}
	s := &Series[P]{Group: map[string]string{}, Points: make([]P, c.span.buckets())}
	for i, name := range c.names {
		s.Group[name] = values[i]
	}
	for i := range s.Points {
		s.Points[i] = c.empty(Time{c.span.Start.Add(time.Duration(i) * c.span.step())})
	}
	c.lines[key] = s
	c.groups = append(c.groups, values)
	return s, nil
}

// point is the one of a line at a time, for which the line is made; nil for a time that is outside of the chart.
func (c *chart[P]) point(values []string, at int64) (*P, error) {
	line, err := c.line(values)
	if i := c.span.index(at); err == nil && i >= 0 {
		return &line.Points[i], nil
	}
	return nil, err
}

// done returns the chart, its lines in the order of their groups.
func (c *chart[P]) done() (Chart[P], error) {
	if len(c.names) == 0 { // without groups there is one line, even when nothing is known
		if _, err := c.line(nil); err != nil {
			return Chart[P]{}, err
		}
	}
	out := Chart[P]{Data: []Series[P]{}, Range: c.span}
	for _, key := range slices.Sorted(maps.Keys(c.lines)) {
		out.Data = append(out.Data, *c.lines[key])
	}
	return out, nil
}

func emptyPoint(t Time) Point { return Point{Time: t} }

// number is a value for an answer: JSON has neither NaN nor infinities.
func number(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
