// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

func span(fields string) string {
	return `{"resourceSpans":[{"scopeSpans":[{"spans":[{` + fields + `}]}]}]}`
}

// TestDeviationNotJSON: each of these is something to the reference; if it is no longer, the deviation can go.
func TestDeviationNotJSON(t *testing.T) {
	for _, doc := range []string{
		`{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a"{"kind":1}]}]}]}`,
		`{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a" null]}]}]}`,
		`{"resourceSpans":[{}null}`,
		`{"resourceSpans":[{}[{}]}`,
		span(`"x":-01`),
		`{"resourceSpans":[{"scopeSpans":[{"spans":[],"scope":{"attributes":[{"value":{"doubleValue":-+5}}]}}]}]}`,
		`}`,
	} {
		_, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces([]byte(doc))
		assert.NoError(t, err, doc)
		assert.Error(t, DecodeTraces([]byte(doc), ptrace.NewTraces()), doc)
	}
}

func TestDeviationTrailing(t *testing.T) {
	for _, tail := range []string{`{"resourceSpans":[{}]}`, `]`, `x`, "\x00", `,`} {
		doc := []byte(`{"resourceSpans":[{}]} ` + tail)
		_, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(doc)
		require.NoError(t, err)
		assert.ErrorContains(t, DecodeTraces(doc, ptrace.NewTraces()), "something follows the document")
	}
	require.NoError(t, DecodeTraces([]byte("\n {\"resourceSpans\":[{}]} \r\n\t"), ptrace.NewTraces()))
}

func TestDeviationEmptyName(t *testing.T) {
	doc := []byte(`{"":1,"resourceSpans":[{"scopeSpans":[{"spans":[{"":[{"name":"b"}],"name":"a"}]}]}]}`)
	td, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(doc)
	require.NoError(t, err)
	require.Zero(t, td.SpanCount(), "lost by the reference")
	td = ptrace.NewTraces()
	require.NoError(t, DecodeTraces(doc, td))
	require.Equal(t, 1, td.SpanCount())
	assert.Equal(t, "a", td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Name())

	both := `{"":1,"resourceSpans":[{"resource":{"entityRefs":[{"type":"service"}]}}]}`
	require.Error(t, DecodeTraces([]byte(both), ptrace.NewTraces()))
}

func TestDeviationRange(t *testing.T) {
	for _, field := range []string{`"startTimeUnixNano":30000000000000000000`, `"flags":5000000000`, `"kind":5000000000`} {
		doc := []byte(span(field))
		_, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(doc)
		require.NoError(t, err, "the reference wraps around: %s", field)
		assert.ErrorContains(t, DecodeTraces(doc, ptrace.NewTraces()), outOfRange)
	}
	for _, field := range []string{
		`"startTimeUnixNano":18446744073709551615`, `"flags":4294967295`, `"kind":-2147483648`, `"kind":2147483647`,
		`"startTimeUnixNano":18446744073709551616`, `"flags":4294967296`, `"kind":-2147483649`, `"kind":2147483648`,
	} {
		signals[0].agree(t, []byte(span(field)))
	}
}

func TestDeviationTrace(t *testing.T) {
	levels := map[string]plog.SeverityNumber{
		"TRACE": 1, "TRACE2": 2, "DEBUG": 5, "INFO4": 12, "FATAL4": 24, "UNSPECIFIED": 0, "TRACE1": -1, "FATAL5": -1, "INFO22": -1, "": -1,
	}
	levels["TRACE"+" "] = 1
	for level, want := range levels {
		doc := fmt.Sprintf(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":"SEVERITY_NUMBER_%s"}]}]}]}`, level)
		ld := plog.NewLogs()
		err := DecodeLogs([]byte(doc), ld)
		if want < 0 {
			assert.Error(t, err, level)
			continue
		}
		require.NoError(t, err, level)
		assert.Equal(t, want, ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).SeverityNumber())
	}
}

func TestDeviationNesting(t *testing.T) {
	nested := func(levels int) []byte { // a level is three brackets, around it there are 5
		return []byte(`{"resourceLogs":[{"resource":{"attributes":[{"key":"a","value":` +
			strings.Repeat(`{"arrayValue":{"values":[`, levels) + strings.Repeat("]}}", levels) + `}]}}]}`)
	}
	require.NoError(t, DecodeLogs(nested((MaxDepth-6)/3), plog.NewLogs()))
	require.ErrorContains(t, DecodeLogs(nested(MaxDepth/3+1), plog.NewLogs()), "nested deeper")
	require.Error(t, DecodeLogs(nested(1_000_000), plog.NewLogs()))
	for _, open := range []string{"[", `{"a":`} {
		doc := []byte(`{"x":` + strings.Repeat(open, 1_000_000))
		require.ErrorContains(t, DecodeLogs(doc, plog.NewLogs()), "nested deeper")
	}
	plain := func(n int) []byte { return []byte(`{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`) }
	require.NoError(t, DecodeLogs(plain(MaxDepth-1), plog.NewLogs()))
	require.Error(t, DecodeLogs(plain(MaxDepth), plog.NewLogs()))
}
