// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import "time"

// Reason says why records are missing.
type Reason uint8

// Reasons of a gap.
const (
	// ReasonSlow: the client did not take its records in time, or the hub was overloaded.
	ReasonSlow Reason = iota + 1
	// ReasonSampled: there were more records than the max_rate that the client asked for.
	ReasonSampled
	// ReasonEvicted: the rings had lost the records before they were read.
	ReasonEvicted
	// ReasonLost: the records were lost on the way from another hub.
	ReasonLost
)

// Gap tells that records are missing in the range (After, Last]. With After equal to Last they are missing inside the range
// that follows.
type Gap struct {
	After, Last uint64
	// Until is up to where records may be missing from what follows, too, when that is above Last. Dropped includes them.
	Until uint64
	// Dropped records matched and are missing; Known is false when their number is not known (evicted ones that can't be compared
	// with the filter any more, or that the rings don't remember).
	Dropped    uint64
	Known      bool
	BySeverity Severities
	// Filtered records of the range did not match.
	Filtered uint64
	Reason   Reason
	// From and To are between when what is missing arrived, as far as that is known, for ReasonEvicted.
	From, To time.Time
}

// Request asks for a channel.
type Request struct {
	Channel Channel
	Filter  *Filter
	// MaxRate is how many records a second are shown live; what is above is sampled. 0: all.
	MaxRate int
	// Backfill is how many of the newest records of the rings come first; Since takes only those whose own time is not
	// before it (all such when Backfill is 0).
	Backfill int
	Since    time.Time
	// OlderAfter: what the history has for Backfill beyond the rings comes when it has been read, after what they hold, and nothing waits
	// for it. Otherwise it comes first.
	OlderAfter bool
	// Resume goes on behind a position, instead of a backfill.
	Resume *Position
}

// Position is a place in the order of a hub.
type Position struct {
	Epoch string
	Seq   uint64
	// At is the server's time when everything up to Seq had arrived; zero: not known. A history is read from there on when the epoch
	// is another one.
	At time.Time
}

// Subscribed is the outcome of a request. The ranges of the subscription begin behind Seq.
type Subscribed struct {
	Sub   uint32
	Epoch string
	Seq   uint64
	// Head is the last record that there was: what comes up to it is the past.
	Head uint64
	// Recovered: everything behind the asked for position was there when it was asked for.
	Recovered bool
	// Gap is what was lost between another epoch and this one, nil: nothing.
	Gap *Gap
	// Filling: records of the history come next, with Filled at their end; with Older at any time, as Output.Older says.
	Filling, Older bool
	// At is the server's time.
	At time.Time
}
