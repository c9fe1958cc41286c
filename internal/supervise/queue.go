// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

const (
	// chunkEntries is how many entries a reader hands over at once, and how many small pushes are put together.
	chunkEntries = 512
	// smallPush is how many entries are rather copied to the last chunk than kept as one of their own.
	smallPush = 64
	// keepChunks is how many empty slices a queue keeps for its next entries.
	keepChunks = 4
)

// queue holds the entries of one source. Guarded by outlet.mu, but source.
type queue struct {
	source     *Source
	chunks     []chunk // oldest first
	spare      [][]Entry
	bytes      int  // of chunks
	listed     bool // in outlet.ready
	space      *sync.Cond
	dropOldest bool  // what to do while it is full: drop, or let the writer wait
	dropped    int64 // entries
	// before is what is missing in front of chunks, with the events that stood among it; behind what is missing at
	// their end.
	before, behind gap
	events         []Entry
}

// chunk is a run of entries that was pushed as one.
type chunk struct {
	entries []Entry
	bytes   int
}

func (o *outlet) newQueue(source *Source) *queue {
	return &queue{source: source, space: sync.NewCond(&o.mu)}
}

// serverQueue is the queue of a server.
func (o *outlet) serverQueue(spec Server) *queue {
	q := o.newQueue(spec.Source)
	q.dropOldest = spec.DropOldest
	return q
}

// droppedOf counts what of a queue was dropped.
func (o *outlet) droppedOf(q *queue) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return q.dropped
}

// append adds entries that count size bytes, and returns an empty slice.
func (q *queue) append(entries []Entry, size int) (empty []Entry) {
	q.bytes += size
	if last := len(q.chunks) - 1; last >= 0 && len(entries) <= smallPush && len(q.chunks[last].entries)+len(entries) <= chunkEntries {
		q.chunks[last].entries = append(q.chunks[last].entries, entries...)
		q.chunks[last].bytes += size
		clear(entries)
		return entries[:0]
	}
	q.chunks = append(q.chunks, chunk{entries: entries, bytes: size})
	if last := len(q.spare) - 1; last >= 0 {
		empty, q.spare[last] = q.spare[last], nil
		q.spare = q.spare[:last]
	}
	return empty
}

// reuse takes back an empty slice.
func (q *queue) reuse(entries []Entry) {
	if len(q.spare) < keepChunks && cap(entries) <= 2*chunkEntries {
		q.spare = append(q.spare, entries[:0])
	}
}

// take empties the queue. The result is valid until the next push.
func (q *queue) take() []chunk {
	q.closeGap()
	chunks := q.chunks
	if front := q.front(); len(front) > 0 {
		chunks = append([]chunk{{entries: front}}, chunks...)
	}
	q.chunks, q.bytes, q.listed = q.chunks[:0:0], 0, false
	return chunks
}

// front is what stands in the place of dropped chunks: the notice, and the events around it.
func (q *queue) front() []Entry {
	front := q.events
	if q.before.entries > 0 {
		notice := q.before.notice(q.source)
		at, _ := slices.BinarySearchFunc(front, notice, func(a, b Entry) int { return a.UID.Compare(b.UID) })
		front = slices.Insert(front, at, notice)
	}
	q.before, q.events = gap{}, nil
	return front
}

// dropChunk drops the oldest chunk but for its events, and returns how many entries and bytes that were.
func (q *queue) dropChunk() (entries, bytes int) {
	if len(q.chunks) == 0 {
		return 0, 0
	}
	oldest := q.chunks[0]
	q.chunks[0] = chunk{}
	q.chunks = q.chunks[1:]
	q.bytes -= oldest.bytes
	lost := oldest.entries[:0]
	for _, entry := range oldest.entries {
		if entry.Event != nil {
			q.events = append(q.events, entry)
		} else {
			lost = append(lost, entry)
		}
	}
	if len(lost) > 0 {
		q.before.add(q, lost, lost[0].UID)
	}
	n := len(lost)
	clear(oldest.entries)
	q.reuse(oldest.entries)
	return n, oldest.bytes
}

// closeGap tells of what is missing behind the last chunk, before something follows it.
func (q *queue) closeGap() {
	if q.behind.entries == 0 {
		return
	}
	notice := q.behind.notice(q.source)
	q.behind = gap{}
	size := len(notice.Line) + entryOverhead
	q.chunks = append(q.chunks, chunk{entries: []Entry{notice}, bytes: size})
	q.bytes += size
}

// gap is a run of entries that were dropped.
type gap struct {
	entries, lines, bytes int64
	first                 ulid.ULID // of the first one: the notice takes its place
	time                  time.Time
	pid                   int
}

func (g *gap) add(q *queue, entries []Entry, first ulid.ULID) {
	if g.entries == 0 {
		g.first, g.time, g.pid = first, entries[0].Time, entries[0].PID
	}
	g.entries += int64(len(entries))
	q.dropped += int64(len(entries))
	for i := range entries {
		if e := &entries[i]; e.Event == nil {
			g.bytes += int64(max(len(e.Line), len(e.Raw)))
			if e.Part == 0 || e.Last {
				g.lines++
			}
		}
	}
}

func (g *gap) notice(source *Source) Entry {
	of := "server " + source.Server
	if source.Server == "" {
		of = "deployment " + source.Deployment
	}
	event := &Event{
		Kind: OutputDropped, DroppedLines: g.lines, DroppedBytes: g.bytes,
		Text:   fmt.Sprintf("%d lines of %s were dropped here", g.lines, of),
		Reason: "more was printed than the pipeline took",
	}
	return Entry{Time: g.time, UID: g.first, PID: g.pid, Line: event.Text, Event: event}
}
