// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/tailrace/tailrace/bench/agentdata"
)

// The light load: ten requests a second of each signal.
const (
	lightPause = 100 * time.Millisecond
	lightSpans = 20
	lightLogs  = 100
)

// light is the requests of one signal, each with a trace id of its own and the time at which it is to be sent.
type light struct {
	signal   string
	size     int
	requests [][]byte
	at       []time.Time
	index    map[string]int // by trace id
	oldest   int            // all before it are queryable
	seen     []time.Duration
}

func lightLoad(signal string, size, requests int, begin time.Time) (*light, error) {
	l := &light{signal: signal, size: size, index: map[string]int{}, seen: make([]time.Duration, requests)}
	s := agentdata.NewSource(rand.Uint64(), begin)
	for i := range requests {
		s.At = begin.Add(time.Duration(i) * lightPause)
		l.at = append(l.at, s.At)
		trace := s.TraceID()
		raw, err := s.Request(signal, size, i%agentdata.Projects, trace)
		if err != nil {
			return nil, err
		}
		l.requests = append(l.requests, raw)
		l.index[trace.String()] = i
	}
	return l, nil
}

// send sends each request when its time has come. One that is late counts from when it should have been sent.
func (l *light) send(b *bench, address string) error {
	for i, raw := range l.requests {
		time.Sleep(time.Until(l.at[i]))
		if err := post(b.ctx, address, l.signal, raw); err != nil {
			return err
		}
	}
	return nil
}

// look asks which requests are queryable as a whole.
func (l *light) look(b *bench, w way, ch *server) error {
	table, _ := w.table(l.signal)
	rows, err := ch.rows(b.ctx, fmt.Sprintf("SELECT TraceId, count() FROM %s WHERE Timestamp >= fromUnixTimestamp64Nano(%d) GROUP BY TraceId", table, l.at[l.oldest].UnixNano()))
	if err != nil {
		return err
	}
	now := time.Now()
	for _, row := range rows {
		n, err := strconv.Atoi(row[1])
		if err != nil {
			return err
		}
		if i := l.index[row[0]]; n >= l.size && l.seen[i] == 0 {
			l.seen[i] = now.Sub(l.at[i])
		}
	}
	for l.oldest < len(l.seen) && l.seen[l.oldest] > 0 {
		l.oldest++
	}
	return nil
}

func (l *light) done() bool { return l.oldest == len(l.seen) }

// freshness measures how long it takes at a light load from sending a request to all of it being queryable.
func (b *bench) freshness(w way, length time.Duration) (m measure, err error) {
	err = b.whole(w, settings{Signals: []string{spans, logs}, Fresh: true}, func(p *process, ch *server, address string) error {
		var loads []*light
		begin := time.Now().Add(2 * time.Second)
		for _, c := range []struct {
			signal string
			size   int
		}{{spans, lightSpans}, {logs, lightLogs}} {
			l, err := lightLoad(c.signal, c.size, max(1, int(length/lightPause)), begin)
			if err != nil {
				return err
			}
			loads = append(loads, l)
		}
		time.Sleep(time.Until(begin))
		before, server := p.cpu(), ch.cpu() // being asked so often is much of ClickHouse's, for all ways alike
		var group sync.WaitGroup
		failed := make([]error, len(loads))
		for i, l := range loads {
			group.Go(func() { failed[i] = l.send(b, address) })
		}
		deadline := begin.Add(length + b.stall)
		for _, l := range loads {
			for !l.done() && time.Now().Before(deadline) && b.ctx.Err() == nil {
				for _, other := range loads {
					if other.done() {
						continue
					}
					if err := other.look(b, w, ch); err != nil {
						return err
					}
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
		group.Wait()
		for _, err := range append(failed, b.ctx.Err()) {
			if err != nil {
				return p.failed(err)
			}
		}
		server = ch.cpu() - server
		records := 0
		for _, l := range loads {
			records += len(l.requests) * l.size
		}
		cpu, peak, err := p.stop()
		if err != nil {
			return err
		}
		m.Collector, m.ClickHouse, m.Peak = perMillion(cpu-before, records), perMillion(server, records), peak
		m.Seconds = length.Seconds()
		for _, l := range loads {
			table, key := w.table(l.signal)
			n, err := ch.numbers(b.ctx, "SELECT count(), uniqExact("+key+") FROM "+table)
			if err != nil {
				return err
			}
			m.Lost += int64(len(l.requests)*l.size) - n[1]
			m.Doubled += n[0] - n[1]
		}
		m.SpansP50, m.SpansP99 = latencies(loads[0].seen)
		m.LogsP50, m.LogsP99 = latencies(loads[1].seen)
		return nil
	})
	return m, err
}

// latencies returns quantiles in milliseconds of those that arrived.
func latencies(seen []time.Duration) (p50, p99 float64) {
	var arrived []float64
	for _, d := range seen {
		if d > 0 {
			arrived = append(arrived, float64(d)/1e6)
		}
	}
	return quantile(arrived, 0.5), quantile(arrived, 0.99)
}
