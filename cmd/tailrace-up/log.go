// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
)

// collectorLog keeps the collector's whole log in a file and shows a person only what needs attention.
type collectorLog struct {
	path string
	// showing is set once all is ready: while everything starts at the same time, that one part does not find
	// another yet is no news. A start that fails shows the last lines.
	showing atomic.Bool

	mu   sync.Mutex // guards all below
	file *os.File
	show func(line string)
	rest []byte   // a line that has not ended yet
	last []string // the last lines, for the message when the collector fails
}

const keptLines = 8

func openLog(path string, show func(line string)) (*collectorLog, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return &collectorLog{path: path, file: file, show: show}, nil
}

// Write implements io.Writer.
func (l *collectorLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.file.Write(p)
	l.rest = append(l.rest, p...)
	for {
		end := bytes.IndexByte(l.rest, '\n')
		if end < 0 {
			return n, err
		}
		line := string(l.rest[:end])
		l.rest = l.rest[end+1:]
		l.last = append(l.last, line)
		if len(l.last) > keptLines {
			l.last = l.last[1:]
		}
		if l.showing.Load() && needsAttention(line) {
			l.show(line)
		}
	}
}

// tail returns the last lines of the log.
func (l *collectorLog) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.last, "\n")
}

func (l *collectorLog) Close() error { return l.file.Close() }

// needsAttention tells warnings and errors of the collector's console encoding (tab-separated, the level second).
func needsAttention(line string) bool {
	fields := strings.SplitN(line, "\t", 3)
	if len(fields) < 3 {
		return false
	}
	switch fields[1] {
	case "warn", "error", "dpanic", "panic", "fatal":
		return true
	}
	return false
}
