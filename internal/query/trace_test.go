// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/querytest"
)

const mastraTrace = "0af7651916cd43dd8448eb211c80319c"

// outline draws a tree: two dots for each level, then the name.
func outline(t Trace) string {
	var b strings.Builder
	for _, s := range t.Spans {
		b.WriteString(strings.Repeat("..", s.Node.Depth) + s.Name)
		if s.Node.ParentMissing {
			b.WriteString(" (parent missing)")
		}
		if s.Status == "error" {
			b.WriteString(" !")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// insertSpan inserts one span in an insert of its own, as it comes in when it ends.
func insertSpan(t *testing.T, store *querytest.Store, id, parent, name, kind string, from, to time.Duration, attributes map[string]string, failed bool) {
	t.Helper()
	status, events := "Unset", 0
	if failed {
		status, events = "Error", 1
	}
	store.Exec(t, `INSERT INTO tailrace.otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, ResourceAttributes, ScopeName, SpanAttributes, Duration, StatusCode, StatusMessage,
    Events.Timestamp, Events.Name, Events.Attributes)
SELECT fromUnixTimestamp64Nano(?), ?, ?, ?, ?, ?, 'agent', map('project.id', 'shop', 'service.name', 'agent', 'telemetry.sdk.language', 'nodejs'), '@mastra/otel', ?, ?, ?, if(? = 1, 'out of stock', ''),
    if(? = 1, [fromUnixTimestamp64Nano(?)], []), if(? = 1, ['exception'], []), if(? = 1, [map('exception.message', 'out of stock', 'exception.stacktrace', 'Error: out of stock\n at tool')], [])`,
		t0.Add(from).UnixNano(), mastraTrace, id, parent, name, kind, attributes, int64(to-from), status, events, events, t0.Add(to).UnixNano(), events, events)
}

func TestTraceOfAnAgent(t *testing.T) {
	q, store := newQuerier(t)
	get := func(query string) Trace {
		t.Helper()
		req := parse(t, KindTrace, query)
		req.Full = query == ""
		trace, err := q.Trace(t.Context(), access.Local(), mastraTrace, req)
		require.NoError(t, err)
		return trace
	}
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	result := strings.Repeat("r", 131_000)
	// Children end, and so come, before their parents.
	insertSpan(t, store, "000000000000000a", "0000000000000004", "execute_tool stock", "Internal", ms(500), ms(900), map[string]string{"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.result": result}, true)
	insertSpan(t, store, "0000000000000006", "0000000000000005", "model_chunk", "Internal", ms(120), ms(130), nil, false)
	assert.Equal(t, "model_chunk (parent missing)\nexecute_tool stock (parent missing) !\n", outline(get("")))
	insertSpan(t, store, "0000000000000005", "0000000000000003", "agent_step", "Internal", ms(110), ms(450), nil, false)
	insertSpan(t, store, "0000000000000003", "0000000000000002", "model_generation gpt", "Internal", ms(100), ms(480), nil, false)
	insertSpan(t, store, "0000000000000004", "0000000000000002", "agent_step", "Internal", ms(490), ms(950), nil, false)
	insertSpan(t, store, "0000000000000002", "0000000000000001", "chat gpt", "Client", ms(100), ms(960), map[string]string{"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt", "gen_ai.usage.input_tokens": "1200", "gen_ai.usage.output_tokens": "0"}, false)
	insertSpan(t, store, "0000000000000003", "0000000000000002", "model_generation gpt", "Internal", ms(100), ms(480), nil, false) // repeated

	trace := get("")
	assert.False(t, trace.Complete, "the root is not there yet")
	assert.Equal(t, "chat gpt", trace.Name)

	insertSpan(t, store, "0000000000000001", "", "invoke_agent Shop", "Internal", 0, ms(1000), map[string]string{"gen_ai.agent.name": "Shop"}, false)
	trace = get("")
	assert.Equal(t, `invoke_agent Shop
..chat gpt
....model_generation gpt
......agent_step
........model_chunk
....agent_step
......execute_tool stock !
`, outline(trace))
	assert.True(t, trace.Complete)
	assert.Equal(t, "invoke_agent Shop", trace.Name)
	assert.Equal(t, 7, trace.SpanCount)
	assert.Equal(t, 1, trace.ErrorCount)
	assert.Equal(t, 1000.0, trace.DurationMS)
	tool := trace.Spans[6]
	assert.Equal(t, result, tool.Attributes["gen_ai.tool.call.result"])
	assert.Equal(t, "out of stock", tool.StatusMessage)
	require.Len(t, tool.Events, 1)
	assert.Equal(t, "exception", tool.Events[0].Name)
	assert.Equal(t, "Error: out of stock\n at tool", tool.Events[0].Attributes["exception.stacktrace"])
	assert.Equal(t, "@mastra/otel", tool.Scope.Name)
	assert.Equal(t, "nodejs", tool.Resource["telemetry.sdk.language"])
	assert.Equal(t, "0", trace.Spans[1].Attributes["gen_ai.usage.output_tokens"], "zero is there")

	light := get("detail=light")
	assert.EqualValues(t, 131_000, light.Spans[6].Omitted["gen_ai.tool.call.result"])
	assert.Equal(t, outline(trace), outline(light))

	page, err := q.Traces(t.Context(), access.Local(), parse(t, KindTraces, "has_error=true"))
	require.NoError(t, err)
	require.Len(t, page.Data, 1)
	assert.EqualValues(t, 7, page.Data[0].SpanCount)
	assert.EqualValues(t, 1200, page.Data[0].InputTokens)
	assert.Equal(t, []string{"gpt"}, page.Data[0].Models)

	t.Run("Not of others", func(t *testing.T) {
		for _, caller := range []*access.Caller{nil, viewer("shop-2"), viewer("*p-*")} {
			_, err := q.Trace(t.Context(), caller, mastraTrace, Request{})
			assert.ErrorIs(t, err, ErrNotFound)
			_, err = q.Span(t.Context(), caller, mastraTrace, "000000000000000a", Request{})
			assert.ErrorIs(t, err, ErrNotFound)
		}
	})
	t.Run("An answer that is too large names its limit", func(t *testing.T) {
		small := New(store, Limits{Answer: 100_000})
		_, err := small.Trace(t.Context(), access.Local(), mastraTrace, Request{Full: true})
		var limit *LimitError
		require.ErrorAs(t, err, &limit)
		assert.Equal(t, "answer", limit.Limit)
	})
	t.Run("More spans than are shown", func(t *testing.T) {
		trace, err := New(store, Limits{Spans: 3}).Trace(t.Context(), access.Local(), mastraTrace, Request{})
		require.NoError(t, err)
		assert.True(t, trace.Truncated)
		assert.Len(t, trace.Spans, 3)
	})
}

func TestArrange(t *testing.T) {
	span := func(id, parent string, at int) Span {
		s := Span{SpanID: id, Name: id, Start: Time{t0.Add(time.Duration(at))}, End: Time{t0.Add(time.Duration(at + 1))}}
		if parent != "" {
			s.ParentSpanID = &parent
		}
		return s
	}
	for name, tc := range map[string]struct {
		spans []Span
		want  string
	}{
		"siblings by start": {[]Span{span("b", "r", 5), span("r", "", 0), span("a", "r", 2)}, "r\n..a\n..b\n"},
		"clocks differ":     {[]Span{span("child", "r", -5), span("r", "", 0)}, "r\n..child\n"},
		"two roots":         {[]Span{span("r2", "", 3), span("r1", "", 0), span("c", "r2", 4)}, "r1\nr2\n..c\n"},
		"a circle":          {[]Span{span("r", "", 0), span("a", "b", 1), span("b", "a", 2)}, "r\na (parent missing)\n..b\n"},
		"its own parent":    {[]Span{span("a", "a", 1)}, "a (parent missing)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			trace := Trace{Spans: tc.spans}
			trace.arrange()
			assert.Equal(t, tc.want, outline(trace))
		})
	}
	t.Run("a long chain", func(t *testing.T) {
		var trace Trace
		for i := range 20_000 {
			parent := ""
			if i > 0 {
				parent = fmt.Sprint(i - 1)
			}
			trace.Spans = append(trace.Spans, span(fmt.Sprint(i), parent, 20_000-i))
		}
		trace.arrange()
		require.Len(t, trace.Spans, 20_000)
		assert.Equal(t, 19_999, trace.Spans[19_999].Node.Depth)
	})
}
