// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/classic"
)

func TestSubscribeBeforeTheServerExists(t *testing.T) {
	h := newHub(t, nil)
	c := newClient(t, h)
	c.subscribe("server:web-1", 100)
	publish(h, lines("shop", "web-1", 0, 3))
	publish(h, lines("shop", "web-2", 0, 3))
	c.awaitRecords(3)
	require.Equal(t, "subscribed", c.messages[0].Type)
	for i, m := range c.messages[1:] {
		assert.Equal(t, "server:log", m.Type)
		assert.Equal(t, i, m.number(t))
	}
	assert.Len(t, c.messages, 4)
}

// Publishers and subscribers run at once; every subscriber gets a piece of each server's lines without hole,
// repetition or disorder, which begins where its backfill says and ends with the last line.
func TestBackfillJoinsLive(t *testing.T) {
	const servers, batches, perBatch, clients = 3, 200, 5, 24
	total := batches * perBatch
	h := newHub(t, nil)

	var publishers sync.WaitGroup
	for s := range servers {
		publishers.Go(func() {
			for b := range batches {
				publish(h, lines("shop", fmt.Sprint("web-", s), b*perBatch, perBatch))
			}
		})
	}
	var subscribers, subscribed sync.WaitGroup
	subscribed.Add(clients)
	for n := range clients {
		subscribers.Go(func() {
			wide := n%2 == 0
			rng := rand.New(rand.NewPCG(uint64(n), 1))
			for h.Stats().Seen < uint64(rng.IntN(servers*total)) { // join at some time of the run
				continue
			}
			backfill := rng.IntN(2 * total)
			c := newClient(t, h)
			name := "server:web-1"
			if wide {
				name = "project:shop"
			}
			c.subscribe(name, backfill)
			subscribed.Done()
			last := map[string]int{}
			first := map[string]int{}
			seen := 0
			c.await(func() bool {
				for ; seen < len(c.messages); seen++ {
					m := c.messages[seen]
					if m.Type == "subscribed" {
						continue
					}
					server, _ := m.Payload["serverId"].(string)
					if wide {
						server, _ = m.Payload["server"].(string)
					}
					i := m.number(t)
					if before, ok := last[server]; ok {
						require.Equal(t, before+1, i, "client %d, %s", n, server)
					} else {
						first[server] = i
					}
					last[server] = i
				}
				for s := range servers {
					if id := fmt.Sprint("web-", s); (wide || s == 1) && last[id] != total {
						return false
					}
				}
				return true
			})
			filled := int(c.of("subscribed")[0].Payload["n"].(float64))
			assert.LessOrEqual(t, filled, backfill)
			assert.GreaterOrEqual(t, c.records, filled)
			assert.Zero(t, c.dropped)
			if !wide {
				assert.Equal(t, total+1-first["web-1"], c.records)
			}
		})
	}
	publishers.Wait()
	subscribed.Wait()
	for s := range servers { // the last line, which everybody gets live
		publish(h, lines("shop", fmt.Sprint("web-", s), total, 1))
	}
	subscribers.Wait()
	s := h.Stats()
	assert.Equal(t, s.Matched, s.Delivered)
}

func TestBackfillIsTheNewestOfAllSources(t *testing.T) {
	h := newHub(t, nil)
	for i := range 10 {
		publish(h, lines("shop", "web-1", i, 1))
		publish(h, lines("shop", "web-2", i, 1))
		publish(h, lines("other", "web-1", i, 1))
	}
	c := newClient(t, h)
	c.subscribe("project:shop", 7)
	c.awaitRecords(7)
	var got []string
	for _, m := range c.of("log") {
		got = append(got, m.text())
	}
	assert.Equal(t, []string{
		"web-2 line 6", "web-1 line 7", "web-2 line 7", "web-1 line 8", "web-2 line 8", "web-1 line 9", "web-2 line 9",
	}, got)
	assert.InDelta(t, 7, c.of("subscribed")[0].Payload["n"], 0)
}

func TestOverlappingChannelsShowARecordOnce(t *testing.T) {
	h := newHub(t, nil)
	publish(h, lines("shop", "web-1", 0, 2))
	c := newClient(t, h)
	c.subscribe("server:web-1", 10)
	c.subscribe("project:shop", 10) // has nothing to fill in: the first one brought it
	c.subscribe("logs:shop", 10)
	c.subscribe("*", 0)
	c.subscribe("*", 10) // again: changes nothing
	publish(h, lines("shop", "web-1", 2, 2))
	publish(h, lines("shop", "web-2", 0, 1))
	c.awaitRecords(5)
	var got []string
	for _, m := range c.of("server:log", "log") {
		got = append(got, m.Type+" "+m.text())
	}
	assert.Equal(t, []string{
		"server:log web-1 line 0", "server:log web-1 line 1", "server:log web-1 line 2", "server:log web-1 line 3",
		"log web-2 line 0",
	}, got)
	assert.Len(t, c.of("subscribed"), 5)
}

func TestNoRecordAfterUnsubscribed(t *testing.T) {
	h := newHub(t, nil)
	var publisher sync.WaitGroup
	more := make(chan struct{}, 1) // keeps the publisher from running away, which would be drops and no gaps
	publisher.Go(func() {
		i := 0
		for range more {
			for range 200 {
				publish(h, lines("shop", "web-1", i, 1))
				i++
			}
		}
	})
	c := newClient(t, h)
	for range 50 {
		more <- struct{}{}
		c.subscribe("server:web-1", 20)
		c.awaitRecords(c.records + 1)
		c.unsubscribe("server:web-1")
	}
	c.await(func() bool { return len(c.of("unsubscribed")) == 50 })
	close(more)
	publisher.Wait()
	require.Zero(t, c.dropped)
	subscribed, last := false, -1
	for _, m := range c.messages {
		switch m.Type {
		case "subscribed":
			subscribed, last = true, -1
		case "unsubscribed":
			subscribed = false
		default:
			require.True(t, subscribed, "a record without a subscription")
			if last >= 0 {
				require.Equal(t, last+1, m.number(t))
			}
			last = m.number(t)
		}
	}
}

// A client that takes nothing costs its budget and is told the exact number that it lost; others lose nothing.
func TestStalledClient(t *testing.T) {
	const batches, perBatch = 300, 20
	h := newHub(t, func(o *livetail.Options) { o.ClientBytes = 16 << 10 })
	stalled, lively := newClient(t, h), newClient(t, h)
	stalled.subscribe("server:web-1", 0)
	lively.subscribe("server:web-1", 0)
	for b := range batches {
		publish(h, lines("shop", "web-1", b*perBatch, perBatch))
		lively.awaitRecords((b + 1) * perBatch)
	}
	require.Zero(t, lively.dropped)
	require.Equal(t, batches*perBatch, lively.records)

	stalled.awaitRecords(batches * perBatch)
	logs := stalled.of("server:log")
	assert.Positive(t, stalled.dropped)
	assert.Equal(t, batches*perBatch, len(logs)+int(stalled.dropped), "delivered + dropped = matched")
	for i, m := range logs { // the oldest are lost, the rest is whole
		require.Equal(t, int(stalled.dropped)+i, m.number(t))
	}
	size := 0
	for _, m := range logs {
		size += len(m.text())
	}
	assert.Less(t, size, 16<<10)
	s := h.Stats()
	assert.Equal(t, s.Matched, s.Delivered+s.DroppedSlow)
	assert.Equal(t, stalled.dropped, s.DroppedSlow)
}

func TestClosedClientIsAccountedFor(t *testing.T) {
	h := newHub(t, nil)
	c := newClient(t, h)
	c.subscribe("server:web-1", 0)
	publish(h, lines("shop", "web-1", 0, 7))
	require.Eventually(t, func() bool { return h.Stats().Matched == 7 }, waitFor, tick)
	c.sub.Close()
	s := h.Stats()
	assert.Equal(t, uint64(7), s.DroppedClosed)
	assert.Zero(t, s.Subscribers)
	assert.Zero(t, s.Subscriptions)
	publish(h, lines("shop", "web-1", 7, 1)) // nobody there: no harm
}

// What a ring evicts while a slow client still waits for its backfill is counted.
func TestEvictedBackfillIsCounted(t *testing.T) {
	h := newHub(t, func(o *livetail.Options) { o.RingRecords = 500 })
	publish(h, lines("shop", "web-1", 0, 500))
	c := newClient(t, h)
	c.subscribe("server:web-1", 500)
	c.unsubscribe("server:none")
	publish(h, lines("shop", "web-1", 500, 450))
	c.await(func() bool { return len(c.of("server:log")) > 0 && c.records+int(c.dropped) == 950 })
	assert.Equal(t, uint64(450), c.dropped)
	last := c.of("server:log")
	assert.Equal(t, 949, last[len(last)-1].number(t))
	s := h.Stats()
	assert.Equal(t, uint64(450), s.DroppedEvicted)
	assert.Equal(t, s.Matched, s.Delivered+s.DroppedEvicted)
}

func TestTooManySubscriptions(t *testing.T) {
	h := newHub(t, func(o *livetail.Options) { o.MaxChannels = 2 })
	c := newClient(t, h)
	c.subscribe("server:a", 0)
	c.subscribe("server:b", 0)
	err := c.sub.Subscribe(channel(t, "server:c"), 0, func(int) []byte { return nil })
	require.ErrorIs(t, err, livetail.ErrTooManyChannels)
	c.unsubscribe("server:a")
	c.subscribe("server:c", 0)
}

func TestClosedHub(t *testing.T) {
	h := newHub(t, nil)
	c := newClient(t, h)
	c.subscribe("server:web-1", 0)
	publish(h, lines("shop", "web-1", 0, 100))
	h.Close() // hands on what it has
	h.Close()
	c.take()
	assert.Equal(t, 100, c.records)
	publish(h, lines("shop", "web-1", 100, 1))
	c.take()
	assert.Equal(t, 100, c.records)
	require.ErrorIs(t, c.sub.Subscribe(channel(t, "*"), 0, func(int) []byte { return nil }), livetail.ErrClosed)
	livetail.New(livetail.DefaultOptions()).Close() // without Start
}

// A client that subscribes to something else while records are under way gets those of its first channel all the same.
func TestManyChannelsOneOrder(t *testing.T) {
	h := newHub(t, nil)
	c := newClient(t, h)
	for s := range 5 {
		c.subscribe(fmt.Sprint("server:web-", s), 0)
	}
	for i := range 50 {
		for s := range 5 {
			publish(h, lines("shop", fmt.Sprint("web-", s), i, 1))
		}
	}
	c.awaitRecords(250)
	for i, m := range c.of("server:log") {
		require.Equal(t, fmt.Sprintf("web-%d line %d", i%5, i/5), m.text())
	}
}

// With a dispatcher that does not get to run, publishers let go of the oldest themselves, and every record is counted.
func TestOverloadIsBoundedAndCounted(t *testing.T) {
	const total = 1500
	opts := livetail.DefaultOptions()
	opts.Format, opts.ClientBytes = classic.Format{}, 1<<30
	h := livetail.New(opts) // not started
	defer h.Close()
	c := newClient(t, h)
	c.subscribe("project:shop", 0)
	body := strings.Repeat("x", 100_000)
	for range total { // 150 MB, above the backlog's bounds
		publish(h, bigLog(body, 0, fmt.Sprint("uid-", h.Stats().Seen)))
	}
	before := h.Stats()
	assert.Positive(t, before.DroppedBusy)
	assert.Less(t, total-int(before.Matched), 700, "what waits in the backlog is bounded")
	h.Start()
	c.awaitRecords(total)
	assert.Equal(t, total, c.records+int(c.dropped))
	s := h.Stats()
	assert.Equal(t, uint64(total), s.Matched)
	assert.Equal(t, s.Matched, s.Delivered+s.DroppedBusy)
	assert.Equal(t, c.dropped, s.DroppedBusy)
}
