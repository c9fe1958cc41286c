// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Command live measures the live tail's fan-out next to Centrifuge's: lines published in one process, received over WebSocket
// by another one. bench/README.md says how.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// scenario is one measurement.
type scenario struct {
	name        string
	subscribers int
	idle        int // further ones, of a channel on which nothing happens
	stalled     int // further ones that do not read
	turns       int // pairs of turns of one more
	rate        int // lines a second
	length      time.Duration
	deflate     bool
}

// result is what one way did in one scenario.
type result struct {
	Scenario    string  `json:"scenario"`
	Way         string  `json:"way"`
	Published   int     `json:"published"`
	Delivered   int64   `json:"delivered"`
	Expected    int64   `json:"expected"`
	Seconds     float64 `json:"seconds"`
	Frames      int64   `json:"frames"`
	CPU         float64 `json:"server_cpu_seconds"`
	P50         float64 `json:"latency_p50_ms"`
	P99         float64 `json:"latency_p99_ms"`
	RSSBefore   int64   `json:"rss_before_kib"`
	RSSIdle     int64   `json:"rss_connected_kib"`
	RSSEnd      int64   `json:"rss_end_kib"`
	Connections int     `json:"connections"`
	BytesRead   int64   `json:"bytes_read"`
	Soak        *soak   `json:"soak,omitempty"`
	Turns       []turn  `json:"turns,omitempty"`
}

func main() {
	serve := flag.String("serve", "", "be the server: tailrace or centrifuge")
	load := flag.String("load", "", "be the load: the JSON of its orders")
	ways := flag.String("ways", "tailrace,centrifuge", "what to measure")
	only := flag.String("only", "", "scenarios, by comma: idle, light, loaded, deflate, thousand, stalled, turns, soak")
	runs := flag.Int("runs", 3, "of each scenario and way, in turns; the median counts")
	soak := flag.Duration("soak", 0, "how long subscribers are held; 0: not")
	idle := flag.Int("idle", 10_000, "idle subscribers of the soak")
	busy := flag.Int("busy", 500, "busy subscribers of the soak")
	pairs := flag.Int("turns", 0, "how many pairs of turns one client that does not read takes with one that does; 0: none")
	out := flag.String("json", "", "write all results to this file")
	flag.Parse()
	var err error
	switch {
	case *serve != "":
		err = runServer(*serve)
	case *load != "":
		err = runLoad(*load)
	default:
		err = compare(strings.Split(*ways, ","), *only, *runs, *pairs, scenario{name: "soak", subscribers: *busy, idle: *idle, rate: 200, length: *soak}, *out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "live:", err)
		os.Exit(1)
	}
}

func compare(ways []string, only string, runs, pairs int, soak scenario, out string) error {
	scenarios := []scenario{
		{name: "idle", idle: 2000, length: 2 * time.Second},
		{name: "light", subscribers: 10, rate: 50, length: 10 * time.Second},
		{name: "loaded", subscribers: 500, rate: 2000, length: 10 * time.Second},
		{name: "deflate", subscribers: 500, rate: 2000, length: 10 * time.Second, deflate: true},
		{name: "thousand", subscribers: 1000, rate: 200, length: 10 * time.Second},
		{name: "stalled", subscribers: 999, stalled: 1, rate: 200, length: 10 * time.Second},
	}
	if pairs > 0 {
		length := turnFill + time.Duration(2*pairs)*(turnSettle+turnLength) + time.Second
		scenarios = append(scenarios, scenario{name: "turns", subscribers: 999, turns: pairs, rate: 200, length: length})
	}
	if soak.length > 0 {
		scenarios = append(scenarios, soak)
	}
	var all []result
	var verdict error
	for _, s := range scenarios {
		if only != "" && !strings.Contains(","+only+",", ","+s.name+",") {
			continue
		}
		byWay := map[string][]result{}
		n := runs
		if s.name == "soak" || s.turns > 0 {
			n = 1
		}
		for range n {
			for _, way := range ways {
				if way == "centrifuge" && (s.deflate || s.name == "soak" || s.stalled+s.turns > 0) {
					continue
				}
				r, err := measure(way, s)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", s.name, way, err)
				}
				if r.Soak != nil {
					verdict = errors.Join(verdict, r.Soak.report(&r, s.length))
				}
				if r.Turns != nil {
					reportTurns(r.Turns)
				}
				byWay[way] = append(byWay[way], r)
				all = append(all, r)
			}
		}
		for _, way := range ways {
			if len(byWay[way]) > 0 {
				report(median(byWay[way]))
			}
		}
	}
	if out == "" {
		return verdict
	}
	raw, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(verdict, os.WriteFile(out, raw, 0o644))
}

func report(r result) {
	perConnection := 0.0
	if r.Connections > 0 {
		perConnection = float64(r.RSSIdle-r.RSSBefore) / float64(r.Connections)
	}
	fmt.Printf("%-9s %-10s %9.0f deliveries/s (%d of %d) %8.0f frames/s  CPU %5.2f s/s  p50 %7.2f ms  p99 %7.2f ms  RSS %d → %d → %d KiB (%.1f KiB a connection)\n",
		r.Scenario, r.Way, float64(r.Delivered)/r.Seconds, r.Delivered, r.Expected, float64(r.Frames)/r.Seconds, r.CPU/r.Seconds, r.P50, r.P99,
		r.RSSBefore, r.RSSIdle, r.RSSEnd, perConnection)
}
