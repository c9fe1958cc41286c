// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailclient

import (
	"encoding/json"
	"time"
)

// Subscription is what to show. The zero value of everything but Channel means: not.
type Subscription struct {
	// Channel such as server:web-1, project:shop, trace:… or *.
	Channel string
	// Filter is a JSON object as the protocol has it.
	Filter json.RawMessage
	// Backfill is how many of the newest records of the past come first; Since limits them to those whose time is not before it
	// (RFC 3339, or relative such as -15m). Since alone takes all that the server holds.
	Backfill int
	Since    string
	// OlderAfter: what the server's store adds to Backfill does not hold up the rest. It comes in Events that are Older, which stand before
	// all others of the subscription.
	OlderAfter bool
	// MaxRate is how many records a second are shown; more are sampled.
	MaxRate int
}

// Record is one record. Raw is all of it, as the server sent it; the fields are those that most users want.
type Record struct {
	Seq        uint64          `json:"seq"`
	Signal     string          `json:"signal"` // log, span, metric, score
	State      string          `json:"state"`  // of a span: started, ended, orphaned
	Time       time.Time       `json:"time"`
	Project    string          `json:"project"`
	Deployment string          `json:"deployment"`
	Server     string          `json:"server"`
	Build      string          `json:"build"`
	Service    string          `json:"service"`
	Severity   string          `json:"severity"`
	EventName  string          `json:"eventName"`
	Body       json.RawMessage `json:"body"`
	Name       string          `json:"name"`
	Kind       string          `json:"kind"`
	Status     string          `json:"status"`
	Message    string          `json:"statusMessage"`
	DurationMS float64         `json:"durationMs"`
	Value      json.RawMessage `json:"value"`
	Label      string          `json:"label"`
	Unit       string          `json:"unit"`
	TraceID    string          `json:"traceId"`
	SpanID     string          `json:"spanId"`
	ParentID   string          `json:"parentSpanId"`
	UID        string          `json:"uid"`
	Attributes json.RawMessage `json:"attributes"`

	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *Record) UnmarshalJSON(data []byte) error {
	type plain Record
	if err := json.Unmarshal(data, (*plain)(r)); err != nil {
		return err
	}
	r.Raw = append(json.RawMessage(nil), data...)
	return nil
}

// Text is the body of a log record as text: a string as it is, anything else as JSON.
func (r *Record) Text() string {
	var s string
	if json.Unmarshal(r.Body, &s) == nil {
		return s
	}
	return string(r.Body)
}

// Gap says that records are missing in the range (After, Last]; with After equal to Last, inside the range that follows.
type Gap struct {
	After uint64 `json:"after"`
	Last  uint64 `json:"last"`
	// Until is up to where records may be missing from what follows, 0: Last.
	Until uint64 `json:"until"`
	// Dropped is how many; nil: not known.
	Dropped    *uint64           `json:"dropped"`
	BySeverity map[string]uint64 `json:"by_severity"`
	// Filtered records of the range did not match the filter: they are not missing.
	Filtered uint64 `json:"filtered"`
	Reason   string `json:"reason"` // slow, sampled, evicted, lost
	// Query names the REST queries that return what is missing, for the reasons evicted and lost.
	Query []string `json:"query"`
}

// Filled says that the records which came with Event.Stored are all that the server has read from its store, for what its memory
// had lost or never had. When it is not complete, gaps that follow say what is missing.
type Filled struct {
	Records  uint64   `json:"records"`
	Complete bool     `json:"complete"`
	Signals  []string `json:"signals"` // that it was about; log, score, span
	Older    bool     `json:"older"`   // the end of Events that are Older; no gap follows
	Message  string   `json:"message"` // why it is not complete
}

// Event is one thing that happened.
type Event struct {
	// Subscription is the index of the subscription that it is about, -1: of the connection.
	Subscription int
	// Records that matched, in order; After, Last and Filtered are the range that they cover.
	Records               []Record
	After, Last, Filtered uint64
	// Stored: the records are from the store. They are older than what follows, have no sequence number, and their attributes are strings.
	Stored bool
	// Older: they are older than everything else of the subscription, for Subscription.OlderAfter.
	Older bool
	// Filled: the end of stored records.
	Filled *Filled
	// Gap: records are missing.
	Gap *Gap
	// Live: the subscription has come to the present; sent once for each connection.
	Live bool
	// Connected: a connection was made. Disconnected: why it is over, before the next try.
	Connected    bool
	Disconnected error
	// Notice is something that the server wants to be known.
	Notice string
}

// message is a frame.
type message struct {
	Type    string          `json:"type"`
	ID      json.RawMessage `json:"id"`
	Payload json.RawMessage `json:"payload"`
}

type hello struct {
	Epoch         string `json:"epoch"`
	Authenticated bool   `json:"authenticated"`
	PingInterval  int64  `json:"ping_interval_ms"`
}

type subscribed struct {
	Sub   uint32 `json:"sub"`
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
	Head  uint64 `json:"head"`
	At    int64  `json:"at"`
	Fill  bool   `json:"filling"`
	Older bool   `json:"older"`
	Gap   *Gap   `json:"gap"`
}

type batch struct {
	Sub      uint32   `json:"sub"`
	After    uint64   `json:"after"`
	Last     uint64   `json:"last"`
	Filtered uint64   `json:"filtered"`
	At       int64    `json:"at"`
	Stored   bool     `json:"stored"`
	Older    bool     `json:"older"`
	Records  []Record `json:"records"`
}

type filled struct {
	Sub uint32 `json:"sub"`
	Filled
}

type gap struct {
	Sub uint32 `json:"sub"`
	Gap
}

type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}
