// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package restapi

import (
	"context"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/query"
)

var lines = (*query.Querier).Lines

// page makes the answer of a route from a method of the querier.
func page[T any](ask func(*query.Querier, context.Context, *access.Caller, query.Request) (T, error), by ...narrow) func(*api, *call) (any, error) {
	return func(a *api, c *call) (any, error) {
		return ask(a.querier, c.ctx, c.caller, c.narrowed(by))
	}
}

// rows makes the export of a route.
func rows[T any](ask func(*query.Querier, context.Context, *access.Caller, query.Request, func(T) error) error, by ...narrow) func(*api, *call, func(any) error) error {
	return func(a *api, c *call, each func(any) error) error {
		return ask(a.querier, c.ctx, c.caller, c.narrowed(by), func(row T) error { return each(row) })
	}
}
