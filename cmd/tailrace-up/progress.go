// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	progressTerminal = 2 * time.Second
	progressPlain    = 10 * time.Second
)

// countRows asks for all signals at once; metrics have a table per kind.
const countRows = `SELECT (SELECT count() FROM tailrace.otel_traces), (SELECT count() FROM tailrace.otel_logs),
 (SELECT ifNull(sum(total_rows), 0) FROM system.tables WHERE database = 'tailrace' AND name LIKE 'otel_metrics_%') FORMAT TSV`

// waitReady waits until the collector is healthy and ClickHouse has the tables.
func waitReady(ctx context.Context, set settings, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		err := healthy(ctx, set)
		if err == nil {
			_, err = query(ctx, set, countRows)
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer within %s: %w", timeout, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func healthy(ctx context.Context, set settings) error {
	_, err := fetch(ctx, http.MethodGet, "http://"+set.get("TAILRACE_HEALTH"), "", nil)
	return err
}

func query(ctx context.Context, set settings, sql string) (string, error) {
	return fetch(ctx, http.MethodPost, "http://127.0.0.1:"+set.get("TAILRACE_CLICKHOUSE_HTTP"), sql,
		map[string]string{"X-ClickHouse-User": "tailrace", "X-ClickHouse-Key": set.password})
}

func fetch(ctx context.Context, method, url, body string, header map[string]string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Close = true // an idle connection of ours would hold up ClickHouse's shutdown
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answers %s: %.200s", url, resp.Status, answer)
	}
	return string(answer), nil
}

// showProgress writes counts until the collector ends: one line that stays in place on a terminal.
func showProgress(ctx context.Context, set settings, screen *screen) {
	every := progressPlain
	if screen.terminal {
		every = progressTerminal
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		rows := "ClickHouse does not answer; files wait"
		if answer, err := query(ctx, set, countRows); err == nil {
			counts := append(strings.Fields(answer), "0", "0", "0")
			rows = fmt.Sprintf("rows: %s spans, %s logs, %s metric points", counts[0], counts[1], counts[2])
		}
		open, pending, processed, failed := countFiles(filepath.Join(set.data, "jsonl"))
		screen.status(fmt.Sprintf("%s  files: %d open, %d pending, %d processed, %d failed   %s",
			time.Now().Format(time.TimeOnly), open, pending, processed, failed, rows))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func countFiles(base string) (open, pending, processed, failed int) {
	_ = filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // files move while we look: what is gone is not counted
		}
		switch dir := filepath.Base(filepath.Dir(path)); {
		case strings.HasSuffix(path, ".jsonl.open"):
			open++
		case !strings.HasSuffix(path, ".jsonl"):
		case dir == "processed":
			processed++
		case dir == "failed":
			failed++
		default:
			pending++
		}
		return nil
	})
	return open, pending, processed, failed
}

// screen writes lines, and below them one status line that is overwritten in place on a terminal.
type screen struct {
	mu       sync.Mutex
	out      *os.File
	terminal bool
	inPlace  bool // a status line stands at the cursor
}

func newScreen(out *os.File) *screen {
	info, err := out.Stat()
	return &screen{out: out, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"}
}

func (s *screen) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	fmt.Fprintf(s.out, format+"\n", args...)
}

func (s *screen) status(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.terminal {
		fmt.Fprintln(s.out, text)
		return
	}
	if width, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && width > 1 && len(text) >= width {
		text = text[:width-1]
	}
	s.clear()
	fmt.Fprint(s.out, text)
	s.inPlace = true
}

func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inPlace {
		fmt.Fprintln(s.out)
		s.inPlace = false
	}
}

// clear empties the status line. The caller holds mu.
func (s *screen) clear() {
	if s.inPlace {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.inPlace = false
	}
}
