// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package classic_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/classic"
)

var at = pcommon.NewTimestampFromTime(time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC))

// messages are what a subscriber of one channel gets of a batch.
func messages(t *testing.T, channel string, add func(*livetail.Batch)) []string {
	t.Helper()
	opts := livetail.DefaultOptions()
	opts.Format = classic.Format{}
	h := livetail.New(opts)
	h.Start()
	c, err := livetail.ParseChannel(channel)
	require.NoError(t, err)
	s := h.NewSubscriber(access.Local(), func() {})
	require.NoError(t, s.Subscribe(c, 0, func(int) []byte { return []byte("-") }))
	b := h.NewBatch()
	add(b)
	h.Publish(b)
	h.Close() // hands everything on
	var taken livetail.Taken
	s.Take(&taken, 1<<30)
	s.Close()
	var out []string
	for _, m := range taken.Messages[1:] {
		assert.True(t, json.Valid(m), "%s", m)
		assert.True(t, utf8.Valid(m))
		out = append(out, string(m))
	}
	return out
}

func logs(fill func(plog.LogRecord)) func(*livetail.Batch) {
	return func(b *livetail.Batch) {
		ld := plog.NewLogs()
		rl := ld.ResourceLogs().AppendEmpty()
		identify(rl.Resource())
		lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		lr.SetTimestamp(at)
		fill(lr)
		ld.MarkReadOnly()
		b.AddLogs(ld)
	}
}

func identify(r pcommon.Resource) {
	for _, kv := range [][2]string{
		{"project.id", "shop"}, {"deployment.id", "dep"}, {"server.id", "web-1"}, {"build.id", "b-9"}, {"service.name", "svc"},
	} {
		r.Attributes().PutStr(kv[0], kv[1])
	}
}

func line(lr plog.LogRecord) {
	lr.Body().SetStr("hello \"world\"\n\x01")
	lr.SetSeverityNumber(plog.SeverityNumberFatal)
	lr.Attributes().PutStr("log.iostream", "stderr")
	lr.Attributes().PutStr("log.record.uid", "u-1")
}

func event(name string, attributes ...string) func(plog.LogRecord) {
	return func(lr plog.LogRecord) {
		lr.SetEventName(name)
		for i := 0; i < len(attributes); i += 2 {
			lr.Attributes().PutStr(attributes[i], attributes[i+1])
		}
	}
}

// The classic messages, to the byte, on the channels that they belong to and on no other one.
func TestClassicMessages(t *testing.T) {
	health := func(lr plog.LogRecord) {
		event("server.health", "server.health.status", "unhealthy")(lr)
		lr.Attributes().PutDouble("server.memory_usage_mb", 12.5)
		lr.Attributes().PutInt("server.cpu_percent", 0) // a zero stays a zero
		lr.Attributes().PutInt("server.uptime_s", 77)
	}
	for name, tc := range map[string]struct {
		fill                      func(plog.LogRecord)
		server, build, deployment string
	}{
		"line": {
			fill:   line,
			server: `{"type":"server:log","payload":{"serverId":"web-1","line":"hello \"world\"\n\u0001","timestamp":"2026-03-01T12:00:00.123Z","stream":"stderr","id":"u-1"}}`,
			build:  `{"type":"build:log","payload":{"buildId":"b-9","line":"hello \"world\"\n\u0001","timestamp":"2026-03-01T12:00:00.123Z","level":"error"}}`,
		},
		"line without uid and severity": {
			fill: func(lr plog.LogRecord) {
				lr.Body().SetStr("x")
				lr.Attributes().PutStr("log.iostream", "stdout")
			},
			server: `{"type":"server:log","payload":{"serverId":"web-1","line":"x","timestamp":"2026-03-01T12:00:00.123Z","stream":"stdout"}}`,
			build:  `{"type":"build:log","payload":{"buildId":"b-9","line":"x","timestamp":"2026-03-01T12:00:00.123Z","level":"info"}}`,
		},
		"structured line": {
			fill: func(lr plog.LogRecord) {
				lr.Body().SetEmptyMap().PutInt("n", 1)
				lr.Attributes().PutStr("log.iostream", "stderr")
			},
			server: `{"type":"server:log","payload":{"serverId":"web-1","line":"{\"n\":1}","timestamp":"2026-03-01T12:00:00.123Z","stream":"stderr"}}`,
			build:  `{"type":"build:log","payload":{"buildId":"b-9","line":"{\"n\":1}","timestamp":"2026-03-01T12:00:00.123Z","level":"warn"}}`,
		},
		"parsed line": { // is shown as it was printed
			fill: func(lr plog.LogRecord) {
				lr.Body().SetStr("hello")
				lr.Attributes().PutStr("log.iostream", "stdout")
				lr.Attributes().PutStr("log.record.original", `{"msg":"hello"}`)
			},
			server: `{"type":"server:log","payload":{"serverId":"web-1","line":"{\"msg\":\"hello\"}","timestamp":"2026-03-01T12:00:00.123Z","stream":"stdout"}}`,
			build:  `{"type":"build:log","payload":{"buildId":"b-9","line":"{\"msg\":\"hello\"}","timestamp":"2026-03-01T12:00:00.123Z","level":"info"}}`,
		},
		"log of an app": { // no line of the server's output
			fill:  func(lr plog.LogRecord) { lr.Body().SetStr("x"); lr.SetSeverityNumber(1) },
			build: `{"type":"build:log","payload":{"buildId":"b-9","line":"x","timestamp":"2026-03-01T12:00:00.123Z","level":"debug"}}`,
		},
		"lifecycle": {
			fill:   event("server.lifecycle", "server.lifecycle.state", "exited"),
			server: `{"type":"server:log","payload":{"serverId":"web-1","line":"server.lifecycle: exited","timestamp":"2026-03-01T12:00:00.123Z","stream":"stdout"}}`,
		},
		"health": {
			fill:   health,
			server: `{"type":"server:health","payload":{"serverId":"web-1","status":"unhealthy","lastCheck":"2026-03-01T12:00:00.123Z","details":{"memoryUsageMb":12.5,"cpuPercent":0,"uptime":77}}}`,
		},
		"health without details": {
			fill:   event("server.health", "server.health.status", "starting"),
			server: `{"type":"server:health","payload":{"serverId":"web-1","status":"starting","lastCheck":"2026-03-01T12:00:00.123Z","details":{}}}`,
		},
		"deployment": {
			fill:       event("deployment.status", "deployment.status", "running", "url.full", "http://x"),
			deployment: `{"type":"deployment:status","payload":{"deploymentId":"dep","status":"running","publicUrl":"http://x"}}`,
		},
		"deployment without url": {
			fill:       event("", "event.name", "deployment.status", "deployment.status", "failed"),
			deployment: `{"type":"deployment:status","payload":{"deploymentId":"dep","status":"failed"}}`,
		},
		"build": {
			fill: func(lr plog.LogRecord) {
				event("build.status", "build.status", "failed")(lr)
				lr.Body().SetStr("exit 1")
			},
			build: `{"type":"build:status","payload":{"buildId":"b-9","status":"failed","message":"exit 1"}}`,
		},
		"build without message": {
			fill:  event("build.status", "build.status", "queued"),
			build: `{"type":"build:status","payload":{"buildId":"b-9","status":"queued"}}`,
		},
		"unknown state": { // the classic protocol has no word for it
			fill:  event("deployment.status", "deployment.status", "confused"),
			build: `{"type":"build:log","payload":{"buildId":"b-9","line":"","timestamp":"2026-03-01T12:00:00.123Z","level":"info"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			for channel, want := range map[string]string{
				"server:web-1": tc.server, "build:b-9": tc.build, "deployment:dep": tc.deployment,
			} {
				got := messages(t, channel, logs(tc.fill))
				if want == "" {
					assert.Empty(t, got, channel)
					continue
				}
				assert.Equal(t, []string{want}, got, channel)
			}
		})
	}
}

func TestLogMessage(t *testing.T) {
	got := messages(t, "*", logs(func(lr plog.LogRecord) {
		lr.SetEventName("order.placed")
		lr.SetSeverityNumber(plog.SeverityNumberWarn2)
		lr.SetTraceID(pcommon.TraceID{1})
		lr.SetSpanID(pcommon.SpanID{2})
		body := lr.Body().SetEmptyMap()
		body.PutStr("k", "v")
		body.PutEmptySlice("list").AppendEmpty().SetDouble(1.5)
		a := lr.Attributes()
		a.PutStr("log.record.uid", "u")
		a.PutInt("big", math.MaxInt64)
		a.PutInt("small", -3)
		a.PutDouble("nan", math.NaN())
		a.PutBool("yes", true)
		a.PutEmptyBytes("raw").FromRaw([]byte{1, 2})
		a.PutEmpty("empty")
		a.PutStr("bad", "a\xffb")
	}))
	assert.Equal(t, []string{`{"type":"log","payload":{"project":"shop","deployment":"dep","server":"web-1","build":"b-9",` +
		`"service":"svc","time":"2026-03-01T12:00:00.123456789Z","severity":"warn","severityNumber":14,"eventName":"order.placed",` +
		`"body":{"k":"v","list":[1.5]},"attributes":{"big":"9223372036854775807","small":-3,"nan":"NaN","yes":true,"raw":"AQI=",` +
		`"empty":null,"bad":"a` + "\ufffd" + `b"},"traceId":"01000000000000000000000000000000","spanId":"0200000000000000","uid":"u"}}`}, got)

	got = messages(t, "logs:shop", logs(func(plog.LogRecord) {}))
	assert.Equal(t, []string{`{"type":"log","payload":{"project":"shop","deployment":"dep","server":"web-1","build":"b-9",` +
		`"service":"svc","time":"2026-03-01T12:00:00.123456789Z","severity":"unset","body":null,"attributes":{}}}`}, got)
}

func TestScoreMessage(t *testing.T) {
	score := logs(func(lr plog.LogRecord) {
		event("gen_ai.evaluation.result", "gen_ai.evaluation.name", "relevance", "gen_ai.evaluation.score.label", "bad",
			"gen_ai.evaluation.explanation", "why")(lr)
		lr.Attributes().PutDouble("gen_ai.evaluation.score.value", 0)
		lr.SetTraceID(pcommon.TraceID{1})
	})
	want := `{"type":"score","payload":{"project":"shop","deployment":"dep","server":"web-1","build":"b-9","service":"svc",` +
		`"time":"2026-03-01T12:00:00.123456789Z","name":"relevance","value":0,"label":"bad","explanation":"why","attributes":{` +
		`"gen_ai.evaluation.name":"relevance","gen_ai.evaluation.score.label":"bad","gen_ai.evaluation.explanation":"why",` +
		`"gen_ai.evaluation.score.value":0},"traceId":"01000000000000000000000000000000"}}`
	for _, channel := range []string{"scores:shop", "project:shop", "*", "trace:01000000000000000000000000000000"} {
		assert.Equal(t, []string{want}, messages(t, channel, score), channel)
	}
	for _, channel := range []string{"logs:shop", "server:web-1", "build:b-9", "scores:other", "trace:02000000000000000000000000000000"} {
		assert.Empty(t, messages(t, channel, score), channel)
	}
}

func TestSpanMessages(t *testing.T) {
	span := func(end pcommon.Timestamp, parent pcommon.SpanID) func(*livetail.Batch) {
		return func(b *livetail.Batch) {
			td := ptrace.NewTraces()
			rs := td.ResourceSpans().AppendEmpty()
			identify(rs.Resource())
			sp := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
			sp.SetTraceID(pcommon.TraceID{1})
			sp.SetSpanID(pcommon.SpanID{2})
			sp.SetParentSpanID(parent)
			sp.SetName("chat gpt")
			sp.SetKind(ptrace.SpanKindClient)
			sp.SetStartTimestamp(at)
			sp.SetEndTimestamp(end)
			sp.Status().SetCode(ptrace.StatusCodeError)
			sp.Status().SetMessage("boom")
			sp.Attributes().PutInt("gen_ai.usage.input_tokens", 0)
			e := sp.Events().AppendEmpty()
			e.SetName("exception")
			e.SetTimestamp(at)
			e.Attributes().PutStr("exception.type", "E")
			td.MarkReadOnly()
			b.AddSpans(td)
		}
	}
	head := `"payload":{"project":"shop","deployment":"dep","server":"web-1","build":"b-9",` +
		`"traceId":"01000000000000000000000000000000","spanId":"0200000000000000","parentSpanId":`
	tail := `"attributes":{"gen_ai.usage.input_tokens":0},"events":[{"name":"exception","time":"2026-03-01T12:00:00.123456789Z","attributes":{"exception.type":"E"}}]}}`
	middle := `,"service":"svc","name":"chat gpt","kind":"client","start":"2026-03-01T12:00:00.123456789Z",`

	assert.Equal(t, []string{`{"type":"span:ended",` + head + `"0300000000000000"` + middle +
		`"end":"2026-03-01T12:00:00.124956789Z","durationMs":1.5,"status":"error","statusMessage":"boom",` + tail},
		messages(t, "spans:shop", span(at+1_500_000, pcommon.SpanID{3})))
	assert.Contains(t, messages(t, "project:shop", span(at, pcommon.SpanID{}))[0], `"durationMs":0,`, "a zero stays a zero")
	assert.Equal(t, []string{`{"type":"span:started",` + head + `null` + middle + tail},
		messages(t, "trace:01000000000000000000000000000000", span(0, pcommon.SpanID{})))
	for _, channel := range []string{"server:web-1", "build:b-9", "deployment:dep", "logs:shop", "metrics:shop"} {
		assert.Empty(t, messages(t, channel, span(at, pcommon.SpanID{})), channel)
	}
}

func TestMetricMessages(t *testing.T) {
	got := messages(t, "metrics:shop", func(b *livetail.Batch) {
		md := pmetric.NewMetrics()
		rm := md.ResourceMetrics().AppendEmpty()
		identify(rm.Resource())
		ms := rm.ScopeMetrics().AppendEmpty().Metrics()
		add := func(name string) pmetric.Metric {
			m := ms.AppendEmpty()
			m.SetName(name)
			m.SetUnit("By")
			return m
		}
		g := add("g").SetEmptyGauge().DataPoints().AppendEmpty()
		g.SetTimestamp(at)
		g.SetIntValue(0)
		g.Attributes().PutStr("a", "b")
		s := add("s").SetEmptySum()
		s.SetIsMonotonic(true)
		s.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		sp := s.DataPoints().AppendEmpty()
		sp.SetTimestamp(at)
		sp.SetStartTimestamp(at - 123_456_789)
		sp.SetDoubleValue(2.5)
		add("none").SetEmptyGauge().DataPoints().AppendEmpty().SetTimestamp(at)
		hs := add("h").SetEmptyHistogram()
		hs.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		h := hs.DataPoints().AppendEmpty()
		h.SetTimestamp(at)
		h.SetCount(3)
		h.SetSum(6)
		h.SetMax(4)
		h.ExplicitBounds().FromRaw([]float64{1, 2})
		h.BucketCounts().FromRaw([]uint64{1, 0, 2})
		e := add("e").SetEmptyExponentialHistogram().DataPoints().AppendEmpty()
		e.SetTimestamp(at)
		e.SetCount(1)
		e.SetScale(-2)
		e.SetZeroCount(1)
		q := add("q").SetEmptySummary().DataPoints().AppendEmpty()
		q.SetTimestamp(at)
		q.SetCount(2)
		q.SetSum(3)
		v := q.QuantileValues().AppendEmpty()
		v.SetQuantile(0.5)
		v.SetValue(1.25)
		md.MarkReadOnly()
		b.AddMetrics(md)
	})
	require.Len(t, got, 6)
	head := `{"type":"metric","payload":{"project":"shop","deployment":"dep","server":"web-1","build":"b-9","service":"svc",`
	when := `"unit":"By","time":"2026-03-01T12:00:00.123456789Z",`
	assert.Equal(t, head+`"name":"g","metricType":"gauge",`+when+`"value":0,"attributes":{"a":"b"}}}`, got[0])
	assert.Equal(t, head+`"name":"s","metricType":"sum",`+when+
		`"start":"2026-03-01T12:00:00.000000000Z","temporality":"cumulative","monotonic":true,"value":2.5,"attributes":{}}}`, got[1])
	assert.Equal(t, head+`"name":"none","metricType":"gauge",`+when+`"value":null,"attributes":{}}}`, got[2])
	assert.Equal(t, head+`"name":"h","metricType":"histogram",`+when+
		`"temporality":"delta","count":3,"sum":6,"max":4,"bounds":[1,2],"buckets":[1,0,2],"attributes":{}}}`, got[3])
	assert.Equal(t, head+`"name":"e","metricType":"exponential_histogram",`+when+
		`"count":1,"scale":-2,"zeroCount":1,"attributes":{}}}`, got[4])
	assert.Equal(t, head+`"name":"q","metricType":"summary",`+when+
		`"count":2,"sum":3,"quantiles":[0.5],"values":[1.25],"attributes":{}}}`, got[5])
}

// Whatever bytes a sender sends, a message is valid JSON in valid UTF-8, and nothing else than invalid bytes changes.
func FuzzLogMessage(f *testing.F) {
	f.Add("plain", "key", int64(1), 1.5, uint8(1))
	f.Add("bad \xff\xc3\x28", "\x00\"\\", int64(math.MinInt64), math.Inf(-1), uint8(40))
	f.Add(strings.Repeat("ü", 3000), "", int64(0), 1e300, uint8(3))
	f.Fuzz(func(t *testing.T, body, key string, n int64, d float64, depth uint8) {
		got := messages(t, "*", logs(func(lr plog.LogRecord) {
			lr.Body().SetStr(body)
			lr.SetTimestamp(pcommon.Timestamp(n))
			lr.Attributes().PutInt(key, n)
			lr.Attributes().PutDouble("d", d)
			m := lr.Attributes().PutEmptyMap("nested")
			for range depth {
				m = m.PutEmptyMap(key)
			}
		}))
		require.Len(t, got, 1)
		var m struct {
			Payload struct{ Body string }
		}
		require.NoError(t, json.Unmarshal([]byte(got[0]), &m))
		want, err := json.Marshal(strings.ToValidUTF8(body, "\xff")) // encoding/json writes U+FFFD for each invalid byte
		require.NoError(t, err)
		if utf8.ValidString(body) {
			var s string
			require.NoError(t, json.Unmarshal(want, &s))
			assert.Equal(t, s, m.Payload.Body)
		}
	})
}
