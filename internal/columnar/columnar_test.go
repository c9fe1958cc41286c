// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package columnar

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// The rows themselves are compared with contrib's in bench/columnar, by a real ClickHouse.
func TestColumnsAreThoseOfContribsInserts(t *testing.T) {
	text, err := os.ReadFile("../clickhouse/testdata/contrib-0.161.0-inserts.txt")
	require.NoError(t, err)
	traces, logs, metrics := NewTraces(), NewLogs(), NewMetrics()
	blocks := append(metrics.all(), &traces.Block, &logs.Block)
	found := 0
	for line := range strings.Lines(string(text)) {
		table, list, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		want := strings.Split(list, ", ")
		if table == "otel_logs" {
			want = append(want, "EventName")
		}
		i := slices.IndexFunc(blocks, func(b *Block) bool { return b.Table == table })
		require.GreaterOrEqual(t, i, 0, table)
		assert.ElementsMatch(t, want, blocks[i].Columns(), table)
		found++
	}
	assert.Equal(t, len(blocks), found)
}

func mapRows(t *testing.T, c *attrs) (rows []map[string]string, keys [][]string) {
	t.Helper()
	var b proto.Buffer
	c.EncodeState(&b)
	c.EncodeColumn(&b)
	got := proto.NewMap[string, string](new(proto.ColStr).LowCardinality(), new(proto.ColStr))
	r := proto.NewReader(strings.NewReader(string(b.Buf)))
	require.NoError(t, got.DecodeState(r))
	require.NoError(t, got.DecodeColumn(r, c.Rows()))
	for i := range c.Rows() {
		rows = append(rows, got.Row(i))
		var k []string
		for _, kv := range got.RowKV(i) {
			k = append(k, kv.Key)
		}
		keys = append(keys, k)
	}
	return rows, keys
}

// ch-go reads what is written here: maps of known and new shapes, repeated, longer than what is remembered, after a Reset.
func TestMapsAreReadBack(t *testing.T) {
	var c attrs
	for range 3 {
		c.Reset()
		var want []map[string]string
		add := func(raw map[string]string, order []string) {
			m := pcommon.NewMap()
			for _, k := range order {
				m.PutStr(k, raw[k])
			}
			c.append(m)
			want = append(want, raw)
		}
		for i := range 300 {
			raw := map[string]string{}
			var order []string
			for j := range i % 70 {
				k := fmt.Sprint("k", (j*7+i%12)%97)
				raw[k] = strings.Repeat("v", i)
				if !slices.Contains(order, k) {
					order = append(order, k)
				}
			}
			add(raw, order)
			if i%5 == 0 {
				c.repeat()
				c.repeat()
				want = append(want, raw, raw)
			}
		}
		rows, keys := mapRows(t, &c)
		assert.Equal(t, want, rows)
		for _, k := range keys {
			assert.True(t, slices.IsSorted(k), "%v", k)
		}
	}
}

func TestAppendChangesNothingAndResetKeepsNothing(t *testing.T) {
	td, ld, md := ptrace.NewTraces(), plog.NewLogs(), pmetric.NewMetrics()
	td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().Attributes().PutStr("a", "b")
	ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Attributes().PutInt("a", 1)
	md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptyGauge().DataPoints().AppendEmpty().SetIntValue(1)
	md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().AppendEmpty().SetName("without data")
	td.MarkReadOnly()
	ld.MarkReadOnly()
	md.MarkReadOnly()
	traces, logs, metrics := NewTraces(), NewLogs(), NewMetrics()
	for range 2 {
		traces.Append(td)
		logs.Append(ld)
		assert.Equal(t, 1, metrics.Append(md))
		assert.Equal(t, []int{1, 1}, []int{traces.Rows(), logs.Rows()})
		require.Len(t, metrics.Blocks(), 1)
		assert.Equal(t, "otel_metrics_gauge", metrics.Blocks()[0].Table)
		traces.Reset()
		logs.Reset()
		metrics.Reset()
		assert.Zero(t, traces.Rows()+logs.Rows()+len(metrics.Blocks()))
	}
	assert.Empty(t, traces.attributes.keys.index, "a dictionary would hold on to strings of the batch")
}

func TestThePoolIsBounded(t *testing.T) {
	p := NewPool(2, NewLogs)
	ld := plog.NewLogs()
	ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr(strings.Repeat("x", 1000))
	blocks := []*Logs{p.Get(), p.Get(), p.Get()}
	for _, b := range blocks {
		b.Append(ld)
		p.Put(b)
	}
	assert.Less(t, p.Held(), 3*1000+10_000)
	assert.Greater(t, p.Held(), 2000)
	again := p.Get()
	assert.Zero(t, again.Rows())
	assert.Same(t, blocks[1], again)
	again.body.buf = make([]byte, keepBytes+1)
	p.Put(again)
	assert.Less(t, p.Held(), 2000, "what a huge block needed is not kept")
}

func TestNamesAreQuoted(t *testing.T) {
	assert.Equal(t, "`a\\`b\\\\c`", quote("a`b\\c"))
}
