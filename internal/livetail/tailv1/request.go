// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailv1

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/frame"
)

// Types of requests.
const (
	TypeAuth        = "auth"
	TypeSubscribe   = "subscribe"
	TypeUpdate      = "update"
	TypeUnsubscribe = "unsubscribe"
	TypePause       = "pause"
	TypeResume      = "resume"
	TypeAck         = "ack"
	TypePing        = "ping"
)

// Codes of error messages.
const (
	CodeInvalidMessage       = frame.CodeInvalidMessage
	CodeUnknownMessageType   = frame.CodeUnknownMessageType
	CodeInvalidChannel       = "INVALID_CHANNEL"
	CodeInvalidFilter        = "INVALID_FILTER"
	CodeNoSubscription       = "NO_SUBSCRIPTION"
	CodeTooManySubscriptions = "TOO_MANY_SUBSCRIPTIONS"
	CodeForbidden            = "FORBIDDEN"
)

// Request is a message of a client.
type Request struct {
	Type string
	ID   []byte // JSON string or number to be echoed, nil when the client gave none

	Token string // auth

	Name      string // subscribe: the channel, as the client spelt it
	Subscribe livetail.Request

	Sub uint32 // of all that name a subscription
	Seq uint64 // ack

	// Update: what is to change.
	HasFilter, HasRate bool
}

// RequestError says what is wrong with a request.
type RequestError = frame.Error

const maxRate = 1_000_000

// payload has the members of all requests.
type payload struct {
	Token    *string         `json:"token"`
	Channel  *string         `json:"channel"`
	Filter   json.RawMessage `json:"filter"`
	MaxRate  *int            `json:"max_rate"`
	Backfill *struct {
		Records *int    `json:"records"`
		Since   *string `json:"since"`
		Older   string  `json:"older"`
	} `json:"backfill"`
	Resume *struct {
		Epoch *string `json:"epoch"`
		Seq   *uint64 `json:"seq"`
		At    int64   `json:"at"`
	} `json:"resume"`
	Sub *uint32 `json:"sub"`
	Seq *uint64 `json:"seq"`
}

// Parse reads one message of a client; now is what relative times are measured from. Every error is a *RequestError.
func Parse(data []byte, now time.Time) (Request, error) {
	m, err := frame.Parse(data)
	if err != nil {
		return Request{}, err
	}
	fail := func(code, message string) (Request, error) {
		return Request{}, &RequestError{Code: code, Message: message, ID: m.ID}
	}
	req := Request{Type: m.Type, ID: m.ID}
	var p payload
	if len(m.Payload) > 0 {
		if err := json.Unmarshal(m.Payload, &p); err != nil {
			return fail(CodeInvalidMessage, "payload: "+jsonError(err))
		}
	}
	switch req.Type {
	case TypePing:
		return req, nil
	case TypeAuth:
		if p.Token == nil || *p.Token == "" {
			return fail(CodeInvalidMessage, "payload.token is missing")
		}
		req.Token = *p.Token
		return req, nil
	case TypeSubscribe:
		if p.Channel == nil {
			return fail(CodeInvalidMessage, "payload.channel is missing")
		}
		req.Name = *p.Channel
	case TypeUpdate, TypeUnsubscribe, TypePause, TypeResume, TypeAck:
		if p.Sub == nil {
			return fail(CodeInvalidMessage, "payload.sub is missing")
		}
		req.Sub = *p.Sub
		if req.Type == TypeAck {
			if p.Seq == nil {
				return fail(CodeInvalidMessage, "payload.seq is missing")
			}
			req.Seq = *p.Seq
		}
	default:
		return Request{}, m.Unknown("subscribe, update, unsubscribe, pause, resume, ack, auth and ping")
	}
	if code, err := req.details(&p, now); err != nil {
		return fail(code, err.Error())
	}
	return req, nil
}

// details reads what subscribe and update have.
func (r *Request) details(p *payload, now time.Time) (code string, err error) {
	s := &r.Subscribe
	if r.Type == TypeSubscribe {
		if s.Channel, err = livetail.ParseChannel(r.Name); err != nil {
			return CodeInvalidChannel, err
		}
	}
	if r.Type == TypeSubscribe || r.Type == TypeUpdate {
		r.HasFilter, r.HasRate = len(p.Filter) > 0, p.MaxRate != nil
		if s.Filter, err = livetail.ParseFilter(p.Filter); err != nil {
			return CodeInvalidFilter, err
		}
		if r.HasRate {
			if s.MaxRate = *p.MaxRate; s.MaxRate < 0 || s.MaxRate > maxRate {
				return CodeInvalidMessage, fmt.Errorf("payload.max_rate must be from 0 to %d records a second", maxRate)
			}
		}
	}
	if r.Type != TypeSubscribe {
		return "", nil
	}
	if b := p.Backfill; b != nil {
		if b.Records != nil {
			if s.Backfill = *b.Records; s.Backfill < 0 {
				return CodeInvalidMessage, errors.New("payload.backfill.records must be 0 or more")
			}
		}
		if b.Since != nil {
			if s.Since, err = ParseTime(*b.Since, now); err != nil {
				return CodeInvalidMessage, fmt.Errorf("payload.backfill.since: %w", err)
			}
		}
		switch b.Older {
		case "", "first":
		case "after":
			s.OlderAfter = true
		default:
			return CodeInvalidMessage, fmt.Errorf("payload.backfill.older must be first or after, not %q", b.Older)
		}
	}
	if q := p.Resume; q != nil {
		if q.Epoch == nil || q.Seq == nil {
			return CodeInvalidMessage, errors.New("payload.resume must be {epoch: string, seq: integer}")
		}
		s.Resume = &livetail.Position{Epoch: *q.Epoch, Seq: *q.Seq}
		if q.At > 0 {
			s.Resume.At = time.UnixMilli(q.At)
		}
	}
	return "", nil
}

// ParseTime reads a time in RFC 3339, or one relative to now such as -15m.
func ParseTime(s string, now time.Time) (time.Time, error) {
	if len(s) > 1 && s[0] == '-' {
		if d, err := time.ParseDuration(s); err == nil {
			return now.Add(d), nil
		}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, errors.New("must be a time such as 2026-03-01T12:00:00Z, or relative such as -15m")
	}
	return t, nil
}

func jsonError(err error) string {
	var te *json.UnmarshalTypeError
	if errors.As(err, &te) && te.Field != "" {
		return te.Field + " must not be a " + te.Value
	}
	return "must be an object with members of the right types"
}
