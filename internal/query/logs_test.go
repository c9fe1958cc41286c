// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
)

// numbers are those at the end of the bodies "line N".
func numbers(logs []Log) []string {
	var out []string
	for _, r := range logs {
		out = append(out, strings.Fields(r.Body)[1])
	}
	return out
}

// down is first, first-1, … last.
func down(first, last int) []string {
	var out []string
	for n := first; n >= last; n-- {
		out = append(out, fmt.Sprint(n))
	}
	return out
}

func TestLogs(t *testing.T) {
	q, store := newQuerier(t)
	ctx := t.Context()
	store.Logs(t, "shop", 1000, 0, true)
	store.Logs(t, "shop", 1000, 0, true) // repeated
	store.Logs(t, "bare", 300, 0, false) // three of the same time each, none with a uid
	ask := func(t *testing.T, query string) Page[Log] {
		t.Helper()
		page, err := q.Logs(ctx, access.Local(), parse(t, KindLogs, query))
		require.NoError(t, err, query)
		return page
	}

	t.Run("Pages neither repeat nor skip, also without uids", func(t *testing.T) {
		for project, n := range map[string]int{"shop": 1000, "bare": 300} {
			for _, order := range []string{"asc", "desc"} {
				seen := map[string]bool{}
				var times []time.Time
				cursor := ""
				for range 1000 {
					page := ask(t, "limit=7&project="+project+"&order="+order+cursor)
					for _, r := range page.Data {
						key := strings.Fields(r.Body)[1]
						require.False(t, seen[key], "%s comes twice", key)
						seen[key] = true
						times = append(times, r.Time.Time)
					}
					if !page.HasMore {
						break
					}
					cursor = "&cursor=" + page.NextCursor
				}
				assert.Len(t, seen, n, "%s %s", project, order)
				if order == "desc" {
					slices.Reverse(times)
				}
				assert.True(t, slices.IsSortedFunc(times, time.Time.Compare))
			}
		}
	})

	t.Run("An export has all, also without uids", func(t *testing.T) {
		for project, n := range map[string]int{"shop": 1000, "bare": 300} {
			got := map[string]bool{}
			require.NoError(t, q.ExportLogs(ctx, access.Local(), parse(t, KindLogs, "project="+project), func(r Log) error {
				got[strings.Fields(r.Body)[1]] = true
				return nil
			}))
			assert.Len(t, got, n)
		}
	})

	t.Run("Before and after a place", func(t *testing.T) {
		page := ask(t, "project=shop&limit=10")
		assert.Equal(t, down(999, 990), numbers(page.Data))
		older := ask(t, "project=shop&limit=5&before="+page.NextCursor)
		assert.Equal(t, down(989, 985), numbers(older.Data))
		newer := ask(t, "project=shop&limit=3&after="+older.PrevCursor)
		assert.Equal(t, down(992, 990), numbers(newer.Data), "those next to the place")
		assert.True(t, newer.HasMore)
		rest := ask(t, "project=shop&limit=50&after="+newer.NextCursor)
		assert.Equal(t, down(999, 993), numbers(rest.Data))
		assert.False(t, rest.HasMore)

		// What comes later is found from the end.
		empty := ask(t, "project=shop&after="+rest.NextCursor)
		assert.Empty(t, empty.Data)
		store.Exec(t, "INSERT INTO tailrace.otel_logs (Timestamp, Body, ResourceAttributes, LogAttributes) VALUES (fromUnixTimestamp64Nano(?), 'line new', ?, ?)",
			t0.Add(time.Hour).UnixNano(), map[string]string{"project.id": "shop", "server.id": "other"}, map[string]string{"log.record.uid": "new"})
		assert.Equal(t, []string{"new"}, numbers(ask(t, "project=shop&after="+empty.NextCursor).Data))
	})

	t.Run("Around a record", func(t *testing.T) {
		page := ask(t, "around=shop0000000500&limit=7") // of server 1, as all even ones
		assert.Equal(t, []string{"506", "504", "502", "500", "498", "496", "494"}, numbers(page.Data))
		assert.Equal(t, []string{"492", "490"}, numbers(ask(t, "limit=2&before="+page.NextCursor).Data))
		assert.Equal(t, []string{"510", "508"}, numbers(ask(t, "limit=2&after="+page.PrevCursor).Data))
		assert.Equal(t, []string{"506", "500", "494"}, numbers(ask(t, "around=shop0000000500&limit=3&level=info").Data))
		_, err := q.Logs(ctx, viewer("other"), parse(t, KindLogs, "around=shop0000000500"))
		assert.ErrorIs(t, err, ErrNotFound)
	})

	t.Run("Lists cut long bodies, one record is whole", func(t *testing.T) {
		page := ask(t, "project=shop&text=LINE 100 long")
		require.Len(t, page.Data, 1)
		assert.Len(t, page.Data[0].Body, MaxLightBody)
		assert.EqualValues(t, 15008, page.Data[0].BodyBytes)
		assert.Equal(t, map[string]string{"n": "100"}, page.Data[0].Attributes)
		whole, err := q.Log(ctx, access.Local(), page.Data[0].UID, Request{})
		require.NoError(t, err)
		assert.Len(t, whole.Body, 15008)
		assert.Equal(t, "shop-1", whole.Resource["server.id"])
	})

	t.Run("Lines of a server", func(t *testing.T) {
		req := parse(t, KindLines, "tail=3").OfServer("shop-2")
		page, err := q.Lines(ctx, access.Local(), req)
		require.NoError(t, err)
		assert.Equal(t, []string{"999", "997", "995"}, numbers(page.Data))
		next, err := q.Lines(ctx, access.Local(), parse(t, KindLines, "tail=2&cursor="+page.NextCursor).OfServer("shop-2"))
		require.NoError(t, err)
		assert.Equal(t, []string{"993", "991"}, numbers(next.Data))
		_, err = q.Lines(ctx, access.Local(), parse(t, KindLines, "tail=2&cursor="+page.NextCursor).OfServer("shop-1"))
		assert.ErrorContains(t, err, "not a cursor", "of another server")
		page, err = q.Lines(ctx, access.Local(), parse(t, KindLines, "since="+t0.Add(99*time.Second).Format(time.RFC3339)).OfServer("shop-2"))
		require.NoError(t, err)
		assert.Equal(t, []string{"999", "997", "995", "993", "991"}, numbers(page.Data))
	})

	for query, want := range map[string]int{
		"level=error&project=shop": 166, "level=error&level=fatal&project=shop": 332, "has_error=true&project=shop": 332, "level=unset": 1, "text=LINE 99&project=shop": 11,
		"regex=^line 9[0-9]$&project=shop": 10, "attribute=n=7": 2, "attribute=log.record.uid&project=shop": 1001, "service=web&project=bare": 300, "event_name=x": 0,
		"trace_id=73000000000000000000000000000000": 1, "project=bare&start=" + t0.Add(9*time.Second).Format(time.RFC3339): 210,
	} {
		t.Run(query, func(t *testing.T) {
			n := 0
			require.NoError(t, q.ExportLogs(ctx, access.Local(), parse(t, KindLogs, query), func(Log) error { n++; return nil }))
			assert.Equal(t, want, n)
		})
	}
}
