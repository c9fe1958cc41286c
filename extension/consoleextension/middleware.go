// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/audit"
	"github.com/tailrace/tailrace/internal/webguard"
)

// CSRFHeader has to hold the session's token in each request with a session cookie that may change something.
const CSRFHeader = "X-CSRF-Token"

// Reasons of refusals, as in metadata.yaml.
const (
	reasonHost       = "host"
	reasonOrigin     = "origin"
	reasonSite       = "site"
	reasonCredential = "credential"
	reasonLimit      = "limit"
	reasonCSRF       = "csrf"
	reasonProject    = "project"
)

// checked lets only requests through that may come from where they say, and gives each answer its headers. strict is for what only pages of ours have a
// reason to ask.
func (c *console) checked(strict bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		untimed(w)
		r = r.WithContext(access.WithClient(r.Context(), c.proxy.client(r)))
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'") // the UI's page has its own
		if strict {
			h.Set("Cache-Control", "no-store")
		}
		err := c.guard.Check(r)
		if err == nil && strict {
			err = c.guard.CheckSite(r)
		}
		if err != nil {
			reason := reasonOrigin
			switch {
			case errors.Is(err, webguard.ErrHost):
				reason = reasonHost
			case errors.Is(err, webguard.ErrSite):
				reason = reasonSite
			}
			c.refuse(w, r, nil, http.StatusForbidden, reason, err.Error())
			return
		}
		next.ServeHTTP(w, r)
	})
}

// authenticated lets only known callers through that may see anything at all, with the caller in the context.
func (c *console) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, ok := c.caller(w, r)
		if !ok || !c.csrfHolds(w, r, caller) {
			return
		}
		if len(caller.Readable()) == 0 {
			c.refuse(w, r, caller, http.StatusForbidden, reasonProject, strconv.Quote(caller.Subject())+" is known, but no rule gives it a project")
			return
		}
		next.ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), caller)))
	})
}

// caller is who asks; false: it has been answered.
func (c *console) caller(w http.ResponseWriter, r *http.Request) (*access.Caller, bool) {
	caller, err := c.Authority().Authenticate(r.Context(), r.Header)
	if err == nil {
		return caller, true
	}
	c.unauthenticated(w, r, err)
	return nil, false
}

// unauthenticated answers a request whose credential was no good, or missing.
func (c *console) unauthenticated(w http.ResponseWriter, r *http.Request, err error) {
	limit := new(access.LimitError)
	switch {
	case errors.As(err, &limit):
		w.Header().Set("Retry-After", seconds(limit.RetryAfter))
		c.refuse(w, r, nil, http.StatusTooManyRequests, reasonLimit, err.Error())
	case !errors.Is(err, access.ErrUnauthenticated):
		problem(w, http.StatusServiceUnavailable, "who you are can't be found out right now: "+err.Error())
	case c.shows(r):
		w.Header().Set("WWW-Authenticate", `Bearer realm="tailrace"`)
		c.refuse(w, r, nil, http.StatusUnauthorized, reasonCredential, err.Error())
	default:
		// Bearer, since Basic would open a window in a browser.
		w.Header().Set("WWW-Authenticate", `Bearer realm="tailrace"`)
		problem(w, http.StatusUnauthorized, "not authenticated: log in by POST /api/v1/login, or send an API token as `Authorization: Bearer tlr_…` "+
			"(`tailctl token create` makes one)")
	}
}

// shows reports whether a request carries any credential.
func (c *console) shows(r *http.Request) bool {
	if r.Header.Get("Authorization") != "" {
		return true
	}
	for _, name := range c.cfg.Auth.Get().CredentialHeaders {
		if r.Header.Get(name) != "" {
			return true
		}
	}
	return false // a cookie that is over is everyday life
}

// csrfHolds refuses a request that may change something when it comes with a session but not with its token: a page of another site
// can make a browser send the cookie, at least in old browsers, but can't read the token.
func (c *console) csrfHolds(w http.ResponseWriter, r *http.Request, caller *access.Caller) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	if c.gate == nil || caller.Method() != "session" {
		return true
	}
	if _, session, ok := c.gate.Session(r.Header); ok && session.SameCSRF(r.Header.Get(CSRFHeader)) {
		return true
	}
	c.refuse(w, r, caller, http.StatusForbidden, reasonCSRF, "the header "+CSRFHeader+" must hold the csrf of GET /api/v1/session")
	return false
}

// refuse answers, counts and records.
func (c *console) refuse(w http.ResponseWriter, r *http.Request, caller *access.Caller, status int, reason, detail string) {
	c.refused(r, caller, status, reason)
	problem(w, status, detail)
}

// refused counts and records what has been answered.
func (c *console) refused(r *http.Request, caller *access.Caller, status int, reason string) {
	c.countRefusal(r.Context(), reason)
	e := event(r, caller)
	e.Name, e.Outcome, e.Reason, e.Status = audit.Refusal, audit.Refused, reason, status
	c.record(e)
}

// event is what a request says of itself.
func event(r *http.Request, caller *access.Caller) audit.Event {
	return audit.Event{
		Time: time.Now(), Subject: caller.Subject(), Method: caller.Method(), Client: access.ClientFrom(r.Context()),
		HTTPMethod: r.Method, Path: r.URL.Path, Query: audit.Query(r.URL),
	}
}

// seconds is a duration in a Retry-After header, rounded up.
func seconds(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}
