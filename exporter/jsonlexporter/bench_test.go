// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package jsonlexporter

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/exporter/jsonlexporter/internal/otlpjson"
)

// agentTraces is a batch as an agent's SDK sends it, about 1 KB a span.
func agentTraces(n int) ptrace.Traces {
	td := traces("shop", n)
	spans := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
	for i := range spans.Len() {
		s := spans.At(i)
		s.SetTraceID([16]byte{1, byte(i), byte(i >> 8)})
		s.SetSpanID([8]byte{2, byte(i), byte(i >> 8)})
		s.SetParentSpanID([8]byte{1})
		s.SetStartTimestamp(1795415945756072444)
		s.SetEndTimestamp(1795415946756072444)
		s.SetName("chat gpt-4o")
		a := s.Attributes()
		a.PutStr("gen_ai.operation.name", "chat")
		a.PutStr("gen_ai.request.model", "gpt-4o")
		a.PutInt("gen_ai.usage.input_tokens", int64(i))
		a.PutInt("gen_ai.usage.output_tokens", 345)
		a.PutStr("gen_ai.tool.call.arguments", `{"city":"Zürich","days":3}`)
		a.PutStr("mastra.metadata.runId", fmt.Sprint("run-", i))
		a.PutStr("mastra.model_step.output", strings.Repeat("The weather will be fine. ", 10))
	}
	td.MarkReadOnly()
	return td
}

// BenchmarkTraces compares what an acknowledged batch costs: this exporter in both sync modes, and the way of the contrib file
// exporter (pdata's marshaler, then an append through a 4 KiB user-space buffer, no fsync, no rotation, no split).
func BenchmarkTraces(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		td := agentTraces(n)
		line, err := (&ptrace.JSONMarshaler{}).MarshalTraces(td)
		require.NoError(b, err)
		run := func(name string, export func(b *testing.B) func() error) {
			b.Run(fmt.Sprintf("spans=%d/%s", n, name), func(b *testing.B) {
				f := export(b)
				b.SetBytes(int64(len(line)) + 1)
				b.ReportAllocs()
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("contrib", func(b *testing.B) func() error {
			f, err := os.Create(filepath.Join(b.TempDir(), "traces.jsonl"))
			require.NoError(b, err)
			b.Cleanup(func() { f.Close() })
			w := bufio.NewWriter(f)
			return func() error {
				data, err := (&ptrace.JSONMarshaler{}).MarshalTraces(td)
				if err != nil {
					return err
				}
				if _, err := w.Write(data); err != nil {
					return err
				}
				return w.WriteByte('\n')
			}
		})
		for _, sync := range []SyncMode{SyncWrite, SyncBatch} {
			run(string(sync), func(b *testing.B) func() error {
				cfg := testConfig(b.TempDir())
				cfg.Sync = sync
				p := create(b, settings(), cfg)
				p.start(b, componenttest.NewNopHost())
				b.Cleanup(func() { p.shutdown(b) })
				return func() error { return p.traces.ConsumeTraces(b.Context(), td) }
			})
		}
	}
}

// BenchmarkGroupCommit is `sync: batch` with many senders: one fsync serves all that wait.
func BenchmarkGroupCommit(b *testing.B) {
	cfg := testConfig(b.TempDir())
	cfg.Sync = SyncBatch
	p := create(b, settings(), cfg)
	p.start(b, componenttest.NewNopHost())
	b.Cleanup(func() { p.shutdown(b) })
	td := agentTraces(10)
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := p.traces.ConsumeTraces(b.Context(), td); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkEncode is the encoding alone, beside pdata's marshaler.
func BenchmarkEncode(b *testing.B) {
	td := agentTraces(1000)
	line, err := (&ptrace.JSONMarshaler{}).MarshalTraces(td)
	require.NoError(b, err)
	b.Run("pdata", func(b *testing.B) {
		b.SetBytes(int64(len(line)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := (&ptrace.JSONMarshaler{}).MarshalTraces(td); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("otlpjson", func(b *testing.B) {
		enc := otlpjson.NewEncoder(1 << 20)
		b.SetBytes(int64(len(line)))
		b.ReportAllocs()
		for b.Loop() {
			enc.Traces(td)
		}
	})
}
