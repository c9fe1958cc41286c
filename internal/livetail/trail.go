// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"encoding/binary"
	"slices"
)

// trail is what is remembered of the records of a chunk, also when they are gone: for each the step from the sequence number
// of the one before, and its severity class. That is a byte for a lonely source, and two or three among many. It lets a
// subscription be told exactly how many records it has lost. Guarded by Hub.mu.
type trail struct {
	first, last uint64     // sequence numbers
	classes     Severities // of all its records
	steps       []byte     // uvarints: step << 3 | class; the first step is 0
}

func (t *trail) add(seq uint64, class int) {
	if len(t.steps) == 0 {
		t.first, t.last = seq, seq
	}
	t.steps = binary.AppendUvarint(t.steps, (seq-t.last)<<3|uint64(class))
	t.last = seq
	t.classes[class]++
}

// count adds the records of (after, upTo].
func (t *trail) count(after, upTo uint64, into *Severities) {
	if t.last <= after || t.first > upTo {
		return
	}
	if t.first > after && t.last <= upTo {
		into.add(&t.classes)
		return
	}
	seq := t.first
	for b := t.steps; len(b) > 0; {
		v, n := binary.Uvarint(b)
		b = b[n:]
		if seq += v >> 3; seq > upTo {
			return
		}
		if seq > after {
			into[v&7]++
		}
	}
}

// records is how many a trail has.
func (t *trail) records() uint64 { return t.classes.sum() }

// clear empties a trail; it keeps its memory.
func (t *trail) clear() { *t = trail{steps: t.steps[:0]} }

// size is what a trail costs.
func (t *trail) size() int { return cap(t.steps) + 96 }

// trailRoom is how much a ring may remember of what it has lost: a sixteenth of what it holds, and 1 KiB.
func (g *ring) trailRoom() int {
	if g.source.elsewhere {
		return lossRoom
	}
	return g.bytes/16 + 1<<10
}

// lossRoom is how much is remembered of what was lost between hubs, for a topic: about 160 losses.
const lossRoom = 16 << 10

// remember keeps the trail of a chunk that is evicted. The oldest ones are forgotten many at a time, so that moving the others
// costs a record next to nothing.
func (g *ring) remember(t trail) {
	g.spareSteps = t.steps[:0]
	t.steps = slices.Clone(t.steps)
	g.trails = append(g.trails, t)
	g.trailBytes += t.size()
	room := g.trailRoom()
	if g.trailBytes <= room {
		return
	}
	n := 0
	for ; g.trailBytes > room-room/8; n++ {
		g.trailBytes -= g.trails[n].size()
		g.forgot = g.trails[n].last
	}
	g.trails = slices.Delete(g.trails, 0, n)
}

// missing adds those records of (after, upTo] that the ring has lost. It is exact for who asks from forgot on.
func (g *ring) missing(after, upTo uint64, into *Severities) {
	upTo = min(upTo, g.lost())
	for i := range g.trails {
		g.trails[i].count(after, upTo, into)
	}
	if g.head != nil && g.headGone > 0 {
		g.head.trail.count(after, upTo, into)
	}
}
