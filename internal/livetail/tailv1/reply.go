// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailv1

import (
	"strconv"

	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/frame"
	"github.com/tailrace/tailrace/internal/livetail/recordjson"
)

// Subprotocol is the name of this level in Sec-WebSocket-Protocol.
const Subprotocol = "tailrace.v1"

func number(o *recordjson.Object, name string, n uint64) {
	o.Key(name)
	o.B = strconv.AppendUint(o.B, n, 10)
}

// Hello is what a client is told first.
type Hello struct {
	Version, Epoch   string
	Authenticated    bool // false: the first message has to be auth
	PingIntervalMS   int64
	MaxMessageBytes  int
	MaxSubscriptions int
	ClientBytes      int
	RingRecords      int
}

// Capabilities of the server, named in hello.
var Capabilities = []string{"filter", "backfill", "resume", "pause", "update", "max_rate", "ack", "spans_in_progress", "stored", "older"}

// Message is the hello message.
func (h *Hello) Message() []byte {
	return frame.Reply("hello", nil, func(o *recordjson.Object) {
		o.Str("server", "tailrace")
		o.Str("version", h.Version)
		o.Str("epoch", h.Epoch)
		o.Key("authenticated")
		o.B = strconv.AppendBool(o.B, h.Authenticated)
		number(o, "ping_interval_ms", uint64(h.PingIntervalMS))
		o.Open("limits")
		number(o, "max_message_bytes", uint64(h.MaxMessageBytes))
		number(o, "max_subscriptions", uint64(h.MaxSubscriptions))
		number(o, "client_buffer_bytes", uint64(h.ClientBytes))
		number(o, "ring_records", uint64(h.RingRecords))
		number(o, "max_filter_bytes", livetail.MaxFilterBytes)
		number(o, "max_regex_bytes", livetail.MaxRegexBytes)
		o.Close()
		o.Key("capabilities")
		o.B = append(o.B, '[')
		for i, c := range Capabilities {
			if i > 0 {
				o.B = append(o.B, ',')
			}
			o.B = recordjson.AppendString(o.B, c)
		}
		o.B = append(o.B, ']')
	})
}

// Subscribed answers subscribe.
func Subscribed(req *Request, s livetail.Subscribed) []byte {
	return frame.Reply("subscribed", req.ID, func(o *recordjson.Object) {
		number(o, "sub", uint64(s.Sub))
		o.Str("channel", req.Name)
		o.Str("epoch", s.Epoch)
		number(o, "seq", s.Seq)
		number(o, "head", s.Head)
		o.Key("recovered")
		o.B = strconv.AppendBool(o.B, s.Recovered)
		if !s.At.IsZero() {
			o.Key("at")
			o.B = strconv.AppendInt(o.B, s.At.UnixMilli(), 10)
		}
		if s.Filling {
			o.Key("filling")
			o.B = append(o.B, "true"...)
		}
		if s.Older {
			o.Key("older")
			o.B = append(o.B, "true"...)
		}
		if s.Gap != nil {
			o.Key("gap")
			o.B = AppendGapObject(o.B, s.Sub, req.Subscribe.Channel, s.Gap)
		}
	})
}

// Changed answers update, pause, resume and unsubscribe: from which place on it holds.
func Changed(req *Request, seq uint64) []byte {
	return frame.Reply(map[string]string{
		TypeUpdate: "updated", TypePause: "paused", TypeResume: "resumed", TypeUnsubscribe: "unsubscribed",
	}[req.Type], req.ID, func(o *recordjson.Object) {
		number(o, "sub", uint64(req.Sub))
		if req.Type != TypeUnsubscribe {
			number(o, "seq", seq)
		}
	})
}

// Authenticated answers auth.
func Authenticated(id []byte, subject string) []byte {
	return frame.Reply("authenticated", id, func(o *recordjson.Object) { o.Str("subject", subject) })
}

// Pong answers a ping.
func Pong(id []byte) []byte { return frame.Reply("pong", id, nil) }

// Ping is sent when there was nothing else to send for a while.
func Ping() []byte { return frame.Reply("ping", nil, nil) }

// Notice tells a client something that it did not ask for.
func Notice(code, message string) []byte {
	return frame.Reply("notice", nil, func(o *recordjson.Object) {
		o.Str("code", code)
		o.Str("message", message)
	})
}

// Error reports what is wrong with a request. None of the codes is temporary but that of too many subscriptions.
func Error(e *RequestError) []byte {
	return frame.Reply("error", e.ID, func(o *recordjson.Object) {
		o.Str("code", e.Code)
		o.Str("message", e.Message)
		o.Key("temporary")
		o.B = strconv.AppendBool(o.B, e.Code == CodeTooManySubscriptions)
	})
}
