// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func seed(f *testing.F, folder string) {
	for _, lines := range samples(f, folder) {
		for _, line := range lines {
			f.Add(line)
		}
	}
}

// checked fails when r is not what every record is.
func checked(t *testing.T, line string, r *Record) {
	if len(r.Fields) > maxFields {
		t.Fatalf("%d fields", len(r.Fields))
	}
	if r.Severity > 24 || r.Severity == 0 != (r.SeverityText == "") {
		t.Fatalf("severity %d %q", r.Severity, r.SeverityText)
	}
	if d := r.Time - start0.UnixNano(); r.Time != 0 && (d > int64(nearby) || d < -int64(nearby)) {
		t.Fatalf("time %d", r.Time)
	}
	if r.Format == FormatText && r.Body != line || r.Format == FormatNone && (r.Body != line || len(r.Fields) > 0) {
		t.Fatalf("%s with body %q", r.Format, r.Body)
	}
	size := 0
	valid := utf8.ValidString(line)
	for _, f := range r.Fields {
		size += len(f.Str)
		if len(f.Key) > maxPrefix+1+len(line) {
			t.Fatalf("a name of %d bytes", len(f.Key))
		}
		if f.Key == "" || valid && (!utf8.ValidString(f.Key) || !utf8.ValidString(f.Str)) {
			t.Fatalf("field %q %q", f.Key, f.Str)
		}
	}
	if size += len(r.Body); size > 3*len(line) {
		t.Fatalf("%d bytes of %d", size, len(line))
	}
	if valid && (!utf8.ValidString(r.Body) || !utf8.ValidString(r.SeverityText)) {
		t.Fatalf("body %q", r.Body)
	}
}

func FuzzParse(f *testing.F) {
	seed(f, "lines")
	f.Fuzz(func(t *testing.T, line string) {
		p := Parser{Location: time.UTC}
		for _, mode := range []Mode{ModeAuto, ModeJSON, ModeLogfmt, ModeNone} {
			r := p.Parse(line, mode, start0)
			checked(t, line, r)
			first := described(r)
			if again := described(p.Parse(line, mode, start0)); again != first {
				t.Fatalf("%q and then %q", first, again)
			}
		}
	})
}

// FuzzJSON compares with encoding/json.
func FuzzJSON(f *testing.F) {
	seed(f, "lines")
	f.Add(`{"a":{"b":[{"c":-0.5e+3}]},"":"","d":"\ud800\udc00"}`)
	f.Fuzz(func(t *testing.T, line string) {
		if !strings.HasPrefix(line, "{") || !utf8.ValidString(line) {
			return
		}
		var p Parser
		got := p.json(line)
		if want := json.Valid([]byte(line)); got != want && strings.Count(line, "[")+strings.Count(line, "{") <= maxDepth {
			t.Fatalf("accepted %v, want %v", got, want)
		}
		if !got || p.record.Lossy {
			return
		}
		var values map[string]any
		if json.Unmarshal([]byte(line), &values) != nil {
			return // a number out of range
		}
		last := map[string]Field{}
		for _, f := range p.record.Fields {
			last[f.Key] = f
		}
		for key, value := range values {
			if want, ok := value.(string); ok && !strings.Contains(line, ".") {
				if have := last[key]; have.Kind == KindString && have.Str != want {
					t.Fatalf("%q is %q, want %q", key, have.Str, want)
				}
			}
		}
	})
}

func FuzzLogfmt(f *testing.F) {
	seed(f, "lines")
	f.Add(`a="b\u00e9\x41" c d=`)
	f.Fuzz(func(t *testing.T, line string) {
		var p Parser
		p.logfmt(line, true)
		if len(p.record.Fields) > maxFields {
			t.Fatal("too many fields")
		}
	})
}

func FuzzStripANSI(f *testing.F) {
	f.Add("\x1b[1;31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\ \x1b(B \x1b[")
	f.Fuzz(func(t *testing.T, line string) {
		got := StripANSI(line)
		if len(got) > len(line) || utf8.ValidString(line) && !utf8.ValidString(got) {
			t.Fatalf("%q", got)
		}
		if strings.IndexByte(line, escape) < 0 && got != line {
			t.Fatalf("%q", got)
		}
		if strings.IndexByte(got, escape) >= 0 {
			t.Fatalf("%q has an escape left", got)
		}
	})
}

// FuzzGrouper holds: every line comes out once, in order, and none is held longer than it may.
func FuzzGrouper(f *testing.F) {
	for _, lines := range samples(f, "traces") {
		f.Add(strings.Join(lines, "\n"), byte(3))
	}
	f.Fuzz(func(t *testing.T, text string, step byte) {
		var g Grouper[int]
		next, fed := 0, []time.Time(nil)
		now := start0
		emit := func(group Group[int]) {
			if len(group.Lines) == 0 || len(group.Lines) > MaxGroupLines {
				t.Fatalf("a group of %d", len(group.Lines))
			}
			for _, item := range group.Lines {
				if item.With != next {
					t.Fatalf("line %d instead of %d", item.With, next)
				}
				if held := now.Sub(fed[next]); step%2 == 1 && len(group.Lines) == 1 && held > MaxHold {
					t.Fatalf("line %d was held %s", next, held)
				}
				next++
			}
		}
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			fed = append(fed, now)
			g.Add(line, i, now, emit)
			then := now.Add(time.Duration(step) * time.Millisecond / 4)
			for step%2 == 1 { // as the timer of the caller does
				hold := g.Pause(now, emit)
				if hold > MaxHold || hold > 0 == g.Empty() {
					t.Fatalf("hold %s", hold)
				}
				if hold == 0 || now.Add(hold).After(then) {
					break
				}
				now = now.Add(hold)
			}
			now = then
		}
		for hold := g.Pause(now, emit); hold > 0; hold = g.Pause(now, emit) {
			now = now.Add(hold)
		}
		if !g.Empty() || next != len(lines) {
			t.Fatalf("%d of %d lines", next, len(lines))
		}
	})
}
