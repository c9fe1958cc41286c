// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tailrace/tailrace/internal/clickhousetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quick = Timing{Check: time.Hour, Probe: 20 * time.Millisecond, MinBackoff: 10 * time.Millisecond, MaxBackoff: 50 * time.Millisecond, Grace: time.Millisecond}

// recorder keeps what a Keeper reports.
type recorder struct {
	mu  sync.Mutex
	all []error
}

func (r *recorder) changed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, err)
}

func (r *recorder) errs() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]error(nil), r.all...)
}

func start(t *testing.T, server Server, timing Timing, m Migrator, r *recorder) *Keeper {
	t.Helper()
	var err error
	m.Migrations, err = Migrations()
	require.NoError(t, err)
	k, err := NewKeeper(server, timing, m, r.changed)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { k.Run(ctx); close(done) }()
	t.Cleanup(func() {
		stop()
		<-done
		assert.NoError(t, k.Close())
		assert.NoError(t, k.Close())
	})
	return k
}

func at(addr string) Server {
	return Server{Endpoint: "tcp://" + addr, Database: "tailrace", Username: clickhousetest.User, Password: clickhousetest.Password}
}

func ready(t *testing.T, k *Keeper) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	require.NoError(t, k.WaitReady(ctx))
}

func gone(t *testing.T, k *Keeper) {
	t.Helper()
	ended, stop := context.WithCancel(t.Context())
	stop()
	require.Eventually(t, func() bool { return k.WaitReady(ended) != nil }, 20*time.Second, 10*time.Millisecond)
}

func TestKeeperOverALife(t *testing.T) {
	ch := clickhousetest.Start(t)
	ch.Stop() // not there at the start

	var r recorder
	var recreated atomic.Int64
	k := start(t, at(ch.Addr()), quick, Migrator{Recreated: func([]string) { recreated.Add(1) }}, &r)
	require.Eventually(t, func() bool { return len(r.errs()) == 1 }, 10*time.Second, 10*time.Millisecond)
	assert.ErrorContains(t, r.errs()[0], "ClickHouse at tcp://"+ch.Addr()+" does not answer")
	tried := k.dials.dialled()
	require.Eventually(t, func() bool { return k.dials.dialled() > tried+5 }, 10*time.Second, 10*time.Millisecond)
	assert.Len(t, r.errs(), 1, "the same cause is reported once")

	ch.Run() // comes late
	ready(t, k)
	require.NoError(t, k.Conn().Exec(t.Context(), "INSERT INTO tailrace.otel_logs (Timestamp) VALUES (now64(9))"))

	ch.Kill() // dies while running
	gone(t, k)
	ch.Run()
	ready(t, k)
	assert.EqualValues(t, 1, count(t, k.Conn(), "tailrace.otel_logs"), "rows outlive it")
	assert.Zero(t, recreated.Load())

	// Comes back without its tables: noticed by the new connection, long before the next regular check.
	ch.Kill()
	gone(t, k)
	ch.Run()
	c := ch.Conn()
	require.NoError(t, c.Exec(t.Context(), "DROP DATABASE IF EXISTS tailrace SYNC"))
	// The keeper may have looked before or after the drop; another new connection makes it look again.
	ch.Kill()
	ch.Run()
	require.Eventually(t, func() bool {
		var n uint64
		err := c.QueryRow(t.Context(), "SELECT count() FROM system.tables WHERE database = 'tailrace' AND name LIKE 'otel_%'").Scan(&n)
		return err == nil && n == 9
	}, 20*time.Second, 20*time.Millisecond)
	ready(t, k)

	// Who waits for it may know a moment before it is reported.
	require.Eventually(t, func() bool { all := r.errs(); return causeOf(all[len(all)-1]) == "ready" }, 20*time.Second, time.Millisecond)
	var last string
	for _, err := range r.errs() {
		assert.NotEqual(t, last, causeOf(err), "only changes are reported")
		last = causeOf(err)
	}
	assert.Equal(t, "ready", last)
}

func TestLostTablesComeBackAtTheNextCheck(t *testing.T) {
	ch := clickhousetest.Start(t)
	var r recorder
	var back atomic.Pointer[[]string]
	timing := quick
	timing.Check = 50 * time.Millisecond
	k := start(t, at(ch.Addr()), timing, Migrator{Recreated: func(tables []string) { back.Store(&tables) }}, &r)
	ready(t, k)
	require.NoError(t, ch.Conn().Exec(t.Context(), "DROP TABLE tailrace.otel_metrics_sum SYNC"))
	require.Eventually(t, func() bool { return back.Load() != nil }, 10*time.Second, 10*time.Millisecond)
	assert.Equal(t, []string{"otel_metrics_sum"}, *back.Load())
	assert.EqualValues(t, 0, count(t, k.Conn(), "tailrace.otel_metrics_sum"))
	assert.Len(t, r.errs(), 1, "it was never away")
}

func TestAServerThatNeverAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	var r recorder
	timing := quick
	timing.Attempt = 100 * time.Millisecond
	k := start(t, at(l.Addr().String()), timing, Migrator{}, &r)
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	require.ErrorIs(t, k.WaitReady(ctx), context.DeadlineExceeded)
	require.Eventually(t, func() bool { return len(r.errs()) > 0 }, 2*maxDialTimeout, 10*time.Millisecond)
	assert.ErrorContains(t, r.errs()[0], "does not answer")
}

// frozen is a proxy that can stop passing bytes on, as a server does that hangs. What it held back is dropped with its
// connection: a `clickhouse local` ends when a client leaves in the middle of the handshake.
type frozen struct {
	net.Listener
	gate       sync.RWMutex
	generation atomic.Int64 // counts the thaws
}

func (f *frozen) freeze() { f.gate.Lock() }

func (f *frozen) thaw() {
	f.generation.Add(1)
	f.gate.Unlock()
}

func (f *frozen) serve(t *testing.T, to string) {
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { _ = f.Close() })
	pipe := func(dst, src net.Conn, thaws int) {
		defer dst.Close()
		defer src.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := src.Read(buf)
			if err != nil {
				return
			}
			f.gate.RLock()
			old := int(f.generation.Load()) != thaws
			if !old {
				_, err = dst.Write(buf[:n])
			}
			f.gate.RUnlock()
			if old || err != nil {
				return
			}
		}
	}
	wg.Go(func() {
		for {
			in, err := f.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			thaws := int(f.generation.Load())
			wg.Go(func() { pipe(out, in, thaws) })
			wg.Go(func() { pipe(in, out, thaws) })
		}
	})
}

func TestAServerThatHangsForAWhile(t *testing.T) {
	ch := clickhousetest.Start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	proxy := &frozen{Listener: l}
	proxy.serve(t, ch.Addr())
	var r recorder
	timing := quick
	timing.Attempt = 500 * time.Millisecond
	k := start(t, at(l.Addr().String()), timing, Migrator{}, &r)
	ready(t, k)
	proxy.freeze()
	gone(t, k)
	proxy.thaw()
	ready(t, k)
}

func TestANewerDatabaseIsReported(t *testing.T) {
	ch := clickhousetest.Start(t)
	migrate(t, ch.Conn(), "tailrace")
	require.NoError(t, ch.Conn().Exec(t.Context(), "INSERT INTO tailrace.tailrace_migrations (number, name, checksum, version) VALUES (99, 'future', 'x', '9.9')"))
	var r recorder
	timing := quick
	timing.Check = 50 * time.Millisecond
	k := start(t, at(ch.Addr()), timing, Migrator{}, &r)
	require.Eventually(t, func() bool { return len(r.errs()) == 1 }, 10*time.Second, 10*time.Millisecond)
	assert.ErrorContains(t, r.errs()[0], `newer than this binary: it has migration 0099_future, written by version "9.9"`)
	require.NoError(t, ch.Conn().Exec(t.Context(), "ALTER TABLE tailrace.tailrace_migrations DELETE WHERE number = 99 SETTINGS mutations_sync = 1"))
	ready(t, k)
}

func TestTheEndInterruptsAHandshake(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	k, err := NewKeeper(at(l.Addr().String()), quick, Migrator{}, nil)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { k.Run(ctx); close(done) }()
	c, err := l.Accept()
	require.NoError(t, err)
	defer c.Close()
	stop()
	select {
	case <-done:
	case <-time.After(maxDialTimeout / 2):
		t.Error("still waiting for a server that does not answer")
	}
	require.NoError(t, k.Close())
	<-done
}

func TestAWrongPasswordIsReportedWithoutIt(t *testing.T) {
	ch := clickhousetest.Start(t)
	var r recorder
	server := at(ch.Addr())
	server.Password = "not-the-password"
	timing := quick
	timing.Grace = time.Hour // which is for a server that is being started, not for one that has answered
	start(t, server, timing, Migrator{}, &r)
	require.Eventually(t, func() bool { return len(r.errs()) > 0 }, 10*time.Second, 10*time.Millisecond)
	assert.ErrorContains(t, r.errs()[0], "password")
	assert.NotContains(t, r.errs()[0].Error(), "not-the-password")
}

func TestAServerStartedTogetherIsNoFault(t *testing.T) {
	ch := clickhousetest.Start(t)
	ch.Stop()
	var r recorder
	timing := quick
	timing.Grace = time.Minute
	k := start(t, at(ch.Addr()), timing, Migrator{}, &r)
	gone(t, k)
	ch.Run()
	ready(t, k)
	require.Eventually(t, func() bool { return len(r.errs()) == 1 }, 10*time.Second, 10*time.Millisecond)
	assert.NoError(t, r.errs()[0])
}

func TestOverHTTP(t *testing.T) {
	ch := clickhousetest.Start(t)
	server := at(ch.Addr())
	server.Endpoint = strings.Replace("http://127.0.0.1:PORT", "PORT", strconv.Itoa(ch.HTTPPort), 1)
	var r recorder
	k := start(t, server, quick, Migrator{}, &r)
	ready(t, k)
	assert.Zero(t, count(t, k.Conn(), "tailrace.otel_logs"))
}

func TestServerValidate(t *testing.T) {
	good := at("127.0.0.1:9000")
	require.NoError(t, good.Validate())
	for _, endpoint := range []string{"tcp://a:9000,b:9000", "http://h:8123?dial_timeout=200ms", "https://h:8443", "clickhouse://[::1]:9000"} {
		s := good
		s.Endpoint = endpoint
		assert.NoError(t, s.Validate(), endpoint)
	}
	for endpoint, want := range map[string]string{
		"":                            `endpoint: "" is not a URL`,
		"127.0.0.1:9000":              "is not a URL: use tcp://",
		"ftp://h:1":                   `scheme "ftp" is not known`,
		"tcp://h":                     "has no port",
		"tcp://user:secret@h:9000":    "must not contain a user or password",
		"tcp://h:9000/other":          "use the key database",
		"tcp://h:9000?dial_timeout=x": "not a usable ClickHouse URL",
		"tcp://:secret@%zz":           "not a usable ClickHouse URL",
	} {
		s := good
		s.Endpoint = endpoint
		err := s.Validate()
		require.ErrorContains(t, err, want, endpoint)
		assert.NotContains(t, err.Error(), "secret")
	}
	bad := Server{Endpoint: "tcp://h:9000", Database: "a`; DROP"}
	err := bad.Validate()
	require.ErrorContains(t, err, "database: ")
	require.ErrorContains(t, err, "username: ")
}
