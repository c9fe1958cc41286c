// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"
)

// Bounds of the verdict.
const (
	soakTenths   = 10              // the first one is over when buffers and rings have their size
	soakGrowth   = 1.05            // of live memory between the first and the last one
	soakShortest = 5 * time.Minute // in which memory settles; a shorter soak says nothing of drift
	soakSettling = 30 * time.Second
)

// soak is how a server fared over a long time.
type soak struct {
	RSS            []int64 `json:"rss_kib"`  // at the end of each tenth
	Live           []int64 `json:"live_kib"` // heap after a collection, and stacks
	GoroutinesBase int     `json:"goroutines_before"`
	GoroutinesHeld int     `json:"goroutines_connected"`
	GoroutinesEnd  int     `json:"goroutines_after"`
}

// publish publishes what a soak has, a tenth of its time after the other, and looks at the memory after each.
func (s *soak) publish(server *process, of scenario) (published int, err error) {
	if s.GoroutinesHeld, err = server.number("goroutines"); err != nil {
		return 0, err
	}
	for range soakTenths {
		n, err := server.number(fmt.Sprintf("publish %d %s", of.rate, of.length/soakTenths))
		if err != nil {
			return 0, err
		}
		published += n
		s.RSS = append(s.RSS, server.rss())
		live, err := server.number("live")
		if err != nil {
			return 0, err
		}
		s.Live = append(s.Live, int64(live>>10))
	}
	return published, nil
}

// settle waits until a server whose clients have gone has as many goroutines as before they came.
func (s *soak) settle(server *process) (err error) {
	for end := time.Now().Add(soakSettling); ; time.Sleep(100 * time.Millisecond) {
		if s.GoroutinesEnd, err = server.number("goroutines"); err != nil || s.GoroutinesEnd <= s.GoroutinesBase || time.Now().After(end) {
			return err
		}
	}
}

// problems are what is wrong; none: no leak, no drift, nothing lost.
func (s *soak) problems(r *result, length time.Duration) (all []string) {
	first, last := s.Live[0], s.Live[len(s.Live)-1]
	if length >= soakShortest && float64(last) > float64(first)*soakGrowth {
		all = append(all, fmt.Sprintf("live memory grew from %d to %d KiB", first, last))
	}
	if s.GoroutinesEnd > s.GoroutinesBase {
		all = append(all, fmt.Sprintf("%d goroutines stayed, %d there were", s.GoroutinesEnd, s.GoroutinesBase))
	}
	if r.Delivered < r.Expected {
		all = append(all, fmt.Sprintf("%d of %d deliveries", r.Delivered, r.Expected))
	}
	return all
}

// report prints a table for docs/benchmarks.md and the verdict, which is an error when something is wrong.
func (s *soak) report(r *result, length time.Duration) error {
	fmt.Printf("\n| soak of %s | |\n|---|---|\n", length)
	fmt.Printf("| connections, lines/s | %d, %.0f |\n", r.Connections, float64(r.Published)/r.Seconds)
	fmt.Printf("| delivered | %d of %d |\n", r.Delivered, r.Expected)
	fmt.Printf("| p50, p99 | %.1f ms, %.1f ms |\n", r.P50, r.P99)
	fmt.Printf("| CPU | %.2f s/s |\n", r.CPU/r.Seconds)
	fmt.Printf("| RSS before, connected | %.0f MiB, %.0f MiB |\n", float64(r.RSSBefore)/1024, float64(r.RSSIdle)/1024)
	row := func(name string, all []int64) {
		fmt.Printf("| %s after each tenth, MiB |", name)
		for _, kib := range all {
			fmt.Printf(" %.1f", float64(kib)/1024)
		}
		fmt.Println(" |")
	}
	row("RSS", s.RSS)
	row("live heap and stacks", s.Live)
	fmt.Printf("| goroutines before, connected, after | %d, %d, %d |\n", s.GoroutinesBase, s.GoroutinesHeld, s.GoroutinesEnd)
	problems := s.problems(r, length)
	switch {
	case len(problems) == 0 && length < soakShortest:
		fmt.Printf("| verdict | no leak, nothing lost; too short to tell of drift (at least %s) |\n\n", soakShortest)
		return nil
	case len(problems) == 0:
		fmt.Print("| verdict | no leak, no drift, nothing lost |\n\n")
		return nil
	}
	fmt.Printf("| verdict | %v |\n\n", problems)
	return fmt.Errorf("soak: %v", problems)
}
