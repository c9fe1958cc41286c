// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package jsonlexporter

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/exporter/jsonlexporter/internal/otlpjson"
	"github.com/tailrace/tailrace/internal/flatjson"
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

// BenchmarkTraces compares what an acknowledged batch costs (in bytes of OTLP/JSON, also for the other encodings): this exporter, and the way of the contrib file
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
		for _, v := range []struct {
			name     string
			sync     SyncMode
			encoding Encoding
			zstd     Compression
		}{
			{"write", SyncWrite, EncodingOTLPJSON, CompressionNone},
			{"batch", SyncBatch, EncodingOTLPJSON, CompressionNone},
			{"write zstd", SyncWrite, EncodingOTLPJSON, CompressionZstd},
			{"write flat", SyncWrite, EncodingFlatJSON, CompressionNone},
			{"write flat zstd", SyncWrite, EncodingFlatJSON, CompressionZstd},
		} {
			run(v.name, func(b *testing.B) func() error {
				cfg := testConfig(b.TempDir())
				cfg.Sync, cfg.Encoding, cfg.Compression = v.sync, v.encoding, v.zstd
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
	b.Run("flatjson", func(b *testing.B) {
		enc := flatjson.NewEncoder(1 << 20)
		parts, _ := enc.Traces(td)
		b.SetBytes(int64(len(parts[0].Data)))
		b.ReportAllocs()
		for b.Loop() {
			enc.Traces(td)
		}
	})
}

// BenchmarkDecodeFlat reads flat lines back.
func BenchmarkDecodeFlat(b *testing.B) {
	parts, _ := flatjson.NewEncoder(1 << 20).Traces(agentTraces(1000))
	b.SetBytes(int64(len(parts[0].Data)))
	b.ReportAllocs()
	for b.Loop() {
		td := ptrace.NewTraces()
		for line := range bytes.Lines(parts[0].Data) {
			if err := flatjson.DecodeSpan(line, td); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// distinct are spans as different as real ones are: random ids, other times, and a third of the text.
func distinct(n int) ptrace.Traces {
	td := ptrace.NewTraces()
	agentTraces(n).CopyTo(td)
	spans := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
	for i := range spans.Len() {
		s := spans.At(i)
		var id [24]byte
		_, _ = rand.Read(id[:])
		s.SetTraceID([16]byte(id[:16]))
		s.SetSpanID([8]byte(id[16:]))
		s.SetParentSpanID([8]byte(id[8:16]))
		s.SetStartTimestamp(s.StartTimestamp() + pcommon.Timestamp(id[0])*1e6 + pcommon.Timestamp(id[1]))
		s.SetEndTimestamp(s.StartTimestamp() + pcommon.Timestamp(id[2])*1e6 + pcommon.Timestamp(id[3]))
		s.Attributes().PutStr("mastra.model_step.output", strings.Repeat("The weather will be fine. ", 6)+fmt.Sprintf("%x", id[:]))
	}
	return td
}

// BenchmarkBytesOnDisk reports how many bytes a span takes on the disk when segments are complete.
func BenchmarkBytesOnDisk(b *testing.B) {
	for _, encoding := range []Encoding{EncodingOTLPJSON, EncodingFlatJSON} {
		for _, compression := range []Compression{CompressionNone, CompressionZstd} {
			for _, batch := range []int{1, 1000} {
				b.Run(fmt.Sprintf("%s/%s/batch=%d", encoding, compression, batch), func(b *testing.B) {
					const spans = 10_000
					var size int64
					for b.Loop() {
						dir := b.TempDir()
						cfg := testConfig(dir)
						cfg.Encoding, cfg.Compression = encoding, compression
						p := create(b, settings(), cfg)
						p.start(b, componenttest.NewNopHost())
						for range spans / batch {
							require.NoError(b, p.traces.ConsumeTraces(b.Context(), distinct(batch)))
						}
						p.shutdown(b)
						names, err := filepath.Glob(filepath.Join(dir, "spans", "shop", "*.jsonl*"))
						require.NoError(b, err)
						size = 0
						for _, name := range names {
							info, err := os.Stat(name)
							require.NoError(b, err)
							size += info.Size()
						}
					}
					b.ReportMetric(float64(size)/spans, "B/span")
				})
			}
		}
	}
}
