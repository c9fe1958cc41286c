// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package linecodec

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/envelope"
	"github.com/tailrace/tailrace/internal/ingest"
)

func TestEncodingsAreTold(t *testing.T) {
	for line, want := range map[string]encoding{
		`{"resourceSpans":[]}`:                                   otlpJSON,
		" \t{ \"resource_logs\":[]}":                             otlpJSON,
		`{"$schema":"x","resourceMetrics":[]}`:                   otlpJSON,
		`{"\u0072esourceSpans":[]}`:                              otlpJSON,
		`{"type":"span","data":{},"resourceSpans":[]}`:           otlpJSON,
		`{"Timestamp":"2026-01-01T00:00:00Z"}`:                   flatJSON,
		`{"ResourceAttributes":{},"MetricName":"m"}`:             flatJSON,
		`{"MetricName":"m","Value":1,"TimeUnix":"2026-01-01 0"}`: flatJSON,
		`{"SpanName":"resourceSpans","Timestamp":""}`:            flatJSON,
		`{"type":"log","data":{"resourceLogs":1}}`:               enveloped,
		`{"spanId":"a","startTime":"2026-01-01T00:00:00Z"}`:      enveloped,
		`{}`: otlpJSON, `[]`: otlpJSON, `{"type":"log"`: otlpJSON, `{"`: otlpJSON, ``: otlpJSON, `"Timestamp"`: otlpJSON,
	} {
		assert.Equal(t, want, encodingOf([]byte(line)), line)
	}
}

// One batch of lines of all encodings.
func TestOneFileMayHoldAllEncodings(t *testing.T) {
	b := NewTraces()
	for _, line := range []string{
		`{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"otlp","startTimeUnixNano":"1"}]}]}]}`,
		`{"Timestamp":"2026-01-01T00:00:00Z","SpanName":"flat","Duration":5}`,
		`{"type":"span","data":{"spanId":"s","name":"enveloped","startTime":"2026-01-01T00:00:00Z","durationMs":0}}`,
		`{"spanId":"s","name":"bare","startTime":"2026-01-01T00:00:00Z"}`,
		`{"type":"trace","data":{"traceId":"t","name":"whole","startTime":"2026-01-01T00:00:00Z"}}`,
	} {
		added, err := b.Add("span/a%20b/1", []byte(line))
		require.NoError(t, err, line)
		require.Equal(t, 1, added.Records)
	}
	units, err := b.Units(b.Plan())
	require.NoError(t, err)
	require.Len(t, units, 1)
	var names []string
	eachSpan(units[0].(*Unit[ptrace.Traces]).Data, func(s ptrace.Span) { names = append(names, s.Name()) })
	assert.Equal(t, []string{"otlp", "flat", "enveloped", "bare", "whole"}, names)
	last := units[0].(*Unit[ptrace.Traces]).Data.ResourceSpans()
	project, _ := last.At(last.Len() - 1).Resource().Attributes().Get("project.id")
	assert.Equal(t, "a b", project.Str(), "the folder's name, decoded")

	_, err = b.Add("span/p/1", []byte(`{"type":"log","data":{"level":"info","message":"m","timestamp":"2026-01-01T00:00:00Z"}}`))
	require.ErrorIs(t, err, envelope.ErrKind)
	require.ErrorContains(t, err, "move the line")

	l := NewLogs()
	for line, key := range map[string]ingest.Key{
		`{"type":"log","data":{"level":"info","message":"m","timestamp":"2026-01-01T00:00:00Z"}}`:             "log/p/1",
		`{"type":"score","data":{"name":"n","value":0,"timestamp":"2026-01-01T00:00:00Z"}}`:                   "score/p/1",
		`{"Timestamp":"2026-01-01T00:00:00Z","Body":"flat"}`:                                                  "logs/p/1",
		`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1","body":{"stringValue":"a"}}]}]}]}`: "logs/p/1",
	} {
		_, err := l.Add(key, []byte(line))
		require.NoError(t, err, line)
	}
	units, err = l.Units(nil)
	require.NoError(t, err)
	assert.Equal(t, 4, units[0].(*Unit[plog.Logs]).Data.LogRecordCount())
}

// The table of a flat line stands in its file's name, also behind what failed/ adds to it; otherwise its columns tell.
func TestTheTableOfAFlatLine(t *testing.T) {
	point := `{"MetricName":"m","TimeUnix":"2026-01-01T00:00:00Z","Value":1}`
	for key, want := range map[ingest.Key]pmetric.MetricType{
		"metrics/p/20260101T000000.000Z_u.sum":        pmetric.MetricTypeSum,
		"metrics/p/20260101T000000.000Z_u.sum+123":    pmetric.MetricTypeSum,
		"metrics/p/20260101T000000.000Z_u.gauge":      pmetric.MetricTypeGauge,
		"metrics/p/20260101T000000.000Z_u.elsewhere":  pmetric.MetricTypeGauge,
		"metrics/p/20260101T000000.000Z_u":            pmetric.MetricTypeGauge,
		"metric/p/2026.01.01":                         pmetric.MetricTypeGauge,
		"metrics/p/20260101T000000.000Z_u.summary~1+": pmetric.MetricTypeGauge,
	} {
		b := NewMetrics()
		_, err := b.Add(key, []byte(point))
		require.NoError(t, err, key)
		units, err := b.Units(nil)
		require.NoError(t, err)
		eachMetric(units[0].(*Unit[pmetric.Metrics]).Data, func(_ pmetric.ResourceMetrics, _ pmetric.ScopeMetrics, m pmetric.Metric) {
			assert.Equal(t, want, m.Type(), key)
		})
	}
}

// FuzzEncodings: whatever a line is, reading it never panics, and reading it twice gives the same.
func FuzzEncodings(f *testing.F) {
	for _, line := range []string{
		`{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"otlp","startTimeUnixNano":"1"}]}]}]}`,
		`{"Timestamp":"2026-01-01T00:00:00Z","SpanName":"flat","Duration":5,"Events.Name":["a"],"Events.Timestamp":["2026-01-01T00:00:00Z"],"Events.Attributes":[{"k":"v"}]}`,
		`{"TimeUnix":"2026-01-01T00:00:00Z","MetricName":"m","BucketCounts":[1],"ExplicitBounds":[],"Exemplars.Value":[1]}`,
		`{"type":"span","data":{"spanId":"s","name":"n","startTime":1,"events":[{"name":"e","timestamp":2}],"metadata":{"a":{"b":[1,null]}}}}`,
		`{"type":"metric","data":{"type":"counter","name":"n","value":"0","timestamp":1.5,"labels":{"x":true}}}`,
		`{"level":"info","message":"m","timestamp":"2026-01-01T00:00:00Z","extra":{}}`,
		`{"name":"n","value":-0,"timestamp":0}`,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for key, make := range map[ingest.Key]func() ingest.Batch{"span/p/1": NewTraces, "log/p/1": NewLogs, "metrics/p/1_u.sum": NewMetrics} {
			var size [2]int
			for i := range size {
				b := make()
				added, err := b.Add(key, []byte(line))
				if err != nil {
					continue
				}
				units, err := b.Units(b.Plan())
				require.NoError(t, err)
				for j, u := range units {
					if u != nil {
						size[i] += u.Records()
						part, err := b.Part(key, []byte(line), j)
						require.NoError(t, err)
						require.NotNil(t, part)
					}
				}
				require.Equal(t, added.Records, size[i])
			}
			require.Equal(t, size[0], size[1])
		}
	})
}
