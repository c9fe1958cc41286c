// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package agentdata makes what the benchmarks load: spans of agents, 0.7 to 1.7 KB with some of 100 KB, and log lines of
// many Projects, the same bytes for the same seed.
package agentdata

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
	Spans = "traces"
	Logs  = "logs"
)

// The shape of the data.
const (
	Projects   = 8
	BigEvery   = 1000 // one span of so many
	bigBytes   = 100 << 10
	SpanStep   = 150 * time.Microsecond
	vocabulary = `the a an of to and in for with on customer order refund invoice shipping address city weather forecast
summary of document question answer please find attached report quarterly revenue growth model temperature tool call returned result
empty list search index vector distance nearest neighbour embedding chunk token budget exceeded retry backoff success failure user
session started finished waiting approved rejected by manager on behalf Zürich Berlin Paris London Tokyo Monday Friday morning
cache miss hit database connection pool timeout payload size bytes request response header status created updated deleted`
)

var words = strings.Fields(vocabulary)

// Data is what both sides are given: requests that are encoded before any clock runs.
type Data struct {
	Signal   string
	Requests [][]byte // OTLP protobuf
	Records  int
	Bytes    int64
}

// Source makes records from a seed: the same seed and time give the same bytes.
type Source struct {
	rng  *rand.Rand
	At   time.Time // of the last record
	next uint64    // number of the next record: span id, or attribute `seq` of a log record
}

// NewSource returns a source whose first record is of the given time.
func NewSource(seed uint64, at time.Time) *Source {
	return &Source{rng: rand.New(rand.NewPCG(seed, 1)), At: at}
}

// Generate makes n records in requests of batch records. A request is of one service instance, as SDKs send them; the
// projects alternate.
func Generate(signal string, n, batch int, seed uint64, at time.Time) (Data, error) {
	return NewSource(seed, at).Generate(signal, n, batch, Projects)
}

// Generate makes the next n records, of so many projects.
func (s *Source) Generate(signal string, n, batch, projects int) (Data, error) {
	d := Data{Signal: signal, Records: n}
	for i := 0; n > 0; i++ {
		size := min(batch, n)
		raw, err := s.Request(signal, size, i%projects, s.TraceID())
		if err != nil {
			return d, err
		}
		d.Requests = append(d.Requests, raw)
		d.Bytes += int64(len(raw))
		n -= size
	}
	return d, nil
}

// Request encodes one request. Its first trace id is the given one, so that a caller who asks for a few records
// finds them again by it.
func (s *Source) Request(signal string, n, project int, trace pcommon.TraceID) ([]byte, error) {
	if signal == Spans {
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
func (s *Source) spans(to ptrace.SpanSlice, n int, trace pcommon.TraceID) {
	to.EnsureCapacity(n)
	var parent pcommon.SpanID
	for i := range n {
		if i%10 == 0 && i > 0 && n >= 100 {
			trace, parent = s.TraceID(), pcommon.SpanID{}
		}
		s.next++
		s.At = s.At.Add(SpanStep)
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
		sp.SetStartTimestamp(pcommon.NewTimestampFromTime(s.At))
		sp.SetEndTimestamp(pcommon.NewTimestampFromTime(s.At.Add(time.Duration(s.rng.IntN(4_000_000)) * time.Microsecond)))
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
		if s.next%BigEvery == 0 {
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
func (s *Source) logs(to plog.LogRecordSlice, n int, trace pcommon.TraceID) {
	to.EnsureCapacity(n)
	for range n {
		s.next++
		s.At = s.At.Add(SpanStep)
		r := to.AppendEmpty()
		r.SetTimestamp(pcommon.NewTimestampFromTime(s.At))
		r.SetObservedTimestamp(pcommon.NewTimestampFromTime(s.At.Add(time.Millisecond)))
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

func (s *Source) text(size int) string {
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

// TraceID returns the next trace id.
func (s *Source) TraceID() (id pcommon.TraceID) {
	binary.BigEndian.PutUint64(id[:8], s.rng.Uint64())
	binary.BigEndian.PutUint64(id[8:], s.rng.Uint64()|1)
	return id
}
