// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sizes collects how many lines the groups have, and which go on in the next one.
type sizes struct {
	lines []int
	cut   []bool
}

func (s *sizes) emit(g Group[int]) {
	s.lines = append(s.lines, len(g.Lines))
	s.cut = append(s.cut, g.Cut)
}

func TestGroupIsBoundedInLines(t *testing.T) {
	var g Grouper[int]
	var got sizes
	g.Add("Error: deep", 0, start0, got.emit)
	for i := range MaxGroupLines {
		g.Add("    at f (a.js:1:1)", i, start0, got.emit)
	}
	g.Add("next", 0, start0, got.emit)
	g.Flush(got.emit)
	assert.Equal(t, []int{MaxGroupLines, 1, 1}, got.lines)
	assert.Equal(t, []bool{true, false, false}, got.cut)
}

func TestGroupIsBoundedInBytes(t *testing.T) {
	var g Grouper[int]
	var got sizes
	frame := "    at f (a.js:1:1)" + strings.Repeat("x", 100_000)
	g.Add("Error: wide", 0, start0, got.emit)
	for i := range 5 {
		g.Add(frame, i, start0, got.emit)
	}
	g.Flush(got.emit)
	assert.Equal(t, []int{3, 2, 1}, got.lines)
}

func TestGroupIsBoundedInTime(t *testing.T) {
	var g Grouper[int]
	var got sizes
	g.Add("Error: slow", 0, start0, got.emit)
	for now := start0; now.Sub(start0) < 3*MaxGroupAge; now = now.Add(MaxHold / 2) {
		g.Add("    at f (a.js:1:1)", 0, now, got.emit)
		require.Positive(t, g.Pause(now, got.emit))
	}
	assert.Len(t, got.lines, 2)
}

func TestOrdinaryLinesDoNotWait(t *testing.T) {
	for _, line := range []string{
		"", "plain", `{"level":50,"msg":"Error: x"}`, "2026-03-01 12:00:00,123 INFO started", "info: started", "  indented", "level=info msg=x",
	} {
		var g Grouper[int]
		var got sizes
		g.Add(line, 0, start0, got.emit)
		assert.Zero(t, g.Pause(start0, got.emit), line)
		assert.Equal(t, []int{1}, got.lines, line)
	}
}

// TestOrdinaryLinesBehindAnError are not part of it, and wait no longer than it does.
func TestOrdinaryLinesBehindAnError(t *testing.T) {
	var g Grouper[int]
	var got sizes
	g.Add("Error: x", 0, start0, got.emit)
	later := start0.Add(MaxHold - time.Millisecond)
	g.Add("one", 1, later, got.emit)
	g.Add("two", 2, later, got.emit)
	assert.Equal(t, time.Millisecond, g.Pause(later, got.emit))
	assert.Empty(t, got.lines)
	assert.Zero(t, g.Pause(start0.Add(MaxHold), got.emit))
	assert.Equal(t, []int{1, 1, 1}, got.lines)
}

func TestTimes(t *testing.T) {
	berlin := time.FixedZone("", 3600)
	want := time.Date(2026, 3, 1, 12, 0, 0, 123_000_000, time.UTC)
	for text, location := range map[string]*time.Location{
		"2026-03-01T12:00:00.123Z": time.UTC, "2026-03-01 12:00:00,123": time.UTC, "2026-03-01 13:00:00.123": berlin,
		"2026/03/01 12:00:00.123": time.UTC, "2026-03-01T13:00:00.123+01:00": time.UTC, "2026-03-01T07:00:00.123-0500": berlin,
		"2026-03-01 12:00:00.123 UTC": berlin, "2026-03-01 12:00:00.123 +0000": berlin, "2026-03-01T10:00:00.123-02": berlin,
		"1772366400.123": berlin, "1772366400123": berlin, "1772366400123000": berlin, "1772366400123000000": berlin,
	} {
		p := Parser{location: location}
		ns, ok := p.stampText(text)
		assert.True(t, ok, text)
		assert.Equal(t, want, time.Unix(0, ns).UTC(), text)
	}
	for _, text := range []string{
		"", "12:00:00", "2026-03-01", "2026-02-30T25:00:00Z", "2026-00-01 12:00:00", "17", "1e12", "-1772366400", "99999999999999999999",
		"1772366400.", "2026-03-01T12:00:00.123Z or so",
	} {
		p := Parser{location: time.UTC}
		_, ok := p.stampText(text)
		assert.False(t, ok, text)
	}
}

// TestKlogAtTheTurnOfTheYear: its lines name no year.
func TestKlogAtTheTurnOfTheYear(t *testing.T) {
	p := Parser{Location: time.UTC}
	for read, want := range map[time.Time]int{
		time.Date(2027, 1, 1, 0, 0, 1, 0, time.UTC):      2026,
		time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC): 2026,
	} {
		r := p.Parse("W1231 23:59:59.000001   1 a.go:1] x", ModeAuto, read)
		assert.Equal(t, want, time.Unix(0, r.Time).UTC().Year())
	}
	r := p.Parse("W0101 00:00:00.000001   1 a.go:1] x", ModeAuto, time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC))
	assert.Equal(t, 2027, time.Unix(0, r.Time).UTC().Year())
}

func TestWhatDoesNotFitIsMarked(t *testing.T) {
	var b strings.Builder
	for i := range maxFields + 10 {
		fmt.Fprintf(&b, `"k%d":1,`, i)
	}
	var p Parser
	r := p.Parse(`{`+b.String()+`"msg":"x"}`, ModeJSON, start0)
	assert.True(t, r.Lossy)
	assert.Len(t, r.Fields, maxFields)
	deep := strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)
	assert.Equal(t, FormatNone, p.Parse(`{"msg":"x","deep":`+deep+`}`, ModeAuto, start0).Format)
	long := strings.Repeat("k", maxPrefix+1)
	r = p.Parse(`{"msg":"x","`+long+`":{"a":1}}`, ModeAuto, start0)
	assert.Equal(t, []Field{{Key: long, Kind: KindJSON, Str: `{"a":1}`}}, r.Fields)
}

func TestLogfmtMode(t *testing.T) {
	var p Parser
	r := p.Parse(`done ok=1 word a="x y"`, ModeLogfmt, start0)
	assert.Equal(t, FormatLogfmt, r.Format)
	assert.Equal(t, []Field{
		{Key: "done", Kind: KindBool, Int: 1}, {Key: "ok", Kind: KindString, Str: "1"},
		{Key: "word", Kind: KindBool, Int: 1}, {Key: "a", Kind: KindString, Str: "x y"},
	}, r.Fields)
	for _, line := range []string{"no pairs at all", `a="open`, "a=b c=d", "ERROR x"} {
		assert.NotEqual(t, FormatLogfmt, p.Parse(line, ModeAuto, start0).Format, line)
	}
}
