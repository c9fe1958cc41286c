// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Command chain measures the durable middle, OTLP in → files → ClickHouse, beside contrib's file exporter,
// otlp_json_file receiver and clickhouse exporter, in turns in one run. See ../README.md.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/tailrace/tailrace/bench/agentdata"
	"github.com/tailrace/tailrace/bench/machine"
)

// report is what -out gets.
type report struct {
	Date     string            `json:"date"`
	Machine  string            `json:"machine"`
	Load     []string          `json:"load_average"` // before and after
	Versions map[string]string `json:"versions"`
	Seed     uint64            `json:"seed"`
	Runs     int               `json:"runs"`
	Spans    int               `json:"spans"`
	Logs     int               `json:"logs"`
	Contests []*contest        `json:"contests"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "chain:", err)
		os.Exit(1)
	}
}

func run() error {
	build := flag.String("build", "../_build", "folder of tailrace, tailrace-clickhouse and peer/peer")
	nSpans := flag.Int("spans", 300_000, "spans of a run")
	nLogs := flag.Int("logs", 600_000, "log records of a run")
	batch := flag.Int("batch", 500, "records of a request")
	runs := flag.Int("runs", 5, "runs of each way, in turns")
	seed := flag.Uint64("seed", 1, "of the data")
	fresh := flag.Duration("fresh", time.Minute, "length of a run of the freshness stage")
	freshRuns := flag.Int("fresh-runs", 5, "runs of the freshness stage")
	only := flag.String("only", "", "stages, by commas: write, load, chain, fresh, limits, profile; all of these by default, and flat")
	largest := flag.Int("largest", 10_000_000, "records of the largest backlog of the stage flat")
	signals := flag.String("signals", spans+","+logs, "of the stages write, load, chain, limits and profile")
	out := flag.String("out", "", "write the figures to this file too, as JSON")
	stall := flag.Duration("stall", 30*time.Second, "without a new row for so long, what is missing counts as lost")
	connections := flag.Int("connections", 4, "connections that send at once")
	flag.Parse()

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	root, err := filepath.Abs(*build)
	if err != nil {
		return err
	}
	for _, name := range []string{"tailrace", "tailrace-clickhouse", "libchdb.so", "peer/peer"} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			return fmt.Errorf("%w: run `make bench-chain`, which builds it", err)
		}
	}
	dir, err := os.MkdirTemp(root, "bench-chain-") // on the disk of the build: /tmp may be memory
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{ctx: ctx, build: root, dir: dir, connections: *connections, stall: *stall}
	r := &report{
		Date: time.Now().UTC().Format(time.DateTime), Machine: describe(), Load: []string{machine.Load()}, Seed: *seed, Runs: *runs, Spans: *nSpans, Logs: *nLogs,
		Versions: versions(root),
	}
	fmt.Printf("%s, commit %s, %d runs in turns, seed %d, load average %s\n", r.Machine, r.Versions["commit"], *runs, *seed, r.Load[0])
	wants := func(stage string) bool { return *only == "" || strings.Contains(","+*only+",", ","+stage+",") }
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	for _, signal := range strings.Split(*signals, ",") {
		if !wants("write") && !wants("load") && !wants("chain") && !wants("limits") && !wants("profile") {
			break
		}
		n := map[string]int{spans: *nSpans, logs: *nLogs}[signal]
		if n == 0 {
			return fmt.Errorf("-signals: %q; allowed: %s, %s", signal, spans, logs)
		}
		progress("making %d %s", n, signal)
		d, err := agentdata.Generate(signal, n, *batch, *seed, at)
		if err != nil {
			return err
		}
		if err := r.signal(b, d, wants, *runs); err != nil {
			return err
		}
	}
	if strings.Contains(","+*only+",", ",flat,") { // an hour of its own
		if err := r.flat(b, *runs, *largest, *seed, at); err != nil {
			return err
		}
	}
	if wants("fresh") {
		c := &contest{Title: fmt.Sprintf("Freshness: sent → queryable at %d spans/s and %d log records/s", lightSpans*10, lightLogs*10)}
		err := r.turns(b, c, *freshRuns, []way{product, productSoon, productLate, peer}, func(w way, _ int) (measure, error) { return b.freshness(w, *fresh) })
		if err != nil {
			return err
		}
	}
	r.Load = append(r.Load, machine.Load())
	fmt.Printf("\nload average before %s, after %s\n", r.Load[0], r.Load[1])
	if *out == "" {
		return nil
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*out, append(raw, '\n'), 0o644)
}

// signal runs the stages that are measured for each signal by itself.
func (r *report) signal(b *bench, d agentdata.Data, wants func(string) bool, runs int) error {
	name := map[string]string{spans: "spans", logs: "log records"}[d.Signal]
	title := func(what string) string {
		return fmt.Sprintf("%s: %s %s of %d B", what, number(float64(d.Records)), name, d.Bytes/int64(d.Records))
	}
	both := []way{product, peer}
	if wants("write") {
		c := &contest{Title: title("Durable write, OTLP in → files")}
		err := r.turns(b, c, runs, []way{product, productBatch, peer}, func(w way, _ int) (measure, error) {
			files := filepath.Join(b.dir, "written")
			defer os.RemoveAll(files)
			return b.write(w, d, files, "")
		})
		if err != nil {
			return err
		}
	}
	backlogs := map[bool]string{}
	if wants("load") || wants("limits") || wants("profile") {
		for _, w := range both {
			progress("writing the backlog of %s: %s", d.Signal, w.name)
			backlogs[w.peer] = filepath.Join(b.dir, fmt.Sprint("backlog-", d.Signal, "-", w.peer))
			defer os.RemoveAll(backlogs[w.peer])
			m, err := b.write(w, d, backlogs[w.peer], "")
			if err == nil && m.Lost+m.Doubled != 0 {
				err = fmt.Errorf("the backlog of %s lacks %d records and doubles %d", w.name, m.Lost, m.Doubled)
			}
			if err != nil {
				return err
			}
		}
	}
	if wants("load") {
		c := &contest{Title: title("Files → queryable, a backlog of")}
		err := r.turns(b, c, runs, []way{product, productContrib, peer}, func(w way, i int) (measure, error) { return b.load(w, d, backlogs[w.peer], "", i == 0, nil) })
		if err != nil {
			return err
		}
	}
	if wants("chain") {
		c := &contest{Title: title("Whole chain, OTLP in → files → queryable")}
		if err := r.turns(b, c, runs, []way{product, productContrib, peer}, func(w way, _ int) (measure, error) { return b.chain(w, d) }); err != nil {
			return err
		}
	}
	if wants("limits") {
		c := &contest{Title: title("Limits of the machine")}
		for i := range runs {
			m, err := b.limitWrite(d, backlogs[false])
			if err != nil {
				return err
			}
			progress("%s, run %d: write and fsync: %s MB/s", c.Title, i+1, number(m.MBPS))
			c.add("write and fsync of the same bytes", false, m)
		}
		err := b.limitInserts(d, backlogs[false], []string{"Native", "JSONEachRow"}, runs, func(format string, m measure) {
			progress("%s: %s: %s records/s", c.Title, format, number(m.RecordsPS))
			c.add("INSERT … FORMAT "+format+" by ClickHouse", false, m)
		})
		if err != nil {
			return err
		}
		r.finish(c)
	}
	if wants("profile") {
		return r.profile(b, d, backlogs[false])
	}
	return nil
}

// turns runs all ways alternately; who begins changes from round to round.
func (r *report) turns(b *bench, c *contest, runs int, ways []way, measured func(w way, run int) (measure, error)) error {
	for _, w := range ways { // the order of the table
		c.Entries = append(c.Entries, &entry{Way: w.name, Peer: w.peer})
	}
	for i := range runs {
		for j := range ways {
			w := ways[(i+j)%len(ways)]
			m, err := measured(w, i)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", c.Title, w.name, err)
			}
			if b.ctx.Err() != nil {
				return b.ctx.Err()
			}
			figure := number(m.RecordsPS) + " records/s"
			if m.RecordsPS == 0 {
				figure = fmt.Sprintf("spans p99 %s ms, logs p99 %s ms", number(m.SpansP99), number(m.LogsP99))
			}
			progress("%s, run %d, %s: %.1f s, %s, lost %d, doubled %d", c.Title, i+1, w.name, m.Seconds, figure, m.Lost, m.Doubled)
			c.add(w.name, w.peer, m)
		}
	}
	r.finish(c)
	return nil
}

func (r *report) finish(c *contest) {
	c.finish()
	c.print(os.Stdout)
	r.Contests = append(r.Contests, c)
}

// profile runs the product once more under its CPU profiler. The profiles stay beside the binaries.
func (r *report) profile(b *bench, d agentdata.Data, backlog string) error {
	for _, stage := range []string{"write", "load"} {
		file := filepath.Join(b.build, "bench-chain."+stage+"."+d.Signal+".prof")
		files := filepath.Join(b.dir, "written")
		defer os.RemoveAll(files)
		var err error
		if stage == "write" {
			_, err = b.write(product, d, files, file)
		} else {
			_, err = b.load(product, d, backlog, file, false, nil)
		}
		if err != nil {
			return err
		}
		for _, order := range []string{"-flat", "-cum"} {
			out, err := exec.CommandContext(b.ctx, "go", "tool", "pprof", "-top", order, "-nodecount=45", file).CombinedOutput()
			if err != nil {
				return fmt.Errorf("go tool pprof: %w: %s", err, out)
			}
			if err := os.WriteFile(file+order+".txt", out, 0o644); err != nil {
				return err
			}
		}
		progress("profile of %s, %s: go tool pprof %s", stage, d.Signal, file)
	}
	return nil
}

var begin = time.Now()

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "[%5.0fs] %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
}

func describe() string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%s, %d cores, %s of memory, Linux %s, %s", machine.Processor(), runtime.NumCPU(),
		machine.Field("/proc/meminfo", "MemTotal"), strings.TrimSpace(string(kernel)), runtime.Version())
}

func versions(build string) map[string]string {
	out := map[string]string{}
	for name, args := range map[string][]string{
		"commit":     {"git", "-C", filepath.Dir(build), "describe", "--always", "--dirty", "--abbrev=12"},
		"tailrace":   {filepath.Join(build, "tailrace"), "--version"},
		"peer":       {filepath.Join(build, "peer", "peer"), "--version"},
		"clickhouse": {filepath.Join(build, "tailrace-clickhouse"), "--version"},
	} {
		raw, _ := exec.Command(args[0], args[1:]...).Output()
		out[name] = strings.TrimSpace(string(raw))
	}
	return out
}
