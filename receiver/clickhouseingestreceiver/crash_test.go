// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/tailrace/tailrace/internal/clickhousetest"
	"github.com/tailrace/tailrace/internal/ingest"
	"github.com/tailrace/tailrace/internal/segment"
	"github.com/tailrace/tailrace/receiver/clickhouseingestreceiver/internal/metadata"
)

// The environment of the process that is killed: the test binary itself, as a receiver.
const (
	envDir   = "TAILRACE_TEST_INGEST_DIR"
	envAddr  = "TAILRACE_TEST_INGEST_ADDR"
	envKind  = "TAILRACE_TEST_INGEST_EXPORTER"
	envPoint = "TAILRACE_TEST_INGEST_POINT" // signal:point:n, kill at its n-th passing
)

// Tables are partitioned by day, with a view that depends on each, as the store's are.
func createTables(t testing.TB, conn driver.Conn) {
	t.Helper()
	for _, signal := range []string{signalTraces, signalLogs, signalMetrics} {
		for _, q := range []string{
			"CREATE TABLE %[1]s (ts DateTime64(9), uid String, CONSTRAINT c CHECK uid NOT LIKE 'poison%%') ENGINE = MergeTree PARTITION BY toDate(ts) ORDER BY uid",
			"CREATE TABLE %[1]s_sum (one UInt8, n UInt64) ENGINE = SummingMergeTree ORDER BY one",
			"CREATE MATERIALIZED VIEW %[1]s_view TO %[1]s_sum AS SELECT 1 AS one, count() AS n FROM %[1]s GROUP BY one",
		} {
			require.NoError(t, conn.Exec(t.Context(), fmt.Sprintf(q, signal)))
		}
	}
}

// inserter does what contrib's exporter does: it inserts in the context that it is given.
type inserter struct {
	conn    driver.Conn
	sending func(signal string) // before the answer of an insert that may have been done
}

type row struct {
	ts  time.Time
	uid string
}

func (i inserter) insert(ctx context.Context, signal string, rows []row) error {
	batch, err := i.conn.PrepareBatch(ctx, "INSERT INTO "+signal+" (ts, uid)")
	if err != nil {
		return err
	}
	defer batch.Close()
	for _, r := range rows {
		if err := batch.Append(r.ts, r.uid); err != nil {
			return err
		}
	}
	if i.sending != nil {
		i.sending(signal)
	}
	return batch.Send()
}

func (i inserter) traces(ctx context.Context, d ptrace.Traces) error {
	var rows []row
	for _, rs := range d.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				rows = append(rows, row{s.StartTimestamp().AsTime(), s.Name()})
			}
		}
	}
	d.ResourceSpans().RemoveIf(func(ptrace.ResourceSpans) bool { return true }) // a consumer may do that
	return i.insert(ctx, signalTraces, rows)
}

func (i inserter) logs(ctx context.Context, d plog.Logs) error {
	var rows []row
	for _, rl := range d.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, r := range sl.LogRecords().All() {
				rows = append(rows, row{r.Timestamp().AsTime(), r.Body().Str()})
			}
		}
	}
	return i.insert(ctx, signalLogs, rows)
}

func (i inserter) metrics(ctx context.Context, d pmetric.Metrics) error {
	var rows []row
	for _, rm := range d.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				for _, p := range m.Gauge().DataPoints().All() {
					rows = append(rows, row{p.Timestamp().AsTime(), m.Name()})
				}
			}
		}
	}
	return i.insert(ctx, signalMetrics, rows)
}

// newTestReceiver wires a receiver to an exporter; batches are small, so that there are many.
func newTestReceiver(t testing.TB, dir string, in consumers) *ingestReceiver {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.Path = dir
	cfg.Batch.MaxDelay, cfg.Batch.MetricsMaxDelay = 5*time.Millisecond, 0
	cfg.Batch.MaxRecords = 100 + rand.IntN(400) // other ones after every restart
	cfg.Batch.MaxBytes = 10_000 + rand.IntN(1_000_000)
	r, err := newReceiver(receivertest.NewNopSettings(metadata.Type), cfg, func(*ingestReceiver) {})
	require.NoError(t, err)
	r.retryMin = 20 * time.Millisecond
	r.traces, err = consumer.NewTraces(in.traces, consumer.WithCapabilities(consumer.Capabilities{MutatesData: true}))
	require.NoError(t, err)
	r.logs, err = consumer.NewLogs(in.logs)
	require.NoError(t, err)
	r.metrics, err = consumer.NewMetrics(in.metrics)
	require.NoError(t, err)
	return r
}

func connect(t testing.TB, addr string) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{addr},
		Auth: clickhouse.Auth{Username: clickhousetest.User, Password: clickhousetest.Password}, MaxOpenConns: 8})
	require.NoError(t, err)
	return conn
}

// TestVictim is the process that the other tests start and kill; on its own it does nothing.
func TestVictim(t *testing.T) {
	dir := os.Getenv(envDir)
	if dir == "" {
		return
	}
	die := func() {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
	var mu sync.Mutex
	passed := 0
	parts := strings.Split(os.Getenv(envPoint)+"::", ":")
	nth, _ := strconv.Atoi(parts[2])
	at := func(signal, point string) {
		if signal != parts[0] || point != parts[1] {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if passed++; passed == nth {
			fmt.Println("reached")
			if point == "sending" {
				go func() { // while the insert is under way
					time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
					die()
				}()
				return
			}
			die()
		}
	}
	conn := connect(t, os.Getenv(envAddr))
	r := newTestReceiver(t, dir, newConsumers(t, os.Getenv(envKind), os.Getenv(envAddr), conn, func(signal string) { at(signal, "sending") }))
	r.hook = func(signal string, p ingest.Point) { at(signal, string(p)) }
	require.NoError(t, r.Start(context.Background(), componenttest.NewNopHost()))
	fmt.Println("started")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the parent closes it
	_ = r.Shutdown(context.Background())
	_ = conn.Close()
}

// victim starts the process that is to be killed.
func victim(t *testing.T, kind, dir, addr, point string) (kill func(), ended <-chan string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), envDir+"="+dir, envAddr+"="+addr, envKind+"="+kind, envPoint+"="+point)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	result := make(chan string, 1)
	started := make(chan struct{})
	go func() {
		last := ""
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if last = lines.Text(); last == "started" {
				close(started)
			}
		}
		_ = cmd.Wait()
		_ = in.Close()
		result <- last
	}()
	select {
	case <-started:
	case last := <-result: // killed while it replayed
		result <- last
	case <-time.After(30 * time.Second):
		_ = cmd.Process.Kill()
		t.Fatal("the process does not start")
	}
	return func() { _ = cmd.Process.Kill() }, result
}

// keepUp starts ClickHouse again when it has died: the embedded one (26.7) ends itself when a client's connection is
// reset while it reads the next query, as it is when the client is killed. In the product clickhouse_server does this.
func keepUp(server *clickhousetest.Server, conn driver.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for range 2 { // the first may only find a connection that was closed meanwhile
		if conn.Ping(ctx) == nil {
			return
		}
	}
	server.Kill()
	server.Run()
}

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

// kills multiplies the kills; `make test-kills` sets it, for at least 200 of them.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("TAILRACE_TEST_KILLS")); err == nil {
		return n
	}
	return 1
}

// killAt starts a process that kills itself at the n-th passing of a point, while data comes in, and reports whether it did.
func (l *load) killAt(t *testing.T, server *clickhousetest.Server, conn driver.Conn, signal, point string, n int) bool {
	t.Helper()
	_, ended := victim(t, l.kind, l.dir, server.Addr(), fmt.Sprintf("%s:%s:%d", signal, point, n))
	deadline := time.After(5 * time.Minute)
	for {
		select {
		case last := <-ended:
			return last == "reached"
		case <-time.After(25 * time.Millisecond):
			if l.waiting(t) < 60 { // not more than a busy machine can load
				l.write(t, 20)
			}
			keepUp(server, conn)
		case <-deadline:
			t.Fatalf("%s of %s was not reached", point, signal)
		}
	}
}

func TestKillAtEveryNamedPointLosesAndDoublesNothing(t *testing.T) {
	eachExporter(t, killAtEveryNamedPointLosesAndDoublesNothing)
}

func killAtEveryNamedPointLosesAndDoublesNothing(t *testing.T, kind string) {
	server := clickhousetest.Start(t)
	createTablesFor(t, kind, server.Conn())
	l := newLoad(kind, t.TempDir())
	conn := connect(t, server.Addr())
	defer conn.Close()
	points := []string{
		string(ingest.PointManifest), string(ingest.PointQuarantined), "sending", string(ingest.PointAnswered),
		string(ingest.PointRecorded), string(ingest.PointMoved),
	}
	hits := map[string]int{}
	for range kills() {
		for _, point := range points {
			for _, signal := range []string{signalTraces, signalLogs, signalMetrics} {
				l.write(t, 150)
				if l.killAt(t, server, conn, signal, point, 1+rand.IntN(2)) {
					hits[point]++
				}
			}
		}
	}
	for _, point := range points {
		assert.GreaterOrEqual(t, hits[point], 3*kills(), "kills at %s", point)
	}
	t.Log("kills:", hits)
	l.exact(t, server)
}

// A batch with records that the store refuses is taken apart; the process is killed at each step of that.
func TestKillWhileABatchIsTakenApartLosesAndDoublesNothing(t *testing.T) {
	eachExporter(t, killWhileABatchIsTakenApartLosesAndDoublesNothing)
}

func killWhileABatchIsTakenApartLosesAndDoublesNothing(t *testing.T, kind string) {
	server := clickhousetest.Start(t)
	createTablesFor(t, kind, server.Conn())
	l := newLoad(kind, t.TempDir())
	conn := connect(t, server.Addr())
	defer conn.Close()
	hits := 0
	all := []string{"split:1", "split:3", "answered:1", "sending:7"}
	for round := range kills() {
		for i, signal := range []string{signalTraces, signalLogs, signalMetrics} {
			for _, at := range all[(i+round)%3 : (i+round)%3+1+round%2] {
				l.write(t, 60)
				l.poison(t, segment.Types()[i])
				point, n, _ := strings.Cut(at, ":")
				nth, err := strconv.Atoi(n)
				require.NoError(t, err)
				if l.killAt(t, server, conn, signal, point, nth) {
					hits++
				}
			}
		}
	}
	assert.GreaterOrEqual(t, hits, 3*kills())
	t.Log("kills while a batch is taken apart:", hits)
	l.exact(t, server)
}

// poison writes a record that the tables refuse among others, into the segments that are open.
func (l *load) poison(t *testing.T, typ segment.Type) {
	t.Helper()
	for _, f := range l.files {
		if f.typ == typ {
			l.seq++
			text, _ := recordLine(typ, rand.IntN(3), fmt.Sprintf("poison-%d", l.seq), 1)
			f.write(t, text+"\n")
			l.bad++
		}
	}
}

func TestKillAtRandomPointsLosesAndDoublesNothing(t *testing.T) {
	eachExporter(t, killAtRandomPointsLosesAndDoublesNothing)
}

func killAtRandomPointsLosesAndDoublesNothing(t *testing.T, kind string) {
	server := clickhousetest.Start(t)
	createTablesFor(t, kind, server.Conn())
	l := newLoad(kind, t.TempDir())
	conn := connect(t, server.Addr())
	defer conn.Close()
	for range 10 * kills() {
		keepUp(server, conn)
		l.write(t, 200)
		kill, ended := victim(t, l.kind, l.dir, server.Addr(), "")
		for end := time.Now().Add(time.Duration(rand.IntN(150)) * time.Millisecond); time.Now().Before(end); {
			l.write(t, 20)
			time.Sleep(10 * time.Millisecond)
		}
		kill()
		<-ended
	}
	t.Log("kills at random points:", 10*kills())
	l.exact(t, server)
}

// Two collectors on one folder, of which the one that loads is killed or stopped, again and again: the other one goes on.
func TestTwoCollectorsOnOneFolderTakeOverFromEachOther(t *testing.T) {
	eachExporter(t, twoCollectorsOnOneFolderTakeOverFromEachOther)
}

func twoCollectorsOnOneFolderTakeOverFromEachOther(t *testing.T, kind string) {
	server := clickhousetest.Start(t)
	createTablesFor(t, kind, server.Conn())
	l := newLoad(kind, t.TempDir())
	conn := connect(t, server.Addr())
	defer conn.Close()
	points := []string{
		"", "traces:manifest:2", "logs:quarantined:1", "metrics:sending:2", "traces:answered:1", "logs:recorded:2", "metrics:moved:1", "", "traces:sending:1",
	}
	kill, ended := victim(t, l.kind, l.dir, server.Addr(), points[0])
	for i := range points {
		next, nextEnded := victim(t, l.kind, l.dir, server.Addr(), points[(i+1)%len(points)])
		gone := false
		for end := time.Now().Add(time.Duration(50+rand.IntN(150)) * time.Millisecond); time.Now().Before(end) && !gone; {
			l.write(t, 20)
			select {
			case <-ended: // at its named point
				gone = true
			case <-time.After(15 * time.Millisecond):
			}
			keepUp(server, conn)
		}
		if !gone {
			kill()
			<-ended
		}
		kill, ended = next, nextEnded
	}
	before := seen(t, conn)
	l.write(t, 100)
	require.Eventually(t, func() bool {
		keepUp(server, conn)
		return seen(t, conn) > before
	}, 30*time.Second, 50*time.Millisecond, "the last one has taken over")
	kill()
	<-ended
	l.exact(t, server)
}

// seen counts the rows of all tables.
func seen(t *testing.T, conn driver.Conn) (n uint64) {
	t.Helper()
	for _, signal := range []string{signalTraces, signalLogs, signalMetrics} {
		var rows uint64
		if err := conn.QueryRow(t.Context(), "SELECT count() FROM "+signal).Scan(&rows); err != nil {
			return 0
		}
		n += rows
	}
	return n
}

func TestKillOfClickHouseUnderLoadLosesAndDoublesNothing(t *testing.T) {
	eachExporter(t, killOfClickHouseUnderLoadLosesAndDoublesNothing)
}

func killOfClickHouseUnderLoadLosesAndDoublesNothing(t *testing.T, kind string) {
	server := clickhousetest.Start(t)
	createTablesFor(t, kind, server.Conn())
	l := newLoad(kind, t.TempDir())
	conn := connect(t, server.Addr())
	defer conn.Close()
	r := newTestReceiver(t, l.dir, newConsumers(t, kind, server.Addr(), conn, nil))
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	for range 5 * kills() {
		for end := time.Now().Add(time.Duration(100+rand.IntN(200)) * time.Millisecond); time.Now().Before(end); {
			l.write(t, 50)
			time.Sleep(10 * time.Millisecond)
		}
		server.Kill()
		l.write(t, 50)
		server.Run()
	}
	t.Log("kills of ClickHouse:", 5*kills())
	require.NoError(t, r.Shutdown(context.Background()))
	l.exact(t, server)
}
