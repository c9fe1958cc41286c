// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerlogreceiver

import (
	"strings"
	"time"

	"github.com/tailrace/tailrace/internal/logline"
	"github.com/tailrace/tailrace/internal/supervise"
)

// output is what is offered to the pipeline as one: it stays the same until it is accepted or dropped.
type output []portion

// portion holds records of one source: records where lines are grouped, else entries, which stay as they came.
type portion struct {
	source   *supervise.Source
	settings settings
	records  []line
	entries  []supervise.Entry
}

func (p *portion) Len() int { return len(p.records) + len(p.entries) }

// line is a record to be: a line, the lines of a stack trace, or an event.
type line struct {
	supervise.Entry
	// lines is how many lines were joined, 1 for a single one.
	lines int
	// severity is that of a trace, 0 for a single line.
	severity logline.Severity
	// cut says that a trace goes on in the next record of the stream.
	cut bool
	// printed is what a single line was before all but its last state was cut off, empty where nothing was.
	printed string
}

func (o output) Len() int {
	n := 0
	for i := range o {
		n += o[i].Len()
	}
	return n
}

// grouping joins lines of one stream into records. What may be the beginning of a stack trace is held back for at
// most logline.MaxHold. Not safe for concurrent use.
type grouping struct {
	settings func(server string) settings
	sources  map[*supervise.Source]*source
	undo     []undo // since begin
	record   func(logline.Group[supervise.Entry])
	into     *portion
	ended    []*supervise.Source // by the last take
	spare    [][]line            // to reuse
}

// keepLines is how many records the slices that are kept for reuse may hold together.
const keepLines = 16 << 10

// source is the state of one source.
type source struct {
	settings settings
	streams  [2]stream // stdout, stderr
}

type stream = logline.Grouper[supervise.Entry]

// undo is what a stream held before.
type undo struct {
	of  *source
	was [2]stream
}

func newGrouping(of func(server string) settings) *grouping {
	g := &grouping{settings: of, sources: map[*supervise.Source]*source{}}
	g.record = g.add
	return g
}

// take turns a batch that came at now into records. Entries that are held come out of a later take or of due.
func (g *grouping) take(batch supervise.Batch, now time.Time) output {
	g.undo = g.undo[:0]
	g.forget()
	var out output
	for len(batch) > 0 {
		// The groups of one source that follow each other become one portion.
		groups, count := 0, 0
		for groups < len(batch) && batch[groups].Source == batch[0].Source {
			count += len(batch[groups].Entries)
			groups++
		}
		s := g.source(batch[0].Source)
		if !s.settings.multiline {
			for i := range batch[:groups] {
				out = append(out, portion{source: batch[0].Source, settings: s.settings, entries: batch[i].Entries})
				g.ends(batch[i])
			}
			batch = batch[groups:]
			continue
		}
		g.undo = append(g.undo, s.save())
		out = append(out, portion{source: batch[0].Source, settings: s.settings, records: g.slice(count)})
		g.into = &out[len(out)-1]
		for i := range batch[:groups] {
			for j := range batch[i].Entries {
				g.entry(s, &batch[i].Entries[j], now)
			}
		}
		for i := range s.streams {
			s.streams[i].Pause(now, g.record)
		}
		batch = batch[groups:]
	}
	return out.compact()
}

// rollback undoes the last take or due: what it took will come again, and what it gave out is held again.
func (g *grouping) rollback() {
	for i := len(g.undo) - 1; i >= 0; i-- {
		g.undo[i].of.streams = g.undo[i].was
	}
	g.undo = g.undo[:0]
	g.ended = g.ended[:0]
}

// forget drops the state of servers and builds that have ended: if they start again, or another one in their place, it is made anew.
func (g *grouping) forget() {
	for _, id := range g.ended {
		if s, ok := g.sources[id]; ok && s.streams[0].Empty() && s.streams[1].Empty() {
			delete(g.sources, id)
		}
	}
	clear(g.ended)
	g.ended = g.ended[:0]
}

// slice returns an empty slice, with room for n records when it is new.
func (g *grouping) slice(n int) []line {
	if last := len(g.spare) - 1; last >= 0 {
		s := g.spare[last]
		g.spare = g.spare[:last]
		return s
	}
	return make([]line, 0, n+1)
}

// reuse takes back what nobody needs any more.
func (g *grouping) reuse(out output) {
	kept := 0
	for _, s := range g.spare {
		kept += cap(s)
	}
	for i := range out {
		s := out[i].records
		out[i].records = nil
		if kept += cap(s); kept > keepLines {
			return
		}
		clear(s)
		g.spare = append(g.spare, s[:0])
	}
}

// due gives out what has waited long enough at now, or all that is held, and says how long the rest may wait, 0 when
// nothing is held any more.
func (g *grouping) due(now time.Time, all bool) (out output, wait time.Duration) {
	g.undo = g.undo[:0]
	for id, s := range g.sources {
		if s.streams[0].Empty() && s.streams[1].Empty() {
			continue
		}
		g.undo = append(g.undo, s.save())
		out = append(out, portion{source: id, settings: s.settings})
		g.into = &out[len(out)-1]
		for i := range s.streams {
			if all {
				s.streams[i].Flush(g.record)
			} else if left := s.streams[i].Pause(now, g.record); left > 0 && (wait == 0 || left < wait) {
				wait = left
			}
		}
	}
	return out.compact(), wait
}

// holds says whether anything is held back since the last take.
func (g *grouping) holds() bool {
	for i := range g.undo {
		if s := g.undo[i].of; !s.streams[0].Empty() || !s.streams[1].Empty() {
			return true
		}
	}
	return false
}

// compact leaves out sources without records.
func (o output) compact() output {
	kept := o[:0]
	for i := range o {
		if o[i].Len() > 0 {
			kept = append(kept, o[i])
		}
	}
	return kept
}

func (g *grouping) source(id *supervise.Source) *source {
	s, ok := g.sources[id]
	if !ok {
		s = &source{settings: g.settings(id.Server)}
		g.sources[id] = s
	}
	return s
}

func (s *source) save() undo {
	return undo{of: s, was: [2]stream{s.streams[0].Snapshot(), s.streams[1].Snapshot()}}
}

func (g *grouping) entry(s *source, entry *supervise.Entry, now time.Time) {
	if entry.Event != nil || entry.Stream == supervise.StreamNone {
		// An event stands between the lines before it and those behind it.
		for i := range s.streams {
			s.streams[i].Flush(g.record)
		}
		g.into.records = append(g.into.records, line{Entry: *entry, lines: 1})
		if isEnd(entry) {
			g.ended = append(g.ended, g.into.source)
		}
		return
	}
	of := &s.streams[entry.Stream-supervise.Stdout]
	text, printed := s.settings.text(entry.Line)
	if entry.Part > 0 {
		of.Flush(g.record)
		record := line{Entry: *entry, lines: 1, printed: printed}
		record.Line = text
		g.into.records = append(g.into.records, record)
		return
	}
	if held := of.Held(); len(held) > 0 && held[0].With.PID != entry.PID {
		of.Flush(g.record)
	}
	of.Add(text, *entry, now, g.record)
}

// ends notes the end of the process of a source whose lines are not grouped.
func (g *grouping) ends(group supervise.Group) {
	for i := range group.Entries {
		if isEnd(&group.Entries[i]) {
			g.ended = append(g.ended, group.Source)
		}
	}
}

func isEnd(entry *supervise.Entry) bool {
	e := entry.Event
	return e != nil && e.Kind != supervise.Health && e.Exit != nil
}

// add makes a record of a group. Its time, uid and process are those of its first line.
func (g *grouping) add(group logline.Group[supervise.Entry]) {
	first := &group.Lines[0]
	record := line{Entry: first.With, lines: len(group.Lines), severity: group.Severity, cut: group.Cut}
	record.Line = first.Line
	if len(group.Lines) == 1 {
		_, record.printed = g.into.settings.text(first.With.Line)
	} else {
		size := 0
		for i := range group.Lines {
			size += len(group.Lines[i].Line) + 1
		}
		var text strings.Builder
		text.Grow(size)
		for i := range group.Lines {
			if i > 0 {
				text.WriteByte('\n')
			}
			text.WriteString(group.Lines[i].Line)
			record.Repaired = record.Repaired || group.Lines[i].With.Repaired
		}
		record.Line = text.String()
		record.Raw = ""
		if record.Repaired {
			record.Raw = raw(group.Lines)
		}
	}
	g.into.records = append(g.into.records, record)
}

// raw joins lines as they were read.
func raw(lines []logline.Item[supervise.Entry]) string {
	var text strings.Builder
	for i := range lines {
		if i > 0 {
			text.WriteByte('\n')
		}
		if entry := &lines[i].With; entry.Repaired {
			text.WriteString(entry.Raw)
		} else {
			text.WriteString(entry.Line)
		}
	}
	return text.String()
}
