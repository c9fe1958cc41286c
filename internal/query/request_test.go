// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
)

func TestParse(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ask := func(kind Kind, query string) (Request, error) {
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		return Parse(kind, values, now)
	}
	_, err := ask(KindSpans, "start=-1h30m&end=2026-03-01T11:00:00%2B01:00")
	require.Error(t, err, "start is after end")
	r, err := ask(KindSpans, "project=a&project=b&start=-3h30m&end=2026-03-01T11:00:00%2B01:00&min_duration=1.5s&max_duration=2000&attribute=k%3Dv%3Dw&attribute=e&has_error=false&trace_id=0AF76519-16CD-43DD-8448-EB211C80319C&limit=7&order=asc&detail=full")
	require.NoError(t, err)
	no := false
	assert.Equal(t, Filter{
		Projects: []string{"a", "b"}, Start: now.Add(-3*time.Hour - 30*time.Minute), End: now.Add(-2 * time.Hour), MinDuration: 1500 * time.Millisecond, MaxDuration: 2 * time.Second, HasMin: true, HasMax: true,
		Attributes: []Attribute{{"k", "v=w", true}, {"e", "", false}}, HasError: &no, TraceID: "0af7651916cd43dd8448eb211c80319c",
	}, r.Filter)
	assert.Equal(t, 7, r.Limit)
	assert.True(t, r.Ascending && r.Full)

	for query, param := range map[string]string{
		"colour=red": "colour", "kind=Server": "kind", "limit=x": "limit", "limit=0": "limit", "limit=1001": "limit", "start=tomorrow": "start", "start=-": "start", "start=-5": "", "start=--1h": "start",
		"end=1000-01-01T00:00:00Z": "end", "min_duration=-1s": "min_duration", "min_duration=NaN": "min_duration", "min_duration=1e300": "min_duration", "min_duration=5m&max_duration=1m": "min_duration",
		"regex=(": "regex", "attribute==v": "attribute", "service=": "service", "trace_id=xyz": "trace_id", "has_error=maybe": "has_error", "text=%00": "text", "text=%FF": "text",
		"limit=1&limit=2": "limit", "around=x": "around", "root_only": "",
	} {
		_, err := ask(KindSpans, query)
		var wrong *ParamError
		if param == "" {
			assert.NoError(t, err, query)
		} else if assert.ErrorAs(t, err, &wrong, query) {
			assert.Equal(t, param, wrong.Param)
		}
	}
	_, err = ask(KindLogs, "kind=server")
	assert.ErrorContains(t, err, `"kind": unknown here; known are after, around, attribute, before`)
	_, err = ask(KindLogs, "before=a&after=b")
	assert.Error(t, err)
	_, err = Parse(KindLogs, map[string][]string{"service": make([]string, MaxValues+1)}, now)
	assert.Error(t, err)
	_, err = Parse(KindLogs, map[string][]string{"text": {strings.Repeat("x", MaxValueBytes+1)}}, now)
	assert.Error(t, err)
}

func TestEveryParameterIsRead(t *testing.T) {
	for kind, names := range parameters {
		for _, name := range names {
			if filters[name] != nil {
				continue
			}
			read := false
			for _, value := range []string{"7", "asc", "full", "1h", "p50"} {
				var r Request
				read = read || r.option(name, []string{value}) == nil && !assert.ObjectsAreEqual(Request{}, r)
			}
			assert.True(t, read, "%s of %s changes nothing", name, kind)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"250ms": 250 * time.Millisecond, "1.5s": 1500 * time.Millisecond, "1h30m": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "1w2d3h": (9*24 + 3) * time.Hour, "0": 0, "15": 15 * time.Millisecond, "0.5d": 12 * time.Hour,
	} {
		got, err := parseDuration(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "x", "-1s", "d", "1d-2h", "99999999w", "1y", "Inf", "1e400"} {
		_, err := parseDuration(text)
		assert.Error(t, err, text)
	}
}

func TestCursor(t *testing.T) {
	c := cursor{hash: [8]byte{1, 2}, start: t0, end: t0.Add(time.Hour), width: 2 * time.Hour, at: position{t0.UnixNano() + 5, []string{"a", "", "\x00'"}}, scope: []string{"server", "s", "p"}}
	got, err := parseCursor(c.String(), c.hash, 3)
	require.NoError(t, err)
	assert.Equal(t, c, got)
	_, err = parseCursor(c.String(), [8]byte{9}, 3)
	assert.Error(t, err, "of another question")
	_, err = parseCursor(c.String(), c.hash, 2)
	assert.Error(t, err, "of another list")

	raw, _ := base64.RawURLEncoding.DecodeString(c.String())
	for i := range raw { // every single accident is noticed
		bad := append([]byte{}, raw...)
		bad[i] ^= 1
		_, err := parseCursor(base64.RawURLEncoding.EncodeToString(bad), c.hash, 3)
		require.Error(t, err, "byte %d", i)
		_, err = parseCursor(base64.RawURLEncoding.EncodeToString(raw[:i]), c.hash, 3)
		require.Error(t, err, "cut at %d", i)
	}
}

func TestCursorsBelongToTheirQuestion(t *testing.T) {
	a, b := parse(t, KindSpans, "service=x&limit=5"), parse(t, KindSpans, "service=x&limit=9")
	assert.Equal(t, a.hash, b.hash, "the limit may change")
	for _, other := range []Request{parse(t, KindSpans, "service=y"), parse(t, KindTraces, "service=x"), parse(t, KindSpans, "service=x&order=asc"), parse(t, KindSpans, "project=x")} {
		assert.NotEqual(t, a.hash, other.hash)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"project=a&start=-15m", "attribute=k%3Dv&level=warn&regex=a.*b", "trace_id=0af7651916cd43dd8448eb211c80319c&min_duration=5&max_duration=7d", "group_by=service&step=1m&aggregate=p99",
		"around=01HZY&limit=3", "cursor=AQ", "has_error", "start=2026-03-01T12:00:00.123456789Z&end=now", "text=%27+OR+1%3D1"} {
		f.Add("logs", seed)
		f.Add("spans", seed)
		f.Add("metric series", seed)
	}
	f.Fuzz(func(t *testing.T, kind, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		r, err := Parse(Kind(kind), values, now)
		if err != nil {
			if wrong := (*ParamError)(nil); !errors.As(err, &wrong) {
				t.Fatalf("%T", err)
			}
			return
		}
		again, err := Parse(Kind(kind), values, now)
		if err != nil || again.hash != r.hash {
			t.Fatal("the same question is another one")
		}
		if r.Limit < 1 || r.Limit > MaxLimit || !r.Filter.Start.IsZero() && !r.Filter.End.IsZero() && !r.Filter.Start.Before(r.Filter.End) {
			t.Fatalf("%+v", r)
		}
		// Whatever was given, its text is in no statement.
		s := newStatement()
		if _, err := restrict(s, access.Local(), r.Filter.Projects); err != nil {
			t.Fatal(err)
		}
		r.Filter.spans(s)
		r.Filter.logs(s)
		r.Filter.within(s, "Timestamp")
		if span, err := r.span(); err == nil && span.buckets() > maxBuckets {
			t.Fatal(span)
		}
		if strings.ContainsAny(strings.NewReplacer(`''`, "", `'Error'`, "", `','`, "").Replace(s.text()), "'\"\\;#`") || strings.Contains(s.text(), "--") {
			t.Fatal(s.text())
		}
		for name, value := range s.params {
			if strings.Trim(value, "0123456789abcdef,-") != "" {
				t.Fatalf("%s: %q", name, value)
			}
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add(cursor{at: position{1, []string{"a", "b"}}}.String(), 2)
	f.Add(cursor{start: t0, end: t0, width: time.Hour, at: position{-1, []string{"", "", ""}}, scope: []string{"server", "x", "y"}}.String(), 3)
	f.Add("", 0)
	f.Add("AQ", 1)
	f.Fuzz(func(t *testing.T, text string, keys int) {
		c, err := parseCursor(text, [8]byte{}, keys)
		if err != nil {
			return
		}
		if len(c.at.keys) != keys || c.scope != nil && len(c.scope) != scopeSize {
			t.Fatalf("%+v", c)
		}
		again, err := parseCursor(c.String(), [8]byte{}, keys)
		if err != nil || again.String() != c.String() {
			t.Fatalf("%v: %+v is not %+v", err, again, c)
		}
	})
}
