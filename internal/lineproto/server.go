// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package lineproto

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
)

// ServerOptions configure a Server. All bounds must be above 0.
type ServerOptions struct {
	// Token is what connections over TCP must present.
	Token          string
	MaxConnections int
	MaxLineBytes   int
	// WindowBytes bounds what of one run waits for Deliver; then its connection is not read.
	WindowBytes  int
	HelloTimeout time.Duration
	// IdleTimeout ends a connection on which nothing comes; each side sends something in a third of it.
	IdleTimeout time.Duration
	// LostAfter is how long a run may be without a connection before it counts as lost.
	LostAfter time.Duration
	// Remember is how long a run without a connection is known that has ended or is lost.
	Remember time.Duration
	// Welcome tells what to answer beside the bounds; nil: nothing. It is called with no lock held, once a connection.
	Welcome func(*Run) *OTLP
	// Deliver takes items, in order per run, and is never called concurrently. It returns when all of them are the
	// receiver's business, or ctx has ended; then they count as not taken. The slices are the server's again after it.
	Deliver func(ctx context.Context, batch []Group) error
	// Forget is called when a run is not known any more.
	Forget func(*Run)
	// Refused counts what was answered with an error, by code.
	Refused func(code string)
	Logger  *zap.Logger
}

// Group is items of one run.
type Group struct {
	Run   *Run
	Items []Item
}

// Server takes connections from listeners and hands what comes on them to Deliver.
type Server struct {
	opt    ServerOptions
	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{} // for deliver: a run became ready
	wg     sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	listeners []net.Listener
	conns     map[*conn]struct{}
	runs      map[string]*Run
	ready     []*Run
}

// Run is what the server knows of one run of a command.
type Run struct {
	// Hello is that of the first connection.
	Hello Hello
	// Data belongs to the user of the server; only Welcome, Deliver and Forget may touch it without a lock of their own.
	Data any

	// Guarded by Server.mu.
	conn    *conn
	taken   uint64 // highest number in the queue or beyond
	acked   uint64
	pid     int
	queue   []Item
	bytes   int // in the queue and with Deliver
	listed  bool
	busy    bool // items are with Deliver
	ended   bool
	lost    bool
	goneAt  time.Time
	drained *sync.Cond
}

// NewServer returns a server that delivers until Close.
func NewServer(opt ServerOptions) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		opt: opt, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1),
		conns: map[*conn]struct{}{}, runs: map[string]*Run{},
	}
	s.wg.Add(2)
	go s.deliver()
	go s.watch()
	return s
}

// Serve accepts connections on l until Close, which closes l. With needToken each must present the token.
func (s *Server) Serve(l net.Listener, needToken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = l.Close()
		return
	}
	s.listeners = append(s.listeners, l)
	s.wg.Add(1)
	go s.accept(l, needToken)
}

func (s *Server) accept(l net.Listener, needToken bool) {
	defer s.wg.Done()
	for wait := 5 * time.Millisecond; ; {
		nc, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of file descriptors, say: that passes.
			s.opt.Logger.Warn("A connection can't be accepted", zap.Error(err))
			wait = min(2*wait, time.Second)
			select {
			case <-time.After(wait):
			case <-s.ctx.Done():
				return
			}
			continue
		}
		wait = 5 * time.Millisecond
		c := newConn(s, nc, needToken)
		if e := s.admit(c); e != nil {
			s.refused(e.Code)
			c.reject(e)
			continue
		}
		go c.serve()
	}
}

func (s *Server) admit(c *conn) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return &Error{Code: CodeShuttingDown, Message: "the collector is stopping"}
	}
	if len(s.conns) >= s.opt.MaxConnections {
		return &Error{Code: CodeTooMany, Message: "max_connections are open"}
	}
	s.conns[c] = struct{}{}
	s.wg.Add(1)
	return nil
}

// Stop ends the taking and delivering of items; what was not delivered is not acknowledged. Ack still works until Close.
func (s *Server) Stop() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	for _, l := range s.listeners {
		_ = l.Close()
	}
	for _, r := range s.runs {
		r.drained.Broadcast()
	}
	s.mu.Unlock()
	s.cancel()
}

// Close stops, tells the clients, closes all connections and waits for everything that the server started.
func (s *Server) Close() {
	s.Stop()
	s.mu.Lock()
	for c := range s.conns {
		c.fail(&Error{Code: CodeShuttingDown, Message: "the collector is stopping"})
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Ack acknowledges everything of a run up to seq.
func (s *Server) Ack(run *Run, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq <= run.acked {
		return
	}
	run.acked = seq
	if run.conn != nil {
		run.conn.poke()
	}
}

// PID returns that of the command, 0 before it is known.
func (s *Server) PID(run *Run) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return run.pid
}

// Stats says how many connections are open and how many runs are known.
func (s *Server) Stats() (connections, runs int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns), len(s.runs)
}

func (s *Server) refused(code string) {
	if s.opt.Refused != nil {
		s.opt.Refused(code)
	}
}

// authorized compares in a time that says nothing of the token.
func (s *Server) authorized(token string) bool {
	want, got := sha256.Sum256([]byte(s.opt.Token)), sha256.Sum256([]byte(token))
	return s.opt.Token != "" && subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// attach gives a connection its run.
func (s *Server) attach(c *conn, h Hello) (*Run, *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, &Error{Code: CodeShuttingDown, Message: "the collector is stopping"}
	}
	run := s.runs[h.Run]
	if run == nil {
		run = &Run{Hello: h, taken: h.Acked, acked: h.Acked, pid: h.PID}
		run.drained = sync.NewCond(&s.mu)
		s.runs[h.Run] = run
	} else if run.Hello.identity() != h.identity() {
		return nil, &Error{Code: CodeIdentityChanged, Message: "run: this ULID belongs to a run of another project, deployment, server or build"}
	}
	if old := run.conn; old != nil {
		// The client knows better whether its connection lives.
		old.fail(&Error{Code: CodeReplaced, Message: "the run has connected again"})
	}
	run.conn = c
	if h.PID != 0 {
		run.pid = h.PID
	}
	if run.acked < h.Acked { // acknowledged by a predecessor of this server
		run.acked = h.Acked
		run.taken = max(run.taken, h.Acked)
	}
	if run.lost && !run.ended && !h.Over {
		run.lost = false
		s.enqueue(run, Item{Kind: KindBack, Time: time.Now()})
	}
	run.drained.Broadcast()
	return run, nil
}

// detach ends a connection.
func (s *Server) detach(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if c.run != nil && c.run.conn == c {
		c.run.conn = nil
		c.run.goneAt = time.Now()
	}
}

// push takes an item, and waits while the window is full. It reports false when the connection is not that of the run
// any more.
func (s *Server) push(c *conn, item Item) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	run := c.run
	for run.bytes >= s.opt.WindowBytes && run.conn == c && !s.closed && !c.gone {
		run.drained.Wait()
	}
	if run.conn != c || s.closed || c.gone {
		return false
	}
	if item.Seq <= run.taken {
		c.poke() // so that it is told again how far we are
		return true
	}
	if missing := item.Seq - run.taken - 1; missing > 0 {
		s.enqueue(run, Item{Kind: KindGap, Seq: item.Seq - 1, Time: item.Time, Missing: missing})
	}
	run.taken = item.Seq
	if item.Kind == KindEvent {
		if item.Event.PID != 0 {
			run.pid = item.Event.PID
		}
		if run.lost && item.Event.Name == EventLost {
			item = Item{Kind: KindGap, Seq: item.Seq, Time: item.Time} // told already; only the number counts
		}
		run.ended = run.ended || item.Kind == KindGap || final(item.Event.Name)
	}
	s.enqueue(run, item)
	return true
}

// enqueue needs mu.
func (s *Server) enqueue(run *Run, item Item) {
	run.queue = append(run.queue, item)
	run.bytes += item.cost()
	if !run.listed {
		run.listed = true
		s.ready = append(s.ready, run)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
