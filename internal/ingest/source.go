// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tailrace/tailrace/internal/segment"
)

// Source is one signal: which segments it reads, how their lines become batches, and where these go.
type Source struct {
	// Signal names the source in the state folder, in tokens and in metrics: traces, logs, metrics.
	Signal string
	// Types are the folders that it reads.
	Types []segment.Type
	// MaxDelay stands in for that of the Limits when it is above it.
	MaxDelay time.Duration
	// NewBatch returns an empty batch.
	NewBatch func() Batch
	// Deliver hands a unit to the next consumer and returns its answer; nil means that the unit is stored.
	// The same unit may come again with the same token, and must then be stored only once.
	// The unit may be changed or kept by the consumer; it is not used again.
	Deliver func(ctx context.Context, token string, unit Unit) error
	// Missing removes from the unit what is in the store already, and returns how many records are left. It is asked when
	// a token alone can't tell: the store may have forgotten it. Nil when the store can't be asked.
	Missing func(ctx context.Context, unit Unit) (left int, err error)
}

// Batch collects decoded lines. It is deterministic: the same lines in the same order give the same
// units with the same records in the same order, in every process and version, because a batch that
// is repeated under its token must be what it was. It is used by one goroutine at a time.
type Batch interface {
	// Add decodes a line of a segment and appends its records. An error means that the line can't be read; nothing
	// of it was added then. The line is not kept.
	Add(of Key, line []byte) (Added, error)
	// Plan says how Units will cut the batch, in a form that is kept with it; nil means that it is sent as one.
	Plan() json.RawMessage
	// Units cuts the batch into what is sent one after the other, each under a token of its own, as the plan says
	// that was made when the batch was sent for the first time. Units that hold nothing are nil. The batch
	// must not be used afterwards, except Part.
	Units(plan json.RawMessage) ([]Unit, error)
	// Part returns, as a line without newline, what of the given line (one that was added) went into
	// the i-th unit: the line itself when it is all of it, nil when it is nothing. Called after Units.
	Part(of Key, line []byte, i int) ([]byte, error)
}

// Added says what became of a line.
type Added struct {
	// Records is the number of records that were added.
	Records int
	// Rejected are the records that the store is known to refuse. They were not added.
	Rejected []Rejected
}

// Rejected is a record that the store is known to refuse, cut out of its line.
type Rejected struct {
	// Line is the record as a line of its own, without newline.
	Line []byte
	// Reason is for a human.
	Reason string
}

// Unit is what is delivered at once.
type Unit interface {
	// Records is the number of records.
	Records() int
}
