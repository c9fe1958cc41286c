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

func TestSpans(t *testing.T) {
	q, store := newQuerier(t)
	store.Spans(t, "shop", 1000, 0)
	store.Spans(t, "billing", 100, time.Hour)
	store.Spans(t, "shop", 1000, 0) // a sender repeats all
	ctx := t.Context()

	t.Run("Pages neither repeat nor skip", func(t *testing.T) {
		for _, order := range []string{"desc", "asc"} {
			var got []string
			cursor := ""
			for {
				page, err := q.Spans(ctx, access.Local(), parse(t, KindSpans, "project=shop&limit=37&order="+order+cursor))
				require.NoError(t, err)
				for _, s := range page.Data {
					got = append(got, s.SpanID)
				}
				if !page.HasMore {
					assert.Empty(t, page.NextCursor)
					break
				}
				assert.Len(t, page.Data, 37)
				cursor = "&cursor=" + page.NextCursor
			}
			require.Len(t, got, 1000)
			for i, id := range got {
				n := i
				if order == "desc" {
					n = 999 - i
				}
				require.Equal(t, fmt.Sprintf("%016d", n), id)
			}
		}
	})

	t.Run("A list is light, a span is not", func(t *testing.T) {
		page, err := q.Spans(ctx, access.Local(), parse(t, KindSpans, "attribute=n=990&project=shop"))
		require.NoError(t, err)
		require.Len(t, page.Data, 1)
		got := page.Data[0]
		assert.Equal(t, map[string]string{"n": "990", "gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": "10", "gen_ai.usage.output_tokens": "1"}, got.Attributes)
		assert.Equal(t, map[string]uint64{"big": 5000}, got.Omitted)
		assert.Nil(t, got.Resource)

		full, err := q.Span(ctx, access.Local(), got.TraceID, got.SpanID, Request{})
		require.NoError(t, err)
		assert.Len(t, full.Attributes["big"], 5000)
		assert.Empty(t, full.Omitted)
		assert.Equal(t, "shop", full.Resource["project.id"])
		assert.Equal(t, 991.0, full.DurationMS)
	})

	for query, want := range map[string]int{
		"project=billing": 100, "service=agent&project=shop": 500, "service=agent&service=web&project=shop": 1000, "name=GET /": 275,
		"kind=client": 275, "kind=client&kind=server": 550, "status=error": 275, "status=ok&status=unset": 825, "has_error=true": 275, "has_error=false": 825,
		"root_only": 275, "min_duration=999ms": 2, "max_duration=2": 4, "min_duration=100&max_duration=0.1s": 2,
		"trace_id=73-00000000000000-0000000000000003": 4, "text=EXECUTE": 275, "text=100%25": 0, "regex=^chat .$": 275,
		"attribute=n=7": 2, "attribute=n": 1100, "attribute=none": 0, "resource=project.id=shop": 1000, "resource=none": 0, "attribute=n=7&resource=project.id=shop": 1, "attribute=n=": 0,
		"server=shop-1": 1000, "deployment=x": 0, "deployment=prod": 1100, "build=x": 0,
		"project=shop&start=" + t0.Add(10*time.Second).Format(time.RFC3339) + "&end=" + t0.Add(20*time.Second).Format(time.RFC3339): 10,
	} {
		t.Run(query, func(t *testing.T) {
			n := 0
			require.NoError(t, q.ExportSpans(ctx, access.Local(), parse(t, KindSpans, query), func(Span) error { n++; return nil }))
			assert.Equal(t, want, n)
		})
	}
}
