// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/classic"
)

// captured are records in their flat form, as a hub has them.
type captured struct {
	classic.Format
	src []livetail.Source
	rec []livetail.Record
}

func captureRecords(tb testing.TB, add func(*livetail.Batch)) *captured {
	tb.Helper()
	c := &captured{}
	opts := livetail.DefaultOptions()
	opts.Format = c
	opts.AppendRecord = func(dst []byte, src livetail.Source, rec livetail.Record) []byte {
		c.src, c.rec = append(c.src, src), append(c.rec, rec)
		return append(dst, "{}"...)
	}
	h := livetail.New(opts)
	s := h.NewStream(viewer("*"), func() {})
	require.NoError(tb, s.Subscribe(livetail.Request{Channel: livetail.Channel{Kind: livetail.ChannelAll}}, func(livetail.Subscribed) []byte { return nil }))
	h.Start()
	b := h.NewBatch()
	add(b)
	h.Publish(b)
	h.Close()
	s.Close()
	return c
}

// everySignal has one record of each signal: a log, a score, two spans and two metrics.
func everySignal(b *livetail.Batch) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	resource := func(r pcommon.Resource) {
		r.Attributes().PutStr("project.id", "shop")
		r.Attributes().PutStr("server.id", "web-1")
		r.Attributes().PutStr("service.name", "checkout")
	}
	resource(rl.Resource())
	sl := rl.ScopeLogs().AppendEmpty()
	lr := sl.LogRecords().AppendEmpty()
	lr.SetSeverityText("WARNING")
	lr.SetEventName("order.placed")
	body := lr.Body().SetEmptyMap()
	body.PutStr("msg", "Connection TIMED out after 30s")
	body.PutEmptySlice("list").AppendEmpty().SetStr("needle")
	lr.Attributes().PutStr("user", "ada")
	lr.Attributes().PutInt("tries", 3)
	lr.Attributes().PutBool("cached", true)
	score := sl.LogRecords().AppendEmpty()
	score.SetEventName("gen_ai.evaluation.result")
	score.Attributes().PutStr("gen_ai.evaluation.name", "relevance")
	b.AddLogs(ld)

	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	resource(rs.Resource())
	ss := rs.ScopeSpans().AppendEmpty()
	ended := ss.Spans().AppendEmpty()
	ended.SetName("chat gpt")
	ended.SetStartTimestamp(1)
	ended.SetEndTimestamp(1 + 25_000_000)
	ended.Status().SetCode(ptrace.StatusCodeError)
	ended.Status().SetMessage("rate limited")
	ss.Spans().AppendEmpty().SetName("still running")
	b.AddSpans(td)

	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	resource(rm.Resource())
	ms := rm.ScopeMetrics().AppendEmpty().Metrics()
	gauge := ms.AppendEmpty()
	gauge.SetName("queue.depth")
	dp := gauge.SetEmptyGauge().DataPoints().AppendEmpty()
	dp.SetIntValue(4)
	dp.Attributes().PutStr("queue", "mail")
	hist := ms.AppendEmpty()
	hist.SetName("latency")
	hp := hist.SetEmptyHistogram().DataPoints().AppendEmpty()
	hp.ExplicitBounds().FromRaw([]float64{1, 2})
	hp.BucketCounts().FromRaw([]uint64{1, 2, 3})
	hp.Attributes().PutStr("queue", "mail")
	b.AddMetrics(md)
}

func TestFilterMatches(t *testing.T) {
	c := captureRecords(t, everySignal)
	require.Len(t, c.rec, 6)
	names := []string{"log", "score", "span", "open", "gauge", "histogram"}
	for text, want := range map[string]string{
		`{"signals":["logs","metrics"]}`:                 "log gauge histogram",
		`{"signals":["scores"]}`:                         "score",
		`{"min_severity":"warn"}`:                        "log",
		`{"min_severity":"error"}`:                       "",
		`{"text":"timed OUT"}`:                           "log",
		`{"text":"needle"}`:                              "log",
		`{"text":"rate LIMITED"}`:                        "span",
		`{"text":"depth"}`:                               "gauge",
		`{"regex":"after \\d+s$"}`:                       "log",
		`{"regex":"^(chat|still)"}`:                      "span open",
		`{"status":"error"}`:                             "span",
		`{"status":"ok"}`:                                "",
		`{"min_duration_ms":25}`:                         "span",
		`{"min_duration_ms":25.1}`:                       "",
		`{"min_duration_ms":0}`:                          "span",
		`{"name":"chat gpt"}`:                            "span",
		`{"name":["relevance","latency"]}`:               "score histogram",
		`{"event_name":"order.placed"}`:                  "log",
		`{"service":"checkout"}`:                         "log score span open gauge histogram",
		`{"service":["a","b"]}`:                          "",
		`{"attributes":{"user":"ada"}}`:                  "log",
		`{"attributes":{"user":["eve","ada"]}}`:          "log",
		`{"attributes":{"tries":3,"cached":true}}`:       "log",
		`{"attributes":{"tries":"3"}}`:                   "",
		`{"attributes":{"queue":{"exists":true}}}`:       "gauge histogram",
		`{"attributes":{"queue":{"exists":false}}}`:      "log score span open",
		`{"attributes":{"server.id":"web-1"}}`:           "log score span open gauge histogram",
		`{"attributes":{"server.id":"web-2"}}`:           "",
		`{"not":{"service":"checkout"}}`:                 "",
		`{"not":{"status":"error"},"signals":["spans"]}`: "open",
		`{"not":{"not":{"text":"needle"}}}`:              "log",
		`{}`:                                             "log score span open gauge histogram",
		`null`:                                           "log score span open gauge histogram",
	} {
		f := filter(t, text)
		var got []string
		for i, rec := range c.rec {
			if f.Match(&c.src[i], rec) {
				got = append(got, names[i])
			}
		}
		assert.Equal(t, want, strings.Join(got, " "), text)
	}
	assert.Equal(t, filter(t, `{"text":"x","signals":["logs"]}`).Key(), filter(t, ` {"signals" : ["logs"], "text":"x"}`).Key())
	assert.NotEqual(t, filter(t, `{"text":"x"}`).Key(), filter(t, `{"regex":"x"}`).Key())
	assert.Nil(t, filter(t, `{}`))
}

func FuzzParseFilter(f *testing.F) {
	f.Add(`{"signals":["logs"],"min_severity":"warn","text":"x","regex":"a+","attributes":{"a":[1,"b",true],"c":{"exists":true}},"not":{"service":"s"}}`)
	f.Add(`{"name":["a"],"status":"ok","min_duration_ms":1e300,"event_name":"e"}`)
	f.Add(`{"regex":"((a{100}){100}){100}"}`)
	f.Add(`null`)
	c := captureRecords(f, everySignal)
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := livetail.ParseFilter([]byte(text))
		if err != nil {
			require.ErrorIs(t, err, livetail.ErrInvalidFilter)
			return
		}
		again, err := livetail.ParseFilter([]byte(filter.Key()))
		require.NoError(t, err, "the canonical form")
		for i, rec := range c.rec {
			require.Equal(t, filter.Match(&c.src[i], rec), again.Match(&c.src[i], rec))
		}
	})
}

// BenchmarkFilter is what one record costs one view.
func BenchmarkFilter(b *testing.B) {
	c := captureRecords(b, func(batch *livetail.Batch) { batch.AddLogs(benchLines(1)[0]) })
	for _, f := range []struct{ name, text string }{
		{"severity", `{"min_severity":"info"}`},
		{"service", `{"service":"svc"}`},
		{"text", `{"text":"not there"}`},
		{"attribute", `{"attributes":{"process.executable.name":"node"}}`},
		{"complex", `{"signals":["logs"],"min_severity":"info","service":["a","svc"],"attributes":{"log.iostream":"stdout"},"not":{"text":"needle"}}`},
		{"regex", `{"regex":"time.?out"}`},
	} {
		compiled := filter(b, f.text)
		b.Run(f.name, func(b *testing.B) {
			b.ReportAllocs()
			matched := 0
			for i := 0; b.Loop(); i++ {
				j := i % len(c.rec)
				if compiled.Match(&c.src[j], c.rec[j]) {
					matched++
				}
			}
			_ = fmt.Sprint(matched)
		})
	}
}
