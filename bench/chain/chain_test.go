// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/tailrace/tailrace/bench/agentdata"
)

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{[]float64{7}, 0.5, 7},
		{[]float64{7}, 0.99, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{5, 4, 3, 2, 1}, 0.99, 5},
		{[]float64{5, 4, 3, 2, 1}, 0.2, 1},
	} {
		assert.InDelta(t, c.want, quantile(c.values, c.q), 0, "%v of %v", c.q, c.values)
	}
	assert.True(t, math.IsNaN(quantile(nil, 0.5)))
}

func TestDataIsTheSameForTheSameSeed(t *testing.T) {
	at := time.Unix(1_795_000_000, 0)
	for _, signal := range []string{spans, logs} {
		one, err := agentdata.Generate(signal, 1234, 500, 7, at)
		require.NoError(t, err)
		two, err := agentdata.Generate(signal, 1234, 500, 7, at)
		require.NoError(t, err)
		other, err := agentdata.Generate(signal, 1234, 500, 8, at)
		require.NoError(t, err)
		require.Len(t, one.Requests, 3)
		assert.Equal(t, one, two)
		assert.False(t, bytes.Equal(one.Requests[0], other.Requests[0]), "another seed gives other data")
	}
}

func TestDataIsAsDescribed(t *testing.T) {
	d, err := agentdata.Generate(spans, 5000, 500, 1, time.Unix(1_795_000_000, 0))
	require.NoError(t, err)
	ids, big, sizer := map[string]bool{}, 0, ptrace.ProtoMarshaler{}
	for _, raw := range d.Requests {
		r := ptraceotlp.NewExportRequest()
		require.NoError(t, r.UnmarshalProto(raw))
		for _, span := range r.Traces().ResourceSpans().At(0).ScopeSpans().At(0).Spans().All() {
			ids[span.SpanID().String()] = true
			if size := sizer.SpanSize(span); size > 50_000 {
				big++
			} else {
				assert.True(t, size >= 680 && size <= 1750, "%d bytes", size)
			}
		}
	}
	assert.Len(t, ids, 5000, "span ids are unique")
	assert.Equal(t, 5000/agentdata.BigEvery, big)

	d, err = agentdata.Generate(logs, 5000, 500, 1, time.Unix(1_795_000_000, 0))
	require.NoError(t, err)
	seqs := map[int64]bool{}
	for _, raw := range d.Requests {
		r := plogotlp.NewExportRequest()
		require.NoError(t, r.UnmarshalProto(raw))
		for _, record := range r.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
			seq, _ := record.Attributes().Get("seq")
			seqs[seq.Int()] = true
			assert.True(t, len(record.Body().Str()) >= 150 && len(record.Body().Str()) <= 420)
		}
	}
	assert.Len(t, seqs, 5000)
}

func TestTableShowsMedianSpreadAndRatio(t *testing.T) {
	c := &contest{Title: "T"}
	for _, v := range []float64{30, 10, 20} {
		c.add("ours", false, measure{RecordsPS: v * 1000})
		c.add("theirs", true, measure{RecordsPS: v * 500, Lost: 1})
	}
	c.finish()
	var out bytes.Buffer
	c.print(&out)
	assert.Equal(t, `
### T

| | records/s | lost | doubled |
|---|---|---|---|
| ours | **20,000** (10,000–30,000) 2.00 × | 0 | 0 |
| theirs | **10,000** (5,000–15,000) | 3 | 0 |
`, out.String())
}
