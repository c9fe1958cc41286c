// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package frame has what the two levels of the protocol share: the form {type, payload, id} of a request, of its
// answer and of an error.
package frame

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/tailrace/tailrace/internal/livetail/recordjson"
)

// Codes of errors that every request can meet.
const (
	CodeInvalidMessage     = "INVALID_MESSAGE"
	CodeUnknownMessageType = "UNKNOWN_MESSAGE_TYPE"
)

// maxID is the longest request id that is echoed, in bytes of JSON.
const maxID = 128

// Request is a client's message before its payload is read.
type Request struct {
	Type    string
	ID      []byte          // JSON string or number to be echoed, nil when the client gave none
	Payload json.RawMessage // may be empty
}

// Error says what is wrong with a request; ID is the request's as far as it could be read.
type Error struct {
	Code, Message string
	ID            []byte
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Parse reads one message. Every error is an *Error. ID and Payload lie in memory of their own.
func Parse(data []byte) (Request, error) {
	var m struct {
		Type    *string         `json:"type"`
		ID      json.RawMessage `json:"id"`
		Payload json.RawMessage `json:"payload"`
	}
	if !utf8.Valid(data) {
		return Request{}, &Error{Code: CodeInvalidMessage, Message: "the message is not valid UTF-8"}
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return Request{}, &Error{Code: CodeInvalidMessage, Message: "the message is no JSON object of the form {type, payload}"}
	}
	id, err := requestID(m.ID)
	if err != nil {
		return Request{}, &Error{Code: CodeInvalidMessage, Message: err.Error()}
	}
	if m.Type == nil {
		return Request{}, &Error{Code: CodeInvalidMessage, Message: "type is missing", ID: id}
	}
	return Request{Type: *m.Type, ID: id, Payload: m.Payload}, nil
}

// Unknown is the error for a type that the level does not know; known are those that it does.
func (r Request) Unknown(known string) *Error {
	typ := r.Type
	if len(typ) > 64 {
		typ = typ[:64] + "…"
	}
	return &Error{Code: CodeUnknownMessageType, Message: "unknown message type " + strconv.QuoteToASCII(typ) + "; known are " + known, ID: r.ID}
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

// Begin opens a message in o.B, which the caller closes with two braces; the members of the payload are to follow. typ needs no escaping.
func Begin(o *recordjson.Object, typ string) {
	o.B = append(o.B, "{\"type\":\""...)
	o.B = append(o.B, typ...)
	o.B = append(o.B, "\",\"payload\":{"...)
	o.First = true
}

// Reply is a message that echoes an id, when there is one. A nil payload is an empty one.
func Reply(typ string, id []byte, payload func(o *recordjson.Object)) []byte {
	o := recordjson.Object{B: make([]byte, 0, 160)}
	Begin(&o, typ)
	if payload != nil {
		payload(&o)
	}
	o.B = append(o.B, '}')
	if id != nil {
		o.B = append(o.B, ",\"id\":"...)
		o.B = append(o.B, id...)
	}
	return append(o.B, '}')
}
