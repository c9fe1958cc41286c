// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailws

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/tailrace/tailrace/internal/access"
)

// session is who a connection belongs to, and what follows from a change of that.
type session struct {
	server  *Server
	door    *entrance
	decided uint64               // the door's changes when the caller was decided first
	apply   func(*access.Caller) // the hub shows what this caller may see
	end     func(code int, reason string)
	visit   *visit // for the audit; nil: nobody wants to know

	// Guarded by Server.mu.
	pending  bool
	identity string

	// requests is held while a request is handled, and while the caller changes: one at a time uses the hub's side.
	requests sync.Mutex
	caller   *access.Caller // written with requests and mu held
	headers  http.Header    // that carry the credential

	mu       sync.Mutex // guards what follows
	deciding bool       // a goroutine decides about the caller
	again    bool       // and has to do it once more
}

// credential keeps of a request's headers what tells who it is from.
func credential(h http.Header) http.Header {
	kept := http.Header{}
	for _, name := range []string{"Authorization", "Cookie"} {
		if v := h.Values(name); len(v) > 0 {
			kept[name] = v
		}
	}
	return kept
}

// identify finds the caller of a request, nil for nobody that we know. The token of the query is looked at if it may be.
func (s *Server) identify(door *entrance, r *http.Request, queryToken bool) (*access.Caller, http.Header) {
	headers := credential(r.Header)
	if door.Mounted {
		if c := access.FromContext(r.Context()); c != nil {
			return c, headers
		}
	}
	if door.Authority == nil {
		return access.Local(), nil
	}
	if token := r.URL.Query().Get("token"); queryToken && token != "" && headers.Get("Authorization") == "" {
		headers.Set("Authorization", "Bearer "+token)
	}
	if len(headers) == 0 {
		return nil, nil
	}
	c, err := door.Authority.Authenticate(r.Context(), headers)
	if err != nil {
		return nil, nil
	}
	return c, headers
}

// setCaller is called with requests held.
func (n *session) setCaller(c *access.Caller, headers http.Header) {
	n.mu.Lock()
	n.caller, n.headers = c, headers
	n.mu.Unlock()
}

func (n *session) currentCaller() *access.Caller {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.caller
}

// expire decides anew about a caller whose time is over.
func (n *session) expire(now time.Time) {
	c := n.currentCaller()
	if c == nil || c.Expires().IsZero() || now.Before(c.Expires()) {
		return
	}
	n.decideAgain()
}

// decideAgain asks the authority who the credential stands for now. It does not wait for the answer.
func (n *session) decideAgain() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.caller == nil || n.door.Authority == nil {
		return
	}
	if n.deciding {
		n.again = true
		return
	}
	n.deciding = true
	n.server.background(n.decide)
}

// decide goes on until no further change came in between. Whatever is not a clear yes ends the connection.
func (n *session) decide() {
	for {
		if !n.decideOnce() {
			return
		}
		n.mu.Lock()
		if !n.again {
			n.deciding = false
			n.mu.Unlock()
			return
		}
		n.again = false
		n.mu.Unlock()
	}
}

func (n *session) decideOnce() bool {
	ctx, cancel := context.WithTimeout(context.Background(), n.server.opts.AuthTimeout)
	defer cancel()
	n.mu.Lock()
	headers := n.headers
	n.mu.Unlock()
	c, err := n.door.Authority.Authenticate(ctx, headers)
	switch {
	case errors.Is(err, access.ErrUnauthenticated), err == nil && !c.Expires().IsZero() && !time.Now().Before(c.Expires()):
		n.server.stats.refusedAuth.Add(1)
		n.end(CloseNotAuthenticated, "no longer authenticated")
		return false
	case err != nil:
		n.end(CloseGoingAway, "the server can't tell who you are at the moment")
		return false
	case len(c.Readable()) == 0:
		n.server.stats.refusedForbidden.Add(1)
		n.end(CloseForbidden, "no project may be read any more")
		return false
	}
	n.requests.Lock()
	defer n.requests.Unlock()
	n.setCaller(c, headers)
	n.apply(c)
	return true
}
