// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Command report runs the comparisons one after the other and writes what they print into docs/benchmarks.md, each between the lines
//
//	<!-- bench:NAME -->
//	<!-- /bench:NAME -->
//
// and all of it for machines into docs/benchmarks.json. What stands around these lines is written by hand, and stays. A comparison
// that fails leaves its part as it was, and makes the command fail.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tailrace/tailrace/bench/machine"
)

// comparison is one part of the report.
type comparison struct {
	name string
	// folder is where it runs, from the root.
	folder string
	// args is the command; {runs} and {json} are filled in.
	args []string
	// fenced puts its output into a block of code: it prints no Markdown.
	fenced bool
}

var comparisons = []comparison{
	{name: "lines", folder: "bench", args: []string{"go", "run", "./lines", "-runs", "{runs}", "-json", "{json}"}},
	{name: "chain", folder: ".", args: []string{"_build/bench-chain", "-build", "_build", "-runs", "{runs}", "-spans", "150000", "-logs", "250000", "-fresh", "20s", "-out", "{json}"}},
	{name: "flat", folder: ".", args: []string{"_build/bench-chain", "-build", "_build", "-only", "flat", "-runs", "{runs}", "-out", "{json}"}},
	{name: "live", folder: ".", args: []string{"_build/bench-live", "-runs", "{runs}", "-json", "{json}"}, fenced: true},
	{name: "columnar", folder: "bench", args: []string{"go", "test", "-run", "^$", "-bench", ".", "-benchtime", "10x", "-count", "{runs}", "-timeout", "60m", "./columnar"}, fenced: true},
}

// part is what is kept of a comparison for machines.
type part struct {
	Command string          `json:"command"`
	Began   time.Time       `json:"began"`
	Took    string          `json:"took"`
	Load    [2]string       `json:"load"` // average before and after
	Figures json.RawMessage `json:"figures,omitempty"`
	Output  string          `json:"output"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run() error {
	var names []string
	for _, c := range comparisons {
		names = append(names, c.name)
	}
	root := flag.String("root", "..", "folder of the repository; what is compared is built already (make bench does it)")
	runs := flag.Int("runs", 5, "runs of each side, in turns")
	only := flag.String("only", "", "some of "+strings.Join(names, ",")+"; the others stay as they are")
	flag.Parse()
	wanted := strings.FieldsFunc(*only, func(r rune) bool { return r == ',' })
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			return fmt.Errorf("-only: %q is not one of %s", name, strings.Join(names, ", "))
		}
	}
	page, data := filepath.Join(*root, "docs", "benchmarks.md"), filepath.Join(*root, "docs", "benchmarks.json")
	parts := map[string]part{}
	if raw, err := os.ReadFile(data); err == nil {
		if err := json.Unmarshal(raw, &parts); err != nil {
			return fmt.Errorf("%s: %w", data, err)
		}
	}
	var failed []error
	for _, c := range comparisons {
		if len(wanted) > 0 && !slices.Contains(wanted, c.name) {
			continue
		}
		p, err := c.run(*root, *runs)
		if err == nil {
			err = insert(page, c.name, c.text(p))
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", c.name, err))
			continue
		}
		parts[c.name] = p
		raw, err := json.MarshalIndent(parts, "", " ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(data, append(raw, '\n'), 0o644); err != nil {
			return err
		}
	}
	return errors.Join(failed...)
}

func (c comparison) run(root string, runs int) (p part, err error) {
	dir, err := os.MkdirTemp("", "tailrace-report-")
	if err != nil {
		return p, err
	}
	defer os.RemoveAll(dir)
	figures := filepath.Join(dir, "figures.json")
	fill := strings.NewReplacer("{runs}", fmt.Sprint(runs), "{json}", figures)
	var args []string
	for _, a := range c.args {
		args = append(args, fill.Replace(a))
	}
	fmt.Fprintf(os.Stderr, "\n=== %s: %s\n", c.name, strings.Join(args, " "))
	p = part{Command: strings.NewReplacer("{runs}", fmt.Sprint(runs), "{json}", "figures.json").Replace(strings.Join(c.args, " ")), Began: time.Now().UTC().Truncate(time.Second)}
	p.Load[0] = machine.Load()
	var out bytes.Buffer
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = filepath.Join(root, c.folder)
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, os.Stderr), os.Stderr
	if err := cmd.Run(); err != nil {
		return p, err
	}
	p.Took, p.Load[1] = time.Since(p.Began).Round(time.Second).String(), machine.Load()
	p.Output = strings.TrimSpace(out.String())
	if raw, err := os.ReadFile(figures); err == nil {
		p.Figures = raw
	}
	return p, nil
}

// text is what goes into the page.
func (c comparison) text(p part) string {
	head := fmt.Sprintf("Measured on %s by `%s` in %s; load average before %s, after %s.\n\n", p.Began.Format(time.DateOnly), p.Command, p.Took, p.Load[0], p.Load[1])
	if c.fenced {
		return head + "```text\n" + p.Output + "\n```\n"
	}
	return head + p.Output + "\n"
}

// insert replaces what stands between the lines of a part.
func insert(page, name, text string) error {
	raw, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	begin, end := "<!-- bench:"+name+" -->\n", "<!-- /bench:"+name+" -->\n"
	head, rest, ok := strings.Cut(string(raw), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return fmt.Errorf("%s has no lines %q and %q", page, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return os.WriteFile(page, []byte(head+begin+text+end+tail), 0o644)
}
