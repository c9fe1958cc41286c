// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/classic"
	"github.com/tailrace/tailrace/internal/livetail/cluster"
	"github.com/tailrace/tailrace/internal/livetail/tailv1"
)

const (
	waitFor = 20 * time.Second
	tick    = time.Millisecond
)

// collector is a hub in a cluster.
type collector struct {
	tb      testing.TB
	hub     *livetail.Hub
	cluster *cluster.Cluster
	changes atomic.Int64
	closed  bool
}

func newCollector(tb testing.TB, b cluster.Bus, change func(*cluster.Options)) *collector {
	tb.Helper()
	c := &collector{tb: tb}
	opts := cluster.DefaultOptions()
	opts.Changed = func(bool, error) { c.changes.Add(1) }
	opts.Problem = func(err error) { tb.Log("problem:", err) }
	if change != nil {
		change(&opts)
	}
	c.cluster = cluster.New(opts)
	hub := livetail.DefaultOptions()
	hub.Format, hub.AppendRecord, hub.Peers = classic.Format{}, tailv1.AppendRecord, c.cluster
	c.hub = livetail.New(hub)
	c.hub.Start()
	c.cluster.Start(c.hub, b)
	tb.Cleanup(c.close)
	return c
}

func (c *collector) close() {
	if !c.closed {
		c.closed = true
		c.hub.Close()
		c.cluster.Close()
	}
}

// pair is two collectors that know each other.
func pair(tb testing.TB, b *bus, change func(*cluster.Options)) (one, two *collector) {
	tb.Helper()
	one, two = newCollector(tb, b, change), newCollector(tb, b, change)
	await(tb, func() bool {
		a, b := one.cluster.Stats(), two.cluster.Stats()
		return a.Peers == 1 && b.Peers == 1 && a.Settled && b.Settled
	})
	return one, two
}

func await(tb testing.TB, done func() bool) {
	tb.Helper()
	require.Eventually(tb, done, waitFor, tick)
}

// print takes in lines of a server, numbered from first.
func (c *collector) print(project, server string, first, n int) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("project.id", project)
	rl.Resource().Attributes().PutStr("server.id", server)
	rl.Resource().Attributes().PutStr("service.name", "svc")
	sl := rl.ScopeLogs().AppendEmpty()
	for i := first; i < first+n; i++ {
		lr := sl.LogRecords().AppendEmpty()
		lr.SetTimestamp(pcommon.NewTimestampFromTime(time.Unix(1_800_000_000, int64(i))))
		lr.SetSeverityNumber([]plog.SeverityNumber{plog.SeverityNumberInfo, plog.SeverityNumberError}[i%2])
		lr.Body().SetStr(fmt.Sprint(server, " ", i))
		lr.Attributes().PutStr("log.iostream", "stdout")
		lr.Attributes().PutStr("log.record.uid", fmt.Sprint(project, "/", server, "/", i))
	}
	b := c.hub.NewBatch()
	b.AddLogs(ld)
	c.hub.Publish(b)
}

// viewer is a subscription of tailrace.v1 whose ranges are checked.
type viewer struct {
	tb      testing.TB
	stream  *livetail.Stream
	sub     uint32
	at      uint64
	bodies  []string
	dropped uint64
	unknown int // gaps of unknown size
	reasons map[livetail.Reason]int
	levels  livetail.Severities
}

func (c *collector) view(req livetail.Request, caller *access.Caller) *viewer {
	c.tb.Helper()
	if caller == nil {
		caller = access.Local()
	}
	v := &viewer{tb: c.tb, reasons: map[livetail.Reason]int{}}
	v.stream = c.hub.NewStream(caller, func() {})
	c.tb.Cleanup(v.stream.Close)
	require.NoError(c.tb, v.stream.Subscribe(req, func(s livetail.Subscribed) []byte {
		v.sub, v.at = s.Sub, s.Seq
		return nil
	}))
	return v
}

func channel(tb testing.TB, name string) livetail.Request {
	tb.Helper()
	ch, err := livetail.ParseChannel(name)
	require.NoError(tb, err)
	return livetail.Request{Channel: ch}
}

func (v *viewer) take() {
	var t livetail.StreamTaken
	for more := true; more; {
		more = v.stream.Take(&t, 1<<16)
		for _, out := range t.Outputs {
			switch {
			case out.Gap != nil:
				require.Equal(v.tb, v.at, out.Gap.After)
				v.at = out.Gap.Last
				v.reasons[out.Gap.Reason]++
				if !out.Gap.Known {
					v.unknown++
				}
				v.dropped += out.Gap.Dropped
				for i, n := range out.Gap.BySeverity {
					v.levels[i] += n
				}
			case out.Block != nil:
				require.Equal(v.tb, v.at, out.After)
				v.at = out.Last
				for i := range out.Block.Records() {
					var r struct{ Body, Name string }
					require.NoError(v.tb, json.Unmarshal(out.Block.Record(i), &r))
					v.bodies = append(v.bodies, r.Body+r.Name)
				}
			}
		}
		v.stream.Sent(t.Records)
	}
}

func (v *viewer) await(records int) {
	v.tb.Helper()
	if !assert.Eventually(v.tb, func() bool { v.take(); return len(v.bodies)+int(v.dropped) >= records }, waitFor, tick) {
		v.tb.FailNow()
	}
	require.Len(v.tb, v.bodies, records-int(v.dropped))
}

func numbered(server string, first, n int) (out []string) {
	for i := first; i < first+n; i++ {
		out = append(out, fmt.Sprint(server, " ", i))
	}
	return out
}
