// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"context"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
)

// Stream says where an entry comes from.
type Stream uint8

// The streams of a process. An entry that reports a change of state has StreamNone.
const (
	StreamNone Stream = iota
	Stdout
	Stderr
)

// String returns the value of the `log.iostream` attribute, empty for StreamNone.
func (s Stream) String() string {
	switch s {
	case Stdout:
		return "stdout"
	case Stderr:
		return "stderr"
	default:
		return ""
	}
}

// Source is what entries are said to come from. It never changes after its creation and may be used as
// a key by its address.
type Source struct {
	Project    string // empty: unknown
	Deployment string // empty: unknown
	Server     string // empty for the status of a deployment and for a build
	Build      string // empty for servers and the status of a deployment
	Service    string // service.name, empty for the status of a deployment
	Executable string // base name of the command, empty for the status of a deployment
	Labels     []Label
}

// Label is a further attribute of the resource.
type Label struct{ Key, Value string }

// Entry is a line of output, a part of an over-long line, or a change of state (Event is not nil).
type Entry struct {
	// Time is when the end of the line was read, or when the state changed.
	Time time.Time
	// UID is unique, and increases with the order of entries within one supervisor.
	UID ulid.ULID
	// PID is 0 where there is no process (yet).
	PID int
	// Line is the text without its line end, always valid UTF-8.
	Line string
	// Raw is the bytes of Line as they were read, where Repaired is set; empty otherwise.
	Raw string
	// Part counts the parts of a line that was longer than the limit, from 1; 0 is a whole line.
	Part   int
	Stream Stream
	// Last is set on the last part of an over-long line.
	Last bool
	// Repaired says that invalid UTF-8 was replaced by U+FFFD.
	Repaired bool
	Event    *Event
}

// EventKind says what kind of state changed.
type EventKind uint8

// The kinds of events.
const (
	Lifecycle EventKind = iota + 1
	Health
	DeploymentStatus
	BuildStatus
	OutputDropped
)

// States of the four kinds of events.
const (
	// Lifecycle of a server. failed: it could not be started, or is given up; exited: it ended by itself;
	// stopped: it was stopped, or waiting for a restart was ended.
	StateStarting = "starting"
	StateRunning  = "running"
	StateExited   = "exited"
	StateFailed   = "failed"
	StateStopped  = "stopped"

	// Health of a server. Without a HealthCheck a running server is healthy. A server that ended well by
	// itself stays at stopping, one that failed at unhealthy.
	HealthStarting  = "starting"
	HealthHealthy   = "healthy"
	HealthUnhealthy = "unhealthy"
	HealthStopping  = "stopping"

	// Status of a deployment. pending: a build waits whose success starts its servers; building: such a build
	// runs, or starts them.
	DeploymentPending  = "pending"
	DeploymentBuilding = "building"
	DeploymentRunning  = "running"
	DeploymentStopped  = "stopped"
	DeploymentFailed   = "failed"

	// Phases of a build. The last three are ends.
	BuildQueued    = "queued"
	BuildBuilding  = "building"
	BuildDeploying = "deploying"
	BuildSucceeded = "succeeded"
	BuildFailed    = "failed"
	BuildCancelled = "cancelled"
)

// Event is a change of state.
type Event struct {
	Kind  EventKind
	State string
	// Text is a sentence for people.
	Text string
	// Reason says why, where that is known.
	Reason string
	// Failure tells the unwanted changes from the wanted ones.
	Failure bool
	// Restarts counts the starts after the first one; of a build, its runs before this one.
	Restarts int
	// Exit is set once the process has ended.
	Exit *Exit
	// Port is what was assigned to the server, on its event of running; 0: none.
	Port int
	// Uptime is 0 before the process ran. Of a build it is the time since it left the queue.
	Uptime time.Duration
	// Usage is set on events of health, where it is known, with CPUPercent: the CPU time since the
	// event before, 100 for one core.
	Usage      *Usage
	CPUPercent float64
	// DroppedLines and DroppedBytes are what is missing in the place of an event of OutputDropped. A line counts by
	// its last part.
	DroppedLines, DroppedBytes int64
}

// Exit says how a process ended.
type Exit struct {
	Code   int    // -1 when a signal ended it
	Signal string // such as "SIGKILL", empty without
}

// String is the end of a sentence about the process.
func (e Exit) String() string {
	if e.Signal != "" {
		return "was ended by " + e.Signal
	}
	return fmt.Sprintf("exited with code %d", e.Code)
}

// Batch is what the outlet hands to a Sink: entries of one or several sources, in order per source.
type Batch []Group

// Group holds consecutive entries of one source.
type Group struct {
	Source  *Source
	Entries []Entry
}

// Len counts the entries.
func (b Batch) Len() int {
	n := 0
	for i := range b {
		n += len(b[i].Entries)
	}
	return n
}

// Sink takes entries. Deliver is never called concurrently, and returns when all entries are accepted or
// given up for good: repeating is the Sink's business. An error means that ctx ended first; the batch
// comes again to the next Sink. The slices belong to the caller again after Deliver has returned; the
// strings in them may be kept.
type Sink interface {
	Deliver(ctx context.Context, batch Batch) error
}

// Output is the side of a supervisor that a reader of its output sees.
type Output interface {
	// Attach hands everything buffered and everything to come to sink, until detach is called. A second
	// sink at the same time is an error. After detach has returned the sink is not called again.
	Attach(sink Sink) (detach func(), err error)
}
