// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package restapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/query"
)

// problem is an error as RFC 9457 has it. Type is the last part of a URN.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Parameter is the one that is wrong.
	Parameter string `json:"parameter,omitempty"`
	// Limit is the one that was reached.
	Limit string `json:"limit,omitempty"`
}

func (p *problem) Error() string { return p.Detail }

// problemOf says what a client gets to know of an error. Causes that name addresses or SQL stay in the log.
func problemOf(err error) *problem {
	var p *problem
	var param *query.ParamError
	var limit *query.LimitError
	var away *query.UnavailableError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &param):
		return &problem{Type: "parameter", Title: "A parameter is wrong", Status: http.StatusBadRequest, Detail: param.Error(), Parameter: param.Param}
	case errors.As(err, &limit):
		p = &problem{Type: "limit", Title: "A limit was reached", Status: http.StatusUnprocessableEntity, Detail: limit.Error(), Limit: limit.Limit}
		switch limit.Limit {
		case "time":
			p.Status = http.StatusGatewayTimeout
		case "concurrency":
			p.Status = http.StatusTooManyRequests
		}
		return p
	case errors.As(err, &away):
		return &problem{Type: "store-away", Title: "ClickHouse is away", Status: http.StatusServiceUnavailable,
			Detail: "ClickHouse does not answer, or its schema is not ready. Live tail goes on; what is stored can be asked for again when it is back."}
	case errors.Is(err, access.ErrUnauthenticated):
		return &problem{Type: "unauthenticated", Title: "Not authenticated", Status: http.StatusUnauthorized, Detail: "send an API token (Authorization: Bearer …), or log in"}
	case errors.Is(err, query.ErrForbidden), errors.Is(err, access.ErrForbidden):
		return &problem{Type: "forbidden", Title: "Not allowed", Status: http.StatusForbidden, Detail: err.Error()}
	case errors.Is(err, query.ErrNotFound):
		return &problem{Type: "not-found", Title: "Not found", Status: http.StatusNotFound, Detail: "there is no such thing among what you may see"}
	default:
		if p := putBackProblem(err); p != nil {
			return p
		}
		return &problem{Type: "internal", Title: "Internal error", Status: http.StatusInternalServerError, Detail: "the server failed to answer; its log says why"}
	}
}

const urn = "urn:tailrace:problem:"

func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return // the client has gone
	}
	p := *problemOf(err)
	a.log(r, &p, err)
	p.Type = urn + p.Type
	h := w.Header()
	switch p.Status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", "2")
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = encode(w, p)
}

func (a *api) log(r *http.Request, p *problem, err error) {
	if p.Status >= http.StatusInternalServerError {
		level := a.Logger.Error
		if p.Status != http.StatusInternalServerError {
			level = a.Logger.Warn
		}
		level("A query failed", zap.String("path", r.URL.Path), zap.Int("status", p.Status), zap.Error(err))
	}
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // it is never put into a page as it is
	return e.Encode(v)
}
