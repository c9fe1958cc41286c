// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// GateOptions make a Gate.
type GateOptions struct {
	// Authenticators are asked in this order about credentials that are no API tokens.
	Authenticators []Authenticator
	// CredentialHeaders are the headers that may hold one; empty: Authorization.
	CredentialHeaders []string
	// CookieName is that of the session cookie.
	CookieName string
	// SessionLifetime is how long a login is good for, at most MaxSessions of them.
	SessionLifetime time.Duration
	MaxSessions     int
	// Now is time.Now when nil.
	Now func() time.Time
}

// Gate is the Authority where authentication is configured: API tokens, sessions of browsers, and authenticators, under rules. It
// begins without rules and tokens, and lets nobody in. Safe for concurrent use.
type Gate struct {
	cookie   string
	now      func() time.Time
	attempts *attempts
	sessions *sessions
	rules    atomic.Pointer[Rules]
	tokens   atomic.Pointer[Tokens]
	notifier notifier
}

var _ Authority = (*Gate)(nil)

// NewGate makes a gate.
func NewGate(o GateOptions) *Gate {
	if o.Now == nil {
		o.Now = time.Now
	}
	headers := []string{"Authorization"}
	if len(o.CredentialHeaders) > 0 {
		headers = nil
		for _, name := range o.CredentialHeaders {
			headers = append(headers, http.CanonicalHeaderKey(name))
		}
	}
	return &Gate{
		cookie: o.CookieName, now: o.Now,
		attempts: newAttempts(o.Authenticators, headers, o.Now), sessions: newSessions(o.SessionLifetime, o.MaxSessions, o.Now),
	}
}

// SetRules replaces the rules for everybody, those who are logged in included.
func (g *Gate) SetRules(rules Rules) {
	g.rules.Store(&rules)
	g.notifier.notify()
}

// SetTokens replaces the API tokens. Sessions that were begun with one that is gone are over.
func (g *Gate) SetTokens(tokens *Tokens) {
	g.tokens.Store(tokens)
	g.notifier.notify()
}

// Changed implements Authority.
func (g *Gate) Changed() <-chan struct{} { return g.notifier.changed() }

// Authenticate implements Authority. A credential in a header counts alone: when it is no good, a session beside it does not help.
func (g *Gate) Authenticate(ctx context.Context, headers http.Header) (*Caller, error) {
	if token, ok := bearer(headers); ok && IsToken(token) {
		t, err := g.tokens.Load().Lookup(token, g.now())
		if err != nil {
			return nil, err
		}
		return t.Caller(), nil
	}
	if headers.Get("Authorization") != "" || g.attempts.has(headers) {
		id, err := g.attempts.ask(ctx, headers)
		if err != nil {
			return nil, err
		}
		return g.decide(id), nil
	}
	if _, session, ok := g.Session(headers); ok {
		return g.sessionCaller(session)
	}
	return nil, fmt.Errorf("%w: no credential, or a session that is over", ErrUnauthenticated)
}

func (g *Gate) decide(id Identity) *Caller {
	if rules := g.rules.Load(); rules != nil {
		return rules.Decide(id)
	}
	return Rules(nil).Decide(id)
}

// sessionCaller decides by the rules and tokens of now.
func (g *Gate) sessionCaller(s Session) (*Caller, error) {
	if s.TokenID != "" {
		t, ok := g.tokens.Load().ByID(s.TokenID)
		if !ok || t.Expired(g.now()) {
			return nil, fmt.Errorf("%w: the API token of this session is revoked or has expired", ErrUnauthenticated)
		}
		return NewCaller("token:"+t.Name, methodSession, s.Expires, t.Caller().grants), nil
	}
	c := g.decide(s.Identity)
	return NewCaller(c.subject, methodSession, s.Expires, c.grants), nil
}

const methodSession = "session"

// Session returns the session that the cookie of a request names, and the cookie's value.
func (g *Gate) Session(headers http.Header) (cookie string, s Session, ok bool) {
	if headers.Get("Cookie") == "" {
		return "", Session{}, false
	}
	for _, c := range (&http.Request{Header: headers}).CookiesNamed(g.cookie) {
		if s, ok = g.sessions.get(c.Value); ok {
			return c.Value, s, true
		}
	}
	return "", Session{}, false
}

// Login begins a session for the credential in the headers, and returns the value of its cookie. The error wraps ErrUnauthenticated
// when the credential is no good, and ErrForbidden when no rule allows its owner anything.
func (g *Gate) Login(ctx context.Context, headers http.Header) (cookie string, s Session, c *Caller, err error) {
	var id Identity
	var tokenID string
	if token, ok := bearer(headers); ok && IsToken(token) {
		t, err := g.tokens.Load().Lookup(token, g.now())
		if err != nil {
			return "", Session{}, nil, err
		}
		tokenID = t.ID
		id = Identity{Subject: "token:" + t.Name, Method: "token", Authenticator: "tokens", Expires: t.Expires}
	} else if id, err = g.attempts.ask(ctx, headers); err != nil {
		return "", Session{}, nil, err
	}
	s = Session{Identity: id, TokenID: tokenID}
	if c, err = g.sessionCaller(s); err != nil {
		return "", Session{}, nil, err
	}
	if len(c.Readable()) == 0 {
		return "", Session{}, c, fmt.Errorf("%w: no rule gives %q a project", ErrForbidden, id.Subject)
	}
	cookie, s = g.sessions.create(id, tokenID)
	c, err = g.sessionCaller(s) // now with its end
	return cookie, s, c, err
}

// Logout ends the session of a cookie; its streams are decided again.
func (g *Gate) Logout(cookie string) {
	if g.sessions.remove(cookie) {
		g.notifier.notify()
	}
}

// KeepSessions reads the sessions of a file, and keeps them there, so that a restart does not end them; without it they end with the
// process. It is called before anybody comes in. failed is told of each time that the file can't be written, and returns soon. The error says why
// the sessions of the file are not used: everybody has to log in again.
func (g *Gate) KeepSessions(path string, failed func(error)) error {
	return g.sessions.keepIn(path, failed)
}

// Sessions is the number of sessions that are not over.
func (g *Gate) Sessions() int { return g.sessions.count() }

// Tokens are the API tokens of now.
func (g *Gate) Tokens() *Tokens { return g.tokens.Load() }

func bearer(headers http.Header) (string, bool) {
	scheme, token, ok := strings.Cut(headers.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

// Open is the Authority where no authentication is configured: everybody is Local. It must only be used on loopback.
func Open() Authority { return open{} }

type open struct{}

func (open) Authenticate(context.Context, http.Header) (*Caller, error) { return Local(), nil }

// Changed never closes.
func (open) Changed() <-chan struct{} { return nil }
