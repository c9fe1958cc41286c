// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailws

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/classic"
)

const (
	flushBytes   = 64 << 10         // about what one write takes
	maxReplies   = 64               // waiting replies above which requests are not read
	closeTimeout = time.Second      // for the last frames and for the client's answer to close
	maxPooled    = 4 * flushBytes   // bigger write buffers are not kept
	pongGrace    = 10 * time.Second // beyond two ping intervals
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, flushBytes+4096); return &b }}

// conn is one client.
type conn struct {
	server *Server
	ws     *websocket.Conn
	net    net.Conn
	sub    *livetail.Subscriber

	room chan struct{} // the writer took replies
	quit chan struct{} // closed when the connection is to end

	mu     sync.Mutex // guards what follows
	ended  bool       // quit is closed
	code   int        // of the close frame to send, 0: none
	reason string
	pong   []byte // to answer the newest ping with
	ponged bool   // pong is set, be it empty
}

func newConn(s *Server, ws *websocket.Conn) *conn {
	c := &conn{server: s, ws: ws, net: ws.NetConn(), room: make(chan struct{}, 1), quit: make(chan struct{})}
	ws.SetCloseHandler(func(int, string) error { return nil }) // the writer answers
	return c
}

// close asks the writer to send what waits and a close frame. Only the first call counts. It does not wait.
func (c *conn) close(code int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended, c.code, c.reason = true, code, reason
	close(c.quit)
	// A writer that is stuck in a write must come back.
	_ = c.net.SetWriteDeadline(time.Now().Add(closeTimeout))
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
	c.close(code, reason)
	c.writeClose()
	c.drain()
}

func (c *conn) serve(clientID string) {
	c.sub = c.server.opts.Hub.NewSubscriber()
	c.sub.Send(classic.Connected(clientID))
	var writer sync.WaitGroup
	writer.Go(c.write)
	c.read()
	writer.Wait()
	c.sub.Close()
}

func (c *conn) touch() {
	_ = c.ws.SetReadDeadline(time.Now().Add(2*c.server.opts.PingInterval + pongGrace))
	if c.closing() {
		_ = c.ws.SetReadDeadline(time.Now().Add(closeTimeout))
	}
}

// read handles requests until the connection ends.
func (c *conn) read() {
	c.touch()
	c.ws.SetPongHandler(func(string) error { c.touch(); return nil })
	c.ws.SetPingHandler(func(data string) error {
		c.touch()
		c.mu.Lock()
		c.pong, c.ponged = []byte(data), true
		c.mu.Unlock()
		c.sub.Poke()
		return nil
	})
	limit := c.server.opts.MaxMessageBytes
	for !c.closing() {
		kind, r, err := c.ws.NextReader()
		if err != nil {
			c.gone(err)
			return
		}
		data, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
		if err != nil {
			c.gone(err)
			return
		}
		if len(data) > limit {
			c.close(CloseTooBig, "message too big")
			break
		}
		c.touch()
		if !c.waitForRoom() {
			break
		}
		c.handle(kind, data)
	}
	c.drain()
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
		if _, err = io.Copy(io.Discard, r); err != nil {
			return
		}
	}
}

// waitForRoom keeps a client that asks without reading the answers from filling the memory with them.
func (c *conn) waitForRoom() bool {
	for c.sub.Replies() >= maxReplies {
		select {
		case <-c.room:
		case <-c.quit:
			return false
		}
	}
	return true
}

func (c *conn) handle(kind int, data []byte) {
	if kind != websocket.TextMessage {
		c.fail(&classic.RequestError{Code: classic.CodeInvalidMessage, Message: "binary messages are not understood; send JSON as text"})
		return
	}
	req, err := classic.Parse(data)
	if err != nil {
		var re *classic.RequestError
		if errors.As(err, &re) {
			c.fail(re)
		}
		return
	}
	switch req.Type {
	case classic.TypePing:
		c.sub.Send(classic.Pong(req))
	case classic.TypeUnsubscribe:
		c.sub.Unsubscribe(req.Channel, classic.Unsubscribed(req))
	case classic.TypeSubscribe:
		err := c.sub.Subscribe(req.Channel, req.Backfill, func(n int) []byte { return classic.Subscribed(req, n) })
		switch {
		case errors.Is(err, livetail.ErrTooManyChannels):
			c.fail(&classic.RequestError{Code: classic.CodeTooManySubscriptions, Message: "too many subscriptions on this connection", ID: req.ID})
		case err != nil:
			c.close(CloseGoingAway, goingAway)
		}
	}
}

func (c *conn) fail(err *classic.RequestError) { c.sub.Send(classic.Error(err)) }

// write sends what waits until the connection ends.
func (c *conn) write() {
	ping := time.NewTicker(c.server.opts.PingInterval)
	defer ping.Stop()
	var taken livetail.Taken
	var pings, pinged int
	for {
		closing := c.closing() // before the last look at the queue, so that nothing is left behind
		more := c.sub.Take(&taken, flushBytes)
		if more || c.hasPong() || pings > pinged {
			ok := c.flush(&taken, pings > pinged)
			pinged = pings
			if !ok {
				c.close(0, "")
				_ = c.net.Close()
				return
			}
			if more {
				select {
				case <-ping.C:
					pings++
				default:
				}
				continue
			}
		}
		if closing {
			c.writeClose()
			return
		}
		if cap(taken.Messages) > 64 {
			taken.Messages = nil
		}
		select {
		case <-c.sub.Wake():
		case <-ping.C:
			pings++
		case <-c.quit:
		}
	}
}

func (c *conn) hasPong() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ponged
}

func (c *conn) flush(t *livetail.Taken, ping bool) bool {
	p := buffers.Get().(*[]byte)
	b := (*p)[:0]
	c.mu.Lock()
	if c.ponged {
		b = appendFrame(b, opPong, c.pong)
		c.pong, c.ponged = nil, false
	}
	if !c.ended {
		_ = c.net.SetWriteDeadline(time.Now().Add(c.server.opts.WriteTimeout))
	}
	c.mu.Unlock()
	if ping {
		b = appendFrame(b, opPing, nil)
	}
	if t.Dropped > 0 {
		b = appendFrame(b, opText, classic.Dropped(t.Dropped, t.Total))
	}
	for i, msg := range t.Messages {
		b = appendFrame(b, opText, msg)
		t.Messages[i] = nil
	}
	n, err := c.net.Write(b)
	c.server.stats.bytes.Add(uint64(n))
	if cap(b) <= maxPooled {
		*p = b
		buffers.Put(p)
	}
	if err != nil {
		c.server.stats.writeErrors.Add(1)
		c.sub.Lost(t.Records)
		return false
	}
	c.sub.Sent(t.Records)
	select {
	case c.room <- struct{}{}:
	default:
	}
	return true
}

func (c *conn) writeClose() {
	c.mu.Lock()
	code, reason := c.code, c.reason
	c.mu.Unlock()
	if code != 0 {
		_, _ = c.net.Write(appendFrame(nil, opClose, websocket.FormatCloseMessage(code, reason)))
	}
	// The reader waits for the client's answer, but not for ever.
	_ = c.net.SetReadDeadline(time.Now().Add(closeTimeout))
}
