// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

// spy gets messages and sends what it likes.
type spy struct{ got chan []byte }

func (s spy) Message(_ string, data []byte) { s.got <- data }
func (spy) Connected()                      {}
func (spy) Disconnected(error)              {}

func TestARecordOnTheSubjectOfAnotherProjectIsRefused(t *testing.T) {
	b := newBus()
	one, two := pair(t, b, nil)
	s := spy{make(chan []byte, 10)}
	wire, err := b.Join(s)
	require.NoError(t, err)
	t.Cleanup(wire.Close)
	require.NoError(t, wire.Subscribe("records.secret.log"))
	v := two.view(channel(t, "*"), nil)
	one.print("secret", "a", 0, 10)
	v.await(10)
	data := <-s.got
	require.NoError(t, wire.Publish("records.shop.log", data))
	await(t, func() bool { return two.cluster.Stats().Malformed == 1 })
	require.NoError(t, wire.Publish("records.secret.log", data)) // on its own it is one that has come before
	one.print("secret", "a", 10, 1)
	v.await(11)
	assert.EqualValues(t, 1, two.cluster.Stats().Malformed)
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
	await(t, func() bool { return one.cluster.Stats().Wanted == 0 && two.cluster.Stats().Topics == 0 })
	one.print("shop", "b", 0, 20)
	req := channel(t, "logs:shop")
	req.Resume = &livetail.Position{Epoch: two.hub.Epoch(), Seq: place}
	again := two.view(req, nil)
	live := two.view(channel(t, "logs:shop"), nil)
	one.print("shop", "c", 0, 10)
	again.await(30)
	assert.EqualValues(t, 20, again.dropped)
	assert.EqualValues(t, 20, one.cluster.Stats().Published, "what nobody looked at was not sent")
	assert.Zero(t, two.cluster.Stats().Lost, "nor is it lost")
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
				await(t, func() bool { return one.cluster.Stats().Published == uint64(sent) }) // so that not all of it is one message
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
