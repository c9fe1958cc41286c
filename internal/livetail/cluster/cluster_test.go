// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/goleak"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/classic"
	"github.com/tailrace/tailrace/internal/livetail/cluster"
	"github.com/tailrace/tailrace/internal/livetail/tailv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

func TestSubscribersAnywhereSeeEveryRecordOnceInOrder(t *testing.T) {
	b := newBus()
	one, two := pair(t, b, nil)
	for _, name := range []string{"project:shop", "logs:shop", "server:a", "*"} {
		atOne, atTwo := one.view(channel(t, name), nil), two.view(channel(t, name), nil)
		want := numbered("a", 0, 500)
		for i := range 50 {
			one.print("shop", "a", 10*i, 10)
		}
		if name != "server:a" {
			two.print("shop", "b", 0, 500)
			atOne.await(1000)
			atTwo.await(1000)
		} else {
			atOne.await(500)
			atTwo.await(500)
		}
		for _, v := range []*viewer{atOne, atTwo} {
			var a []string
			for _, body := range v.bodies {
				if body[0] == 'a' {
					a = append(a, body)
				}
			}
			assert.Equal(t, want, a, name)
			assert.Zero(t, v.unknown+len(v.reasons))
			v.stream.Close()
		}
		one, two = pair(t, newBus(), nil) // that remember no uid
	}
}

func TestNothingIsSentThatNobodyWants(t *testing.T) {
	b := newBus()
	one, two := pair(t, b, nil)
	v := two.view(channel(t, "logs:shop"), nil)
	one.print("shop", "a", 0, 10)
	one.print("other", "a", 0, 10)
	v.await(10)
	assert.Positive(t, b.count("records.shop.log"))
	assert.Zero(t, b.count("records.other.log"))
	assert.EqualValues(t, 10, one.cluster.Stats().Published)
}

func TestRightsAreAskedOfRecordsFromElsewhere(t *testing.T) {
	b := newBus()
	one, two := pair(t, b, nil)
	caller := access.NewCaller("ada", "token", time.Time{}, []access.Grant{{Role: access.RoleViewer, Projects: []access.Pattern{"shop"}}})
	everyone := two.view(channel(t, "*"), nil)
	ada := two.view(channel(t, "*"), caller)
	one.print("secret", "a", 0, 10)
	one.print("shop", "b", 0, 10)
	everyone.await(20)
	ada.await(10)
	assert.Equal(t, numbered("b", 0, 10), ada.bodies)
}

// recordsOnly spares announcements: they are repeated every few seconds, which a test does not wait for.
func recordsOnly(lose func() bool) func(string, []byte) bool {
	return func(subject string, _ []byte) bool { return subject[:8] == "records." && lose() }
}

func TestWhatTheBusLosesIsToldExactly(t *testing.T) {
	b := newBus()
	one, two := pair(t, b, nil)
	all := two.view(channel(t, "project:shop"), nil)
	server := two.view(channel(t, "server:a"), nil)
	one.print("shop", "a", 0, 10)
	all.await(10)
	b.setLose(recordsOnly(func() bool { return true }))
	one.print("shop", "a", 10, 5) // 3 even ones, INFO, and 2 odd ones, ERROR
	await(t, func() bool { return one.cluster.Stats().Published == 15 })
	b.setLose(nil)
	one.print("shop", "a", 15, 10)
	all.await(25)
	assert.EqualValues(t, 5, all.dropped)
	assert.Equal(t, livetail.Severities{3: 3, 5: 2}, all.levels)
	assert.Equal(t, map[livetail.Reason]int{livetail.ReasonLost: 1}, all.reasons)
	assert.Equal(t, append(numbered("a", 0, 10), numbered("a", 15, 10)...), all.bodies)
	await(t, func() bool { server.take(); return len(server.bodies) == 20 })
	assert.Positive(t, server.unknown, "of a server it is not known whether they were its own")
	assert.EqualValues(t, 5, two.cluster.Stats().Lost)
	s := two.hub.Stats()
	assert.Equal(t, s.Matched, s.Delivered+s.DroppedLost)
	assert.EqualValues(t, 5, s.DroppedLost)
}

func TestTheLastMessageLostIsToldToo(t *testing.T) {
	b := newBus()
	one, two := pair(t, b, nil)
	v := two.view(channel(t, "project:shop"), nil)
	b.setLose(recordsOnly(func() bool { return true }))
	one.print("shop", "a", 0, 7)
	await(t, func() bool { return one.cluster.Stats().Published == 7 })
	b.setLose(nil)
	v.await(7)
	assert.EqualValues(t, 7, v.dropped)
}

func TestWithTheBusAwayLocalRecordsGoOnAndTheRestIsCounted(t *testing.T) {
	b := newBus()
	one, two := pair(t, b, func(o *cluster.Options) { o.BufferBytes = 64 << 10 })
	atOne, atTwo := one.view(channel(t, "project:shop"), nil), two.view(channel(t, "project:shop"), nil)
	b.down(true)
	await(t, func() bool { return !one.cluster.Stats().Connected && !two.cluster.Stats().Connected })
	const n = 3000 // far more than the buffer takes
	for i := range n / 10 {
		one.print("shop", "a", 10*i, 10)
	}
	atOne.await(n)
	assert.Zero(t, atOne.dropped)
	assert.LessOrEqual(t, one.cluster.Stats().Waiting, 64<<10)
	assert.Positive(t, one.cluster.Stats().Dropped)
	b.down(false)
	one.print("shop", "a", n, 10)
	atTwo.await(n + 10)
	assert.Equal(t, one.cluster.Stats().Dropped, atTwo.dropped)
	assert.Zero(t, atTwo.unknown)
	assert.GreaterOrEqual(t, one.changes.Load(), int64(3))
}

func TestATopicThatNobodyLookedAtForAWhileHasAGap(t *testing.T) {
	b := newBus()
	one, two := pair(t, b, func(o *cluster.Options) { o.Linger = 0 })
	v := two.view(channel(t, "logs:shop"), nil)
	one.print("shop", "a", 0, 10)
	v.await(10)
	place := v.at
	v.stream.Close()
	await(t, func() bool { // it lingers until the next look
		one.print("shop", "a", 10, 1)
		before := one.cluster.Stats().Published
		one.print("shop", "b", int(before)*1000, 1)
		time.Sleep(10 * time.Millisecond) // the lines are at most sent in this time; more tries follow
		return one.cluster.Stats().Published == before
	})
	missed := one.hub.Stats().Seen - one.hub.Stats().Duplicates
	req := channel(t, "logs:shop")
	req.Resume = &livetail.Position{Epoch: two.hub.Epoch(), Seq: place}
	again := two.view(req, nil)
	live := two.view(channel(t, "logs:shop"), nil)
	one.print("shop", "c", 0, 10)
	again.await(int(missed)) // 10 before, 10 now
	assert.Positive(t, again.dropped)
	live.await(10)
	assert.Zero(t, live.dropped, "who begins now has missed nothing")
}

func TestWideAndNarrowInterestTogetherShowEverythingOnce(t *testing.T) {
	b := newBus()
	one, two := pair(t, b, func(o *cluster.Options) { o.Linger = 0 })
	narrow := two.view(channel(t, "project:shop"), nil)
	for i := range 20 {
		one.print("shop", "a", 10*i, 5)
		narrow.await(10*i + 5)
		wide := two.view(channel(t, "*"), nil)
		one.print("shop", "a", 10*i+5, 5)
		wide.await(5)
		wide.stream.Close()
	}
	narrow.await(200)
	assert.Equal(t, numbered("a", 0, 200), narrow.bodies)
	assert.Zero(t, narrow.dropped)
}

func TestABusThatKeepsFillsTheRings(t *testing.T) {
	b := newBus()
	b.keeps = true
	one := newCollector(t, b, nil)
	one.print("shop", "a", 0, 100)
	await(t, func() bool { return one.cluster.Stats().Published == 100 })
	two := newCollector(t, b, nil)
	await(t, func() bool { return two.cluster.Stats().Peers == 1 })
	req := channel(t, "project:shop")
	req.Backfill = 30
	v := two.view(req, nil)
	one.print("shop", "a", 100, 10)
	v.await(40)
	assert.Equal(t, numbered("a", 70, 40), v.bodies)
	assert.Zero(t, v.unknown+len(v.reasons))

	// What it misses while it is cut off comes afterwards.
	b.cut(two.cluster, true)
	await(t, func() bool { return !two.cluster.Stats().Connected })
	one.print("shop", "a", 110, 10)
	await(t, func() bool { return one.cluster.Stats().Published == 120 })
	b.cut(two.cluster, false)
	v.await(50)
	assert.Equal(t, numbered("a", 70, 50), v.bodies)
	assert.Zero(t, v.dropped)
}

func TestARecordThatIsSentToTwoCollectorsIsShownOnce(t *testing.T) {
	b := newBus()
	one, two := pair(t, b, nil)
	atOne, atTwo := one.view(channel(t, "*"), nil), two.view(channel(t, "*"), nil)
	one.print("shop", "a", 0, 10)
	atTwo.await(10)
	two.print("shop", "a", 0, 11) // the sender saw no answer, and went to the other one
	atTwo.await(11)
	atOne.await(11)
	assert.Equal(t, numbered("a", 0, 11), atOne.bodies)
	assert.Equal(t, numbered("a", 0, 11), atTwo.bodies)
}

// Whatever is lost on the way, delivered and dropped are together what was sent, and nothing is unordered or doubled.
func TestRandomLossIsAlwaysCounted(t *testing.T) {
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		b := newBus()
		one, two := pair(t, b, nil)
		viewers := []*viewer{one.view(channel(t, "*"), nil), two.view(channel(t, "project:shop"), nil), two.view(channel(t, "logs:shop"), nil)}
		b.setLose(recordsOnly(func() bool { return rnd.IntN(4) == 0 }))
		sent := 0
		for i := range 200 {
			n := 1 + i%7
			one.print("shop", "a", sent, n)
			two.print("shop", "b", sent, n)
			sent += n
			for _, v := range viewers {
				v.take()
			}
			if i%40 == 0 {
				time.Sleep(3 * time.Millisecond) // so that not all of it is one message
			}
		}
		await(t, func() bool {
			return one.cluster.Stats().Published == uint64(sent) && two.cluster.Stats().Published == uint64(sent)
		})
		b.setLose(nil)
		for _, v := range viewers {
			v.await(2 * sent)
			assert.Zero(t, v.unknown)
			last := map[byte]int{'a': -1, 'b': -1}
			for _, body := range v.bodies {
				var n int
				_, err := fmt.Sscanf(body[2:], "%d", &n)
				require.NoError(t, err)
				require.Greater(t, n, last[body[0]])
				last[body[0]] = n
			}
		}
		require.Eventually(t, func() bool {
			s := two.hub.Stats()
			return s.Matched == s.Delivered+s.DroppedLost
		}, waitFor, tick, "%+v", two.hub.Stats())
		one.close()
		two.close()
	}
}
