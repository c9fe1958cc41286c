// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"

	"github.com/tailrace/tailrace/internal/clickhousetest"
	"github.com/tailrace/tailrace/internal/segment"
)

// load writes segments of all types as an exporter does: open, whole lines, then complete; in all encodings, each file in one, a third
// of the files compressed.
type load struct {
	kind  string // of the exporter
	dir   string
	seq   int
	files []written
	count map[string]int
	bad   int // lines that belong into failed/
}

// written is a segment that is being written.
type written struct {
	*os.File
	typ  segment.Type
	zstd *zstd.Encoder // nil: not compressed
}

// write appends lines: as they are, or as a frame.
func (f written) write(t testing.TB, text string) {
	t.Helper()
	if f.zstd != nil {
		text = string(f.zstd.EncodeAll([]byte(text), nil))
	}
	_, err := f.WriteString(text)
	require.NoError(t, err)
}

func newLoad(kind, dir string) *load { return &load{kind: kind, dir: dir, count: map[string]int{}} }

// write appends some lines to new or open segments, and completes some.
func (l *load) write(t testing.TB, lines int) {
	t.Helper()
	for _, f := range l.files {
		if rand.IntN(2) == 0 {
			require.NoError(t, os.Rename(f.Name(), strings.TrimSuffix(f.Name(), ".open")))
		}
		require.NoError(t, f.Close())
	}
	l.files = nil
	for _, typ := range segment.Types() {
		enc := rand.IntN(3)
		folder := string(typ)
		if enc == encodingEnvelope && rand.IntN(2) == 0 {
			folder = strings.TrimSuffix(folder, "s") // as the replaced system spells it
		}
		dir := segment.Dir(l.dir, segment.Type(folder), fmt.Sprintf("project-%d", rand.IntN(3)))
		require.NoError(t, os.MkdirAll(dir, 0o750))
		f := written{typ: typ}
		name := segment.Name{ID: segment.NewID(time.Now()), Open: true, Zstd: rand.IntN(3) == 0}
		if name.Zstd {
			var err error
			f.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
			require.NoError(t, err)
		}
		if enc == encodingFlat && typ == segment.Metrics {
			name.ID += ".gauge"
		}
		var err error
		f.File, err = os.OpenFile(filepath.Join(dir, name.String()), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
		require.NoError(t, err)
		l.files = append(l.files, f)
		for range lines {
			l.seq++
			text, signal := recordLine(typ, enc, fmt.Sprintf("uid-%d", l.seq), l.seq%5)
			if l.seq%50 == 0 {
				text = "{bad line " + text
				l.bad++
			} else {
				l.count[signal]++
			}
			f.write(t, text+"\n")
		}
	}
}

func (l *load) close(t testing.TB) {
	for _, f := range l.files {
		require.NoError(t, os.Rename(f.Name(), strings.TrimSuffix(f.Name(), ".open")))
		require.NoError(t, f.Close())
	}
	l.files = nil
	// Segments that were left open are completed, as the exporter does at its start.
	left, err := filepath.Glob(filepath.Join(l.dir, "*", "*", "*.open"))
	require.NoError(t, err)
	for _, name := range left {
		require.NoError(t, os.Rename(name, strings.TrimSuffix(name, ".open")))
	}
}

// The encodings of files.
const (
	encodingOTLP = iota
	encodingFlat
	encodingEnvelope
)

func recordLine(typ segment.Type, enc int, uid string, day int) (text, signal string) {
	at := time.Date(2026, 3, 1+day, 0, 0, 0, 0, time.UTC)
	ts, iso := at.UnixNano(), at.Format(time.RFC3339)
	forms := []string{
		fmt.Sprintf(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"%d","body":{"stringValue":"%s"}}]}]}]}`, ts, uid),
		fmt.Sprintf(`{"Timestamp":"%s","Body":"%s"}`, iso, uid),
		fmt.Sprintf(`{"type":"log","data":{"level":"info","message":"%s","timestamp":"%s"}}`, uid, iso),
	}
	switch typ {
	case segment.Spans:
		return []string{
			fmt.Sprintf(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"%s","startTimeUnixNano":"%d"}]}]}]}`, uid, ts),
			fmt.Sprintf(`{"Timestamp":"%s","SpanName":"%s","Duration":1}`, iso, uid),
			fmt.Sprintf(`{"type":"span","data":{"spanId":"s","name":"%s","startTime":"%s"}}`, uid, iso),
		}[enc], signalTraces
	case segment.Metrics:
		return []string{
			fmt.Sprintf(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"%s","gauge":{"dataPoints":[{"timeUnixNano":"%d","asInt":"1"}]}}]}]}]}`, uid, ts),
			fmt.Sprintf(`{"MetricName":"%s","TimeUnix":"%s","Value":1}`, uid, iso),
			fmt.Sprintf(`{"type":"metric","data":{"type":"gauge","name":"%s","value":0,"timestamp":"%s"}}`, uid, iso),
		}[enc], signalMetrics
	case segment.Scores:
		if enc == encodingEnvelope { // a score has no body
			enc = encodingOTLP
		}
	}
	return forms[enc], signalLogs
}

// exact waits until all that was written is loaded, then counts: rows, distinct uids, and what the view saw.
func (l *load) exact(t *testing.T, server *clickhousetest.Server) {
	t.Helper()
	conn := connect(t, server.Addr())
	defer conn.Close()
	r := newTestReceiver(t, l.dir, newConsumers(t, l.kind, server.Addr(), conn, nil))
	l.close(t)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	keepUp(server, conn)
	l.drained(t, r)
	require.NoError(t, r.Shutdown(context.Background()))
	for signal, want := range l.count {
		var rows, uids, seen uint64
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(), uniqExact(uid) FROM "+signal).Scan(&rows, &uids))
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT sum(n) FROM "+signal+"_sum").Scan(&seen))
		assert.EqualValues(t, []uint64{uint64(want), uint64(want), uint64(want)}, []uint64{rows, uids, seen}, "%s: rows, uids, rows that the view saw", signal)
	}
	bad, err := filepath.Glob(filepath.Join(l.dir, "*", "*", "failed", "*.jsonl"))
	require.NoError(t, err)
	lines := 0
	for _, name := range bad {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		lines += strings.Count(string(text), "\n")
	}
	assert.Equal(t, l.bad, lines, "bad lines in failed/, each once")
	t.Logf("exact: %v records, %d bad lines", l.count, l.bad)
}

// drained waits until all is loaded and moved. A busy machine may take long, but not two minutes without any progress.
func (l *load) drained(t *testing.T, r *ingestReceiver) {
	t.Helper()
	least, last := int64(math.MaxInt64), time.Now()
	for {
		left := int64(len(l.left(t)))
		for _, s := range []string{signalTraces, signalLogs, signalMetrics} {
			p := r.engine.Pending(s)
			left += p.Files + p.Bytes
		}
		if left == 0 {
			return
		}
		if left < least {
			least, last = left, time.Now()
		}
		require.Less(t, time.Since(last), 2*time.Minute, "%d files and bytes are not loaded and moved", left)
		time.Sleep(50 * time.Millisecond)
	}
}

// left lists the segments that are not moved away.
func (l *load) left(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(l.dir, "*", "*", "*.jsonl*"))
	require.NoError(t, err)
	return names
}

// waiting counts the complete segments that are not moved away; some stay open for ever, as those of a writer that was killed.
func (l *load) waiting(t *testing.T) int {
	t.Helper()
	return len(slices.DeleteFunc(l.left(t), func(name string) bool { return strings.HasSuffix(name, ".open") }))
}
