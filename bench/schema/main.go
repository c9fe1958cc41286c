// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Command schema measures Tailrace's tables in ClickHouse beside those that contrib's exporter creates, in the same server and the
// same run: bytes, CPU of inserting, and the questions that people ask. `make bench-schema` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

type options struct {
	build, dir   string
	spans, logs  int
	runs         int
	seed         int
	keep         bool
	only, report string
}

func main() {
	var o options
	flag.StringVar(&o.build, "build", "../_build", "folder with tailrace-clickhouse")
	flag.StringVar(&o.dir, "dir", "", "data folder; default: a temporary one below -build, removed at the end")
	flag.IntVar(&o.spans, "spans", 10_000_000, "spans")
	flag.IntVar(&o.logs, "logs", 20_000_000, "log records")
	flag.IntVar(&o.runs, "runs", 7, "runs of each question, in turns")
	flag.IntVar(&o.seed, "seed", 7, "seed of the data")
	flag.BoolVar(&o.keep, "keep", false, "keep the data folder; tables that are full already are not filled again")
	flag.StringVar(&o.only, "only", "", "layouts, separated by commas; default: all")
	flag.StringVar(&o.report, "out", "", "write the tables as Markdown to this file too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/schema:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp(o.build, "bench-schema-"); err != nil {
			return err
		}
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	if !o.keep {
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	s, err := start(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.generate(ctx, o); err != nil {
		return err
	}
	var ls []layout
	for _, l := range layouts() {
		if o.only == "" || strings.Contains(","+o.only+",", ","+l.name+",") {
			ls = append(ls, l)
		}
	}
	out := &report{}
	out.linef("%d spans, %d log records, seed %d; %s", o.spans, o.logs, o.seed, s.machine(ctx))
	if err := s.fill(ctx, ls, out); err != nil {
		return err
	}
	if err := s.ask(ctx, ls, o.runs, out); err != nil {
		return err
	}
	if o.report != "" {
		return os.WriteFile(o.report, []byte(out.text.String()), 0o644)
	}
	return nil
}
