// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package history_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/history"
	"github.com/tailrace/tailrace/internal/querytest"
)

func channel(t *testing.T, name string) livetail.Channel {
	t.Helper()
	ch, err := livetail.ParseChannel(name)
	require.NoError(t, err)
	return ch
}

// read follows the cursors, and returns what was found: times since T0 by project.
func read(t *testing.T, h *history.History, q livetail.HistoryQuery) map[string][]time.Duration {
	t.Helper()
	found := map[string][]time.Duration{}
	for range 100 {
		page, err := h.Read(t.Context(), q)
		require.NoError(t, err)
		if q.Signal == livetail.SignalSpan {
			for _, rs := range page.Spans.ResourceSpans().All() {
				project, _ := rs.Resource().Attributes().Get("project.id")
				at := rs.ScopeSpans().At(0).Spans().At(0).StartTimestamp().AsTime()
				found[project.Str()] = append(found[project.Str()], at.Sub(querytest.T0))
			}
		} else {
			for _, rl := range page.Logs.ResourceLogs().All() {
				project, _ := rl.Resource().Attributes().Get("project.id")
				at := rl.ScopeLogs().At(0).LogRecords().At(0).Timestamp().AsTime()
				found[project.Str()] = append(found[project.Str()], at.Sub(querytest.T0))
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return found
		}
	}
	require.Fail(t, "it never ends")
	return nil
}

func TestHistory(t *testing.T) {
	s := querytest.New(t)
	s.Logs(t, "shop", 100, 0, true) // three every 300 ms
	s.Logs(t, "bank", 100, 0, true)
	s.Spans(t, "shop", 20, 0) // one a second, of 1 to 20 ms
	h := history.New(s, nil)
	shop := querytest.Viewer("shop")
	logs := livetail.HistoryQuery{Signal: livetail.SignalLog, Channel: channel(t, "*"), Caller: shop, Limit: 7, To: querytest.T0.Add(time.Hour)}

	found := read(t, h, logs)
	assert.Len(t, found, 1, "nothing of a project that the caller may not read")
	assert.Len(t, found["shop"], 100, "a page follows the other, with nothing between and nothing twice")
	assert.IsNonDecreasing(t, found["shop"])

	q := logs
	q.Newest = true
	assert.IsNonIncreasing(t, read(t, h, q)["shop"])
	q = logs
	q.From, q.To = querytest.T0.Add(time.Second), querytest.T0.Add(2*time.Second)
	assert.Len(t, read(t, h, q)["shop"], 9)
	q = logs
	q.Caller = querytest.Viewer(access.All)
	assert.Len(t, read(t, h, q)["bank"], 100)
	q.Channel = channel(t, "logs:bank")
	assert.Len(t, read(t, h, q), 1)
	q = logs
	q.Channel = channel(t, "logs:bank")
	_, err := h.Read(t.Context(), q)
	require.Error(t, err, "the channel is of a project that the caller may not read")
	q = logs
	q.Caller = nil
	assert.Empty(t, read(t, h, q))
	q = logs
	q.Filter, err = livetail.ParseFilter([]byte(`{"min_severity":"error"}`))
	require.NoError(t, err)
	assert.Less(t, len(read(t, h, q)["shop"]), 50, "what can't match is not even read")
	assert.NotEmpty(t, read(t, h, q)["shop"])

	spans := logs
	spans.Signal = livetail.SignalSpan
	assert.Len(t, read(t, h, spans)["shop"], 20)
	spans.From = querytest.T0.Add(5*time.Second + 3*time.Millisecond) // span 5 lasts 6 ms
	assert.Len(t, read(t, h, spans)["shop"], 15, "one that ends in the range belongs to it")
	page, err := h.Read(t.Context(), spans)
	require.NoError(t, err)
	sp := page.Spans.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
	assert.Equal(t, 6*time.Millisecond, sp.EndTimestamp().AsTime().Sub(sp.StartTimestamp().AsTime()))
	assert.False(t, sp.TraceID().IsEmpty())
	n, _ := sp.Attributes().Get("n")
	assert.Equal(t, "5", n.Str())
	page, err = h.Read(t.Context(), logs)
	require.NoError(t, err)
	uid, _ := page.Logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes().Get("log.record.uid")
	assert.NotEmpty(t, uid.Str())
}

func TestSettle(t *testing.T) {
	s := &querytest.Store{}
	require.Error(t, history.New(s, nil).Settle(t.Context()), "nobody knows")
	away := errors.New("away")
	require.ErrorIs(t, history.New(s, func(context.Context) error { return away }).Settle(t.Context()), away)
	require.NoError(t, history.New(s, func(context.Context) error { return nil }).Settle(t.Context()))
}
