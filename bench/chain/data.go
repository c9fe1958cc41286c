// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// The signals, as OTLP's paths and the pipelines call them.
const (
	spans = "traces"
	logs  = "logs"
)

const (
	projects   = 8
	bigEvery   = 1000 // one span of so many
	bigBytes   = 100 << 10
	spanStep   = 150 * time.Microsecond
	vocabulary = `the a an of to and in for with on customer order refund invoice shipping address city weather forecast
summary of document question answer please find attached report quarterly revenue growth model temperature tool call returned result
empty list search index vector distance nearest neighbour embedding chunk token budget exceeded retry backoff success failure user
session started finished waiting approved rejected by manager on behalf Zürich Berlin Paris London Tokyo Monday Friday morning
cache miss hit database connection pool timeout payload size bytes request response header status created updated deleted`
)

var words = strings.Fields(vocabulary)

// data is what both sides are given: requests that are encoded before any clock runs.
type data struct {
	signal   string
	requests [][]byte // OTLP protobuf
	records  int
	bytes    int64
}

// source makes records from a seed: the same seed and time give the same bytes.
type source struct {
	rng  *rand.Rand
	at   time.Time
	next uint64 // number of the next record: span id, or attribute `seq` of a log record
}

func newSource(seed uint64, at time.Time) *source {
	return &source{rng: rand.New(rand.NewPCG(seed, 1)), at: at}
}

// generate makes n records in requests of batch records. A request is of one service instance, as SDKs send them; the
// projects alternate.
func generate(signal string, n, batch int, seed uint64, at time.Time) (data, error) {
	d := data{signal: signal, records: n}
	s := newSource(seed, at)
	for i := 0; n > 0; i++ {
		size := min(batch, n)
		raw, err := s.request(signal, size, i%projects, s.traceID())
		if err != nil {
			return d, err
		}
		d.requests = append(d.requests, raw)
		d.bytes += int64(len(raw))
		n -= size
	}
	return d, nil
}

// request encodes one request. Its first trace id is the given one, so that a caller who asks for a few records
// finds them again by it.
func (s *source) request(signal string, n, project int, trace pcommon.TraceID) ([]byte, error) {
	if signal == spans {
		td := ptrace.NewTraces()
		rs := td.ResourceSpans().AppendEmpty()
		resource(rs.Resource(), project)
		ss := rs.ScopeSpans().AppendEmpty()
		ss.Scope().SetName("@agent/observability")
		ss.Scope().SetVersion("1.4.2")
		s.spans(ss.Spans(), n, trace)
		return ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	}
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	resource(rl.Resource(), project)
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName("app")
	s.logs(sl.LogRecords(), n, trace)
	return plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
}

func resource(r pcommon.Resource, project int) {
	a := r.Attributes()
	a.PutStr("service.name", fmt.Sprintf("agent-%d", project))
	a.PutStr("service.version", "2.13.0")
	a.PutStr("project.id", fmt.Sprintf("project-%d", project))
	a.PutStr("deployment.environment.name", "production")
	a.PutStr("host.name", "worker-07.eu-central.example.com")
	a.PutStr("telemetry.sdk.language", "nodejs")
}

// spans appends gen_ai spans of 0.7 to 1.7 KB; about ten make a trace.
func (s *source) spans(to ptrace.SpanSlice, n int, trace pcommon.TraceID) {
	to.EnsureCapacity(n)
	var parent pcommon.SpanID
	for i := range n {
		if i%10 == 0 && i > 0 && n >= 100 {
			trace, parent = s.traceID(), pcommon.SpanID{}
		}
		s.next++
		s.at = s.at.Add(spanStep)
		sp := to.AppendEmpty()
		var id pcommon.SpanID
		binary.BigEndian.PutUint64(id[:], s.next*0x9E3779B97F4A7C15) // odd: a bijection, so ids look random and are unique
		sp.SetTraceID(trace)
		sp.SetSpanID(id)
		sp.SetParentSpanID(parent)
		if parent.IsEmpty() {
			parent = id
		}
		sp.SetKind(ptrace.SpanKindClient)
		sp.SetStartTimestamp(pcommon.NewTimestampFromTime(s.at))
		sp.SetEndTimestamp(pcommon.NewTimestampFromTime(s.at.Add(time.Duration(s.rng.IntN(4_000_000)) * time.Microsecond)))
		model := [...]string{"gpt-4o", "claude-sonnet-4", "gemini-2.5-pro", "llama-3.3-70b"}[s.rng.IntN(4)]
		sp.SetName("chat " + model)
		a := sp.Attributes()
		a.EnsureCapacity(12)
		a.PutStr("gen_ai.operation.name", "chat")
		a.PutStr("gen_ai.provider.name", "gateway")
		a.PutStr("gen_ai.request.model", model)
		a.PutStr("gen_ai.conversation.id", fmt.Sprintf("conv-%016x", s.rng.Uint64()))
		a.PutInt("gen_ai.usage.input_tokens", int64(s.rng.IntN(8000)))
		a.PutInt("gen_ai.usage.output_tokens", int64(s.rng.IntN(2000)))
		a.PutDouble("gen_ai.request.temperature", float64(s.rng.IntN(10))/10)
		a.PutStr("gen_ai.response.finish_reasons", "stop")
		size := 140 + s.rng.IntN(930)
		if s.next%bigEvery == 0 {
			size = bigBytes
		}
		a.PutStr("gen_ai.input.messages", `[{"role":"user","parts":[{"type":"text","content":"`+s.text(size*2/3)+`"}]}]`)
		a.PutStr("gen_ai.output.messages", `[{"role":"assistant","parts":[{"type":"text","content":"`+s.text(size/3)+`"}]}]`)
		if s.rng.IntN(50) == 0 {
			sp.Status().SetCode(ptrace.StatusCodeError)
			sp.Status().SetMessage("tool call returned an error: " + s.text(40))
		}
	}
}

// logs appends records with lines of 150 to 400 bytes.
func (s *source) logs(to plog.LogRecordSlice, n int, trace pcommon.TraceID) {
	to.EnsureCapacity(n)
	for range n {
		s.next++
		s.at = s.at.Add(spanStep)
		r := to.AppendEmpty()
		r.SetTimestamp(pcommon.NewTimestampFromTime(s.at))
		r.SetObservedTimestamp(pcommon.NewTimestampFromTime(s.at.Add(time.Millisecond)))
		r.SetTraceID(trace)
		severity := [...]plog.SeverityNumber{plog.SeverityNumberInfo, plog.SeverityNumberInfo, plog.SeverityNumberDebug, plog.SeverityNumberWarn}[s.rng.IntN(4)]
		r.SetSeverityNumber(severity)
		r.SetSeverityText(strings.ToUpper(severity.String()))
		r.Body().SetStr(s.text(150 + s.rng.IntN(250)))
		r.Attributes().PutInt("seq", int64(s.next))
		r.Attributes().PutStr("logger", "http.access")
		r.Attributes().PutStr("log.iostream", "stdout")
	}
}

func (s *source) text(size int) string {
	var b strings.Builder
	b.Grow(size + 32)
	for b.Len() < size {
		if s.rng.IntN(12) == 0 {
			fmt.Fprintf(&b, "%d ", s.rng.IntN(100000))
			continue
		}
		b.WriteString(words[s.rng.IntN(len(words))])
		b.WriteByte(' ')
	}
	return b.String()
}

func (s *source) traceID() (id pcommon.TraceID) {
	binary.BigEndian.PutUint64(id[:8], s.rng.Uint64())
	binary.BigEndian.PutUint64(id[8:], s.rng.Uint64()|1)
	return id
}
