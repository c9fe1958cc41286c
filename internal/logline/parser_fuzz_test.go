// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzLogfmtValues: what was written as logfmt is read again.
func FuzzLogfmtValues(f *testing.F) {
	f.Add("plain", "two words", "a=b")
	f.Add("", `with "quotes" and \`, "line\nbreak\x00")
	f.Add("äöü🦊", "\u2028", "-")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if !utf8.ValidString(a) || !utf8.ValidString(b) || !utf8.ValidString(c) {
			return
		}
		values := []string{a, b, c}
		line := "a=" + strconv.Quote(a) + " b.b=" + strconv.Quote(b) + "\t/c=" + strconv.Quote(c) + " end=x"
		var p Parser
		if !p.logfmt(line, false) {
			t.Fatalf("%q is refused", line)
		}
		for i, want := range values {
			if got := p.record.Fields[i]; got.Kind != KindString || got.Str != want {
				t.Fatalf("%q: %q is %q, want %q", line, got.Key, got.Str, want)
			}
		}
	})
}

// FuzzStamp compares with the time package.
func FuzzStamp(f *testing.F) {
	for _, s := range []string{
		"2026-03-01T12:00:00Z", "2026-03-01T12:00:00.123456789+05:30", "1970-01-01T00:00:01Z", "2026-02-30T00:00:00Z", "2026-03-01 12:00:00,5",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := Parser{location: time.UTC}
		ns, ok := p.stampText(s)
		want, err := time.Parse(time.RFC3339Nano, s)
		if err != nil || !strings.Contains(s, "T") {
			return
		}
		if ok && ns != want.UnixNano() {
			t.Fatalf("%q is %d, want %d", s, ns, want.UnixNano())
		}
	})
}

var traceparentPattern = regexp.MustCompile(`^([0-9a-fA-F]{2})-([0-9a-fA-F]{32})-([0-9a-fA-F]{16})-[0-9a-fA-F]{2}$`)

func FuzzTraceparent(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Add("00-00000000000000000000000000000000-00f067aa0ba902b7-01")
	f.Add("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) != traceparentLength {
			return
		}
		var r Record
		got := r.traceparent(s)
		parts := traceparentPattern.FindStringSubmatch(s)
		want := parts != nil && !strings.EqualFold(parts[1], "ff") && strings.Trim(parts[2], "0") != "" && strings.Trim(parts[3], "0") != ""
		if got != want {
			t.Fatalf("%q: %t, want %t", s, got, want)
		}
	})
}
