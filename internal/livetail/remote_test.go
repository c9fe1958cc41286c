// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail_test

import (
	"encoding/json"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/classic"
	"github.com/tailrace/tailrace/internal/livetail/tailv1"
)

// tapped keeps what a hub shows its peers, and what it asks them for.
type tapped struct {
	mu      sync.Mutex
	sources []livetail.Source
	records [][]byte
	wanted  map[livetail.Topic]int
}

func (p *tapped) Tap(src livetail.Source, recs []livetail.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range recs {
		p.sources = append(p.sources, src)
		p.records = append(p.records, append([]byte(nil), r...))
	}
}

func (p *tapped) count(topics []livetail.Topic, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wanted == nil {
		p.wanted = map[livetail.Topic]int{}
	}
	for _, t := range topics {
		if p.wanted[t] += n; p.wanted[t] == 0 {
			delete(p.wanted, t)
		}
	}
}

func (p *tapped) Want(topics []livetail.Topic)   { p.count(topics, 1) }
func (p *tapped) Unwant(topics []livetail.Topic) { p.count(topics, -1) }

// everything publishes records of each kind and shape.
func everything(h *livetail.Hub) {
	b := h.NewBatch()
	ld := lines("shop", "web-1", 0, 3)
	mixed := plog.NewLogs()
	ld.CopyTo(mixed)
	sl := mixed.ResourceLogs().AppendEmpty()
	sl.Resource().Attributes().PutStr("project.id", "shop")
	records := sl.ScopeLogs().AppendEmpty().LogRecords()
	for _, event := range []string{"", "server.health", "gen_ai.evaluation.result", "build.status", "deployment.status", "server.lifecycle"} {
		lr := records.AppendEmpty()
		lr.SetEventName(event)
		lr.SetSeverityText("error")
		lr.SetTraceID(pcommon.TraceID{1})
		lr.SetSpanID(pcommon.SpanID{2})
		body := lr.Body().SetEmptyMap()
		body.PutDouble("d", 1.5)
		body.PutEmptySlice("s").AppendEmpty().SetStr("x")
		body.PutEmptyBytes("b").FromRaw([]byte{1, 2, 3})
		lr.Attributes().PutStr("server.health.status", "healthy")
		lr.Attributes().PutStr("build.status", "failed")
		lr.Attributes().PutStr("deployment.status", "running")
		lr.Attributes().PutStr("gen_ai.evaluation.name", "tone")
		lr.Attributes().PutDouble("gen_ai.evaluation.score.value", 0.5)
		lr.Attributes().PutEmptyMap("m").PutEmptySlice("deep").AppendEmpty().SetBool(true)
	}
	b.AddLogs(mixed)
	h.Publish(b)

	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("project.id", "shop")
	for i := range 2 {
		sp := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
		sp.SetTraceID(pcommon.TraceID{1})
		sp.SetSpanID(pcommon.SpanID{byte(i + 1)})
		sp.SetName("GET /")
		sp.SetStartTimestamp(1000)
		if i == 0 {
			sp.SetEndTimestamp(2000)
		}
		sp.Status().SetCode(ptrace.StatusCodeError)
		sp.Status().SetMessage("no")
		e := sp.Events().AppendEmpty()
		e.SetName("exception")
		e.Attributes().PutInt("n", 1)
	}
	b = h.NewBatch()
	b.AddSpans(td)
	h.Publish(b)

	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("project.id", "shop")
	all := rm.ScopeMetrics().AppendEmpty().Metrics()
	add := func(name string) pmetric.Metric {
		m := all.AppendEmpty()
		m.SetName(name)
		return m
	}
	add("gauge").SetEmptyGauge().DataPoints().AppendEmpty().SetIntValue(1)
	add("sum").SetEmptySum().DataPoints().AppendEmpty().SetDoubleValue(1)
	hist := add("histogram").SetEmptyHistogram().DataPoints().AppendEmpty()
	hist.ExplicitBounds().FromRaw([]float64{1, 2})
	hist.BucketCounts().FromRaw([]uint64{1, 2, 3})
	add("exponential").SetEmptyExponentialHistogram().DataPoints().AppendEmpty().SetScale(2)
	q := add("summary").SetEmptySummary().DataPoints().AppendEmpty().QuantileValues().AppendEmpty()
	q.SetQuantile(0.5)
	b = h.NewBatch()
	b.AddMetrics(md)
	h.Publish(b)
}

func hubWithPeers(tb testing.TB) (*livetail.Hub, *tapped) {
	p := &tapped{}
	return newHub(tb, func(o *livetail.Options) { o.Peers = p }), p
}

// shownAs takes n records of everything, as a stream shows them but for their sequence numbers.
func shownAs(t *testing.T, stream *livetail.Stream, n int) (out []map[string]any) {
	t.Helper()
	require.Eventually(t, func() bool {
		var taken livetail.StreamTaken
		stream.Take(&taken, 1<<20)
		for _, o := range taken.Outputs {
			for i := 0; o.Block != nil && i < o.Block.Records(); i++ {
				var r map[string]any
				require.NoError(t, json.Unmarshal(o.Block.Record(i), &r))
				delete(r, "seq")
				out = append(out, r)
			}
		}
		return len(out) >= n
	}, waitFor, tick)
	require.Len(t, out, n)
	return out
}

func watchAll(t *testing.T, h *livetail.Hub) *livetail.Stream {
	t.Helper()
	s := h.NewStream(access.Local(), func() {})
	t.Cleanup(s.Close)
	require.NoError(t, s.Subscribe(livetail.Request{Channel: channel(t, "*")}, func(livetail.Subscribed) []byte { return nil }))
	return s
}

// What another hub gets is shown as it is shown here, and is not shown to its peers again.
func TestRecordsLookTheSameOnAnotherHub(t *testing.T) {
	h, p := hubWithPeers(t)
	here := watchAll(t, h)
	everything(h)
	require.NotEmpty(t, p.records)
	want := shownAs(t, here, len(p.records))

	other, itsPeers := hubWithPeers(t)
	there := watchAll(t, other)
	send := func() {
		b := other.NewRemoteBatch()
		for i, raw := range p.records {
			rec, rest, err := livetail.CheckRecord(raw)
			require.NoError(t, err)
			require.Empty(t, rest)
			b.AddRecord(p.sources[i], rec)
		}
		other.Publish(b)
	}
	send()
	assert.Equal(t, want, shownAs(t, there, len(want)))
	assert.Empty(t, itsPeers.records)

	// The same records of a sender that comes here too are known, as far as they can be told: lines by their uid, spans by their ids.
	publish(other, lines("shop", "web-1", 0, 3))
	assert.EqualValues(t, 3, other.Stats().Duplicates)
	send()
	assert.EqualValues(t, 3+3+2, other.Stats().Duplicates)
}

// Whatever stands in a message, what CheckRecord lets through can be shown, filtered and encoded.
func TestNoBytesFromElsewhereDoHarm(t *testing.T) {
	h, p := hubWithPeers(t)
	everything(h)
	rnd := rand.New(rand.NewPCG(1, 2))
	f := filter(t, `{"text":"x","regex":"y|z","attributes":{"m":{"exists":true},"n":1},"not":{"service":"svc","name":"q","status":"ok","min_severity":"warn"}}`)
	plain := classic.Format{}
	passed := 0
	for range 50_000 {
		i := rnd.IntN(len(p.records))
		raw := append([]byte(nil), p.records[i]...)
		for range 1 + rnd.IntN(3) {
			switch rnd.IntN(4) {
			case 0:
				raw = raw[:rnd.IntN(len(raw)+1)]
			case 1:
				raw = append(raw, byte(rnd.Uint32()))
			default:
				if len(raw) > 0 {
					raw[rnd.IntN(len(raw))] = byte(rnd.Uint32())
				}
			}
		}
		rec, _, err := livetail.CheckRecord(raw)
		if err != nil {
			continue
		}
		passed++
		src := p.sources[i]
		require.True(t, json.Valid(tailv1.AppendRecord(nil, src, rec)))
		f.Match(&src, rec)
		rec.SeverityClass()
		for _, kind := range []livetail.ChannelKind{livetail.ChannelServer, livetail.ChannelBuild, livetail.ChannelDeployment, livetail.ChannelAll} {
			if form := plain.Form(kind, rec); form != livetail.FormNone {
				plain.Append(nil, src, rec, form)
			}
		}
	}
	assert.Positive(t, passed)
	t.Logf("%d of 50,000 changed records passed", passed)
}

func TestTopicsFollowSubscriptionsAndRights(t *testing.T) {
	h, p := hubWithPeers(t)
	topic := func(project string, s livetail.Signal) livetail.Topic {
		return livetail.Topic{Project: project, Signal: s}
	}
	all := func(s livetail.Signal) livetail.Topic { return livetail.Topic{All: true, Signal: s} }
	log, span, metric, score := livetail.SignalLog, livetail.SignalSpan, livetail.SignalMetric, livetail.SignalScore

	r := newReader(t, h, viewer("shop", "support"))
	sub := r.subscribe(livetail.Request{Channel: channel(t, "logs:shop")})
	assert.Equal(t, map[livetail.Topic]int{topic("shop", log): 1}, p.wanted)
	wide := r.subscribe(livetail.Request{Channel: channel(t, "trace:0102030405060708090a0b0c0d0e0f10")})
	assert.Equal(t, map[livetail.Topic]int{
		topic("shop", log): 2, topic("shop", span): 1, topic("shop", score): 1,
		topic("support", log): 1, topic("support", span): 1, topic("support", score): 1,
	}, p.wanted)
	r.stream.SetCaller(viewer("shop", "s*"))
	assert.Equal(t, map[livetail.Topic]int{topic("shop", log): 1, all(log): 1, all(span): 1, all(score): 1}, p.wanted)
	require.NoError(t, r.stream.Unsubscribe(sub, nil))
	require.NoError(t, r.stream.Unsubscribe(wide, nil))
	assert.Empty(t, p.wanted)

	c := newClient(t, h)
	c.subscribe("metrics:shop", 0)
	c.subscribe("metrics:shop", 0)
	assert.Equal(t, map[livetail.Topic]int{topic("shop", metric): 1}, p.wanted)
	c.unsubscribe("metrics:shop")
	assert.Empty(t, p.wanted)
	c.subscribe("*", 0)
	assert.Len(t, p.wanted, 4)
	c.sub.Close()
	assert.Empty(t, p.wanted)
	r.subscribe(livetail.Request{Channel: channel(t, "project:shop")})
	r.stream.Close()
	assert.Empty(t, p.wanted)
}

func TestLostRecordsBecomeGaps(t *testing.T) {
	h, _ := hubWithPeers(t)
	r := newReader(t, h, access.Local())
	project := r.subscribe(livetail.Request{Channel: channel(t, "project:shop")})
	filtered := r.subscribe(livetail.Request{Channel: channel(t, "project:shop"), Filter: filter(t, `{"min_severity":"warn"}`)})
	other := r.subscribe(livetail.Request{Channel: channel(t, "project:other")})
	spans := r.subscribe(livetail.Request{Channel: channel(t, "spans:shop")})
	c := newClient(t, h)
	c.subscribe("project:shop", 0)
	lineClient := newClient(t, h)
	lineClient.subscribe("server:web-1", 0)

	publish(h, lines("shop", "web-1", 0, 5))
	h.Lose(livetail.Topic{Project: "shop", Signal: livetail.SignalLog}, livetail.Severities{3: 2, 5: 1})
	publish(h, lines("shop", "web-1", 5, 5))
	for _, sub := range []uint32{project, filtered, other, spans} {
		r.upTo(sub, 11)
	}
	h.LoseUnknown(livetail.Topic{Project: "shop", Signal: livetail.SignalSpan})
	for _, sub := range []uint32{project, filtered, other, spans} {
		r.upTo(sub, 12)
	}
	gaps := func(sub uint32) (out []livetail.Gap) {
		for _, p := range r.parts[sub] {
			if p.gap != nil {
				out = append(out, *p.gap)
			}
		}
		return out
	}
	delivered, dropped, _ := r.counts(project)
	assert.EqualValues(t, 10, delivered)
	assert.EqualValues(t, 3, dropped)
	require.Len(t, gaps(filtered), 2)
	assert.False(t, gaps(filtered)[0].Known, "it is not known how many would have matched")
	assert.Empty(t, gaps(other))
	require.Len(t, gaps(spans), 1)
	assert.False(t, gaps(spans)[0].Known)
	for _, g := range gaps(project) {
		assert.Equal(t, livetail.ReasonLost, g.Reason)
	}
	c.await(func() bool { return c.records == 10 && c.dropped == 3 })
	lineClient.awaitRecords(10)
	require.Eventually(t, func() bool {
		s := h.Stats()
		return s.Matched == s.Delivered+s.DroppedLost && s.DroppedLost == 6 // three for each of the two that count
	}, waitFor, tick, "%+v", h.Stats())
}

// A client that comes back is told what was lost while it was away, as of what the rings have lost.
func TestLostRecordsAreToldOnResume(t *testing.T) {
	h, _ := hubWithPeers(t)
	publish(h, lines("shop", "web-1", 0, 5))
	h.Lose(livetail.Topic{Project: "shop", Signal: livetail.SignalLog}, livetail.Severities{3: 7})
	publish(h, lines("shop", "web-1", 5, 5))
	r := newReader(t, h, access.Local())
	sub := r.subscribe(livetail.Request{Channel: channel(t, "project:shop"), Resume: &livetail.Position{Epoch: h.Epoch(), Seq: 2, At: time.Now()}})
	assert.False(t, r.begun[sub].Recovered)
	r.upTo(sub, 11)
	delivered, dropped, _ := r.counts(sub)
	assert.EqualValues(t, 8, delivered)
	assert.EqualValues(t, 7, dropped)
}
