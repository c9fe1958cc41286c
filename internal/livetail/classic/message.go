// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package classic

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/frame"
	"github.com/tailrace/tailrace/internal/livetail/recordjson"
)

// Codes of error messages.
const (
	CodeInvalidMessage       = frame.CodeInvalidMessage
	CodeUnknownMessageType   = frame.CodeUnknownMessageType
	CodeInvalidChannel       = "INVALID_CHANNEL"
	CodeForbidden            = "FORBIDDEN"
	CodeTooManySubscriptions = "TOO_MANY_SUBSCRIPTIONS"
	CodeRecordsDropped       = "RECORDS_DROPPED"
	CodeRecordsMissing       = "RECORDS_MISSING"
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

// RequestError says what is wrong with a request.
type RequestError = frame.Error

// Parse reads one message of a client. Every error is a *RequestError.
func Parse(data []byte) (Request, error) {
	m, err := frame.Parse(data)
	if err != nil {
		return Request{}, err
	}
	fail := func(code, message string) (Request, error) {
		return Request{}, &RequestError{Code: code, Message: message, ID: m.ID}
	}
	req := Request{Type: m.Type, ID: m.ID}
	switch req.Type {
	case TypePing:
		return req, nil
	case TypeSubscribe, TypeUnsubscribe:
	default:
		return Request{}, m.Unknown("subscribe, unsubscribe and ping")
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

// Connected greets a client.
func Connected(clientID string) []byte {
	return frame.Reply("connected", nil, func(o *recordjson.Object) { o.Str("clientId", clientID) })
}

// Pong answers a ping.
func Pong(req Request) []byte { return frame.Reply("pong", req.ID, nil) }

// Subscribed answers subscribe; records is how many are filled in.
func Subscribed(req Request, records int) []byte {
	return frame.Reply("subscribed", req.ID, func(o *recordjson.Object) {
		o.Str("channel", req.Name)
		if req.Filled {
			o.Open("backfill")
			o.Uint("records", uint64(records))
			o.Close()
		}
	})
}

// Unsubscribed answers unsubscribe.
func Unsubscribed(req Request) []byte {
	return frame.Reply("unsubscribed", req.ID, func(o *recordjson.Object) { o.Str("channel", req.Name) })
}

// Error reports what is wrong with a request.
func Error(e *RequestError) []byte {
	return frame.Reply("error", e.ID, func(o *recordjson.Object) {
		o.Str("code", e.Code)
		o.Str("message", e.Message)
	})
}

// Missing tells a client that records may be missing which it would have got from another collector.
func Missing() []byte {
	return frame.Reply("error", nil, func(o *recordjson.Object) {
		o.Str("code", CodeRecordsMissing)
		o.Str("message", "records were lost on the way from another collector; it is not known whether they were of a channel of this connection")
	})
}

// Dropped tells a client how many records it did not get: since the last such message, and in all.
func Dropped(dropped, total uint64) []byte {
	return frame.Reply("error", nil, func(o *recordjson.Object) {
		o.Str("code", CodeRecordsDropped)
		o.Str("message", strconv.FormatUint(dropped, 10)+" records were dropped, because this connection did not take them in time, or were lost on the way from another collector")
		o.Uint("dropped", dropped)
		o.Uint("total", total)
	})
}
