// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/classic"
	"github.com/tailrace/tailrace/internal/livetail/cluster"
	"github.com/tailrace/tailrace/internal/livetail/tailv1"
)

const benchBatch = 1000

// BenchmarkPublish is what a record costs who brings it to a hub: alone, with another collector that wants nothing of it, and with
// one that gets it (which takes its share of the processors meanwhile).
func BenchmarkPublish(b *testing.B) {
	for _, with := range []string{"alone", "unwanted", "wanted"} {
		b.Run(with, func(b *testing.B) {
			bus := newBus()
			newHub := func(peers livetail.Peers) *livetail.Hub {
				opts := livetail.DefaultOptions()
				opts.Format, opts.AppendRecord, opts.RecentRecords, opts.Peers = classic.Format{}, tailv1.AppendRecord, 1000, peers
				h := livetail.New(opts)
				h.Start()
				return h
			}
			if with == "alone" {
				h := newHub(nil)
				defer h.Close()
				benchPublish(b, h)
				return
			}
			one, two := pair(b, bus, nil)
			if with == "wanted" {
				stream := two.hub.NewStream(access.Local(), func() {})
				defer stream.Close()
				ch, _ := livetail.ParseChannel("project:shop")
				_ = stream.Subscribe(livetail.Request{Channel: ch}, func(livetail.Subscribed) []byte { return nil })
			}
			benchPublish(b, one.hub)
			if s := one.cluster.Stats(); s.Published > 0 {
				b.ReportMetric(float64(s.PublishedBytes)/float64(s.Published), "B/record")
				b.ReportMetric(100*float64(s.Dropped)/float64(s.Dropped+s.Published), "%dropped")
			}
		})
	}
}

func benchPublish(b *testing.B, h *livetail.Hub) {
	batches := make([]plog.Logs, 16)
	for i := range batches {
		ld := plog.NewLogs()
		rl := ld.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutStr("project.id", "shop")
		rl.Resource().Attributes().PutStr("server.id", "web-1")
		rl.Resource().Attributes().PutStr("service.name", "svc")
		sl := rl.ScopeLogs().AppendEmpty()
		for j := range benchBatch {
			n := i*benchBatch + j
			lr := sl.LogRecords().AppendEmpty()
			lr.SetTimestamp(pcommon.NewTimestampFromTime(time.Unix(1_800_000_000, int64(n)*1e6)))
			lr.SetSeverityNumber(plog.SeverityNumberInfo)
			lr.Body().SetStr(fmt.Sprintf("request %08d took %d ms %s", n, n%977, strings.Repeat("abcdefghij"[n%10:], 16)))
			lr.Attributes().PutStr("log.iostream", "stdout")
			lr.Attributes().PutInt("process.pid", 4242)
			lr.Attributes().PutStr("process.executable.name", "node")
			lr.Attributes().PutStr("service.instance.id", "web-1/1")
			lr.Attributes().PutStr("log.record.uid", fmt.Sprintf("01JNXK4Z8Q%016d", n))
		}
		batches[i] = ld
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		batch := h.NewBatch()
		batch.AddLogs(batches[i%len(batches)]) // with so few remembered, each is new when it comes around
		h.Publish(batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchBatch), "ns/record")
	b.ReportMetric(0, "ns/op")
}

var _ cluster.Bus = (*bus)(nil)
