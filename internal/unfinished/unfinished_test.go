// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package unfinished

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

func TestSpan(t *testing.T) {
	sp := ptrace.NewSpan()
	sp.SetStartTimestamp(5)
	assert.True(t, Span(sp), "without an end")
	sp.SetEndTimestamp(5)
	assert.False(t, Span(sp), "zero long")
	sp.Attributes().PutStr(AttrSpanType, "pending_span")
	assert.True(t, Span(sp))
	assert.True(t, PendingParent(sp).IsEmpty())
	sp.Attributes().PutStr(AttrPendingParent, "0102030405060708")
	assert.Equal(t, pcommon.SpanID{1, 2, 3, 4, 5, 6, 7, 8}, PendingParent(sp))
	sp.Attributes().PutStr(AttrPendingParent, "not hexadecimal!")
	assert.True(t, PendingParent(sp).IsEmpty())
	sp.SetEndTimestamp(6)
	assert.False(t, Span(sp), "it has a length")
}

const body = `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"01000000000000000000000000000000","spanId":"0200000000000000","name":"long","startTimeUnixNano":"5"}]}]}]}`

func TestDecode(t *testing.T) {
	lr := plog.NewLogRecord()
	assert.False(t, Log(lr))
	lr.Attributes().PutStr(AttrEvent, EventHeartbeat)
	assert.True(t, Log(lr))
	_, _, err := Decode(lr)
	require.Error(t, err)
	lr.Body().SetStr(body)
	lr.Attributes().PutStr(AttrFrequency, "5000ms")
	td, every, err := Decode(lr)
	require.NoError(t, err)
	assert.Equal(t, 1, td.SpanCount())
	assert.Equal(t, 5*time.Second, every)
	for _, bad := range []string{"-5s", "soon", ""} {
		lr.Attributes().PutStr(AttrFrequency, bad)
		_, every, err = Decode(lr)
		require.NoError(t, err)
		assert.Zero(t, every, bad)
	}
	lr.Attributes().PutInt(AttrFrequency, 250)
	_, every, _ = Decode(lr)
	assert.Equal(t, 250*time.Millisecond, every)
}

func FuzzDecode(f *testing.F) {
	f.Add(body, "5s")
	f.Add(`{"resourceSpans":[{}]}`, "1h")
	f.Add(`[`, "\xff")
	f.Fuzz(func(t *testing.T, body, frequency string) {
		lr := plog.NewLogRecord()
		lr.Body().SetStr(body)
		lr.Attributes().PutStr(AttrFrequency, frequency)
		if _, every, err := Decode(lr); err == nil && (every < 0 || every > 24*time.Hour) {
			t.Fatal(every)
		}
	})
}
