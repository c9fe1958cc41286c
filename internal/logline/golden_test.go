// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with a file, which -update writes.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

// samples returns the lines of each file of a folder in testdata.
func samples(t testing.TB, folder string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.txt"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	all := map[string][]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		all[strings.TrimSuffix(file, ".txt")] = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	}
	return all
}

var start0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// grouped feeds lines, with a pause after each one when it is not 0, and returns what comes out.
func grouped(lines []string, pause time.Duration) []string {
	var g Grouper[int]
	var out []string
	emit := func(group Group[int]) {
		var b strings.Builder
		fmt.Fprintf(&b, "=== %d %s", len(group.Lines), group.Severity)
		if group.Cut {
			b.WriteString(" cut")
		}
		for _, item := range group.Lines {
			b.WriteString("\n" + item.Line)
		}
		out = append(out, b.String())
	}
	now := start0
	for i, line := range lines {
		g.Add(line, i, now, emit)
		if pause > 0 {
			g.Pause(now, emit)
			now = now.Add(pause)
			g.Pause(now, emit)
		}
	}
	g.Flush(emit)
	return out
}

func TestTracesBecomeOneGroup(t *testing.T) {
	for name, lines := range samples(t, "traces") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			golden(t, name+".golden", strings.Join(grouped(lines, 0), "\n")+"\n")
		})
	}
}

// TestGroupsDoNotDependOnTiming: a program that is interrupted within a trace gives the same record.
func TestGroupsDoNotDependOnTiming(t *testing.T) {
	for name, lines := range samples(t, "traces") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			assert.Equal(t, grouped(lines, 0), grouped(lines, time.Millisecond))
		})
	}
}

// described is a record as text.
func described(r *Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s %d %s", r.Format, r.Severity, r.SeverityText)
	if r.Time != 0 {
		b.WriteString(" " + time.Unix(0, r.Time).UTC().Format(time.RFC3339Nano))
	}
	if r.TraceID != [16]byte{} || r.SpanID != [8]byte{} {
		fmt.Fprintf(&b, " %x %x %d", r.TraceID, r.SpanID, r.Flags)
	}
	fmt.Fprintf(&b, "\n  body %q\n", r.Body)
	for _, f := range r.Fields {
		kind := [...]string{"null", "string", "int", "float", "bool", "json"}[f.Kind]
		value := fmt.Sprintf("%q", f.Str)
		switch f.Kind {
		case KindInt, KindBool:
			value = fmt.Sprint(f.Int)
		case KindFloat:
			value = fmt.Sprint(f.Float)
		}
		fmt.Fprintf(&b, "  %s %s %s\n", kind, f.Key, value)
	}
	return b.String()
}

func TestLinesOfTheLoggers(t *testing.T) {
	for name, lines := range samples(t, "lines") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			p := Parser{Location: time.UTC}
			var b strings.Builder
			for _, line := range lines {
				b.WriteString(line + "\n" + described(p.Parse(line, ModeAuto, start0)))
			}
			golden(t, name+".golden", b.String())
		})
	}
}
