// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder plays ClickHouse: it keeps what it receives, with the error that ended it, and says `says` first.
type recorder struct {
	listener net.Listener
	says     []byte
	received chan []byte
	ended    chan error
}

func newRecorder(t testing.TB, says []byte) *recorder {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &recorder{listener: listener, says: says, received: make(chan []byte, 100), ended: make(chan error, 100)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				wg.Go(func() { _, _ = conn.Write(r.says) })
				got, err := io.ReadAll(conn)
				r.received <- got
				r.ended <- err
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); wg.Wait() })
	return r
}

type refusals struct {
	mu  sync.Mutex
	all []Reason
}

func (r *refusals) add(reason Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, reason)
}

func (r *refusals) list() []Reason {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Reason(nil), r.all...)
}

func startGuard(t testing.TB, change func(*Config)) (*Guard, string, *refusals) {
	refused := &refusals{}
	cfg := Config{
		Username: someHello.username, Password: someHello.password, OnRefused: refused.add,
		DatabaseExists: func(_ context.Context, name string) (bool, error) {
			switch name {
			case "db":
				return true, nil
			case "broken":
				return false, errors.New("no answer")
			}
			return false, nil
		},
		timeouts: timeouts{handshake: 200 * time.Millisecond, backend: 200 * time.Millisecond, drain: time.Second, linger: time.Second},
	}
	if change != nil {
		change(&cfg)
	}
	g := New(cfg)
	require.NoError(t, g.Listen("127.0.0.1:0"))
	t.Cleanup(g.Close)
	return g, g.listener.Addr().String(), refused
}

func dial(t testing.TB, address string) *net.TCPConn {
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	return conn.(*net.TCPConn)
}

const wholeAddendum = "\x00\x0anotchunked\x0anotchunked\x08"

func TestForwardsBothWays(t *testing.T) {
	server := newRecorder(t, []byte("the answer"))
	g, address, refused := startGuard(t, nil)
	g.Open(server.listener.Addr().String())
	conn := dial(t, address)
	sent := string(someHello.append(nil)) + wholeAddendum + "and all the rest"
	_, err := io.WriteString(conn, sent) // at once, as a client may that knows the answer
	require.NoError(t, err)
	answer := make([]byte, len("the answer"))
	_, err = io.ReadFull(conn, answer)
	require.NoError(t, err)
	require.NoError(t, conn.CloseWrite())
	assert.Equal(t, sent, string(<-server.received))
	require.NoError(t, <-server.ended)
	_, err = conn.Read(answer)
	require.ErrorIs(t, err, io.EOF)
	assert.Empty(t, refused.list())
}

// TestAResetBecomesAnOrderlyEnd although more was sent than the client ever read, which fills all buffers.
func TestAResetBecomesAnOrderlyEnd(t *testing.T) {
	server := newRecorder(t, make([]byte, 32<<20))
	g, address, _ := startGuard(t, nil)
	g.Open(server.listener.Addr().String())
	for _, sent := range []string{wholeAddendum + "half a packet", wholeAddendum, "\x03k", ""} {
		conn := dial(t, address)
		_, err := io.WriteString(conn, string(someHello.append(nil))+sent)
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 1))
		require.NoError(t, err)
		require.NoError(t, conn.SetLinger(0))
		require.NoError(t, conn.Close())
		<-server.received
		require.NoError(t, <-server.ended, "after %q", sent)
	}
}

func TestASilentHandshakeEnds(t *testing.T) {
	server := newRecorder(t, nil)
	g, address, refused := startGuard(t, nil)
	g.Open(server.listener.Addr().String())
	whole := someHello.append(nil)
	for _, sent := range [][]byte{nil, whole[:5], whole} {
		conn := dial(t, address)
		_, err := conn.Write(sent)
		require.NoError(t, err)
		_, err = io.ReadAll(conn)
		require.NoError(t, err)
	}
	// Only the last one has been seen, as a client that leaves before the addendum.
	assert.Equal(t, string(whole), string(<-server.received))
	require.NoError(t, <-server.ended)
	assert.Equal(t, []Reason{Protocol, Protocol, Protocol}, refused.list())
	assert.Empty(t, server.received)
}

func TestRefusals(t *testing.T) {
	server := newRecorder(t, nil)
	g, address, refused := startGuard(t, nil)
	g.Open(server.listener.Addr().String())
	for _, c := range []struct {
		change func(*hello)
		code   int32
		reason Reason
	}{
		{func(h *hello) { h.password = "x" }, codeAuthenticationFailed, Login},
		{func(h *hello) { h.password = "" }, codeAuthenticationFailed, Login},
		{func(h *hello) { h.username = "" }, codeAuthenticationFailed, Login},
		{func(h *hello) { h.username, h.password = h.username+h.password[:1], h.password[1:] }, codeAuthenticationFailed, Login},
		{func(h *hello) { h.username, h.database = "x", "broken" }, codeAuthenticationFailed, Login}, // nothing is asked for a stranger
		{func(h *hello) { h.database = "no" }, codeUnknownDatabase, Database},
		{func(h *hello) { h.database = "broken" }, codeNetworkError, Database},
	} {
		h := someHello
		c.change(&h)
		conn := dial(t, address)
		_, err := conn.Write(h.append(nil))
		require.NoError(t, err)
		answer, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Greater(t, len(answer), 5)
		assert.Equal(t, exception(c.code, "")[:5], answer[:5])
		got := refused.list()
		assert.Equal(t, c.reason, got[len(got)-1])
		_ = conn.Close()
	}
	assert.Empty(t, server.received)
}

func TestAClientWaitsForClickHouse(t *testing.T) {
	server := newRecorder(t, []byte("!"))
	g, address, refused := startGuard(t, nil)
	late := dial(t, address)
	_, err := late.Write(someHello.append(nil))
	require.NoError(t, err)
	_, err = late.Read(make([]byte, 1))
	require.Error(t, err, "it never comes")
	assert.Equal(t, []Reason{Unavailable}, refused.list())

	conn := dial(t, address)
	_, err = conn.Write(someHello.append(nil))
	require.NoError(t, err)
	g.Open(server.listener.Addr().String())
	_, err = conn.Read(make([]byte, 1))
	require.NoError(t, err)

	g.Shut()
	again := dial(t, address)
	_, err = again.Write(someHello.append(nil))
	require.NoError(t, err)
	_, err = again.Read(make([]byte, 1))
	require.Error(t, err)
}

func TestTheNumberOfConnectionsIsBounded(t *testing.T) {
	var mu sync.Mutex
	open, most := int64(0), int64(0)
	_, address, refused := startGuard(t, func(cfg *Config) {
		cfg.MaxConnections = 3
		cfg.timeouts.handshake = 10 * time.Second
		cfg.OnConnection = func(delta int64) {
			mu.Lock()
			defer mu.Unlock()
			open += delta
			most = max(most, open)
		}
	})
	var held []*net.TCPConn
	for range 3 {
		held = append(held, dial(t, address))
	}
	_, err := dial(t, address).Read(make([]byte, 1))
	require.Error(t, err)
	assert.Equal(t, []Reason{Limit}, refused.list())
	for _, conn := range held {
		_ = conn.Close()
	}
	require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return open == 0 }, 10*time.Second, time.Millisecond)
	assert.EqualValues(t, 3, most)
}

// TestCloseEndsEverything: also what waits for ClickHouse, for a client, and what is being moved (goleak).
func TestCloseEndsEverything(t *testing.T) {
	server := newRecorder(t, make([]byte, 32<<20))
	g, address, _ := startGuard(t, func(cfg *Config) { cfg.timeouts = timeouts{} })
	waiting, silent := dial(t, address), dial(t, address)
	_, err := waiting.Write(someHello.append(nil))
	require.NoError(t, err)
	g.Open(server.listener.Addr().String())
	moving := dial(t, address)
	_, err = io.WriteString(moving, string(someHello.append(nil))+wholeAddendum)
	require.NoError(t, err)
	_, err = moving.Read(make([]byte, 1))
	require.NoError(t, err)
	g.Shut()
	again := dial(t, address)
	_, err = again.Write(someHello.append(nil))
	require.NoError(t, err)
	g.StopAccepting()
	_, err = net.Dial("tcp", address)
	require.Error(t, err)
	g.Close()
	g.Close()
	_, err = silent.Read(make([]byte, 1))
	require.Error(t, err)
	require.NoError(t, g.Listen(address), "too late, which is no error")
}
