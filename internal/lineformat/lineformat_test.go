// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package lineformat

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestDetect(t *testing.T) {
	for line, want := range map[string]Encoding{
		`{"resourceSpans":[]}`:                                OTLPJSON,
		` { "resourceLogs" : [] }`:                            OTLPJSON,
		`{"x":1,"resourceMetrics":[]}`:                        OTLPJSON,
		`{"Timestamp":"2026-01-01T00:00:00Z"}`:                FlatJSON,
		`{"MetricName":"a","TimeUnix":"2026-01-01 00:00:00"}`: FlatJSON,
		`{"type":"span","data":{"spanId":"1"}}`:               Envelope,
		`{"data":{},"type":"log"}`:                            Envelope,
		`{"id":"1","projectId":"p","level":"info"}`:           Envelope,
		`{"type":"counter","name":"n","projectId":"p"}`:       Envelope,
		`{"type":"span","data":[]}`:                           Unknown,
		`{"type":"span"}`:                                     Unknown,
		`{}`:                                                  Unknown, `[]`: Unknown, `null`: Unknown, ``: Unknown, `{"a":`: Unknown, "\x00\xff": Unknown,
		`{"data":{"resourceSpans":1}}`: Unknown,
	} {
		assert.Equal(t, want, Detect([]byte(line)), line)
	}
}
