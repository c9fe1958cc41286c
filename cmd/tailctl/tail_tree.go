// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"time"

	"github.com/tailrace/tailrace/livetailclient"
)

const (
	treeSettles  = 300 * time.Millisecond // after the root has ended: children come in other batches
	treePatience = 3 * time.Second        // without news of a trace
	maxTreeSpans = 2000                   // of one trace that wait
	maxTrees     = 200
)

// spanTrees collects the spans of traces until they can be shown as trees.
type spanTrees struct {
	traces map[string]*spanTree
	order  []string // by their first span
}

// spanTree is what is known of one trace.
type spanTree struct {
	spans  map[string]*livetailclient.Record // by id; the last word on each
	news   time.Time
	rooted bool // the root has ended
}

func newSpanTrees() *spanTrees { return &spanTrees{traces: map[string]*spanTree{}} }

func (s *spanTrees) add(r *livetailclient.Record, now time.Time) {
	t := s.traces[r.TraceID]
	if t == nil {
		t = &spanTree{spans: map[string]*livetailclient.Record{}}
		s.traces[r.TraceID] = t
		s.order = append(s.order, r.TraceID)
	}
	if old := t.spans[r.SpanID]; old != nil && old.State == "ended" {
		return // the end is the last word
	}
	kept := *r
	t.spans[r.SpanID] = &kept
	t.news = now
	if r.ParentID == "" && r.State == "ended" {
		t.rooted = true
	}
}

// due takes the traces that are to be shown now.
func (s *spanTrees) due(now time.Time) (out []*spanTree) {
	waiting := len(s.order)
	return s.take(func(t *spanTree) bool {
		quiet := now.Sub(t.news)
		due := t.rooted && quiet >= treeSettles || quiet >= treePatience || len(t.spans) >= maxTreeSpans || waiting > maxTrees
		if due {
			waiting--
		}
		return due
	})
}

func (s *spanTrees) all() []*spanTree { return s.take(func(*spanTree) bool { return true }) }

func (s *spanTrees) take(due func(*spanTree) bool) (out []*spanTree) {
	s.order = slices.DeleteFunc(s.order, func(id string) bool {
		t := s.traces[id]
		if !due(t) {
			return false
		}
		delete(s.traces, id)
		out = append(out, t)
		return true
	})
	return out
}

// tree prints the spans of a trace, children under their parents, in the order of their start.
func (p *tailPrinter) tree(t *spanTree) {
	children := map[string][]*livetailclient.Record{}
	for _, r := range t.spans {
		parent := r.ParentID
		if t.spans[parent] == nil || parent == r.SpanID {
			parent = "" // its parent is not here
		}
		children[parent] = append(children[parent], r)
	}
	for _, list := range children {
		slices.SortFunc(list, func(a, b *livetailclient.Record) int {
			if c := a.Time.Compare(b.Time); c != 0 {
				return c
			}
			if a.SpanID < b.SpanID {
				return -1
			}
			return 1
		})
	}
	done := map[string]bool{}
	var walk func(id, indent string)
	walk = func(id, indent string) {
		list := children[id]
		for i, r := range list {
			if done[r.SpanID] {
				continue // a circle
			}
			done[r.SpanID] = true
			branch, below := "├─ ", "│  "
			if i == len(list)-1 {
				branch, below = "└─ ", "   "
			}
			if id == "" {
				branch, below = "", ""
			}
			p.pretty(r, p.paint(colorDim, indent+branch))
			walk(r.SpanID, indent+below)
		}
	}
	walk("", "")
	for _, r := range t.spans { // of circles
		if !done[r.SpanID] {
			done[r.SpanID] = true
			p.pretty(r, "")
		}
	}
}
