// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailws

import (
	"errors"

	"github.com/gorilla/websocket"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/classic"
)

// classicLevel speaks the classic protocol.
type classicLevel struct {
	sub *livetail.Subscriber
}

func newClassicLevel(c *conn) *classicLevel {
	return &classicLevel{sub: c.server.opts.Hub.NewSubscriber(c.who.caller, c.notify)}
}

func (l *classicLevel) greet(clientID string)      { l.sub.Send(classic.Connected(clientID)) }
func (l *classicLevel) setCaller(c *access.Caller) { l.sub.SetCaller(c) }
func (l *classicLevel) replies() int               { return l.sub.Replies() }
func (l *classicLevel) sent(records int)           { l.sub.Sent(records) }
func (l *classicLevel) lost(records int)           { l.sub.Lost(records) }
func (l *classicLevel) idle()                      {}
func (l *classicLevel) close()                     { l.sub.Close() }

func (l *classicLevel) handle(c *conn, kind int, data []byte) {
	if kind != websocket.TextMessage {
		l.fail(&classic.RequestError{Code: classic.CodeInvalidMessage, Message: "binary messages are not understood; send JSON as text"})
		return
	}
	req, err := classic.Parse(data)
	if err != nil {
		var re *classic.RequestError
		if errors.As(err, &re) {
			l.fail(re)
		}
		return
	}
	switch req.Type {
	case classic.TypePing:
		l.sub.Send(classic.Pong(req))
	case classic.TypeUnsubscribe:
		l.sub.Unsubscribe(req.Channel, classic.Unsubscribed(req))
	case classic.TypeSubscribe:
		if project, ok := req.Channel.Project(); ok && !c.who.caller.MayRead(project) {
			l.fail(&classic.RequestError{Code: classic.CodeForbidden, Message: "the project may not be read", ID: req.ID})
			return
		}
		err := l.sub.Subscribe(req.Channel, req.Backfill, func(n int) []byte { return classic.Subscribed(req, n) })
		switch {
		case errors.Is(err, livetail.ErrTooManyChannels):
			l.fail(&classic.RequestError{Code: classic.CodeTooManySubscriptions, Message: "too many subscriptions on this connection", ID: req.ID})
		case err != nil:
			c.close(CloseGoingAway, goingAway)
		}
	}
}

func (l *classicLevel) fail(err *classic.RequestError) { l.sub.Send(classic.Error(err)) }

func (l *classicLevel) take(g *gather, _ *conn) (records int, more bool) {
	t := taken.Get().(*livetail.Taken)
	defer taken.Put(t)
	more = l.sub.Take(t, flushBytes)
	if t.Dropped > 0 {
		g.text(classic.Dropped(t.Dropped, t.Total))
	}
	if t.Unsure {
		g.text(classic.Missing())
	}
	for i, msg := range t.Messages {
		g.text(msg)
		t.Messages[i] = nil
	}
	return t.Records, more
}
