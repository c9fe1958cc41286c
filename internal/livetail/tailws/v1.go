// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailws

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/tailv1"
)

var (
	taken       = sync.Pool{New: func() any { return &livetail.Taken{} }}
	streamTaken = sync.Pool{New: func() any { return &livetail.StreamTaken{} }}
)

// deflateAbove is the size of records from which compressing a batch pays.
const deflateAbove = 512

// streamLevel speaks tailrace.v1.
type streamLevel struct {
	stream *livetail.Stream
	server *Server
	hello  tailv1.Hello

	mu      sync.Mutex // guards what follows
	greeted bool
	told    uint64 // number of the last notice
}

func newStreamLevel(c *conn) *streamLevel {
	l := &streamLevel{server: c.server, stream: c.server.opts.Hub.NewStream(c.who.caller, c.notify), hello: c.server.opts.Hello}
	l.hello.Authenticated = c.who.caller != nil
	return l
}

func (l *streamLevel) greet(string) {
	l.stream.Send(l.hello.Message())
	l.hello = tailv1.Hello{}
	l.noticeStanding(l.server)
}

func (l *streamLevel) setCaller(c *access.Caller) { l.stream.SetCaller(c) }
func (l *streamLevel) replies() int               { return l.stream.Replies() }
func (l *streamLevel) sent(records int)           { l.stream.Sent(records) }
func (l *streamLevel) lost(records int)           { l.stream.Lost(records) }
func (l *streamLevel) close()                     { l.stream.Close() }

func (l *streamLevel) idle() {
	if !l.stream.Progress() {
		l.stream.Send(tailv1.Ping()) // pages can't see a WebSocket ping
	}
}

func (l *streamLevel) handle(c *conn, kind int, data []byte) {
	if kind != websocket.TextMessage {
		c.bad("binary messages are not understood")
		return
	}
	req, err := tailv1.Parse(data, time.Now())
	var re *tailv1.RequestError
	if errors.As(err, &re) {
		if re.Code == tailv1.CodeInvalidMessage && re.ID == nil && req.Type == "" && !isObject(data) {
			c.bad(re.Message)
			return
		}
		l.fail(re)
		return
	}
	if c.who.caller == nil && req.Type != tailv1.TypeAuth && req.Type != tailv1.TypePing {
		c.server.stats.refusedAuth.Add(1)
		c.close(CloseNotAuthenticated, "authenticate first")
		return
	}
	switch req.Type {
	case tailv1.TypePing:
		l.stream.Send(tailv1.Pong(req.ID))
	case tailv1.TypeAuth:
		l.authenticate(c, &req)
	default:
		l.answer(c, &req, l.do(c, &req))
	}
}

// isObject reports whether data is at least shaped like a message: anything else is a client that speaks another protocol.
func isObject(data []byte) bool {
	for _, b := range data {
		switch b {
		case ' ', '\t', '\r', '\n':
		default:
			return b == '{' && data[len(data)-1] == '}'
		}
	}
	return false
}

// bad ends a connection that does not speak the protocol.
func (c *conn) bad(reason string) {
	c.server.stats.refusedMessage.Add(1)
	c.close(CloseBadMessage, reason)
}

func (l *streamLevel) do(c *conn, req *tailv1.Request) error {
	changed := func(seq uint64) []byte { return tailv1.Changed(req, seq) }
	switch req.Type {
	case tailv1.TypeSubscribe:
		if project, ok := req.Subscribe.Channel.Project(); ok && !c.who.caller.MayRead(project) {
			return access.ErrForbidden
		}
		return l.stream.Subscribe(req.Subscribe, func(s livetail.Subscribed) []byte { return tailv1.Subscribed(req, s) })
	case tailv1.TypeUpdate:
		return l.stream.Update(req.Sub, func(r *livetail.Request) {
			if req.HasFilter {
				r.Filter = req.Subscribe.Filter
			}
			if req.HasRate {
				r.MaxRate = req.Subscribe.MaxRate
			}
		}, changed)
	case tailv1.TypePause:
		return l.stream.Pause(req.Sub, changed)
	case tailv1.TypeResume:
		return l.stream.Resume(req.Sub, changed)
	case tailv1.TypeAck:
		return l.stream.Ack(req.Sub, req.Seq)
	default:
		return l.stream.Unsubscribe(req.Sub, tailv1.Changed(req, 0))
	}
}

func (l *streamLevel) answer(c *conn, req *tailv1.Request, err error) {
	switch {
	case err == nil:
	case errors.Is(err, livetail.ErrClosed):
		c.close(CloseGoingAway, goingAway)
	case errors.Is(err, livetail.ErrTooManyChannels):
		l.fail(&tailv1.RequestError{Code: tailv1.CodeTooManySubscriptions, Message: "too many subscriptions on this connection", ID: req.ID})
	case errors.Is(err, livetail.ErrNoSubscription):
		l.fail(&tailv1.RequestError{Code: tailv1.CodeNoSubscription, Message: err.Error(), ID: req.ID})
	case errors.Is(err, access.ErrForbidden):
		l.fail(&tailv1.RequestError{Code: tailv1.CodeForbidden, Message: "the project may not be read", ID: req.ID})
	default:
		l.fail(&tailv1.RequestError{Code: tailv1.CodeInvalidMessage, Message: err.Error(), ID: req.ID})
	}
}

// authenticate takes the credential of a message, once; who is known stays who it is.
func (l *streamLevel) authenticate(c *conn, req *tailv1.Request) {
	if c.who.caller != nil {
		l.stream.Send(tailv1.Authenticated(req.ID, c.who.caller.Subject()))
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.server.opts.AuthTimeout)
	defer cancel()
	headers := http.Header{"Authorization": {"Bearer " + req.Token}}
	decided := c.who.door.changes.Load()
	caller, err := c.who.door.Authority.Authenticate(ctx, headers)
	switch {
	case errors.Is(err, access.ErrUnauthenticated):
		c.server.stats.refusedAuth.Add(1)
		c.close(CloseNotAuthenticated, "not authenticated")
		return
	case err != nil:
		c.close(CloseGoingAway, "the server can't tell who you are at the moment")
		return
	case len(caller.Readable()) == 0:
		c.server.stats.refusedForbidden.Add(1)
		c.close(CloseForbidden, "no project may be read")
		return
	}
	c.who.setCaller(caller, headers)
	if !c.server.identified(&c.who) {
		c.server.stats.refusedTooMany.Add(1)
		c.close(CloseTooMany, "too many connections")
		return
	}
	c.who.began()
	if c.who.door.changes.Load() != decided {
		c.who.decideAgain() // it waits until this request is done
	}
	l.stream.SetCaller(caller)
	l.stream.Send(tailv1.Authenticated(req.ID, caller.Subject()))
}

func (l *streamLevel) fail(err *tailv1.RequestError) { l.stream.Send(tailv1.Error(err)) }

func (l *streamLevel) take(g *gather, c *conn) (records int, more bool) {
	t := streamTaken.Get().(*livetail.StreamTaken)
	defer streamTaken.Put(t)
	more = l.stream.Take(t, flushBytes)
	var scratch [160]byte
	for i := range t.Outputs {
		out := &t.Outputs[i]
		switch {
		case out.Control != nil:
			g.text(out.Control)
		case out.Filled != nil:
			g.text(tailv1.AppendFilled(scratch[:0], out.Sub, out.Filled))
		case out.Gap != nil:
			g.text(tailv1.AppendGap(scratch[:0], out.Sub, out.Channel, out.Gap))
		default:
			g.batch(tailv1.AppendBatchHead(scratch[:0], out), out.Block, c.deflate)
		}
		*out = livetail.Output{}
	}
	return t.Records, more
}

// batch adds a message whose records are shared with other connections.
func (g *gather) batch(head []byte, b *livetail.Block, compressed bool) {
	if compressed && len(b.Body) >= deflateAbove {
		if middle := b.Deflated(deflate); middle != nil {
			g.deflated(head, middle, tailv1.BatchTail)
			return
		}
	}
	g.own = appendFrameHead(g.own, opText, len(head)+len(b.Body)+len(tailv1.BatchTail))
	g.own = append(g.own, head...)
	g.shared(b.Body)
	g.own = append(g.own, tailv1.BatchTail...)
	g.frames++
}
