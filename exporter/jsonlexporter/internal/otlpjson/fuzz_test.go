// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// The fuzz targets take any OTLP that the receivers would take. Every line must keep its promises, and what needed no
// repair must have the bytes of pdata's marshaler.

func FuzzTraces(f *testing.F) {
	seed, _ := (&ptrace.ProtoMarshaler{}).MarshalTraces(fullTraces())
	f.Add(seed, uint16(2000))
	f.Add([]byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, data []byte, limit uint16) {
		td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(data)
		if err != nil {
			return
		}
		td.ResourceSpans().RemoveIf(func(rs ptrace.ResourceSpans) bool {
			rs.Resource().Attributes().Remove("project.id")
			rs.ScopeSpans().RemoveIf(func(ss ptrace.ScopeSpans) bool {
				ss.Spans().RemoveIf(func(s ptrace.Span) bool { return s.EndTimestamp() == 0 })
				return ss.Spans().Len() == 0
			})
			return rs.ScopeSpans().Len() == 0
		})
		td.MarkReadOnly()
		parts, stats := NewEncoder(int(limit)).Traces(td)
		require.Equal(t, td.SpanCount(), checkLines(t, parts, int(limit), traceRecords))

		parts, _ = NewEncoder(unbounded).Traces(td)
		if td.SpanCount() > 0 && stats.Repaired == 0 {
			want, err := (&ptrace.JSONMarshaler{}).MarshalTraces(td)
			require.NoError(t, err)
			require.Equal(t, string(want)+"\n", string(parts[0].Data))
		}
	})
}

func FuzzLogs(f *testing.F) {
	seed, _ := (&plog.ProtoMarshaler{}).MarshalLogs(fullLogs())
	f.Add(seed, uint16(2000))
	f.Fuzz(func(t *testing.T, data []byte, limit uint16) {
		ld, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(data)
		if err != nil {
			return
		}
		ld.MarkReadOnly()
		parts, _ := NewEncoder(int(limit)).Logs(ld)
		require.Equal(t, ld.LogRecordCount(), checkLines(t, parts, int(limit), func(line []byte) (int, error) {
			back, err := (&plog.JSONUnmarshaler{DisallowUnknownFields: true}).UnmarshalLogs(line)
			if err != nil {
				return 0, err
			}
			return back.LogRecordCount(), nil
		}))
	})
}

func FuzzMetrics(f *testing.F) {
	seed, _ := (&pmetric.ProtoMarshaler{}).MarshalMetrics(fullMetrics())
	f.Add(seed, uint16(2000))
	f.Fuzz(func(t *testing.T, data []byte, limit uint16) {
		md, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(data)
		if err != nil {
			return
		}
		md.MarkReadOnly()
		parts, _ := NewEncoder(int(limit)).Metrics(md)
		require.Equal(t, md.DataPointCount(), checkLines(t, parts, int(limit), func(line []byte) (int, error) {
			back, err := (&pmetric.JSONUnmarshaler{DisallowUnknownFields: true}).UnmarshalMetrics(line)
			if err != nil {
				return 0, err
			}
			return back.DataPointCount(), nil
		}))
	})
}
