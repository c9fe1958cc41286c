// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tailrace/tailrace/livetailclient"
)

// Who opens a view after a restart sees what this run has and goes live without the store; then comes what the run before had. Together that
// is everything, each record once.
func TestLiveTailOlderAfter(t *testing.T) {
	p := startProduct(t, "config/otlp-only.yaml")
	sender := &liveSender{p: p, project: "shop", calm: true}
	stop := make(chan struct{})
	end := sync.OnceFunc(func() { close(stop) })
	var sending sync.WaitGroup
	sending.Go(func() { sender.run(stop, rand.New(rand.NewPCG(1, 1))) })
	defer sending.Wait()
	defer end()
	sent := func(n int) {
		t.Helper()
		p.await(60*time.Second, fmt.Sprint(n, " sent"), func() error {
			if have, _ := sender.sent(); have < n {
				return fmt.Errorf("%d", have)
			}
			return nil
		})
	}
	sent(300)
	p.kill()
	p.start()
	p.awaitReadyz()
	n, _ := sender.sent()
	sent(n + 100)

	got := &collectUIDs{seen: map[string]int{}}
	var order []string // what came when
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() {
		c := livetailclient.New(livetailclient.Options{URL: "http://" + p.tail})
		_ = c.Run(ctx, []livetailclient.Subscription{{Channel: "project:shop", Backfill: 5000, OlderAfter: true}}, func(e livetailclient.Event) error {
			got.mu.Lock()
			switch {
			case e.Live:
				order = append(order, "live")
			case e.Filled != nil:
				order = append(order, "filled")
			case len(e.Records) > 0 && e.Older && len(order) > 0 && order[len(order)-1] != "older":
				order = append(order, "older")
			}
			got.mu.Unlock()
			return got.event(e)
		})
	})
	p.await(30*time.Second, "filled", func() error {
		got.mu.Lock()
		defer got.mu.Unlock()
		if len(got.filled) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	end()
	sending.Wait()
	total, _ := sender.sent()
	got.awaitAll(p, total)
	got.mu.Lock()
	defer got.mu.Unlock()
	assert.Equal(t, []string{"live", "older", "filled"}, order)
	assert.GreaterOrEqual(t, got.stored, 300)
	assert.True(t, got.filled[0].Complete && got.filled[0].Older, "%+v", got.filled)
	assert.Empty(t, got.gaps)
}
