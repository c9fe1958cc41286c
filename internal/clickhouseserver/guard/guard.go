// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
)

// DefaultMaxConnections is the bound of [Config.MaxConnections] when it is 0.
const DefaultMaxConnections = 1024

// Reason is why a connection was not forwarded.
type Reason string

// The reasons.
const (
	// Login: a wrong user name or password.
	Login Reason = "login"
	// Database: the database does not exist, or ClickHouse did not say in time whether it does.
	Database Reason = "database"
	// Protocol: no Hello, half a Hello, or a Hello that took too long.
	Protocol Reason = "protocol"
	// Limit: there are as many connections as there may be.
	Limit Reason = "limit"
	// Unavailable: ClickHouse does not run.
	Unavailable Reason = "unavailable"
)

// Config is what a [Guard] needs. Logger, OnConnection and OnRefused may be nil.
type Config struct {
	// Username and Password are the only ones that are let through.
	Username, Password string
	// DatabaseExists asks ClickHouse. Only users who have logged in cause it to be called.
	DatabaseExists func(ctx context.Context, name string) (bool, error)
	// HTTPPort is told to who speaks HTTP on the native port.
	HTTPPort int
	// MaxConnections bounds the connections at one time, those that have not logged in included.
	MaxConnections int
	Logger         *zap.Logger
	// OnConnection is called with 1 for every connection that is accepted, and with -1 when it is over.
	OnConnection func(delta int64)
	OnRefused    func(reason Reason)

	timeouts timeouts
}

// timeouts are constants but in tests.
type timeouts struct {
	// handshake is for the whole Hello, and again for the whole addendum.
	handshake time.Duration
	// backend is how long a client waits for a ClickHouse that is being started, and for one that is asked.
	backend time.Duration
	// drain is how long a client that has ended its side may take to read the rest of a result.
	drain time.Duration
	// linger is how long a client may take to read the last answer.
	linger time.Duration
}

// Guard listens in front of ClickHouse. It is usable once and by several goroutines.
type Guard struct {
	cfg         Config
	credentials [2][32]byte

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener              // guarded by mu
	backend  string                    // guarded by mu; where ClickHouse listens, "" while it does not
	opened   chan struct{}             // guarded by mu; closed while backend is set
	conns    map[*net.TCPConn]struct{} // guarded by mu; both sides of all connections, for Close
	clients  int                       // guarded by mu
	closed   bool                      // guarded by mu
}

// New returns a guard that does not listen yet.
func New(cfg Config) *Guard {
	if cfg.MaxConnections <= 0 {
		cfg.MaxConnections = DefaultMaxConnections
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.OnConnection == nil {
		cfg.OnConnection = func(int64) {}
	}
	if cfg.OnRefused == nil {
		cfg.OnRefused = func(Reason) {}
	}
	if cfg.timeouts == (timeouts{}) {
		cfg.timeouts = timeouts{handshake: 10 * time.Second, backend: 5 * time.Second, drain: 30 * time.Second, linger: time.Second}
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Guard{
		cfg: cfg, credentials: digest(cfg.Username, cfg.Password), ctx: ctx, cancel: cancel,
		opened: make(chan struct{}), conns: map[*net.TCPConn]struct{}{},
	}
}

// Listen opens the port for clients; it does nothing when it is open already. Until [Guard.Open] they wait.
func (g *Guard) Listen(address string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listener != nil || g.closed {
		return nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	g.listener = listener
	g.wg.Go(func() { g.accept(listener) })
	return nil
}

// Open says where ClickHouse answers now.
func (g *Guard) Open(backend string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.backend == "" {
		close(g.opened)
	}
	g.backend = backend
}

// Shut says that ClickHouse does not answer any more. New clients wait for the next Open, for a moment.
func (g *Guard) Shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.backend != "" {
		g.backend, g.opened = "", make(chan struct{})
	}
}

// StopAccepting closes the port. Connections live on.
func (g *Guard) StopAccepting() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	if g.listener != nil {
		_ = g.listener.Close()
	}
}

// Close ends all connections and returns when nothing runs any more. ClickHouse should be gone by then: what it
// still has to say is not waited for.
func (g *Guard) Close() {
	g.StopAccepting()
	g.cancel()
	g.mu.Lock()
	for conn := range g.conns {
		_ = conn.Close()
	}
	g.mu.Unlock()
	g.wg.Wait()
}

func (g *Guard) accept(listener net.Listener) {
	pause := time.Duration(0)
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			pause = 0
		case errors.Is(err, net.ErrClosed):
			return
		default:
			// No file descriptor is left, most likely: that passes, and must not spin.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			g.cfg.Logger.Warn("A native connection can not be accepted", zap.Error(err), zap.Duration("pause", pause))
			select {
			case <-g.ctx.Done():
				return
			case <-time.After(pause):
			}
			continue
		}
		client := conn.(*net.TCPConn)
		if !g.admit(client) {
			_ = client.Close()
			continue
		}
		g.wg.Go(func() {
			defer g.dismiss(client)
			g.serve(client)
		})
	}
}

// admit takes a place for a client.
func (g *Guard) admit(client *net.TCPConn) bool {
	g.mu.Lock()
	full := g.clients >= g.cfg.MaxConnections
	if !full && !g.closed {
		g.clients++
		g.conns[client] = struct{}{}
	}
	closed := g.closed
	g.mu.Unlock()
	switch {
	case closed:
		return false
	case full:
		g.refused(Limit, errors.New("too many connections"))
		return false
	}
	g.cfg.OnConnection(1)
	return true
}

func (g *Guard) dismiss(client *net.TCPConn) {
	_ = client.Close()
	g.mu.Lock()
	delete(g.conns, client)
	g.clients--
	g.mu.Unlock()
	g.cfg.OnConnection(-1)
}

// track remembers a connection to ClickHouse for Close; it returns false when that has begun.
func (g *Guard) track(conn *net.TCPConn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ctx.Err() != nil {
		return false
	}
	g.conns[conn] = struct{}{}
	return true
}

func (g *Guard) untrack(conn *net.TCPConn) {
	_ = conn.Close()
	g.mu.Lock()
	delete(g.conns, conn)
	g.mu.Unlock()
}

// where returns the address of ClickHouse, and waits for it until ctx ends; then it returns "".
func (g *Guard) where(ctx context.Context) string {
	for {
		g.mu.Lock()
		backend, opened := g.backend, g.opened
		g.mu.Unlock()
		if backend != "" {
			return backend
		}
		select {
		case <-opened:
		case <-ctx.Done():
			return ""
		}
	}
}

func (g *Guard) refused(reason Reason, err error) {
	g.cfg.OnRefused(reason)
	g.cfg.Logger.Warn("A native connection was refused", zap.String("reason", string(reason)), zap.Error(err))
}
