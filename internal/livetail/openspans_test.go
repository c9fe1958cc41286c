// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
)

const partialBody = `{"resourceSpans":[{"resource":{"attributes":[{"key":"project.id","value":{"stringValue":"bank"}}]},"scopeSpans":[{"spans":[
	{"traceId":"00000000000000000000000000000007","spanId":"0000000000000001","name":"span 1","startTimeUnixNano":"1772366400000000000"}]}]}]}`

func heartbeat(event, body, every string) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("project.id", "shop")
	lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	lr.SetTimestamp(pcommon.NewTimestampFromTime(epoch))
	lr.Body().SetStr(body)
	lr.Attributes().PutStr("partial.event", event)
	lr.Attributes().PutStr("partial.frequency", every)
	ld.MarkReadOnly()
	return ld
}

func states(r *reader, sub uint32) (out []string) {
	for _, s := range r.records(sub) {
		out = append(out, s.State+" "+s.Name)
		assert.Equal(r.tb, "0000000000000001", s.SpanID)
		assert.Equal(r.tb, "shop", s.Project)
	}
	return out
}

// The three conventions tell of one span, by its id; its end is the last word.
func TestSpansInProgress(t *testing.T) {
	open := spans("shop", 1)
	open.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).SetEndTimestamp(0)
	pending := spans("shop", 9)
	sp := pending.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
	sp.SetName("span 1")
	sp.SetParentSpanID(pcommon.SpanID{7: 1})
	sp.SetEndTimestamp(sp.StartTimestamp())
	sp.Attributes().PutStr("logfire.span_type", "pending_span")
	for name, begin := range map[string]func(*livetail.Hub){
		"no end time": func(h *livetail.Hub) { publishSpans(h, open) },
		"pending":     func(h *livetail.Hub) { publishSpans(h, pending) },
		"log event":   func(h *livetail.Hub) { publish(h, heartbeat("heartbeat", partialBody, "1h")) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, nil)
			r := newReader(t, h, access.Local())
			sub := r.subscribe(livetail.Request{Channel: channel(t, "trace:00000000000000000000000000000007")})
			begin(h)
			begin(h) // says again that it runs
			r.await(func() bool { return len(r.records(sub)) == 1 })
			publishSpans(h, spans("shop", 1))
			begin(h) // too late
			publish(h, heartbeat("stop", partialBody, "1h"))
			r.upTo(sub, 2)
			assert.Equal(t, []string{"started span 1", "ended span 1"}, states(r, sub))
			assert.Equal(t, uint64(2), h.Stats().Duplicates)
		})
	}
}

func TestOrphanedSpan(t *testing.T) {
	h := newHub(t, nil)
	r := newReader(t, h, access.Local())
	sub := r.subscribe(livetail.Request{Channel: channel(t, "spans:shop")})
	publish(h, heartbeat("heartbeat", partialBody, "20ms"))
	r.await(func() bool { return len(r.records(sub)) == 2 })
	publish(h, heartbeat("heartbeat", partialBody, "1h")) // it lives after all
	r.await(func() bool { return len(r.records(sub)) == 3 })
	publishSpans(h, spans("shop", 1))
	r.await(func() bool { return len(r.records(sub)) == 4 })
	assert.Equal(t, []string{"started span 1", "orphaned span 1", "started span 1", "ended span 1"}, states(r, sub))
}

// An event whose body is no span is a log record like any other.
func TestPartialEventThatIsNone(t *testing.T) {
	h := newHub(t, nil)
	r := newReader(t, h, access.Local())
	sub := r.subscribe(livetail.Request{Channel: channel(t, "*")})
	publish(h, heartbeat("heartbeat", "no JSON", (time.Second).String()))
	r.await(func() bool { return len(r.records(sub)) == 1 })
	require.Equal(t, "log", r.records(sub)[0].Signal)
}
