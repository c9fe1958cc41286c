// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"strconv"
	"time"

	"github.com/tailrace/tailrace/internal/access"
)

// event is a log record that reports a change of state.
type event struct {
	at         time.Time
	attributes map[string]string
}

// number returns an attribute as a number, nil when it is none.
func (e event) number(key string) *float64 {
	v, err := strconv.ParseFloat(e.attributes[key], 64)
	if err != nil {
		return nil
	}
	return number(v)
}

// events begins a question about the events of a name that have something in a column, within a week or the range of the filter. It
// reports false when the caller may see none.
func events(caller *access.Caller, req Request, name, column string) (*statement, bool, error) {
	f := req.Filter
	if f.Start.IsZero() {
		f.Start = req.now.Add(-inventoryRange)
	}
	s := newStatement()
	some, err := restrict(s, caller, f.Projects)
	if err != nil || !some {
		return nil, false, err
	}
	f.belongsTo(s)
	f.within(s, "Timestamp")
	s.where("EventName = " + s.str(name))
	s.where(column + " != ''")
	return s, true, nil
}

// lastEvents returns the last event of a name, by project and id, within a week or the range of the filter.
func (q *Querier) lastEvents(ctx context.Context, b budget, caller *access.Caller, req Request, name, column string) (map[[2]string]event, error) {
	s, some, err := events(caller, req, name, column)
	if err != nil || !some {
		return nil, err
	}
	s.head = "SELECT ProjectId, toString(" + column + ") AS id, max(Timestamp), argMax(mapFilter((k, v) -> startsWith(k, 'server.') OR startsWith(k, 'deployment.'), LogAttributes), (Timestamp, Uid))\nFROM " + q.table("otel_logs")
	s.tail = "GROUP BY ProjectId, id"
	out := map[[2]string]event{}
	err = q.run(ctx, b, s, func(scan func(...any) error) error {
		var key [2]string
		var e event
		if err := scan(&key[0], &key[1], &e.at, &e.attributes); err != nil {
			return err
		}
		out[key] = e
		return nil
	})
	return out, err
}
