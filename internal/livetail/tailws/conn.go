// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailws

import (
	"crypto/rand"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/tailrace/tailrace/internal/access"
)

const (
	flushBytes   = 64 << 10         // about what one write takes
	maxReplies   = 64               // waiting replies above which requests are not read
	closeTimeout = time.Second      // for the last frames and for the client's answer to close
	maxPongGrace = 10 * time.Second // beyond two ping intervals
	maxAuthBytes = 8 << 10          // of a message before authentication
)

// level is one of the two levels of the protocol on a connection.
type level interface {
	// greet queues the first message.
	greet(clientID string)
	// notice tells the client something that it did not ask for. Safe for concurrent use.
	notice(n notice)
	// handle answers a request. It is called by one goroutine at a time.
	handle(c *conn, kind int, data []byte)
	// setCaller changes what is shown; called as handle is.
	setCaller(caller *access.Caller)
	// replies is how many messages wait that answer requests.
	replies() int
	// take moves what waits to g, and reports whether there is more. It returns how many of it are records.
	take(g *gather, c *conn) (records int, more bool)
	sent(records int)
	lost(records int)
	// idle says something after a while of silence, if the level has something to say.
	idle()
	close()
}

// conn is one WebSocket client.
type conn struct {
	server  *Server
	ws      *websocket.Conn
	net     net.Conn
	level   level
	who     session
	classic bool
	deflate bool
	authBy  time.Time // when an unknown caller has to have authenticated

	quit chan struct{} // closed when the connection is to end

	mu      sync.Mutex    // guards what follows; nothing else is taken with it
	room    chan struct{} // the reader waits for the writer to take replies; nil: it does not
	writing bool          // there is a writer
	again   bool          // it has to look once more
	written sync.WaitGroup
	ended   bool // quit is closed
	code    int  // of the close frame to send, 0: none
	reason  string
	pong    []byte    // to answer the newest ping with
	ponged  bool      // pong is set, be it empty
	ping    bool      // one is due
	active  time.Time // something was sent
	heard   time.Time // the client has said something, or was asked to by a ping
}

func newConn(s *Server, door *entrance, ws *websocket.Conn, classic bool) *conn {
	c := &conn{server: s, ws: ws, net: ws.NetConn(), classic: classic, quit: make(chan struct{}), active: time.Now(), heard: time.Now()}
	c.who.server, c.who.door, c.who.end = s, door, c.close
	c.who.apply = func(caller *access.Caller) { c.level.setCaller(caller) }
	ws.SetCloseHandler(func(int, string) error { return nil }) // the writer answers
	return c
}

func (c *conn) session() *session { return &c.who }

// serve serves the connection until it ends. A waiting connection is this function, read, and what is below that in gorilla and net: with
// little more than they have now (1.2 KiB), the garbage collector would leave its stack at 8 KiB instead of 4.
func (c *conn) serve() {
	if c.begin() {
		c.read()
		c.drain()
		c.stopWriter()
		c.server.remove(c)
		c.who.left()
		c.level.close()
	}
	_ = c.ws.Close()
	c.server.done.Done()
}

// begin counts the connection in and greets the client, or refuses it.
func (c *conn) begin() bool {
	if c.who.caller != nil && len(c.who.caller.Readable()) == 0 {
		c.server.stats.refusedForbidden.Add(1)
		c.refuse(CloseForbidden, "no project may be read")
		return false
	}
	if c.who.caller == nil && c.classic {
		c.server.stats.refusedAuth.Add(1)
		c.refuse(CloseNotAuthenticated, "not authenticated")
		return false
	}
	if c.who.caller == nil {
		c.authBy = time.Now().Add(c.server.opts.AuthTimeout)
	}
	if c.classic {
		c.level = newClassicLevel(c)
	} else {
		c.level = newStreamLevel(c)
	}
	if code := c.server.add(c); code != 0 {
		c.level.close()
		if code == CloseTooMany {
			c.server.stats.refusedTooMany.Add(1)
			c.refuse(code, "too many connections")
			return false
		}
		c.refuse(code, goingAway)
		return false
	}
	if c.who.currentCaller() != nil {
		c.who.began()
	}
	c.listen()
	c.level.greet(rand.Text())
	return true
}

// close asks for what waits and a close frame to be sent. Only the first call counts. It does not wait.
func (c *conn) close(code int, reason string) {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	if c.classic {
		switch code {
		case CloseNotAuthenticated:
			code = CloseClassicNotAuthenticated
		case CloseGoingAway:
			code = CloseClassicGoingAway
		}
	}
	c.ended, c.code, c.reason = true, code, reason
	close(c.quit)
	// A writer that is stuck in a write must come back.
	_ = c.net.SetWriteDeadline(time.Now().Add(closeTimeout))
	c.mu.Unlock()
	c.notify()
}

func (c *conn) closing() bool {
	select {
	case <-c.quit:
		return true
	default:
		return false
	}
}

// refuse ends a connection that never was one.
func (c *conn) refuse(code int, reason string) {
	c.mu.Lock()
	c.writing = true // no writer is to begin
	c.mu.Unlock()
	c.close(code, reason)
	c.writeClose()
	c.drain()
}

func (c *conn) touch() {
	now := time.Now()
	interval := c.server.opts.PingInterval
	_ = c.ws.SetReadDeadline(now.Add(2*interval + min(2*interval, maxPongGrace)))
	c.mu.Lock()
	c.heard = now
	c.mu.Unlock()
	if c.closing() {
		_ = c.ws.SetReadDeadline(time.Now().Add(closeTimeout))
	}
}

// keep implements client.
func (c *conn) keep(now time.Time) {
	c.who.expire(now)
	c.mu.Lock()
	silent := now.Sub(c.active) >= c.server.opts.PingInterval
	if silent {
		c.active = now
	}
	// However much is sent to it: a client that only listens has to show that it is there.
	unheard := now.Sub(c.heard) >= c.server.opts.PingInterval
	if unheard {
		c.heard, c.ping = now, true
	}
	c.mu.Unlock()
	if silent {
		c.level.idle()
	}
	if silent || unheard {
		c.notify()
	}
	if !c.authBy.IsZero() && now.After(c.authBy) && c.who.currentCaller() == nil {
		c.server.stats.refusedAuth.Add(1)
		c.close(CloseNoAuthInTime, "no authentication in time")
	}
}

// listen has pings answered, and notes that the client is there.
func (c *conn) listen() {
	c.touch()
	c.ws.SetPongHandler(func(string) error { c.touch(); return nil })
	c.ws.SetPingHandler(func(data string) error {
		c.touch()
		c.mu.Lock()
		c.pong, c.ponged = []byte(data), true
		c.mu.Unlock()
		c.notify()
		return nil
	})
}

// read handles requests until the connection ends.
func (c *conn) read() {
	for !c.closing() {
		kind, r, err := c.ws.NextReader()
		if err != nil {
			c.gone(err)
			return
		}
		if !c.request(kind, r) {
			return
		}
	}
}

// request handles one request, and reports whether more may come.
//
//go:noinline
func (c *conn) request(kind int, r io.Reader) bool {
	limit := c.server.opts.MaxMessageBytes
	if c.who.currentCaller() == nil {
		limit = min(limit, maxAuthBytes)
	}
	data, err := io.ReadAll(io.LimitReader(r, int64(limit)+1)) // counts what is inflated
	if err != nil {
		c.gone(err)
		return false
	}
	if len(data) > limit {
		c.server.stats.refusedMessage.Add(1)
		c.close(CloseTooBig, "message too big")
		return false
	}
	c.touch()
	if !c.waitForRoom() {
		return false
	}
	c.who.requests.Lock()
	c.level.handle(c, kind, data)
	c.who.requests.Unlock()
	return true
}

// gone ends the connection after a read failed: the client closed it, vanished, or broke the protocol.
func (c *conn) gone(err error) {
	code := websocket.CloseNormalClosure
	var ce *websocket.CloseError
	if errors.As(err, &ce) && ce.Code != websocket.CloseNoStatusReceived && ce.Code != websocket.CloseAbnormalClosure {
		code = ce.Code
	}
	c.close(code, "")
}

// drain reads until the client has answered the close frame, so that the answer to its last bytes is no reset that
// takes the close frame with it.
func (c *conn) drain() {
	_ = c.ws.SetReadDeadline(time.Now().Add(closeTimeout))
	for {
		_, r, err := c.ws.NextReader()
		if err != nil {
			return
		}
		if _, err = io.Copy(io.Discard, io.LimitReader(r, 1<<20)); err != nil {
			return
		}
	}
}

// waitForRoom keeps a client that asks without reading the answers from filling the memory with them.
func (c *conn) waitForRoom() bool {
	for c.level.replies() >= maxReplies {
		c.mu.Lock()
		if c.room == nil {
			c.room = make(chan struct{}, 1)
		}
		room := c.room
		c.mu.Unlock()
		if c.level.replies() < maxReplies {
			break
		}
		select {
		case <-room:
		case <-c.quit:
			return false
		}
	}
	return true
}
