// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"

	"github.com/tailrace/tailrace/internal/clickhousetest"
	"github.com/tailrace/tailrace/internal/segment"
)

// Faults of the network between the client and ClickHouse.
const (
	netRefused = "refused"                 // no connection
	netHalf    = "cut in the middle"       // the connection ends while an insert is being sent
	netReset   = "reset after send"        // the insert is done, the connection ends before its answer
	netHang    = "time-out after the send" // the insert is done, its answer never comes
)

// badNetwork stands between a client and ClickHouse, and does what it is told to.
type badNetwork struct {
	net.Listener
	to   string
	done sync.WaitGroup

	mu    sync.Mutex
	fault string
	hits  map[string]int
	conns map[net.Conn]bool
}

func newBadNetwork(t *testing.T, to string) *badNetwork {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n := &badNetwork{Listener: l, to: to, hits: map[string]int{}, conns: map[net.Conn]bool{}}
	n.done.Go(n.accept)
	t.Cleanup(func() {
		_ = l.Close()
		n.mu.Lock()
		for c := range n.conns {
			_ = c.Close()
		}
		n.mu.Unlock()
		n.done.Wait()
	})
	return n
}

func (n *badNetwork) set(fault string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault = fault
}

// strikes reports whether a fault is on, and counts it.
func (n *badNetwork) strikes(fault string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fault != fault {
		return false
	}
	n.hits[fault]++
	return true
}

func (n *badNetwork) count(fault string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hits[fault]
}

func (n *badNetwork) accept() {
	for {
		c, err := n.Accept()
		if err != nil {
			return
		}
		if n.strikes(netRefused) {
			reset(c)
			continue
		}
		s, err := net.Dial("tcp", n.to)
		if err != nil {
			_ = c.Close()
			continue
		}
		n.mu.Lock()
		n.conns[c], n.conns[s] = true, true
		n.mu.Unlock()
		var sent atomic.Int64 // by the client since the server's last answer: much is an insert's data
		n.done.Go(func() { n.forward(c, s, &sent, true) })
		n.done.Go(func() { n.forward(s, c, &sent, false) })
	}
}

// reset ends a connection as a crash does.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

func (n *badNetwork) forward(from, to net.Conn, sent *atomic.Int64, up bool) {
	const data = 2000
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		got, err := from.Read(buf)
		if err != nil {
			return
		}
		if up && got > data && n.strikes(netHalf) {
			_, _ = to.Write(buf[:got/2])
			reset(from)
			return
		}
		if !up && sent.Load() > data {
			if n.strikes(netReset) {
				reset(to)
				return
			}
			if n.strikes(netHang) {
				continue // the answer is lost
			}
		}
		if up {
			sent.Add(int64(got))
		} else {
			sent.Store(0)
		}
		if _, err := to.Write(buf[:got]); err != nil {
			return
		}
	}
}

func TestFaultsOfTheNetworkLoseAndDoubleNothing(t *testing.T) {
	eachExporter(t, faultsOfTheNetworkLoseAndDoubleNothing)
}

func faultsOfTheNetworkLoseAndDoubleNothing(t *testing.T, kind string) {
	server := clickhousetest.Start(t)
	createTablesFor(t, kind, server.Conn())
	bad := newBadNetwork(t, server.Addr())
	through, err := clickhouse.Open(&clickhouse.Options{Addr: []string{bad.Addr().String()}, ReadTimeout: 500 * time.Millisecond,
		Auth: clickhouse.Auth{Username: clickhousetest.User, Password: clickhousetest.Password}, MaxOpenConns: 8})
	require.NoError(t, err)
	defer through.Close()
	direct := connect(t, server.Addr())
	defer direct.Close()
	l := newLoad(kind, t.TempDir())
	r := newTestReceiver(t, l.dir, newConsumers(t, kind, bad.Addr().String(), through, nil))
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	each := 6
	if kind == columnar {
		each = 3 // a lost answer costs the whole time-out of its exporter
	}
	faults := []string{netRefused, netHalf, netReset, netHang}
	for i := range each {
		for _, fault := range faults {
			bad.set(fault)
			require.Eventually(t, func() bool {
				keepUp(server, direct)
				if l.waiting(t) < 100 {
					l.write(t, 120)
				}
				if fault == netRefused { // open connections are not used for ever
					bad.mu.Lock()
					for c := range bad.conns {
						reset(c)
					}
					clear(bad.conns)
					bad.mu.Unlock()
				}
				return bad.count(fault) > i
			}, 2*time.Minute, 25*time.Millisecond, "%s", fault)
			bad.set("")
		}
	}
	for _, fault := range faults {
		assert.GreaterOrEqual(t, bad.count(fault), each, fault)
	}
	t.Log("faults:", bad.hits)
	require.NoError(t, r.Shutdown(context.Background()))
	l.exact(t, server)
}

// One in fifty file operations fails, of the ingest and with it what it writes to ClickHouse's tables, over several starts.
func TestFaultsOfTheDiskLoseAndDoubleNothing(t *testing.T) {
	if clickhousetest.Kills(t) == 1 { // the disk is the ingest's, whatever the exporter: the other one has its turn in `make test-kills`
		faultsOfTheDiskLoseAndDoubleNothing(t, likeContrib)
		return
	}
	eachExporter(t, faultsOfTheDiskLoseAndDoubleNothing)
}

func faultsOfTheDiskLoseAndDoubleNothing(t *testing.T, kind string) {
	server := clickhousetest.Start(t)
	createTablesFor(t, kind, server.Conn())
	conn := connect(t, server.Addr())
	defer conn.Close()
	l := newLoad(kind, t.TempDir())
	errs := []error{syscall.ENOSPC, syscall.EIO, syscall.EMFILE, syscall.EACCES, syscall.EROFS}
	var mu sync.Mutex
	hits := map[string]int{}
	for range 4 {
		r := newTestReceiver(t, l.dir, newConsumers(t, kind, server.Addr(), conn, nil))
		r.cfg.PollInterval = 100 * time.Millisecond
		var on atomic.Bool
		r.fault = func(op, _ string) error {
			if !on.Load() || rand.IntN(50) > 0 {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			hits[op]++
			return errs[rand.IntN(len(errs))]
		}
		require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
		on.Store(true)
		for range 15 {
			keepUp(server, conn)
			if l.waiting(t) < 100 {
				l.write(t, 60)
			}
			time.Sleep(30 * time.Millisecond)
		}
		_ = r.Shutdown(context.Background()) // the last write to a journal may have failed
	}
	for _, op := range []string{"open", "write", "read", "stat"} {
		assert.Positive(t, hits[op], op)
	}
	t.Log("faults:", hits)
	l.exact(t, server)
}

// counting counts inserts, and remembers in which order projects came first.
type counting struct {
	mu      sync.Mutex
	inserts int
	peak    uint64
}

func (c *counting) sent(string) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inserts++
	c.peak = max(c.peak, m.HeapAlloc)
}

// started is a receiver with the product's limits.
func (c *counting) started(t *testing.T, kind, dir, addr string, conn driver.Conn) *ingestReceiver {
	t.Helper()
	r := newTestReceiver(t, dir, newConsumers(t, kind, addr, conn, c.sent))
	def := createDefaultConfig().(*Config)
	r.cfg.Batch = def.Batch
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	return r
}

func TestTenThousandSmallFilesAreLoadedInLargeInserts(t *testing.T) {
	eachExporter(t, tenThousandSmallFilesAreLoadedInLargeInserts)
}

func tenThousandSmallFilesAreLoadedInLargeInserts(t *testing.T, kind string) {
	server := clickhousetest.Start(t)
	createTablesFor(t, kind, server.Conn())
	conn := connect(t, server.Addr())
	defer conn.Close()
	l := newLoad(kind, t.TempDir())
	old := time.Now().Add(-time.Minute)
	for i := range 10_000 {
		enc := i % 3
		text, signal := recordLine(segment.Logs, enc, fmt.Sprintf("uid-%d", i), i%5)
		dir := segment.Dir(l.dir, segment.Logs, fmt.Sprintf("project-%d", i%100))
		require.NoError(t, os.MkdirAll(dir, 0o750))
		name := filepath.Join(dir, segment.NewID(time.Now())+segment.SuffixPending)
		require.NoError(t, os.WriteFile(name, []byte(text+"\n"), 0o600))
		require.NoError(t, os.Chtimes(name, old, old))
		l.count[signal]++
	}
	c := &counting{}
	r := c.started(t, l.kind, l.dir, server.Addr(), conn)
	l.drained(t, r)
	require.NoError(t, r.Shutdown(context.Background()))
	assert.Less(t, c.inserts, 100, "inserts of a hundred records at least, on average")
	assert.Less(t, c.peak, uint64(256<<20), "memory")
	t.Logf("10,000 files in %d inserts, %d MiB of heap at most", c.inserts, c.peak>>20)
	l.exact(t, server)
}

// Each of a thousand projects gets a record a second: a round is in ClickHouse before the next one is written.
func TestAThousandProjectsThatTrickleAreFresh(t *testing.T) {
	server := clickhousetest.Start(t)
	createTables(t, server.Conn())
	conn := connect(t, server.Addr())
	defer conn.Close()
	l := newLoad(likeContrib, t.TempDir())
	const projects = 1000
	var names []string
	for p := range projects {
		dir := segment.Dir(l.dir, segment.Logs, fmt.Sprintf("project-%d", p))
		require.NoError(t, os.MkdirAll(dir, 0o750))
		names = append(names, filepath.Join(dir, segment.NewID(time.Now())+segment.SuffixOpen))
	}
	c := &counting{}
	r := c.started(t, l.kind, l.dir, server.Addr(), conn)
	var waits []time.Duration
	for round := range 4 {
		next := time.Now().Add(time.Second)
		for p, name := range names {
			text, signal := recordLine(segment.Logs, p%3, fmt.Sprintf("uid-%d-%d", round, p), 0)
			f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
			require.NoError(t, err)
			_, err = f.WriteString(text + "\n")
			require.NoError(t, errors.Join(err, f.Close()))
			l.count[signal]++
		}
		written := time.Now()
		require.Eventually(t, func() bool { return seen(t, conn) == uint64((round+1)*projects) }, time.Minute, 5*time.Millisecond, "round %d", round)
		waits = append(waits, time.Since(written).Round(time.Millisecond))
		time.Sleep(time.Until(next))
	}
	require.NoError(t, r.Shutdown(context.Background()))
	assert.Less(t, c.inserts, projects/4, "projects share inserts")
	assert.Less(t, c.peak, uint64(256<<20), "memory")
	slices.Sort(waits)
	t.Logf("%d records of %d projects in %d inserts; a round was there after %v; %d MiB of heap at most", 4*projects, projects, c.inserts, waits, c.peak>>20)
	l.exact(t, server)
}
