// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/classic"
)

const benchBatch = 1000

// benchLines are batches of lines of 200 bytes with six attributes, each with other uids and times.
func benchLines(batches int) []plog.Logs {
	out := make([]plog.Logs, batches)
	body := strings.Repeat("x", 200)
	for b := range out {
		ld := plog.NewLogs()
		rl := ld.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutStr("project.id", "shop")
		rl.Resource().Attributes().PutStr("server.id", "web-1")
		rl.Resource().Attributes().PutStr("service.name", "svc")
		sl := rl.ScopeLogs().AppendEmpty()
		for i := range benchBatch {
			lr := sl.LogRecords().AppendEmpty()
			lr.SetTimestamp(pcommon.NewTimestampFromTime(epoch.Add(time.Duration(b*benchBatch+i) * time.Millisecond)))
			lr.SetSeverityNumber(plog.SeverityNumberInfo)
			lr.Body().SetStr(body)
			lr.Attributes().PutStr("log.iostream", "stdout")
			lr.Attributes().PutInt("process.pid", 4242)
			lr.Attributes().PutStr("process.executable.name", "node")
			lr.Attributes().PutStr("service.instance.id", "web-1/1")
			lr.Attributes().PutStr("log.record.uid", fmt.Sprintf("01JNXK4Z8Q%08d%08d", b, i))
		}
		ld.MarkReadOnly()
		out[b] = ld
	}
	return out
}

func perRecord(b *testing.B, records int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/record")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPublish is what a record costs with nobody subscribed: copied, checked for repetition, kept in its ring.
func BenchmarkPublish(b *testing.B) {
	h := newHub(b, func(o *livetail.Options) { o.RecentRecords = 1000 })
	batches := benchLines(16)
	b.SetBytes(benchBatch * 200)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		publish(h, batches[i%len(batches)]) // with so few remembered, each is new when it comes around
	}
	if s := h.Stats(); s.Duplicates > 0 {
		b.Fatal("measured duplicates")
	}
	perRecord(b, b.N*benchBatch)
}

// BenchmarkFanOut delivers every record to all subscribers of a server, up to the bytes that would go to a socket.
func BenchmarkFanOut(b *testing.B) {
	for _, subscribers := range []int{1, 100, 500} {
		b.Run(fmt.Sprint(subscribers), func(b *testing.B) {
			h := newHub(b, func(o *livetail.Options) { o.RecentRecords, o.ClientBytes = 1000, 64<<20 })
			batches := benchLines(16)
			var done sync.WaitGroup
			stop := make(chan struct{})
			for range subscribers {
				wake := make(chan struct{}, 1)
				s := h.NewSubscriber(access.Local(), notify(wake))
				if err := s.Subscribe(channel(b, "server:web-1"), 0, func(int) []byte { return []byte("{}") }); err != nil {
					b.Fatal(err)
				}
				done.Go(func() {
					defer s.Close()
					var t livetail.Taken
					buf := make([]byte, 0, 128<<10)
					for {
						for s.Take(&t, 64<<10) {
							buf = buf[:0]
							for _, m := range t.Messages {
								buf = append(buf, m...)
							}
							s.Sent(t.Records)
						}
						select {
						case <-wake:
						case <-stop:
							return
						}
					}
				})
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				publish(h, batches[n%len(batches)])
				n++
				for s := h.Stats(); s.Delivered+s.DroppedSlow < uint64(n*benchBatch*subscribers); s = h.Stats() {
					time.Sleep(100 * time.Microsecond)
				}
			}
			b.StopTimer()
			s := h.Stats()
			b.ReportMetric(float64(s.Delivered)/b.Elapsed().Seconds(), "deliveries/s")
			b.ReportMetric(float64(s.DroppedSlow+s.DroppedBusy), "dropped")
			close(stop)
			done.Wait()
		})
	}
}

// BenchmarkEncode is one record into a server:log message; it is paid once for all subscribers.
func BenchmarkEncode(b *testing.B) {
	for _, name := range []string{"server:web-1", "project:shop"} {
		b.Run(name, func(b *testing.B) {
			f := &capture{}
			h := newHub(b, func(o *livetail.Options) { o.Format = f })
			s := h.NewSubscriber(access.Local(), func() {})
			if err := s.Subscribe(channel(b, name), 0, func(int) []byte { return nil }); err != nil {
				b.Fatal(err)
			}
			publish(h, benchLines(1)[0])
			h.Close()
			s.Close()
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = f.Append(buf[:0], f.src, f.rec, f.form)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

// capture is the classic format that remembers what it was given.
type capture struct {
	classic.Format
	src  livetail.Source
	rec  livetail.Record
	form livetail.Form
}

func (c *capture) Append(dst []byte, src livetail.Source, rec livetail.Record, form livetail.Form) []byte {
	c.src, c.rec, c.form = src, rec, form
	return c.Format.Append(dst, src, rec, form)
}
