// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package lineproto

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// writeTimeout bounds a write to a client that does not read: what is written is little.
	writeTimeout = 10 * time.Second
	// maxReplies is how many errors wait for a client; more are only counted.
	maxReplies = 16
)

// conn is one connection at the server.
type conn struct {
	s         *Server
	nc        net.Conn
	needToken bool
	in        *bufio.Reader
	run       *Run          // set by the reading goroutine, under s.mu, once
	pokes     chan struct{} // for write: something to send
	over      chan struct{} // the reading has ended

	mu      sync.Mutex
	replies []*Error
	fatal   *Error
	gone    bool // guarded by s.mu
}

func newConn(s *Server, nc net.Conn, needToken bool) *conn {
	return &conn{
		s: s, nc: nc, needToken: needToken, in: bufio.NewReaderSize(nc, 64<<10),
		pokes: make(chan struct{}, 1), over: make(chan struct{}),
	}
}

// reject says why and closes, without a goroutine: it fits into the buffer of the socket.
func (c *conn) reject(e *Error) {
	e.Type, e.Fatal = typeError, true
	_ = c.nc.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = c.nc.Write(marshalLine(e))
	_ = c.nc.Close()
}

// poke has the writer look for what to send.
func (c *conn) poke() {
	select {
	case c.pokes <- struct{}{}:
	default:
	}
}

// fail ends the connection after e is sent. Needs s.mu.
func (c *conn) fail(e *Error) {
	c.gone = true
	c.mu.Lock()
	if c.fatal == nil {
		c.fatal = e
	}
	c.mu.Unlock()
	if c.run != nil {
		c.run.drained.Broadcast()
	}
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // the reader returns; it does not overwrite the deadline, see readLine
}

// serve runs the connection to its end.
func (c *conn) serve() {
	defer c.s.wg.Done()
	defer c.nc.Close()
	defer c.s.detach(c)
	e := c.greet()
	if e == nil {
		written := make(chan struct{})
		go func() {
			defer close(written)
			c.write()
		}()
		e = c.read()
		if e == nil {
			_ = c.nc.SetWriteDeadline(time.Now()) // it has left: nobody reads what is being written
		}
		close(c.over)
		<-written
	}
	c.mu.Lock()
	if c.fatal != nil {
		e = c.fatal
	}
	c.mu.Unlock()
	if e != nil {
		c.s.refused(e.Code)
		c.lastAck()
		c.reject(e)
	}
}

// greet reads the hello and answers.
func (c *conn) greet() *Error {
	b, e := c.readLine(maxHelloBytes, c.s.opt.HelloTimeout, CodeHelloTimeout)
	if e != nil {
		if e.Code == CodeLineTooLong {
			e = &Error{Code: CodeBadHello, Message: fmt.Sprintf("longer than %d bytes", maxHelloBytes)}
		}
		return e
	}
	var h Hello
	if err := json.Unmarshal(b, &h); err != nil || h.Type != typeHello {
		return &Error{Code: CodeBadHello, Message: "the first message must be a hello"}
	}
	if c.needToken && !c.s.authorized(h.Token) {
		return &Error{Code: CodeUnauthorized, Message: "token: missing or wrong"}
	}
	h.Token = ""
	if h.Version != Version {
		return &Error{Code: CodeVersion, Message: fmt.Sprintf("version: must be %d, is %d", Version, h.Version)}
	}
	if err := h.check(); err != nil {
		return &Error{Code: CodeBadHello, Message: err.Error()}
	}
	run, e := c.s.attach(c, h)
	if e != nil {
		return e
	}
	w := Welcome{Type: typeWelcome, Version: Version, MaxLineBytes: c.s.opt.MaxLineBytes, KeepAlive: c.keepAlive().Seconds()}
	if c.s.opt.Welcome != nil {
		w.OTLP = c.s.opt.Welcome(run)
	}
	c.s.mu.Lock()
	c.run = run
	w.Resume = run.acked
	c.s.mu.Unlock()
	_ = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := c.nc.Write(marshalLine(w)); err != nil {
		return &Error{Code: CodeIdle, Message: err.Error()}
	}
	return nil
}

func (c *conn) keepAlive() time.Duration { return c.s.opt.IdleTimeout / 3 }

// read takes messages until the connection ends; nil when the client ended it.
func (c *conn) read() *Error {
	// JSON can make six bytes of one.
	limit := 6*c.s.opt.MaxLineBytes + 4096
	for {
		b, e := c.readLine(limit, c.s.opt.IdleTimeout, CodeIdle)
		if e != nil && e.Code == CodeLineTooLong {
			c.reply(e) // it has no number: the next message shows that it is missing
			continue
		}
		if e != nil || b == nil {
			return e
		}
		item, seq, e := parse(b, c.s.opt.MaxLineBytes)
		if e != nil {
			c.reply(e)
		}
		if item == nil && seq == 0 {
			continue
		}
		if item == nil {
			// The number is used up: what it stood for is lost, and that is told.
			item = &Item{Kind: KindGap, Seq: seq, Time: time.Now(), Missing: 1}
		}
		if !c.s.push(c, *item) {
			return nil
		}
	}
}

// readLine returns the next line without its end; it is valid until the next call. nil without an error is the end. A
// longer line is skipped as a whole.
func (c *conn) readLine(limit int, timeout time.Duration, code string) ([]byte, *Error) {
	c.s.mu.Lock()
	if c.gone {
		c.s.mu.Unlock()
		return nil, nil
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(timeout))
	c.s.mu.Unlock()
	var long []byte
	tooLong := false
	for {
		part, err := c.in.ReadSlice('\n')
		switch {
		case err == nil && tooLong:
			return nil, &Error{Code: CodeLineTooLong, Message: fmt.Sprintf("a message of more than %d bytes was skipped", limit)}
		case err == nil && long == nil && len(part) <= limit:
			return bytes.TrimSuffix(part, []byte("\n")), nil
		case errors.Is(err, bufio.ErrBufferFull), err == nil:
			if len(long)+len(part) > limit {
				tooLong, long = true, nil
			}
			if !tooLong {
				long = append(long, part...)
			}
			if err != nil {
				continue
			}
			if tooLong {
				return nil, &Error{Code: CodeLineTooLong, Message: fmt.Sprintf("a message of more than %d bytes was skipped", limit)}
			}
			return bytes.TrimSuffix(long, []byte("\n")), nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.s.mu.Lock()
			gone := c.gone
			c.s.mu.Unlock()
			if gone {
				return nil, nil
			}
			return nil, &Error{Code: code, Message: fmt.Sprintf("nothing complete came for %s", timeout)}
		case errors.Is(err, io.EOF):
			return nil, nil // half a line at the end comes again
		default:
			return nil, nil
		}
	}
}

func (c *conn) reply(e *Error) {
	c.s.refused(e.Code)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.replies) < maxReplies {
		e.Type = typeError
		c.replies = append(c.replies, e)
	}
	c.poke()
}

// write sends acknowledgements, errors and signs of life until the reading has ended.
func (c *conn) write() {
	timer := time.NewTicker(c.keepAlive())
	defer timer.Stop()
	var sent uint64
	alive := marshalLine(map[string]string{"type": typeAlive})
	var out []byte
	for {
		out = out[:0]
		select {
		case <-c.over:
			return
		case <-timer.C:
			out = append(out, alive...)
		case <-c.pokes:
		}
		// Looked at before the errors are taken, so that no error comes behind an acknowledgement that covers its line.
		acked := c.acked()
		c.mu.Lock()
		for _, e := range c.replies {
			out = append(out, marshalLine(e)...)
		}
		c.replies = c.replies[:0]
		c.mu.Unlock()
		if acked > sent {
			sent = acked
			out = append(out, ackLine(acked)...)
		}
		if len(out) == 0 {
			continue
		}
		_ = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := c.nc.Write(out); err != nil {
			c.s.mu.Lock()
			c.fail(&Error{Code: CodeIdle, Message: "it does not read"})
			c.s.mu.Unlock()
			return
		}
	}
}

func (c *conn) acked() uint64 {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return c.run.acked
}

// lastAck sends what was acknowledged last, before the connection is closed.
func (c *conn) lastAck() {
	if c.run == nil {
		return
	}
	_ = c.nc.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = c.nc.Write(ackLine(c.acked()))
}

func ackLine(seq uint64) []byte {
	return marshalLine(struct {
		Type string `json:"type"`
		Seq  uint64 `json:"seq"`
	}{typeAck, seq})
}
