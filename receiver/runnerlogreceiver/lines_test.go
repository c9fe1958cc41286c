// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package runnerlogreceiver

import (
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/tailrace/tailrace/internal/logline"
	"github.com/tailrace/tailrace/internal/supervise"
)

// nodeTrace prints by one write: on a busy machine a shell may pause between two for longer than lines are held together.
const nodeTrace = `printf 'Error: no card\n    at pay (/app/a.mjs:1:2)\n    at main (/app/a.mjs:9:2)\n' >&2`

const nodeText = "Error: no card\n    at pay (/app/a.mjs:1:2)\n    at main (/app/a.mjs:9:2)"

// printed returns the lines that came, without the events.
func printed(sink *consumertest.LogsSink) []flat {
	var lines []flat
	for _, r := range flatten(sink.AllLogs()) {
		if r.record.EventName() == "" {
			lines = append(lines, r)
		}
	}
	return lines
}

func awaitLines(t *testing.T, sink *consumertest.LogsSink, n int) []flat {
	t.Helper()
	require.Eventually(t, func() bool { return len(printed(sink)) >= n }, 10*time.Second, time.Millisecond)
	return printed(sink)
}

func TestStructuredLines(t *testing.T) {
	sink := &consumertest.LogsSink{}
	at := time.Now().UTC().Truncate(time.Millisecond)
	pino := `{"level":50,"time":"` + at.Format(time.RFC3339Nano) + `","msg":"failed","order":17,` +
		`"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","trace_flags":"01"}`
	values := `{"msg":"values","paid":false,"price":1.5,"none":null,` +
		`"log.record.uid":"mine","event.name":"server.health","tailrace.line.part":1}`
	start(t, sink, server("web-1", "shop", "cat <<'EOF'\n"+pino+"\nplain\nlevel=warn msg=\"disk is full\" path=/data\nWARN in text\n"+values+"\nEOF"))
	lines := awaitLines(t, sink, 5)

	r := lines[0].record
	assert.Equal(t, "failed", r.Body().Str())
	assert.Equal(t, plog.SeverityNumberError, r.SeverityNumber())
	assert.Equal(t, "ERROR", r.SeverityText())
	assert.Equal(t, at, r.Timestamp().AsTime())
	assert.NotEqual(t, r.Timestamp(), r.ObservedTimestamp())
	assert.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", r.TraceID().String())
	assert.Equal(t, "00f067aa0ba902b7", r.SpanID().String())
	assert.True(t, r.Flags().IsSampled())
	for i, want := range map[int]map[string]any{
		0: {"order": int64(17), "log.iostream": "stdout", "log.record.original": pino},
		4: {
			"paid": false, "price": 1.5, "none": nil, "log.iostream": "stdout", "log.record.original": values,
			"app.log.record.uid": "mine", "app.event.name": "server.health", "app.tailrace.line.part": int64(1),
		},
	} {
		attrs := lines[i].record.Attributes().AsRaw()
		require.Len(t, attrs["log.record.uid"], 26)
		delete(attrs, "log.record.uid")
		assert.Equal(t, want, attrs)
	}

	assert.Equal(t, "plain", lines[1].record.Body().Str())
	assert.Equal(t, plog.SeverityNumberUnspecified, lines[1].record.SeverityNumber())
	assert.Equal(t, 2, lines[1].record.Attributes().Len())
	assert.Equal(t, "disk is full", lines[2].record.Body().Str())
	assert.Equal(t, plog.SeverityNumberWarn, lines[2].record.SeverityNumber())
	assert.Equal(t, "WARN in text", lines[3].record.Body().Str())
	assert.Equal(t, plog.SeverityNumberWarn, lines[3].record.SeverityNumber())
	_, has := lines[3].record.Attributes().Get("log.record.original")
	assert.False(t, has, "the body is the line")
}

func TestStackTraceIsOneRecordBeforeTheEndOfTheServer(t *testing.T) {
	sink := &consumertest.LogsSink{}
	start(t, sink, server("web-1", "shop", "echo before; echo first >&2; "+nodeTrace+"; exit 1"))
	require.Eventually(t, func() bool {
		records := flatten(sink.AllLogs())
		return len(records) > 0 && strings.Contains(records[len(records)-1].record.Body().Str(), "has failed")
	}, 10*time.Second, time.Millisecond)
	var stderr []string
	exited := false
	for _, r := range flatten(sink.AllLogs()) {
		attrs := r.record.Attributes().AsRaw()
		if attrs["server.lifecycle.state"] == "exited" {
			exited = true
		}
		if attrs["log.iostream"] == "stderr" {
			require.False(t, exited, "a line after the end")
			stderr = append(stderr, r.record.Body().Str())
			if n, ok := r.record.Attributes().Get(attrLines); ok {
				assert.EqualValues(t, 3, n.Int())
				assert.Equal(t, plog.SeverityNumberError, r.record.SeverityNumber())
			}
		}
	}
	assert.Equal(t, []string{"first", nodeText}, stderr)
}

// TestLineThatNothingFollowsIsNotKept: the server goes on without a word.
func TestLineThatNothingFollowsIsNotKept(t *testing.T) {
	sink := &consumertest.LogsSink{}
	start(t, sink, server("web-1", "shop", "echo 'Error: alone'; exec sleep 60"))
	lines := awaitLines(t, sink, 1)
	assert.Equal(t, "Error: alone", lines[0].record.Body().Str())
}

func TestRefusedTraceComesAgainAsTheSameRecord(t *testing.T) {
	next := &mutating{refuse: 1 << 30}
	start(t, next, server("web-1", "shop", nodeTrace+"; echo done >&2; exec sleep 60"))
	require.Eventually(t, func() bool {
		next.mu.Lock()
		defer next.mu.Unlock()
		return len(next.seen) > 8
	}, 10*time.Second, time.Millisecond)
	next.mu.Lock()
	next.refuse = 0
	next.mu.Unlock()
	lines := awaitLines(t, &next.LogsSink, 2)
	require.Len(t, lines, 2)
	assert.Equal(t, nodeText, lines[0].record.Body().Str())
	assert.Equal(t, "done", lines[1].record.Body().Str())
	accepted := map[string]bool{}
	for _, r := range flatten(next.AllLogs()) {
		uid, _ := r.record.Attributes().Get("log.record.uid")
		require.False(t, accepted[uid.Str()], "doubled")
		accepted[uid.Str()] = true
	}
	for _, uid := range next.seen {
		require.Contains(t, accepted, uid)
	}
}

// TestShutdownOffersWhatIsHeld: the server has not ended when the receiver does.
func TestShutdownOffersWhatIsHeld(t *testing.T) {
	sink := &consumertest.LogsSink{}
	r := newTestReceiver(t, sink)
	r.grouping.take(batchOf("Error: held"), time.Now())
	r.flushAll(t.Context())
	assert.Equal(t, []string{"Error: held"}, bodies(flatten(sink.AllLogs())))
	r.telemetry.Shutdown()
}

func newTestReceiver(t *testing.T, sink *consumertest.LogsSink) *runnerLog {
	r, err := newRunnerLog(receivertest.NewNopSettings(NewFactory().Type()), createDefaultConfig().(*Config), sink)
	require.NoError(t, err)
	return r
}

var testSource = &supervise.Source{Project: "shop", Server: "web-1"}

func batchOf(lines ...string) supervise.Batch {
	entries := make([]supervise.Entry, len(lines))
	for i, text := range lines {
		entries[i] = supervise.Entry{Time: time.Unix(0, int64(i)), Stream: supervise.Stdout, PID: 1, Line: text}
	}
	return supervise.Batch{{Source: testSource, Entries: entries}}
}

func texts(out output) []string {
	var all []string
	for _, p := range out {
		for _, r := range p.records {
			all = append(all, r.Line)
		}
		for _, e := range p.entries {
			all = append(all, e.Line)
		}
	}
	return all
}

func TestRollbackBringsBackWhatWasHeld(t *testing.T) {
	g := newGrouping(createDefaultConfig().(*Config).of)
	now := time.Now()
	assert.Equal(t, []string{"a"}, texts(g.take(batchOf("a", "Error: x"), now)))
	second := batchOf("    at f (a.js:1:1)", "b", "Error: y")
	want := []string{"Error: x\n    at f (a.js:1:1)", "b"}
	for range 3 {
		assert.Equal(t, want, texts(g.take(second, now)))
		g.rollback()
	}
	assert.Equal(t, want, texts(g.take(second, now)))
	out, wait := g.due(now, false)
	assert.Empty(t, out)
	assert.Positive(t, wait)
	for range 2 {
		out, wait = g.due(now.Add(logline.MaxHold), false)
		assert.Equal(t, []string{"Error: y"}, texts(out))
		assert.Zero(t, wait)
		g.rollback()
	}
}

func TestPartsAndStreamsAreNotJoined(t *testing.T) {
	g := newGrouping(createDefaultConfig().(*Config).of)
	batch := batchOf("Error: x", "    at f (a.js:1:1)", "Error: y", "    at f (a.js:1:1)", "Error: z", "    at f (a.js:1:1)")
	entries := batch[0].Entries
	entries[1].Part, entries[1].Last = 2, true
	entries[3].Stream = supervise.Stderr
	entries[5].PID = 2
	out := g.take(batch, time.Now())
	rest, _ := g.due(time.Now(), true)
	got := append(texts(out), texts(rest)...)
	assert.Len(t, got, 6)
	for _, text := range got {
		assert.NotContains(t, text, "\n")
	}
}

func TestSettingsOfAServer(t *testing.T) {
	all, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	sub, err := all.Sub("runner_log/lines")
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, sub.Unmarshal(cfg))
	require.NoError(t, confmap.Validate(cfg))
	assert.Equal(t, settings{mode: logline.ModeJSON, stripANSI: true}, cfg.of("other"))
	assert.Equal(t, settings{mode: logline.ModeNone, multiline: true, keepOriginal: true}, cfg.of("web-1"))
	assert.Equal(t, settings{mode: logline.ModeJSON, multiline: true, stripANSI: true}, cfg.of("web.2"))
	assert.Equal(t, settings{multiline: true, keepOriginal: true}, createDefaultConfig().(*Config).of("web-1"))

	bad := "colour"
	err = confmap.Validate(&Config{
		Parse: "xml", ANSI: "", CarriageReturn: "split",
		Servers: map[string]ServerConfig{"web": {Parse: &bad, ANSI: &bad, CarriageReturn: &bad}, "": {}},
	})
	for _, want := range []string{
		"runner: must be the ID of a runner extension",
		`parse: must be auto, json, logfmt or none, is "xml"`,
		`ansi: must be keep or strip, is ""`,
		"servers: a key must be the id of a server, and is empty",
		`servers::web::parse: must be auto, json, logfmt or none, is "colour"`,
		`carriage_return: must be keep or last, is "split"`,
		`servers::web::carriage_return: must be keep or last, is "colour"`,
		`servers::web::ansi: must be keep or strip, is "colour"`,
	} {
		assert.ErrorContains(t, err, want)
	}
}

func TestOptions(t *testing.T) {
	colour, json := "\x1b[31mred\x1b[0m", `{"level":30,"msg":"x","a":1}`
	trace := []string{"Error: x", "    at f (a.js:1:1)"}
	bar := "10 %\r20 %\r"
	last := func(c *Config) { c.CarriageReturn = "last" }
	for name, tc := range map[string]struct {
		set  func(*Config)
		in   []string
		want []string
		keys []string // attributes of the first record beside the stream and the uid
	}{
		"default":       {func(*Config) {}, []string{json, colour}, []string{"x", colour}, []string{"a", "log.record.original"}},
		"no parsing":    {func(c *Config) { c.Parse = "none" }, []string{json, "ERROR x"}, []string{json, "ERROR x"}, nil},
		"no original":   {func(c *Config) { c.KeepOriginal = false }, []string{json}, []string{"x"}, []string{"a"}},
		"strip":         {func(c *Config) { c.ANSI = "strip" }, []string{colour}, []string{"red"}, nil},
		"strip, single": {func(c *Config) { c.ANSI = "strip"; c.Multiline = false }, []string{colour}, []string{"red"}, nil},
		"multiline":     {func(*Config) {}, trace, []string{"Error: x\n    at f (a.js:1:1)"}, []string{"tailrace.line.count"}},
		"no multiline":  {func(c *Config) { c.Multiline = false }, trace, trace, nil},
		"only json":     {func(c *Config) { c.Parse = "json" }, []string{`{"a":1}`, "ERROR x"}, []string{`{"a":1}`, "ERROR x"}, []string{"a"}},
		"lossy is kept": {func(c *Config) { c.KeepOriginal = false }, []string{`{"msg":"x","":1}`}, []string{"x"}, []string{"log.record.original"}},
		"a bar is kept": {func(*Config) {}, []string{bar}, []string{bar}, nil},
		"last state":    {last, []string{bar, "x"}, []string{"20 %", "x"}, []string{"log.record.original"}},
		"last, plain": {func(c *Config) { last(c); c.Parse, c.Multiline = "none", false }, []string{bar, "x"}, []string{"20 %", "x"},
			[]string{"log.record.original"}},
		"last, no original": {func(c *Config) { last(c); c.KeepOriginal = false }, []string{bar}, []string{"20 %"}, nil},
		"last and json":     {last, []string{"wait\r" + json}, []string{"x"}, []string{"a", "log.record.original"}},
		"strip and json":    {func(c *Config) { c.ANSI = "strip" }, []string{"\x1b[1m" + json + "\x1b[0m"}, []string{"x"}, []string{"a", "log.record.original"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := createDefaultConfig().(*Config)
			tc.set(cfg)
			g := newGrouping(cfg.of)
			out := g.take(batchOf(tc.in...), time.Now())
			rest, _ := g.due(time.Now(), true)
			r := records{}
			got := flatten([]plog.Logs{r.build(append(out, rest...))})
			var lines, keys []string
			for _, record := range got {
				lines = append(lines, record.record.Body().Str())
			}
			for key := range got[0].record.Attributes().All() {
				if key != "log.iostream" && key != "log.record.uid" {
					keys = append(keys, key)
				}
			}
			assert.Equal(t, tc.want, lines)
			assert.ElementsMatch(t, tc.keys, keys)
		})
	}
}

// TestEveryLineOnceAndInOrder feeds lines of all kinds in batches of any size, some of them refused at first.
func TestEveryLineOnceAndInOrder(t *testing.T) {
	kinds := []string{"plain", "Error: x", "    at f (a.js:1:1)", "", "ERROR y", "Traceback (most recent call last):", "  File", "ValueError: z", "panic: p"}
	g := newGrouping(createDefaultConfig().(*Config).of)
	var seed atomic.Uint64
	random := func(n int) int { return int(seed.Add(0x9e3779b97f4a7c15) >> 33 % uint64(n)) }
	now := time.Now()
	var want, got []string
	for range 2000 {
		in := make([]string, 1+random(12))
		for i := range in {
			in[i] = kinds[random(len(kinds))]
		}
		batch := batchOf(in...)
		for range random(3) {
			g.take(batch, now)
			g.rollback()
		}
		want = append(want, in...)
		out := g.take(batch, now)
		got = append(got, texts(out)...)
		g.reuse(out)
		now = now.Add(time.Duration(random(60)) * time.Millisecond)
		due, _ := g.due(now, false)
		got = append(got, texts(due)...)
		g.reuse(due)
	}
	due, _ := g.due(now, true)
	got = append(got, texts(due)...)
	assert.Equal(t, strings.Join(want, "\n"), strings.Join(got, "\n"))
}

func BenchmarkLines(b *testing.B) {
	for name, text := range map[string]string{
		"plain": "GET /api/orders/17 200 in 12 ms for client 4711, cache miss, 3 rows from orders",
		"pino":  `{"level":30,"time":1772366400123,"pid":7,"hostname":"web-1","req":{"method":"GET","url":"/api/orders/17"},"msg":"request completed"}`,
	} {
		b.Run(name, func(b *testing.B) {
			in := make([]string, 1000)
			for i := range in {
				in[i] = text
			}
			batch := batchOf(in...)
			g := newGrouping(createDefaultConfig().(*Config).of)
			r := records{host: "host", scopeName: "scope"}
			b.SetBytes(int64(1000 * len(text)))
			b.ReportAllocs()
			for b.Loop() {
				out := g.take(batch, time.Now())
				if r.build(out).LogRecordCount() != 1000 {
					b.Fatal("records are missing")
				}
				g.reuse(out)
			}
		})
	}
}
