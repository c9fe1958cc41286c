// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailws

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/audit"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/tailv1"
	"github.com/tailrace/tailrace/internal/webguard"
)

// Close codes. Classic clients get CloseClassicNotAuthenticated and 1001 where others get CloseNotAuthenticated and
// CloseGoingAway.
const (
	CloseClassicGoingAway        = websocket.CloseGoingAway // 1001
	CloseClassicNotAuthenticated = 4001
	CloseBadMessage              = 4400
	CloseNotAuthenticated        = 4401
	CloseForbidden               = 4403
	CloseNoAuthInTime            = 4408
	CloseTooBig                  = 4413
	CloseTooMany                 = 4429
	CloseGoingAway               = 4490
)

// Options of a Server. Every number must be positive.
type Options struct {
	Hub             *livetail.Hub
	Version         string // of the server, for hello
	MaxClients      int
	MaxPerIdentity  int // connections of one authenticated caller
	MaxMessageBytes int
	PingInterval    time.Duration
	WriteTimeout    time.Duration // a client that takes nothing for so long is gone
	AuthTimeout     time.Duration // for a first message that authenticates
	// QueryToken accepts ?token= on the classic level as if it came as `Authorization: Bearer`.
	QueryToken bool
	// Compression offers permessage-deflate.
	Compression bool
	// Hello has the limits that clients are told.
	Hello tailv1.Hello
}

// Door is a way in: a server of our own, or a console that the live tail is mounted on.
type Door struct {
	// Guard checks Host and Origin; nil where what is before the door does it.
	Guard *webguard.Guard
	// Authority decides who a credential stands for; nil: everybody who gets that far sees everything.
	Authority access.Authority
	// Mounted: the caller is in the request's context if a valid credential came.
	Mounted bool
	// Audit, when set, is told of connections whose caller is known: when they begin, and when they end. It does not wait.
	Audit func(e audit.Event)
}

// Server serves a live tail. WebSocket and Tail make the handlers of a door. Close ends its connections. Safe for concurrent
// use.
type Server struct {
	opts     Options
	upgrader websocket.Upgrader

	mu         sync.Mutex // guards what follows
	clients    map[client]struct{}
	identities map[string]int
	pending    int // clients that have not authenticated yet
	closed     bool
	notice     notice // the last one

	quit   chan struct{}
	done   sync.WaitGroup // one for each connection, refused ones included
	keeper sync.WaitGroup

	stats struct {
		bytes, frames, writeErrors, writes, writeNanos atomic.Uint64

		refusedOrigin, refusedAuth, refusedTooMany, refusedForbidden, refusedMessage atomic.Uint64
	}
}

// client is one connection, as the keeper sees it.
type client interface {
	session() *session
	// keep does what is due; it does not wait.
	keep(now time.Time)
	close(code int, reason string)
}

// NewServer returns a Server that accepts connections.
func NewServer(opts Options) *Server {
	s := &Server{
		opts: opts,
		upgrader: websocket.Upgrader{
			ReadBufferSize: 1024, WriteBufferSize: 256, WriteBufferPool: &sync.Pool{},
			CheckOrigin:       func(*http.Request) bool { return true }, // the door's guard has decided
			Subprotocols:      []string{tailv1.Subprotocol},
			EnableCompression: opts.Compression,
		},
		clients: map[client]struct{}{}, identities: map[string]int{},
		quit: make(chan struct{}),
	}
	s.keeper.Go(s.keep)
	return s
}

// Stats counts what a server did.
type Stats struct {
	BytesSent, FramesSent, WriteErrors         uint64
	Writes, WriteNanos                         uint64 // calls that wrote to clients, and the time they took
	RefusedOrigin, RefusedAuth, RefusedTooMany uint64 // connections
	RefusedForbidden, RefusedMessage           uint64
}

// Stats returns the current numbers.
func (s *Server) Stats() Stats {
	return Stats{
		BytesSent: s.stats.bytes.Load(), FramesSent: s.stats.frames.Load(), WriteErrors: s.stats.writeErrors.Load(),
		Writes: s.stats.writes.Load(), WriteNanos: s.stats.writeNanos.Load(),
		RefusedOrigin: s.stats.refusedOrigin.Load(), RefusedAuth: s.stats.refusedAuth.Load(),
		RefusedTooMany: s.stats.refusedTooMany.Load(), RefusedForbidden: s.stats.refusedForbidden.Load(),
		RefusedMessage: s.stats.refusedMessage.Load(),
	}
}

// keep looks at all clients, again and again.
func (s *Server) keep() {
	tick := time.NewTicker(max(min(s.opts.PingInterval/10, s.opts.AuthTimeout/10, time.Second), 10*time.Millisecond))
	defer tick.Stop()
	var all []client
	for {
		select {
		case <-s.quit:
			return
		case now := <-tick.C:
			all = s.all(all[:0])
			for i, c := range all {
				c.keep(now)
				all[i] = nil
			}
		}
	}
}

func (s *Server) all(dst []client) []client {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		dst = append(dst, c)
	}
	return dst
}

// entrance is a Door in use.
type entrance struct {
	Door
	changes atomic.Uint64 // how often the authority has changed its mind
}

// open makes an entrance of a door: from now on its callers are decided anew whenever its authority says so.
func (s *Server) open(door Door) *entrance {
	e := &entrance{Door: door}
	if door.Authority == nil {
		return e
	}
	changed := door.Authority.Changed()
	if changed == nil {
		return e
	}
	s.background(func() {
		for {
			select {
			case <-s.quit:
				return
			case <-changed:
			}
			changed = door.Authority.Changed() // before anybody is decided, so that no change falls between
			e.changes.Add(1)                   // who is not added yet looks at this
			for _, c := range s.all(nil) {
				if c.session().door == e {
					c.session().decideAgain()
				}
			}
		}
	})
	return e
}

// MayAnyRead reports whether a connected client may read a project, by the newest decision about it.
func (s *Server) MayAnyRead(project string) bool {
	for _, c := range s.all(nil) {
		if c.session().currentCaller().MayRead(project) {
			return true
		}
	}
	return false
}

// background runs f, and Close waits for it; nothing is begun after that.
func (s *Server) background(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.keeper.Go(f)
	}
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

// add counts a client in, or says with which close code not.
func (s *Server) add(c client) (code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := c.session()
	switch {
	case s.closed:
		return CloseGoingAway
	case len(s.clients) >= s.opts.MaxClients, n.caller == nil && s.pending >= max(s.opts.MaxClients/4, 1):
		return CloseTooMany
	}
	if n.caller == nil {
		s.pending++
		n.pending = true
	} else if !s.count(n) {
		return CloseTooMany
	}
	s.clients[c] = struct{}{}
	if n.door.changes.Load() != n.decided {
		s.keeper.Go(n.decideAgain) // it takes mu
	}
	return 0
}

// count adds a connection to its identity. Called with mu held.
func (s *Server) count(n *session) bool {
	if n.caller.Method() == "local" || n.caller.Subject() == "" {
		return true // nobody to tell from others
	}
	id := n.caller.Method() + " " + n.caller.Subject()
	if s.identities[id] >= s.opts.MaxPerIdentity {
		return false
	}
	s.identities[id]++
	n.identity = id
	return true
}

// identified counts a client whose caller became known after it was added.
func (s *Server) identified(n *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.pending {
		n.pending = false
		s.pending--
	}
	return s.count(n)
}

func (s *Server) remove(c client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.clients[c]; !ok {
		return
	}
	delete(s.clients, c)
	n := c.session()
	if n.pending {
		s.pending--
	}
	if n.identity != "" {
		if s.identities[n.identity]--; s.identities[n.identity] == 0 {
			delete(s.identities, n.identity)
		}
	}
}

const goingAway = "server is going away"

// Close sends every client what waits for it and a close code, and returns when all are gone: at most a few
// seconds, also when clients do not answer. New connections get 503.
func (s *Server) Close() {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if !closed {
		close(s.quit)
	}
	for _, c := range s.all(nil) {
		c.close(CloseGoingAway, goingAway)
	}
	s.done.Wait()
	s.keeper.Wait()
}
