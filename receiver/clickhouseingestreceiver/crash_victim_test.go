// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/tailrace/tailrace/internal/clickhousetest"
	"github.com/tailrace/tailrace/internal/ingest"
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
