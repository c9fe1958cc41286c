// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package columnar

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/tailrace/tailrace/bench/agentdata"
	"github.com/tailrace/tailrace/internal/clickhousetest"
)

const batchRecords = 20_000

// cpu is the CPU time that this process has used; ClickHouse is another one.
func cpu(t testing.TB) time.Duration {
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// contest inserts the same batch by turns with each exporter, and reports the CPU time of this process, garbage collection included.
func contest(b *testing.B, data any) {
	server := clickhousetest.Start(b)
	tables(b, server, "db")
	sinks := []*sink{
		start(b, server, "contrib", "db", contrib.factory(), contrib.yaml),
		start(b, server, "lz4", "db", ours.factory(), nil),
		start(b, server, "none", "db", ours.factory(), map[string]any{"compression": "none"}),
		start(b, server, "zstd", "db", ours.factory(), map[string]any{"compression": "zstd"}),
	}
	conn := server.Conn()
	used, took := make([]time.Duration, len(sinks)), make([]time.Duration, len(sinks))
	round := func(count bool) {
		for i, s := range sinks {
			before, begin := cpu(b), time.Now()
			switch d := data.(type) { // not changed by any
			case ptrace.Traces:
				require.NoError(b, s.traces.ConsumeTraces(b.Context(), d))
			case plog.Logs:
				require.NoError(b, s.logs.ConsumeLogs(b.Context(), d))
			}
			if count {
				used[i], took[i] = used[i]+cpu(b)-before, took[i]+time.Since(begin)
			}
		}
	}
	round(false)
	n := 0
	for b.Loop() {
		if n%20 == 0 { // merges of what is there would take the machine's cores
			require.NoError(b, conn.Exec(context.Background(), "TRUNCATE TABLE db.otel_traces"))
			require.NoError(b, conn.Exec(context.Background(), "TRUNCATE TABLE db.otel_logs"))
		}
		round(true)
		n++
	}
	b.ReportMetric(0, "ns/op")
	for i, s := range sinks {
		b.ReportMetric(used[i].Seconds()/float64(n*batchRecords)*1e6, s.name+"-cpu-s/M")
		b.ReportMetric(took[i].Seconds()/float64(n*batchRecords)*1e6, s.name+"-s/M")
	}
	b.ReportMetric(used[0].Seconds()/used[1].Seconds(), "contrib/lz4")
	b.ReportMetric(used[0].Seconds()/used[2].Seconds(), "contrib/none")
}

func generate(b *testing.B, signal string) [][]byte {
	d, err := agentdata.Generate(signal, batchRecords, 500, 1, time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))
	require.NoError(b, err)
	b.Log(fmt.Sprint(d.Bytes/int64(d.Records), " bytes a record"))
	return d.Requests
}

func spans(b *testing.B) ptrace.Traces {
	td := ptrace.NewTraces()
	for _, raw := range generate(b, agentdata.Spans) {
		r := ptraceotlp.NewExportRequest()
		require.NoError(b, r.UnmarshalProto(raw))
		r.Traces().ResourceSpans().MoveAndAppendTo(td.ResourceSpans())
	}
	return td
}

func records(b *testing.B) plog.Logs {
	ld := plog.NewLogs()
	for _, raw := range generate(b, agentdata.Logs) {
		r := plogotlp.NewExportRequest()
		require.NoError(b, r.UnmarshalProto(raw))
		r.Logs().ResourceLogs().MoveAndAppendTo(ld.ResourceLogs())
	}
	return ld
}

func BenchmarkSpans(b *testing.B) { contest(b, spans(b)) }

func BenchmarkLogs(b *testing.B) { contest(b, records(b)) }
