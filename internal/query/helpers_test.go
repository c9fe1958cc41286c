// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/querytest"
)

var t0, viewer = querytest.T0, querytest.Viewer

func newQuerier(t testing.TB) (*Querier, *querytest.Store) {
	s := querytest.New(t)
	return New(s, Limits{}), s
}

// parse reads a query string such as "service=a&limit=3".
func parse(t testing.TB, kind Kind, query string) Request {
	t.Helper()
	values, err := url.ParseQuery(query)
	require.NoError(t, err)
	r, err := Parse(kind, values, time.Now())
	require.NoError(t, err)
	return r
}
