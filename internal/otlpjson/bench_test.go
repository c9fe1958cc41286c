// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// prompt is text as prompts are: lines, quotes and a few letters beyond ASCII.
func prompt(n int) string {
	const line = "You are an agent that books trips. Say \"done\" when the trip to Zürich is booked, and nothing else.\n"
	return strings.Repeat(line, n/len(line)+1)[:n-n%2]
}

func agentResource(r pcommon.Resource) {
	for k, v := range map[string]string{
		"service.name": "trip-agent", "service.version": "1.4.2", "project.id": "travel",
		"telemetry.sdk.language": "python", "telemetry.sdk.name": "opentelemetry", "telemetry.sdk.version": "1.38.0",
	} {
		r.Attributes().PutStr(k, v)
	}
}

// benchTraces has n gen_ai spans with size bytes of prompt each; 0: calls of tools, which have none.
func benchTraces(n, size int) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	agentResource(rs.Resource())
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName("opentelemetry.instrumentation.openai")
	ss.Scope().SetVersion("0.47.5")
	for i := range n {
		s := ss.Spans().AppendEmpty()
		s.SetTraceID([16]byte{0xd4, 0xcd, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, byte(i)})
		s.SetSpanID([8]byte{0x7a, 2, 3, 4, 5, 6, 7, byte(i)})
		s.SetParentSpanID([8]byte{0x1a, 2, 3, 4, 5, 6, 7, 1})
		s.SetKind(ptrace.SpanKindClient)
		s.SetStartTimestamp(pcommon.Timestamp(1795477435123456789 + uint64(i)))
		s.SetEndTimestamp(pcommon.Timestamp(1795477436123456789 + uint64(i)))
		a := s.Attributes()
		if size == 0 {
			s.SetName("execute_tool search_flights")
			a.PutStr("gen_ai.operation.name", "execute_tool")
			a.PutStr("gen_ai.tool.name", "search_flights")
			a.PutStr("gen_ai.tool.call.id", fmt.Sprint("call_", i))
			a.PutStr("gen_ai.conversation.id", "0d5e21c1-7e3a-4ce8-a0c5-6f63d1a3a3a1")
			a.PutInt("retries", 0)
			continue
		}
		s.SetName("chat gpt-5-mini")
		a.PutStr("gen_ai.operation.name", "chat")
		a.PutStr("gen_ai.provider.name", "openai")
		a.PutStr("gen_ai.request.model", "gpt-5-mini")
		a.PutStr("gen_ai.response.model", "gpt-5-mini-2026-08-07")
		a.PutStr("gen_ai.response.id", fmt.Sprint("chatcmpl-9J3uYL87gldCFNiIDyaBTLxV5mlD", i))
		a.PutStr("gen_ai.conversation.id", "0d5e21c1-7e3a-4ce8-a0c5-6f63d1a3a3a1")
		a.PutDouble("gen_ai.request.temperature", 0.7)
		a.PutInt("gen_ai.request.max_tokens", 4096)
		a.PutInt("gen_ai.usage.input_tokens", int64(1200+i))
		a.PutInt("gen_ai.usage.output_tokens", 214)
		a.PutEmptySlice("gen_ai.response.finish_reasons").AppendEmpty().SetStr("stop")
		a.PutBool("gen_ai.stream", true)
		a.PutStr("gen_ai.input.messages", prompt(size))
	}
	return td
}

func benchLogs(n int) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	agentResource(rl.Resource())
	sl := rl.ScopeLogs().AppendEmpty()
	for i := range n {
		r := sl.LogRecords().AppendEmpty()
		r.SetTimestamp(pcommon.Timestamp(1795477435123456789 + uint64(i)))
		r.SetObservedTimestamp(pcommon.Timestamp(1795477435123456999 + uint64(i)))
		r.SetSeverityNumber(plog.SeverityNumberInfo)
		r.SetSeverityText("INFO")
		r.Body().SetStr(fmt.Sprintf("GET /v1/trips/%d 200 in 12.4 ms, 3 legs found for \"ZRH-SFO\"", i))
		r.Attributes().PutStr("log.iostream", "stdout")
		r.Attributes().PutStr("process.name", "trip-agent")
		r.Attributes().PutInt("process.pid", 4711)
		r.Attributes().PutStr("log.record.uid", "01JD8Z6X6M4Q7S0T2V3W4X5Y6Z")
	}
	return ld
}

func benchMetrics(n int) pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	agentResource(rm.Resource())
	sm := rm.ScopeMetrics().AppendEmpty()
	for i := range n {
		m := sm.Metrics().AppendEmpty()
		m.SetUnit("s")
		m.SetName("gen_ai.client.operation.duration")
		if i%4 == 0 {
			h := m.SetEmptyHistogram()
			h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
			p := h.DataPoints().AppendEmpty()
			p.SetStartTimestamp(1795477435123456789)
			p.SetTimestamp(1795477436123456789)
			p.SetCount(1234)
			p.SetSum(812.75)
			p.BucketCounts().FromRaw([]uint64{0, 0, 4, 90, 200, 400, 300, 140, 60, 30, 10, 0, 0, 0, 0})
			p.ExplicitBounds().FromRaw([]float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92})
			p.Attributes().PutStr("gen_ai.operation.name", "chat")
			p.Attributes().PutStr("gen_ai.request.model", "gpt-5-mini")
			continue
		}
		s := m.SetEmptySum()
		s.SetIsMonotonic(true)
		s.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		for j := range 4 {
			p := s.DataPoints().AppendEmpty()
			p.SetStartTimestamp(1795477435123456789)
			p.SetTimestamp(1795477436123456789)
			p.SetIntValue(int64(1000*i + j))
			p.Attributes().PutStr("gen_ai.operation.name", "chat")
			p.Attributes().PutStr("gen_ai.request.model", "gpt-5-mini")
			p.Attributes().PutStr("gen_ai.token.type", "input")
		}
	}
	return md
}

func run[D any](b *testing.B, name string, doc []byte, reference func([]byte) (D, error), ours func([]byte, D) error, empty func() D) {
	each := func(what string, f func() error) {
		b.Run(name+"/"+what, func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			start := cpuTime()
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
			// What a core does in a second, also when other processes have the other cores and this one.
			b.ReportMetric(float64(len(doc))*float64(b.N)/1e6/(cpuTime()-start).Seconds(), "MB/cpu-s")
		})
	}
	each("reference", func() error { _, err := reference(doc); return err })
	each("ours", func() error { return ours(doc, empty()) })
}

func BenchmarkDecode(b *testing.B) {
	traces := func(name string, td ptrace.Traces) {
		doc, err := (&ptrace.JSONMarshaler{}).MarshalTraces(td)
		require.NoError(b, err)
		run(b, name, doc, (&ptrace.JSONUnmarshaler{}).UnmarshalTraces, DecodeTraces, ptrace.NewTraces)
	}
	traces("Traces/100_tool_calls", benchTraces(100, 0))
	traces("Traces/1_chat", benchTraces(1, 300))
	traces("Traces/100_chats", benchTraces(100, 300))
	traces("Traces/10_chats_of_100KB", benchTraces(10, 100<<10))

	doc, err := (&plog.JSONMarshaler{}).MarshalLogs(benchLogs(100))
	require.NoError(b, err)
	run(b, "Logs/100", doc, (&plog.JSONUnmarshaler{}).UnmarshalLogs, DecodeLogs, plog.NewLogs)

	doc, err = (&pmetric.JSONMarshaler{}).MarshalMetrics(benchMetrics(40))
	require.NoError(b, err)
	run(b, "Metrics/40", doc, (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics, DecodeMetrics, pmetric.NewMetrics)
}
