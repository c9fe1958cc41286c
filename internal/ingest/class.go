// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"fmt"
	"time"
)

// Class is what an error of Deliver says about the unit that was sent.
type Class int

// The classes. What is not known to be anything else heals.
const (
	// Heals may pass by itself: the unit is sent again as it is, without limit.
	Heals Class = iota
	// Refused says that a record of the unit is to blame, and that nothing of the unit was written to the table that
	// refuses it.
	Refused
	// Doubtful may be a record's fault, and parts of the unit may have been written all the same.
	Doubtful
	// Permanent is the consumer's word that repeating the unit can't help.
	Permanent
)

const (
	// What the store refuses is taken apart after so many refusals in a row; of what is doubtful there have to be
	// more, since it is more often than not the store's fault.
	refusedTries, doubtfulTries = 2, 4
	// A record that fails alone goes to failed/ after so many rounds when nothing else of its unit was stored, so
	// that nothing shows whether the record or the store is to blame.
	refusedRounds, doubtfulRounds = 5, 10
	// So many records that fail alone, with none that is stored, look like the store's fault.
	systemic = 32
	// suspectPause bounds the pause between attempts while a record is suspected.
	suspectPause = 3 * time.Second
)

// Table says how many records of a unit go to one of the tables that the consumer fills at once. The name is empty
// when there is only one.
type Table struct {
	Name    string
	Records int
}

// Splitter is a Batch whose units can be taken apart, to find the record that the store refuses. All of it is deterministic,
// as Batch is.
type Splitter interface {
	Batch
	// Tables lists the tables that the records of a unit go to.
	Tables(u Unit) ([]Table, error)
	// Slice copies the records from..to (counted in the order in which they are sent, among those of the table) out of
	// a unit, which stays as it is.
	Slice(u Unit, table string, from, to int) (Unit, error)
	// LineSlice returns, as a line without newline, the records from..to of a line that was added, counted among those
	// that went into the i-th unit and the table, and how many of these the line has; nil when they are not in it.
	LineSlice(of Key, line []byte, unit int, table string, from, to int) (part []byte, records int, err error)
}

// classify is the class of an error of Deliver.
func (o *Options) classify(err error) (Class, string) {
	if o.Classify == nil {
		return Heals, ""
	}
	return o.Classify(err)
}

// attempt sends a unit once. With ask, and when the batch is so old that the store may have forgotten its token, the
// store is asked first what of it is there already.
func (w *worker) attempt(ctx context.Context, m *Manifest, token string, u Unit, ask bool) (Class, error) {
	if w.src.Missing != nil && (ask || w.outlived(m)) {
		left, err := w.src.Missing(ctx, u)
		if err != nil {
			return Heals, err
		}
		if left == 0 {
			return Heals, nil
		}
	}
	err := w.src.Deliver(ctx, token, u)
	if err == nil {
		return Heals, nil
	}
	class, name := w.opts.classify(err)
	if w.cause = name; name != "" {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return class, err
}

// outlived reports whether the batch was frozen so long ago that its token may be forgotten.
func (w *worker) outlived(m *Manifest) bool {
	return w.opts.Limits.TokenWindow > 0 && time.Since(time.Unix(m.At, 0)) > w.opts.Limits.TokenWindow
}
