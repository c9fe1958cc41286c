// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"fmt"
	"time"

	"github.com/tailrace/tailrace/internal/access"
)

// Keyset is the place behind which the page of a list begins that is not in the store: the time of its last row, and
// what tells it from others of the same time.
type Keyset struct {
	Time time.Time
	Key  string
}

// After reads the cursor of a request; false: it asks for the first page.
func (r Request) After() (Keyset, bool, error) {
	if r.cursor == "" {
		return Keyset{}, false, nil
	}
	c, err := parseCursor(r.cursor, r.hash, 1)
	if err != nil {
		return Keyset{}, false, wrong("cursor", "%s", err)
	}
	return Keyset{time.Unix(0, c.at.time).UTC(), c.at.keys[0]}, true, nil
}

// Cursor is the cursor of the page behind a row.
func (r Request) Cursor(last Keyset) string {
	return cursor{hash: r.hash, at: position{last.Time.UnixNano(), []string{last.Key}}}.String()
}

// MayRead is an error when the request names a project that the caller may not read, as in lists of the store.
func (r Request) MayRead(caller *access.Caller) error { return mayRead(caller, r.Filter.Projects) }

func mayRead(caller *access.Caller, projects []string) error {
	for _, p := range projects {
		if !caller.MayRead(p) {
			return fmt.Errorf("%w: you may not read project %q", ErrForbidden, p)
		}
	}
	return nil
}
