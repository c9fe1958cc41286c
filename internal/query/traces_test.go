// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
)

func TestTraces(t *testing.T) {
	q, store := newQuerier(t)
	store.Spans(t, "shop", 1000, 0)
	store.Spans(t, "billing", 100, time.Hour)
	store.Spans(t, "shop", 1000, 0) // a sender repeats all
	ctx := t.Context()

	t.Run("Pages neither repeat nor skip", func(t *testing.T) {
		var got []TraceSummary
		cursor := ""
		for {
			page, err := q.Traces(ctx, access.Local(), parse(t, KindTraces, "project=shop&limit=37"+cursor))
			require.NoError(t, err)
			got = append(got, page.Data...)
			if !page.HasMore {
				break
			}
			require.Len(t, page.Data, 37)
			cursor = "&cursor=" + page.NextCursor
		}
		require.Len(t, got, 250)
		for i, s := range got {
			require.Equal(t, fmt.Sprintf("73%030d", 249-i), s.TraceID)
			require.EqualValues(t, 4, s.SpanCount)
			require.EqualValues(t, 1, s.ErrorCount)
			require.Equal(t, "GET /", s.Name)
			require.Equal(t, "web", s.Service)
			require.Equal(t, []string{"agent", "web"}, s.Services)
			require.Equal(t, t0.Add(time.Duration(249-i)*4*time.Second), s.Start.UTC())
		}
	})

	t.Run("A trace over several slices stands once, where its first match is", func(t *testing.T) {
		// Ten spans, one every five hours.
		store.Exec(t, `INSERT INTO tailrace.otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, ServiceName, ResourceAttributes, Duration)
SELECT fromUnixTimestamp64Nano(?) + toIntervalHour(number * 5), repeat('a', 32), leftPad(toString(number), 16, '0'), if(number = 0, '', repeat('0', 16)), concat('step ', toString(number)), 'long', map('project.id', 'slow'), 1 FROM numbers(10)`,
			t0.Add(-12*time.Hour).UnixNano())
		for _, query := range []string{"project=slow", "project=slow&name=step 9", "project=slow&name=step 3&name=step 8", "project=slow&limit=1"} {
			page, err := q.Traces(ctx, access.Local(), parse(t, KindTraces, query))
			require.NoError(t, err)
			require.Len(t, page.Data, 1, query)
			assert.EqualValues(t, 10, page.Data[0].SpanCount)
			assert.False(t, page.HasMore)
		}
	})

	for query, want := range map[string]int{
		"project=billing": 25, "service=agent": 275, "name=chat m": 275, "status=error": 275, "has_error=false": 1, "has_error=true": 275, "root_only=true": 276,
		"name=chat m&status=error": 0, "trace_id=62000000000000000000000000000003": 1, "attribute=n=7": 2, "min_duration=999ms": 1, "server=billing-1": 25, "kind=producer": 0,
	} {
		t.Run(query, func(t *testing.T) {
			n := 0
			require.NoError(t, q.ExportTraces(ctx, access.Local(), parse(t, KindTraces, query), func(TraceSummary) error { n++; return nil }))
			assert.Equal(t, want, n)
		})
	}
	t.Run("Nobody else's", func(t *testing.T) {
		page, err := q.Traces(ctx, viewer("bill*"), parse(t, KindTraces, ""))
		require.NoError(t, err)
		assert.Len(t, page.Data, 25)
		page, err = q.Traces(ctx, nil, parse(t, KindTraces, ""))
		require.NoError(t, err)
		assert.Empty(t, page.Data)
	})
}
