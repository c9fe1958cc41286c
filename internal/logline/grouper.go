// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

import (
	"strings"
	"time"
)

var utc = time.UTC

// Bounds of a group. What comes after them goes on in another one.
const (
	MaxGroupLines = 1000
	MaxGroupBytes = 256 << 10
	// MaxGroupAge is how long a trace may grow.
	MaxGroupAge = time.Second
	// MaxHold is how long a line waits for the next one, at most.
	MaxHold = 40 * time.Millisecond
)

// Group is one line, or the lines of one stack trace. Lines is reused after the call that gives it out.
type Group[T any] struct {
	Lines []Item[T]
	// Severity is that of the trace; 0 for a single line, and for a trace whose head has a level of its own.
	Severity Severity
	// Cut says that the trace goes on in the next group, because of a bound.
	Cut bool
}

// Item is a line and what the caller keeps with it.
type Item[T any] struct {
	Line string
	With T
}

// Grouper joins the stack traces in one stream of lines. Groups come out in the order of their lines, and every line
// is in exactly one of them. It is not safe for concurrent use; its zero value is ready.
//
// Lines are given by Add; at the end of what is there now, Pause gives out all that need not wait for more, and says
// how long the rest may wait.
type Grouper[T any] struct {
	held  []Item[T]
	sure  int // how many of held belong together; the others only if more follow
	bytes int
	state state
	at    state // after the last sure line
	began time.Time
	fed   time.Time // when the last sure line came
	again []Item[T]
}

// Empty says that nothing is held.
func (g *Grouper[T]) Empty() bool { return len(g.held) == 0 }

// Held returns the lines that have not been given out. The result is only valid until the next call.
func (g *Grouper[T]) Held() []Item[T] { return g.held }

// Snapshot returns a copy of g that does not change with it.
func (g *Grouper[T]) Snapshot() Grouper[T] {
	c := *g
	c.held = append([]Item[T](nil), g.held...)
	c.again = nil
	return c
}

// Add takes a line that came at now, and gives out what it completes.
func (g *Grouper[T]) Add(line string, with T, now time.Time, emit func(Group[T])) {
	g.add(Item[T]{Line: line, With: with}, now, emit)
}

func (g *Grouper[T]) add(item Item[T], now time.Time, emit func(Group[T])) {
	line := item.Line
	if strings.IndexByte(line, escape) >= 0 {
		line = StripANSI(line)
	}
	for len(g.held) > 0 {
		v, next := follow(g.state, g.head(), line)
		if v == maybe && len(g.held)-g.sure >= maxMaybe {
			v = no
		}
		if v == no {
			g.release(emit)
			continue // what was in doubt may have begun something
		}
		full := len(g.held) == MaxGroupLines || g.bytes+len(item.Line) >= MaxGroupBytes || now.Sub(g.began) > MaxGroupAge
		if full {
			g.cut(emit)
			g.began = now
		}
		g.hold(item)
		g.state = next
		if v == yes || g.sure == 0 {
			g.sure, g.at, g.fed = len(g.held), next, now
		}
		return
	}
	g.hold(item)
	g.state = start(line)
	g.sure, g.at, g.began, g.fed = 1, g.state, now, now
}

func (g *Grouper[T]) head() string {
	line := g.held[0].Line
	if strings.IndexByte(line, escape) >= 0 {
		return StripANSI(line)
	}
	return line
}

func (g *Grouper[T]) hold(item Item[T]) {
	g.held = append(g.held, item)
	g.bytes += len(item.Line) + 1
}

// release gives out the sure lines as one group and starts again with those in doubt.
func (g *Grouper[T]) release(emit func(Group[T])) {
	doubtful := g.held[g.sure:]
	group := Group[T]{Lines: g.held[:g.sure]}
	if g.sure > 1 && levelOf(g.head()) == 0 {
		group.Severity = g.severity()
	}
	again := g.again[:0]
	again = append(again, doubtful...)
	emit(group)
	fed := g.fed
	g.clear()
	g.again = nil
	for _, item := range again {
		g.add(item, fed, emit)
	}
	clear(again)
	g.again = again[:0]
}

// cut gives out all held lines, and keeps the state: the trace goes on.
func (g *Grouper[T]) cut(emit func(Group[T])) {
	group := Group[T]{Lines: g.held, Cut: true}
	if levelOf(g.head()) == 0 {
		group.Severity = g.severity()
	}
	emit(group)
	state := g.state
	g.clear()
	g.state = state
}

func (g *Grouper[T]) clear() {
	clear(g.held)
	g.held, g.sure, g.bytes, g.state = g.held[:0], 0, 0, sHead
	if cap(g.held) > 64 {
		g.held = nil
	}
}

// severity is what a trace says by being one.
func (g *Grouper[T]) severity() Severity {
	switch head := g.head(); {
	case strings.HasPrefix(head, "panic: ") || strings.HasPrefix(head, "fatal error: "):
		return Fatal
	case head == "Trace" || strings.HasPrefix(head, "Trace:") || isGoroutine(head) || strings.HasPrefix(head, "SIGQUIT: "):
		return 0 // asked for, not a failure
	case strings.Contains(head, "panic") && (g.at == sGo || g.at == sGoCall):
		return Error
	case isError(head) || isNodePath(head) || isTraceback(head) || g.at == sRuby || strings.HasPrefix(head, "thread '"):
		return Error
	}
	return 0
}

// Pause says that there are no more lines now. It gives out what nothing is likely to follow, and what has waited long
// enough. hold is how long the rest may wait, 0 when there is none.
func (g *Grouper[T]) Pause(now time.Time, emit func(Group[T])) (hold time.Duration) {
	for len(g.held) > 0 {
		if g.waits() {
			if left := MaxHold - now.Sub(g.fed); left > 0 {
				return left
			}
		}
		g.release(emit)
	}
	return 0
}

// waits says whether what is held looks like the beginning of something.
func (g *Grouper[T]) waits() bool {
	if len(g.held) > 1 {
		return g.state != sEnd
	}
	head := g.head()
	return g.state != sHead && g.state != sEnd || levelOf(head) >= Warn || strings.Contains(head, "panic")
}

// Flush gives out everything.
func (g *Grouper[T]) Flush(emit func(Group[T])) {
	for len(g.held) > 0 {
		g.release(emit)
	}
}
