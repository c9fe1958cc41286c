// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Command tailrace-up runs the whole product on one machine for a person at a terminal: it generates
// what has no default (the ClickHouse password), starts the collector, says where everything is and
// shows the data move. `make run` starts it. The collector itself needs none of this.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// readyTimeout bounds the wait for a first answer; a warm start takes about two seconds.
const readyTimeout = 60 * time.Second

func main() {
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), `Usage: tailrace-up [--config FILE]

Starts the collector beside this program with FILE, prints where everything is, and shows the data move.
Ctrl-C stops everything. Environment (defaults):
%s`, describeSettings())
		flag.PrintDefaults()
	}
	config := flag.String("config", "config/local.yaml", "configuration `file` of the collector")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "tailrace-up: unexpected argument %q\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*config); err != nil {
		fmt.Fprintln(os.Stderr, "tailrace-up:", err)
		os.Exit(1)
	}
}

func run(config string) error {
	set, err := loadSettings(os.Getenv)
	if err != nil {
		return err
	}
	if err := checkPorts(set); err != nil {
		return err
	}
	screen := newScreen(os.Stdout)
	log, err := openLog(filepath.Join(set.data, "tailrace.log"), func(line string) { screen.line("%s", line) })
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	collector, err := collectorPath()
	if err != nil {
		return err
	}

	// The collector gets a process group of its own, so that Ctrl-C reaches it once, through us.
	cmd := exec.Command(collector, "--config", config)
	cmd.Env = append(os.Environ(), set.environ()...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	started := time.Now()
	if err := start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", collector, err)
	}
	ctx, ended := context.WithCancel(context.Background())
	exit := make(chan error, 1)
	go func() {
		exit <- cmd.Wait()
		ended()
	}()

	go func() {
		err := waitReady(ctx, set, readyTimeout)
		log.showing.Store(true)
		if err != nil {
			if ctx.Err() == nil {
				screen.line("Not ready: %v\n%s\nThe whole log is %s", err, log.tail(), log.path)
			}
			return
		}
		screen.line("%s", summary(set, time.Since(started), log.path))
		showProgress(ctx, set, screen)
	}()

	stopping := false
	for {
		select {
		case s := <-signals:
			if !stopping {
				screen.line("Stopping: children end, files are published, ClickHouse closes …")
			}
			stopping = true
			_ = cmd.Process.Signal(s)
		case err := <-exit:
			screen.end()
			if err == nil || (stopping && exitedBySignal(err)) {
				return nil
			}
			return fmt.Errorf("the collector ended: %w\n%s\nThe whole log is %s", err, log.tail(), log.path)
		}
	}
}

func exitedBySignal(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == -1
}

// collectorPath finds the collector beside this program.
func collectorPath() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find my own path: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), "tailrace")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no collector at %s: run `make build`", path)
	}
	return path, nil
}

func summary(set settings, took time.Duration, log string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Tailrace is running (ready after %.1f s).\n\n", took.Seconds())
	for _, row := range [][2]string{
		{"OTLP", fmt.Sprintf("grpc %s   http http://%s", set.get("TAILRACE_OTLP_GRPC"), set.get("TAILRACE_OTLP_HTTP"))},
		{"Console", fmt.Sprintf("http://%s   REST: /api/v1/openapi.json", set.get("TAILRACE_CONSOLE"))},
		{"Live tail", fmt.Sprintf("ws://%s/ws   try: go run ./examples/watch server:shop-agent-1", set.get("TAILRACE_CONSOLE"))},
		{"Files", filepath.Join(set.data, "jsonl") + "/{spans,logs,metrics,scores}/{project}/"},
		{"ClickHouse", fmt.Sprintf("http://localhost:%s   native %s   database tailrace, user tailrace, password in %s",
			set.get("TAILRACE_CLICKHOUSE_HTTP"), set.get("TAILRACE_CLICKHOUSE_TCP"), set.passwordFile())},
		{"Health", fmt.Sprintf("http://%s   metrics http://localhost:%s/metrics", set.get("TAILRACE_HEALTH"), set.get("TAILRACE_METRICS_PORT"))},
		{"Log", log},
	} {
		fmt.Fprintf(&b, "  %-11s %s\n", row[0], row[1])
	}
	b.WriteString("\nCtrl-C stops everything.\n")
	return b.String()
}
