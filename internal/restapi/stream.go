// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package restapi

import (
	"bufio"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/query"
)

const ndjsonType = "application/x-ndjson"

// wantsNDJSON reads Accept.
func wantsNDJSON(h http.Header, can bool) (bool, error) {
	lines, other := false, len(h.Values("Accept")) == 0
	for _, value := range h.Values("Accept") {
		for part := range strings.SplitSeq(value, ",") {
			typ, params, err := mime.ParseMediaType(strings.TrimSpace(part))
			if q, e := strconv.ParseFloat(params["q"], 64); err != nil || e == nil && q == 0 {
				continue
			}
			switch typ {
			case ndjsonType, "application/jsonl":
				lines = true
			default:
				other = true
			}
		}
	}
	if lines && !can && !other {
		return false, &problem{Type: "not-acceptable", Title: "Not acceptable", Status: http.StatusNotAcceptable, Detail: "this route has no NDJSON; ask for application/json"}
	}
	return lines && can, nil
}

// errEnough ends an export that has as many rows as were asked for.
var errEnough = errors.New("enough")

// stream writes an export: a row a line. Status 200 is sent with the first rows, so an export that fails later ends with a
// line {"error": problem} and its connection is cut: neither a reader of lines nor one of HTTP takes it for complete.
func (a *api) stream(w http.ResponseWriter, c *call, rt route, values url.Values) {
	select {
	case a.exports <- struct{}{}:
		defer func() { <-a.exports }()
	default:
		a.fail(w, c.http, &query.LimitError{Limit: "concurrency", Value: strconv.Itoa(a.Exports) + " exports"})
		return
	}
	if !values.Has("detail") {
		c.req.Full = true
	}
	most := -1
	if values.Has("limit") || values.Has("tail") {
		most = c.req.Limit
	}
	out := http.NewResponseController(w)
	buffer := bufio.NewWriterSize(w, 64<<10)
	last := time.Now()
	started := false
	err := rt.export(a, c, func(row any) error {
		if !started {
			started = true
			w.Header().Set("Content-Type", ndjsonType)
			_ = out.SetWriteDeadline(time.Now().Add(a.WriteTimeout))
		}
		if most == 0 {
			return errEnough
		}
		most--
		if err := encode(buffer, row); err != nil {
			return err
		}
		if now := time.Now(); now.Sub(last) > 500*time.Millisecond {
			if expired(c.caller, a.now()) { // it may have been valid when the export began
				return access.ErrUnauthenticated
			}
			last = now
			_ = out.SetWriteDeadline(now.Add(a.WriteTimeout))
			if err := buffer.Flush(); err != nil {
				return err
			}
			return out.Flush()
		}
		return nil
	})
	switch {
	case err == nil, errors.Is(err, errEnough):
		if !started {
			w.Header().Set("Content-Type", ndjsonType)
			w.WriteHeader(http.StatusOK)
		}
		_ = buffer.Flush()
	case !started:
		a.fail(w, c.http, err)
	default:
		if c.ctx.Err() == nil {
			p := *problemOf(err)
			a.log(c.http, &p, err)
			p.Type = urn + p.Type
			_ = encode(buffer, struct {
				Error problem `json:"error"`
			}{p})
			_ = buffer.Flush()
			_ = out.Flush()
		}
		panic(http.ErrAbortHandler)
	}
}
