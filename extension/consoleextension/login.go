// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"time"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/audit"
)

// maxLoginBytes bounds the body of a login: an OIDC token with many groups.
const maxLoginBytes = 64 << 10

// loginRequest is the body of POST /api/v1/login: a name and a password, or a token (an API token, or an OIDC one).
type loginRequest struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Token    string `json:"token"`
}

// sessionAnswer is the answer of login and of GET /api/v1/session.
type sessionAnswer struct {
	Subject string `json:"subject"`
	Method  string `json:"method"`
	// Role is the highest one on any project.
	Role string `json:"role"`
	// Projects are patterns of what may be read, Operable of what may be changed.
	Projects []access.Pattern `json:"projects"`
	Operable []access.Pattern `json:"operable"`
	// CSRF goes into the header X-CSRF-Token; empty without a session cookie, which needs none.
	CSRF string `json:"csrf"`
	// Expires is missing when nothing ends.
	Expires time.Time `json:"expires,omitzero"`
	// Auth is false where everybody may do everything, on loopback.
	Auth bool `json:"auth"`
}

func (c *console) sessionAnswer(caller *access.Caller, csrf string) sessionAnswer {
	role := access.RoleNone
	if len(caller.Readable()) > 0 {
		role = access.RoleViewer
	}
	if len(caller.Operable()) > 0 {
		role = access.RoleOperator
	}
	return sessionAnswer{
		Subject: caller.Subject(), Method: caller.Method(), Role: role.String(), CSRF: csrf, Expires: caller.Expires(), Auth: c.gate != nil,
		Projects: append([]access.Pattern{}, caller.Readable()...), Operable: append([]access.Pattern{}, caller.Operable()...),
	}
}

// login begins a session.
func (c *console) login(w http.ResponseWriter, r *http.Request) {
	if c.gate == nil {
		answer(w, http.StatusOK, c.sessionAnswer(access.Local(), ""))
		return
	}
	// A form of another site can't send this type.
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		problem(w, http.StatusUnsupportedMediaType, "a login is sent as Content-Type: application/json")
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(10 * time.Second)) // not every writer has deadlines; then the client's patience counts
	var request loginRequest
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLoginBytes))
	d.DisallowUnknownFields()
	if err := d.Decode(&request); err != nil {
		// The error could hold a piece of the password.
		problem(w, http.StatusBadRequest, `a login is {"username": …, "password": …} or {"token": …}, in at most 64 KiB`)
		return
	}
	_ = control.SetReadDeadline(time.Time{})
	headers, claimed := http.Header{}, request.Username
	switch {
	case request.Token != "" && request.Username == "" && request.Password == "":
		headers.Set("Authorization", "Bearer "+request.Token)
	case request.Token == "" && request.Username != "":
		basic := &http.Request{Header: headers}
		basic.SetBasicAuth(request.Username, request.Password)
	default:
		problem(w, http.StatusBadRequest, `a login is {"username": …, "password": …} or {"token": …}`)
		return
	}
	old, _, hadSession := c.gate.Session(r.Header)
	cookie, session, caller, err := c.gate.Login(r.Context(), headers)
	if err != nil {
		c.loginRefused(w, r, caller, claimed, err)
		return
	}
	if hadSession {
		c.gate.Logout(old)
	}
	c.countLogin(r.Context(), audit.Success)
	e := event(r, caller)
	e.Name, e.Outcome, e.Status, e.Method = audit.Login, audit.Success, http.StatusOK, session.Identity.Method
	c.record(e)
	http.SetCookie(w, c.cookie(cookie, session.Expires))
	answer(w, http.StatusOK, c.sessionAnswer(caller, session.CSRF))
}

func (c *console) loginRefused(w http.ResponseWriter, r *http.Request, caller *access.Caller, claimed string, err error) {
	status, reason, detail := http.StatusUnauthorized, reasonCredential, "the name or the password is wrong"
	if claimed == "" {
		detail = "the token is wrong or over"
	}
	limit := new(access.LimitError)
	switch {
	case errors.Is(err, access.ErrForbidden):
		status, reason, detail, claimed = http.StatusForbidden, reasonProject, err.Error(), caller.Subject()
	case errors.As(err, &limit):
		w.Header().Set("Retry-After", seconds(limit.RetryAfter))
		status, reason, detail = http.StatusTooManyRequests, reasonLimit, err.Error()
	case !errors.Is(err, access.ErrUnauthenticated):
		c.countLogin(r.Context(), audit.Failed)
		problem(w, http.StatusServiceUnavailable, "who you are can't be found out right now: "+err.Error())
		return
	}
	c.countLogin(r.Context(), audit.Refused)
	e := event(r, caller)
	e.Name, e.Outcome, e.Reason, e.Status, e.Subject = audit.Login, audit.Refused, reason, status, claimed
	c.record(e)
	problem(w, status, detail)
}

// logout ends the session of the cookie.
func (c *console) logout(w http.ResponseWriter, r *http.Request) {
	if c.gate != nil {
		if cookie, session, ok := c.gate.Session(r.Header); ok {
			caller := access.NewCaller(session.Identity.Subject, "session", session.Expires, nil)
			if !c.csrfHolds(w, r, caller) {
				return
			}
			c.gate.Logout(cookie)
			e := event(r, caller)
			e.Name, e.Outcome, e.Status = audit.Logout, audit.Success, http.StatusNoContent
			c.record(e)
		}
		http.SetCookie(w, c.cookie("", time.Unix(1, 0)))
	}
	w.WriteHeader(http.StatusNoContent)
}

// session says who asks, and what it may see.
func (c *console) session(w http.ResponseWriter, r *http.Request) {
	caller, ok := c.caller(w, r)
	if !ok {
		return
	}
	csrf := ""
	if c.gate != nil && caller.Method() == "session" {
		if _, session, ok := c.gate.Session(r.Header); ok {
			csrf = session.CSRF
		}
	}
	answer(w, http.StatusOK, c.sessionAnswer(caller, csrf))
}

func (c *console) cookie(value string, expires time.Time) *http.Cookie {
	return &http.Cookie{
		Name: c.cfg.cookieName(), Value: value, Path: "/", Expires: expires,
		HttpOnly: true, Secure: c.cfg.secure(), SameSite: http.SameSiteStrictMode,
	}
}
