// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailws_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/livetailtest"
	"github.com/tailrace/tailrace/internal/livetail/tailws"
	"github.com/tailrace/tailrace/livetailclient"
)

// The ten minutes of `make soak-live` at a small size, for the race detector: idle and busy viewers hold on while others come and go,
// some are cut off, and some never read. Each busy one gets every line once; in the end nothing of the clients is left.
func TestSoak(t *testing.T) {
	const idle, busy, lines, every = 200, 20, 1000, 50
	s := livetailtest.Start(t, tailws.Door{}, func(o *livetail.Options) { o.ClientBytes = 1 << 20 })
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var held []*websocket.Conn
	dialer := websocket.Dialer{Subprotocols: []string{"tailrace.v1"}, ReadBufferSize: 512, WriteBufferSize: 512}
	hold := func(channel string) {
		ws, resp, err := dialer.Dial("ws://"+s.Addr+"/ws", nil)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.NoError(t, ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"subscribe","payload":{"channel":"`+channel+`"}}`)))
		held = append(held, ws)
	}
	for i := range idle {
		hold(fmt.Sprint("server:silent-", i))
	}
	hold("server:web-1") // never reads
	var live, delivered, doubled, dropped atomic.Int64
	for i := range busy {
		running.Go(func() {
			seen := map[string]bool{}
			c := livetailclient.New(livetailclient.Options{URL: s.URL(), MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond})
			_ = c.Run(ctx, []livetailclient.Subscription{{Channel: "server:web-1", Backfill: i % 2 * 10}}, func(e livetailclient.Event) error {
				for _, r := range e.Records {
					if seen[r.UID] {
						doubled.Add(1)
					}
					seen[r.UID] = true
					delivered.Add(1)
				}
				if e.Gap != nil {
					dropped.Add(1)
				}
				if e.Live && len(seen) == 0 {
					live.Add(1)
				}
				return nil
			})
		})
	}
	require.Eventually(t, func() bool { return live.Load() == busy }, 30*time.Second, time.Millisecond)
	for n := 0; n < lines; n += every {
		s.Print("shop", "web-1", n, every)
		if n == lines/2 {
			want := int64(busy * (n + every))
			require.Eventually(t, func() bool { return delivered.Load() >= want }, 30*time.Second, time.Millisecond)
			s.Cut() // all come back, the idle ones excepted, and go on where they were
		}
	}
	assert.Eventually(t, func() bool { return delivered.Load() >= busy*lines }, 60*time.Second, 5*time.Millisecond)
	assert.Equal(t, int64(busy*lines), delivered.Load())
	assert.Zero(t, doubled.Load())
	assert.Zero(t, dropped.Load())
	cancel()
	running.Wait()
	for _, ws := range held {
		ws.Close()
	}
	assert.Eventually(t, func() bool { return s.Hub().Stats().Subscribers == 0 && runtime.NumGoroutine() <= before+2 }, 30*time.Second, 10*time.Millisecond)
	stats := s.Hub().Stats()
	assert.Equal(t, stats.Matched, stats.Delivered+stats.DroppedSlow+stats.DroppedClosed+stats.DroppedBusy+stats.DroppedEvicted)
}
