// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/livetail"
)

// restamped is what identity makes of each try of a sender that gives its records no uid.
func restamped(ld plog.Logs, try int) plog.Logs {
	out := plog.NewLogs()
	ld.CopyTo(out)
	records := out.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	for i, lr := range records.All() {
		lr.Attributes().PutStr("log.record.uid", fmt.Sprintf("stamp-%d-%d", try, i))
	}
	return out
}

func TestRepeatedLogsAreShownOnce(t *testing.T) {
	h := newHub(t, nil)
	c := newClient(t, h)
	c.subscribe("*", 0)

	publish(h, lines("shop", "web-1", 0, 10))
	publish(h, lines("shop", "web-1", 0, 10)) // the same request
	publish(h, lines("shop", "web-1", 5, 10)) // cut differently: five of them are new
	publish(h, lines("other", "web-1", 0, 1)) // the same uid in another project would be another record

	publish(h, restamped(lines("shop", "web-3", 0, 4), 1))
	publish(h, restamped(lines("shop", "web-3", 0, 4), 2))
	publish(h, restamped(lines("shop", "web-3", 0, 5), 3)) // another request: its records can't be told to be the same
	publish(h, lines("shop", "web-9", 0, 1))

	c.await(func() bool { return c.records > 0 && c.messages[len(c.messages)-1].text() == "web-9 line 0" })
	assert.Equal(t, 15+1+4+5+1, c.records)
	s := h.Stats()
	assert.Equal(t, uint64(10+5+4), s.Duplicates)
	assert.Equal(t, uint64(10+10+10+1+4+4+5+1), s.Seen)
}

// Records without a time of their own and without a uid are never taken for each other.
func TestUntimedLogsAreNotDeduplicated(t *testing.T) {
	h := newHub(t, nil)
	ld := plog.NewLogs()
	ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("tick")
	publish(h, ld)
	publish(h, ld)
	assert.Zero(t, h.Stats().Duplicates)
	assert.Equal(t, 2, h.Stats().RingRecords)
}

func spans(project string, ids ...byte) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("project.id", project)
	ss := rs.ScopeSpans().AppendEmpty()
	for _, id := range ids {
		sp := ss.Spans().AppendEmpty()
		sp.SetTraceID(pcommon.TraceID{15: 7})
		sp.SetSpanID(pcommon.SpanID{7: id})
		sp.SetName(fmt.Sprint("span ", id))
		sp.SetStartTimestamp(pcommon.NewTimestampFromTime(epoch))
		sp.SetEndTimestamp(sp.StartTimestamp() + 1_500_000)
	}
	return td
}

func publishSpans(h *livetail.Hub, td ptrace.Traces) {
	b := h.NewBatch()
	td.MarkReadOnly()
	b.AddSpans(td)
	h.Publish(b)
}

func TestRepeatedSpansAreShownOncePerState(t *testing.T) {
	h := newHub(t, nil)
	c := newClient(t, h)
	c.subscribe("trace:00000000-0000-0000-0000-000000000007", 0)
	open := spans("shop", 1)
	open.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).SetEndTimestamp(0)
	again := ptrace.NewTraces()
	open.CopyTo(again)
	publishSpans(h, open)
	publishSpans(h, again)
	publishSpans(h, spans("shop", 1, 2))
	publishSpans(h, spans("shop", 2, 1, 3))
	c.awaitRecords(4)
	var got []string
	for _, m := range c.of("span:started", "span:ended") {
		got = append(got, m.Type+" "+m.Payload["name"].(string))
	}
	assert.Equal(t, []string{"span:started span 1", "span:ended span 1", "span:ended span 2", "span:ended span 3"}, got)
	assert.Equal(t, uint64(3), h.Stats().Duplicates)

	noID := spans("shop", 0)
	publishSpans(h, noID)
	publishSpans(h, noID) // without an id nothing can be told
	assert.Equal(t, uint64(3), h.Stats().Duplicates)
}

func gauge(host string, at, value int64) pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("project.id", "shop")
	rm.Resource().Attributes().PutStr("host.name", host)
	m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("queue.depth")
	dp := m.SetEmptyGauge().DataPoints().AppendEmpty()
	dp.SetTimestamp(pcommon.Timestamp(at))
	dp.SetIntValue(value)
	md.MarkReadOnly()
	return md
}

func TestRepeatedMetricsAreShownOnce(t *testing.T) {
	h := newHub(t, nil)
	for _, md := range []pmetric.Metrics{
		gauge("a", 1, 5), gauge("a", 1, 5), gauge("b", 1, 5), gauge("a", 2, 5), gauge("b", 1, 5),
	} {
		b := h.NewBatch()
		b.AddMetrics(md)
		h.Publish(b)
	}
	assert.Equal(t, uint64(2), h.Stats().Duplicates)
	assert.Equal(t, 3, h.Stats().RingRecords)
}

// The newest RecentRecords are always known; how many are remembered is bounded.
func TestRecentIsBounded(t *testing.T) {
	const size = 1000
	h := newHub(t, func(o *livetail.Options) { o.RecentRecords = size })
	// One batch each, so that half of the keys are of batches and half of records.
	for i := range 4 * size {
		publish(h, lines("shop", "web-1", i, 1))
	}
	for i := 4*size - size/2; i < 4*size; i++ {
		publish(h, lines("shop", "web-1", i, 1))
	}
	assert.Equal(t, uint64(size/2), h.Stats().Duplicates)
	publish(h, lines("shop", "web-1", 0, 1)) // long forgotten
	assert.Equal(t, uint64(size/2), h.Stats().Duplicates)
}
