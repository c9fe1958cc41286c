// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/livetailclient"
)

// collectUIDs counts what a client gets, by uid.
type collectUIDs struct {
	mu     sync.Mutex
	seen   map[string]int
	stored int
	filled []livetailclient.Filled
	gaps   []livetailclient.Gap
	live   int
}

func (c *collectUIDs) event(e livetailclient.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range e.Records {
		c.seen[r.UID]++
		if e.Stored {
			c.stored++
		}
	}
	if e.Filled != nil {
		c.filled = append(c.filled, *e.Filled)
	}
	if e.Gap != nil {
		c.gaps = append(c.gaps, *e.Gap)
	}
	if e.Live {
		c.live++
	}
	return nil
}

// awaitAll waits until all of shop-0 to shop-(total-1) came, and fails when one came twice.
func (c *collectUIDs) awaitAll(p *product, total int) {
	p.t.Helper()
	p.await(30*time.Second, "all shown", func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.seen) < total {
			return fmt.Errorf("%d of %d; filled %+v, gaps %+v", len(c.seen), total, c.filled, c.gaps)
		}
		return nil
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range total {
		uid := fmt.Sprint("shop-", i)
		require.Equal(p.t, 1, c.seen[uid], uid)
	}
}

// awaitReadyz waits for the collector itself: the ClickHouse before this one may still answer us.
func (p *product) awaitReadyz() {
	p.await(90*time.Second, "ready to be asked", func() error {
		resp, err := http.Get("http://" + p.tail + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

// A client that was away while the collector ran, was killed and came back has in the end exactly what is in ClickHouse, each
// record once, without asking for it.
func TestLiveTailFillsFromTheStore(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := startProduct(t, "config/otlp-only.yaml")
	proxy := newCutter(t, p.tail)
	ctx, cancel := context.WithCancel(context.Background())
	got := &collectUIDs{seen: map[string]int{}}
	var running sync.WaitGroup
	running.Go(func() {
		c := livetailclient.New(livetailclient.Options{URL: "http://" + proxy.Addr().String(), MinBackoff: 500 * time.Millisecond, MaxBackoff: 2 * time.Second})
		_ = c.Run(ctx, []livetailclient.Subscription{{Channel: "project:shop"}}, got.event)
	})
	defer running.Wait()
	defer cancel()
	p.await(20*time.Second, "live", func() error {
		got.mu.Lock()
		defer got.mu.Unlock()
		if got.live == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	stop := make(chan struct{})
	senders := []*liveSender{{p: p, project: "shop", calm: true}, {p: p, project: "bank", calm: true}}
	var sending sync.WaitGroup
	for i, s := range senders {
		sending.Go(func() { s.run(stop, rand.New(rand.NewPCG(1, uint64(i)))) })
	}
	sent := func(n int) {
		t.Helper()
		p.await(60*time.Second, fmt.Sprint(n, " sent"), func() error {
			if have, _ := senders[0].sent(); have < n {
				return fmt.Errorf("%d", have)
			}
			return nil
		})
	}
	sent(300)
	for range 2 {
		n, _ := senders[0].sent()
		proxy.stop() // the client is away while the collector still takes records, and after it was killed
		sent(n + 300)
		p.kill()
		p.start()
		p.awaitReadyz()
		sent(n + 600)
		proxy.goOn()
		live := func() int { got.mu.Lock(); defer got.mu.Unlock(); return got.live }
		before := live()
		p.await(90*time.Second, "live again", func() error {
			if live() == before {
				return errors.New("not yet")
			}
			return nil
		})
	}
	close(stop)
	sending.Wait()
	total, _ := senders[0].sent()
	p.await(60*time.Second, "all stored", func() error {
		n, err := p.count("SELECT uniqExact(Uid) FROM tailrace.otel_logs WHERE ProjectId = 'shop'")
		if err == nil && int(n) != total {
			err = fmt.Errorf("%d of %d", n, total)
		}
		return err
	})
	got.awaitAll(p, total)
	got.mu.Lock()
	defer got.mu.Unlock()
	assert.Len(t, got.seen, total, "nothing foreign")
	assert.GreaterOrEqual(t, got.stored, 300)
	for _, f := range got.filled {
		assert.True(t, f.Complete, "%+v", f)
	}
	assert.GreaterOrEqual(t, len(got.filled), 2)
	assert.Empty(t, got.gaps)
	t.Logf("%d sent, %d from the store, filled %+v", total, got.stored, got.filled)
}
