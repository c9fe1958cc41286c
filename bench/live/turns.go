// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"time"

	"github.com/gorilla/websocket"
)

// Does a client that does not read cost the others anything? Two runs one after the other can't tell: between them a busy machine
// changes by more. So the clients stay, and one more connection takes turns beside them: in one it does not read, in the next it does.
const (
	turnFill    = 10 * time.Second        // before the first, so that the ring has enough to fill sockets
	turnSettle  = 1500 * time.Millisecond // of each, while its backfill is read
	turnLength  = 4 * time.Second
	turnChannel = 8 // subscriptions with all that the ring has: more than sockets hold
)

// turn is what the others saw in one.
type turn struct {
	Stalled  bool
	P50, P99 float64
}

// turns runs a number of pairs of turns, each begun by the other one.
func (l *loader) turns(o *orders) (all []turn, err error) {
	time.Sleep(turnFill)
	for i := range 2 * o.Turns {
		t, err := l.turn(o, i%4 == 1 || i%4 == 2)
		if err != nil {
			return all, fmt.Errorf("turn %d: %w", i, err)
		}
		all = append(all, t)
	}
	return all, nil
}

func (l *loader) turn(o *orders, stalled bool) (turn, error) {
	d := websocket.Dialer{Subprotocols: []string{"tailrace.v1"}}
	ws, resp, err := d.Dial("ws://"+o.Address+"/ws", nil)
	if err != nil {
		return turn{}, err
	}
	_ = resp.Body.Close()
	defer ws.Close()
	if tcp, ok := ws.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4096) // or the system reads much for it
	}
	for range turnChannel {
		if err := ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"subscribe","payload":{"channel":"server:web-1","backfill":{"records":10000}}}`)); err != nil {
			return turn{}, err
		}
	}
	if !stalled {
		go func() { _, _ = io.Copy(io.Discard, ws.NetConn()) }()
	}
	time.Sleep(turnSettle)
	l.mu.Lock()
	from := len(l.latencies)
	l.mu.Unlock()
	time.Sleep(turnLength)
	l.mu.Lock()
	seen := slices.Clone(l.latencies[from:])
	l.mu.Unlock()
	t := turn{Stalled: stalled}
	t.P50, t.P99 = percentiles(seen)
	return t, nil
}

// percentiles are in milliseconds.
func percentiles(nanoseconds []int64) (p50, p99 float64) {
	n := len(nanoseconds)
	if n == 0 {
		return 0, 0
	}
	slices.Sort(nanoseconds)
	return float64(nanoseconds[n/2]) / 1e6, float64(nanoseconds[n*99/100]) / 1e6
}

// reportTurns prints what the others saw, and how the pairs differ.
func reportTurns(all []turn) {
	fmt.Print("\n| pair | p50 reading, stalled | p99 reading, stalled | p99 by |\n|---|---|---|---|\n")
	var p99 [2][]float64
	var logs []float64
	for i := 0; i+1 < len(all); i += 2 {
		reads, stalls := all[i], all[i+1]
		if reads.Stalled {
			reads, stalls = stalls, reads
		}
		fmt.Printf("| %d | %.1f, %.1f ms | %.1f, %.1f ms | %+.0f %% |\n", i/2+1, reads.P50, stalls.P50, reads.P99, stalls.P99, 100*(stalls.P99/reads.P99-1))
		p99[0], p99[1] = append(p99[0], reads.P99), append(p99[1], stalls.P99)
		logs = append(logs, math.Log(stalls.P99/reads.P99))
	}
	var mean, spread float64
	for _, x := range logs {
		mean += x / float64(len(logs))
	}
	for _, x := range logs {
		spread += (x - mean) * (x - mean)
	}
	spread = 2 * math.Sqrt(spread/float64(max(1, len(logs)-1))/float64(len(logs)))
	slices.Sort(p99[0])
	slices.Sort(p99[1])
	fmt.Printf("| median | | %.1f, %.1f ms | mean of the pairs %+.1f %%, from %+.1f to %+.1f %% (two standard errors) |\n\n",
		p99[0][len(p99[0])/2], p99[1][len(p99[1])/2], 100*(math.Exp(mean)-1), 100*(math.Exp(mean-spread)-1), 100*(math.Exp(mean+spread)-1))
}
