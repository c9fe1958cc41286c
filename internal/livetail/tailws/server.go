// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailws

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/tailrace/tailrace/internal/livetail"
)

// Close codes.
const (
	CloseGoingAway        = websocket.CloseGoingAway // 1001
	CloseNotAuthenticated = 4001
	CloseTooBig           = 4413
	CloseTooMany          = 4429
)

// Options of a Server.
type Options struct {
	Hub             *livetail.Hub
	AllowedOrigins  []string // as NormalizeOrigin returns them
	AllowedHosts    []string // as NormalizeHost returns them
	MaxClients      int
	MaxMessageBytes int
	PingInterval    time.Duration
	WriteTimeout    time.Duration // a client that takes nothing for so long is gone
	// QueryToken accepts ?token= as if it came as `Authorization: Bearer`.
	QueryToken bool
	// Authenticate decides by the request's header; nil: everybody who gets that far may connect.
	Authenticate func(ctx context.Context, header map[string][]string) (context.Context, error)
}

// Server is the http.Handler of a live tail. Mount it wherever WebSocket clients are expected. Close ends its
// connections. Safe for concurrent use.
type Server struct {
	opts     Options
	guard    guard
	upgrader websocket.Upgrader

	mu     sync.Mutex // guards conns and closed
	conns  map[*conn]struct{}
	closed bool
	done   sync.WaitGroup // one for each connection, refused ones included

	stats struct {
		bytes, writeErrors                         atomic.Uint64
		refusedOrigin, refusedAuth, refusedTooMany atomic.Uint64
	}
}

// NewServer returns a Server that accepts connections.
func NewServer(opts Options) *Server {
	return &Server{
		opts:  opts,
		guard: guard{origins: opts.AllowedOrigins, hosts: opts.AllowedHosts},
		upgrader: websocket.Upgrader{
			ReadBufferSize: 1024, WriteBufferSize: 256, WriteBufferPool: &sync.Pool{},
			CheckOrigin: func(*http.Request) bool { return true }, // guard has decided
		},
		conns: map[*conn]struct{}{},
	}
}

// Stats counts what a server did.
type Stats struct {
	BytesSent, WriteErrors                     uint64
	RefusedOrigin, RefusedAuth, RefusedTooMany uint64 // connections
}

// Stats returns the current numbers.
func (s *Server) Stats() Stats {
	return Stats{
		BytesSent: s.stats.bytes.Load(), WriteErrors: s.stats.writeErrors.Load(),
		RefusedOrigin: s.stats.refusedOrigin.Load(), RefusedAuth: s.stats.refusedAuth.Load(),
		RefusedTooMany: s.stats.refusedTooMany.Load(),
	}
}

// ServeHTTP implements http.Handler. It returns when the connection has ended.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.guard.check(r); err != nil {
		s.stats.refusedOrigin.Add(1)
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	if !websocket.IsWebSocketUpgrade(r) {
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this is a WebSocket endpoint", http.StatusUpgradeRequired)
		return
	}
	authenticated := s.authenticate(r)
	if !s.enter() {
		http.Error(w, "the server is going away", http.StatusServiceUnavailable)
		return
	}
	defer s.done.Done()
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	c := newConn(s, ws)
	defer ws.Close()
	switch {
	case !authenticated:
		s.stats.refusedAuth.Add(1)
		c.refuse(CloseNotAuthenticated, "not authenticated")
	case !s.add(c):
		s.stats.refusedTooMany.Add(1)
		c.refuse(CloseTooMany, "too many connections")
	default:
		defer s.remove(c)
		c.serve(rand.Text())
	}
}

func (s *Server) authenticate(r *http.Request) bool {
	if s.opts.Authenticate == nil {
		return true
	}
	header := r.Header
	if token := r.URL.Query().Get("token"); s.opts.QueryToken && token != "" && header.Get("Authorization") == "" {
		header = header.Clone()
		header.Set("Authorization", "Bearer "+token)
	}
	_, err := s.opts.Authenticate(r.Context(), header)
	return err == nil
}

func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.done.Add(1)
	return true
}

func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= s.opts.MaxClients {
		return false
	}
	s.conns[c] = struct{}{}
	if s.closed {
		c.close(CloseGoingAway, goingAway)
	}
	return true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

const goingAway = "server is going away"

// Close sends every client what waits for it and close code 1001, and returns when all are gone: at most a few
// seconds, also when clients do not answer. New connections get 503.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.close(CloseGoingAway, goingAway)
	}
	s.mu.Unlock()
	s.done.Wait()
}

// Frame opcodes, each with the bit of a final fragment.
const (
	opText  = 0x81
	opClose = 0x88
	opPing  = 0x89
	opPong  = 0x8a
)

// appendFrame appends an unmasked frame (RFC 6455, section 5.2).
func appendFrame(dst []byte, op byte, data []byte) []byte {
	switch n := len(data); {
	case n < 126:
		dst = append(dst, op, byte(n))
	case n < 1<<16:
		dst = append(dst, op, 126, byte(n>>8), byte(n))
	default:
		dst = append(dst, op, 127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	return append(dst, data...)
}
