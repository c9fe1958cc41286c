// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package classic

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/tailrace/tailrace/internal/livetail"
)

// Codes of error messages.
const (
	CodeInvalidMessage       = "INVALID_MESSAGE"
	CodeUnknownMessageType   = "UNKNOWN_MESSAGE_TYPE"
	CodeInvalidChannel       = "INVALID_CHANNEL"
	CodeTooManySubscriptions = "TOO_MANY_SUBSCRIPTIONS"
	CodeRecordsDropped       = "RECORDS_DROPPED"
)

// Types of requests.
const (
	TypeSubscribe   = "subscribe"
	TypeUnsubscribe = "unsubscribe"
	TypePing        = "ping"
)

// Request is a message of a client.
type Request struct {
	Type     string
	ID       []byte // JSON string or number to be echoed, nil when the client gave none
	Name     string // of the channel, as the client spelt it
	Channel  livetail.Channel
	Backfill int  // records, 0: none
	Filled   bool // the client asked for a backfill, be it of 0 records
}

// RequestError says what is wrong with a request; ID is the request's as far as it could be read.
type RequestError struct {
	Code, Message string
	ID            []byte
}

func (e *RequestError) Error() string { return e.Code + ": " + e.Message }

// maxID is the longest request id that is echoed, in bytes of JSON.
const maxID = 128

// Parse reads one message of a client. Every error is a *RequestError.
func Parse(data []byte) (Request, error) {
	var m struct {
		Type    *string         `json:"type"`
		ID      json.RawMessage `json:"id"`
		Payload json.RawMessage `json:"payload"`
	}
	if !utf8.Valid(data) {
		return Request{}, &RequestError{Code: CodeInvalidMessage, Message: "the message is not valid UTF-8"}
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return Request{}, &RequestError{Code: CodeInvalidMessage, Message: "the message is no JSON object of the form {type, payload}"}
	}
	id, err := requestID(m.ID)
	if err != nil {
		return Request{}, &RequestError{Code: CodeInvalidMessage, Message: err.Error()}
	}
	fail := func(code, message string) (Request, error) {
		return Request{}, &RequestError{Code: code, Message: message, ID: id}
	}
	if m.Type == nil {
		return fail(CodeInvalidMessage, "type is missing")
	}
	req := Request{Type: *m.Type, ID: id}
	switch req.Type {
	case TypePing:
		return req, nil
	case TypeSubscribe, TypeUnsubscribe:
	default:
		return fail(CodeUnknownMessageType, fmt.Sprintf("unknown message type %s; known are subscribe, unsubscribe and ping", shorten(req.Type)))
	}
	var p struct {
		Channel  *string `json:"channel"`
		Backfill *struct {
			Records *int `json:"records"`
		} `json:"backfill"`
	}
	if len(m.Payload) == 0 || bytes.Equal(m.Payload, []byte("null")) {
		return fail(CodeInvalidMessage, req.Type+" needs a payload with a channel")
	}
	if err := json.Unmarshal(m.Payload, &p); err != nil {
		return fail(CodeInvalidMessage, "the payload must be {channel: string, backfill?: {records: integer}}")
	}
	if p.Channel == nil {
		return fail(CodeInvalidMessage, "payload.channel is missing")
	}
	req.Name = *p.Channel
	if req.Channel, err = livetail.ParseChannel(req.Name); err != nil {
		return fail(CodeInvalidChannel, err.Error())
	}
	if p.Backfill != nil && req.Type == TypeSubscribe {
		if p.Backfill.Records == nil || *p.Backfill.Records < 0 {
			return fail(CodeInvalidMessage, "payload.backfill.records must be 0 or more")
		}
		req.Backfill, req.Filled = *p.Backfill.Records, true
	}
	return req, nil
}

func requestID(raw json.RawMessage) ([]byte, error) {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil, nil
	}
	if c := raw[0]; c != '"' && c != '-' && (c < '0' || c > '9') {
		return nil, errors.New("id must be a string or a number")
	}
	if len(raw) > maxID {
		return nil, fmt.Errorf("id must have at most %d bytes", maxID)
	}
	return raw, nil
}

func shorten(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strconv.QuoteToASCII(s)
}

func reply(typ string, id []byte, payload func(o *object)) []byte {
	o := object{b: append(make([]byte, 0, 128), "{\"type\":\""...), first: true}
	o.payload(typ)
	if payload != nil {
		payload(&o)
	}
	o.b = append(o.b, '}')
	if id != nil {
		o.b = append(o.b, ",\"id\":"...)
		o.b = append(o.b, id...)
	}
	return append(o.b, '}')
}

// Connected greets a client.
func Connected(clientID string) []byte {
	return reply("connected", nil, func(o *object) { o.str("clientId", clientID) })
}

// Pong answers a ping.
func Pong(req Request) []byte { return reply("pong", req.ID, nil) }

// Subscribed answers subscribe; records is how many are filled in.
func Subscribed(req Request, records int) []byte {
	return reply("subscribed", req.ID, func(o *object) {
		o.str("channel", req.Name)
		if req.Filled {
			o.open("backfill")
			o.uint("records", uint64(records))
			o.close()
		}
	})
}

// Unsubscribed answers unsubscribe.
func Unsubscribed(req Request) []byte {
	return reply("unsubscribed", req.ID, func(o *object) { o.str("channel", req.Name) })
}

// Error reports what is wrong with a request.
func Error(e *RequestError) []byte {
	return reply("error", e.ID, func(o *object) {
		o.str("code", e.Code)
		o.str("message", e.Message)
	})
}

// Dropped tells a client how many records it did not get: since the last such message, and in all.
func Dropped(dropped, total uint64) []byte {
	return reply("error", nil, func(o *object) {
		o.str("code", CodeRecordsDropped)
		o.str("message", strconv.FormatUint(dropped, 10)+" records were dropped, because this connection did not take them in time")
		o.uint("dropped", dropped)
		o.uint("total", total)
	})
}
