// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Command lines compares how fast lines come out of a pipe, through runner and runner_log, with how fast contrib's
// filelog receiver reads the same bytes from a file, and with a pipe alone. See ../README.md.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/tailrace/tailrace/bench/machine"
)

// measure is what one run of a way took. Time and CPU are in seconds.
type measure struct {
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"` // user and system, with the child that writes
	MaxRSS  int64   `json:"max_rss_bytes"`
	Records int64   `json:"records"`
	Bytes   int64   `json:"body_bytes"`
}

// contest is one table: the same file by several ways. The first way is the one that is compared with the others.
type contest struct {
	name, title string
	make        func(w io.Writer, lines int, seed uint64, at time.Time) error
	lines       int
	ways        []string
}

type result struct {
	Way     string    `json:"way"`
	Median  measure   `json:"median"`
	Spread  float64   `json:"spread"` // (slowest - fastest) / median of the time
	LinesPS float64   `json:"lines_per_second"`
	MBPS    float64   `json:"megabytes_per_second"`
	Runs    []measure `json:"runs"`
}

type report struct {
	Date     string              `json:"date"`
	Machine  string              `json:"machine"`
	Go       string              `json:"go"`
	Seed     uint64              `json:"seed"`
	HeapMiB  int                 `json:"heap_mib"`
	Runs     int                 `json:"runs"`
	Contests map[string][]result `json:"contests"`
	Ratios   map[string]float64  `json:"ratios"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "lines:", err)
		os.Exit(1)
	}
}

func run() error {
	way := flag.String("way", "", "measure this way only, once, with -file and -lines (used by the command itself)")
	file := flag.String("file", "", "the file of -way")
	profile := flag.String("cpuprofile", "", "with -way: write a CPU profile")
	lines := flag.Int("lines", 2_000_000, "plain lines; half as many JSON lines")
	runs := flag.Int("runs", 5, "runs of each way, in turns")
	heap := flag.Int("heap", 32, "MiB that each measured process holds beside, as a running collector does; see README.md")
	seed := flag.Uint64("seed", 1, "of the data")
	out := flag.String("json", "", "write the figures to this file, too")
	only := flag.String("only", "", "one contest: plain, json or default")
	flag.Parse()
	if *way != "" {
		m, err := once(*way, *file, *lines, *heap, *profile)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(m)
	}
	dir, err := os.MkdirTemp("", "tailrace-bench-lines-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r := report{
		Date: time.Now().UTC().Format(time.DateOnly), Machine: describe(), Go: runtime.Version(), Seed: *seed, HeapMiB: *heap, Runs: *runs,
		Contests: map[string][]result{}, Ratios: map[string]float64{},
	}
	fmt.Printf("%s, %s, median of %d runs in turns, seed %d, %d MiB of heap beside\n", r.Machine, r.Go, r.Runs, r.Seed, r.HeapMiB)
	for _, c := range []contest{
		{"plain", "plain lines, nothing parsed", plainLines, *lines, []string{wayPlain, wayFilelog, wayPipe}},
		{"json", "JSON lines, parsed, with severity and time", jsonLines, *lines / 2, []string{wayJSON, wayFilelogJSON, wayPipe}},
		{"default", "JSON lines, runner_log as it is by default", jsonLines, *lines / 2, []string{wayDefault, wayFilelogJSON, wayPipe}},
	} {
		if *only != "" && *only != c.name {
			continue
		}
		path := filepath.Join(dir, c.name)
		if err := create(path, c, *seed); err != nil {
			return err
		}
		results, err := compete(c, path, *runs, *heap)
		if err != nil {
			return err
		}
		r.Contests[c.name] = results
		for _, other := range results[1:] {
			r.Ratios[c.name+"/"+other.Way] = results[0].LinesPS / other.LinesPS
		}
		print(c, path, results)
	}
	if *out == "" {
		return nil
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*out, append(data, '\n'), 0o644)
}

func create(path string, c contest, seed uint64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	// Times far from now would not count as times of lines.
	err = c.make(f, c.lines, seed, time.Now().Add(-time.Hour).Truncate(time.Second))
	return errors.Join(err, f.Close())
}

// compete runs the ways in turns, each in a process of its own.
func compete(c contest, path string, runs, heap int) ([]result, error) {
	results := make([]result, len(c.ways))
	for i := range runs {
		for j := range c.ways {
			k := (i + j) % len(c.ways) // nobody is always first
			m, err := spawn(c.ways[k], path, c.lines, heap)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.ways[k], err)
			}
			results[k].Runs = append(results[k].Runs, m)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	for i := range results {
		r := &results[i]
		sorted := slices.SortedFunc(slices.Values(r.Runs), func(a, b measure) int { return cmp.Compare(a.Seconds, b.Seconds) })
		r.Way, r.Median = c.ways[i], sorted[len(sorted)/2]
		r.Spread = (sorted[len(sorted)-1].Seconds - sorted[0].Seconds) / r.Median.Seconds
		r.LinesPS = float64(c.lines) / r.Median.Seconds
		r.MBPS = float64(info.Size()) / 1e6 / r.Median.Seconds
	}
	return results, nil
}

func spawn(way, path string, lines, heap int) (m measure, err error) {
	self, err := os.Executable()
	if err != nil {
		return m, err
	}
	var stdout bytes.Buffer
	cmd := exec.Command(self, "-way", way, "-file", path, "-lines", fmt.Sprint(lines), "-heap", fmt.Sprint(heap))
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return m, err
	}
	return m, json.Unmarshal(stdout.Bytes(), &m)
}

func print(c contest, path string, results []result) {
	size := int64(0)
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	fmt.Printf("\n%s: %d lines of %d bytes on average\n\n", c.title, c.lines, size/int64(c.lines))
	fmt.Println("| way | lines/s | MB/s | CPU s per million lines | peak memory MiB | spread | lines/s of runner_log | CPU of runner_log |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for i, r := range results {
		ratio := " | "
		if i > 0 {
			ratio = fmt.Sprintf("%.2f × | %.2f ×", results[0].LinesPS/r.LinesPS, results[0].Median.CPU/r.Median.CPU)
		}
		fmt.Printf("| %s | %s | %.0f | %.2f | %d | %.0f %% | %s |\n", r.Way, thousands(int64(r.LinesPS)), r.MBPS,
			r.Median.CPU/float64(c.lines)*1e6, r.Median.MaxRSS>>20, 100*r.Spread, ratio)
	}
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// describe names the processor and its cores.
func describe() string {
	return fmt.Sprintf("%d cores of %s, %s", runtime.NumCPU(), machine.Processor(), runtime.GOOS)
}
