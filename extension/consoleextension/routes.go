// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"net/http"

	"github.com/tailrace/tailrace/internal/access"
)

// awaited are routes that live_tail mounts; until then they say so.
var awaited = []string{"/ws", "/api/v1/tail"}

// routes are those that never change.
func (c *console) routes() map[string]http.Handler {
	own := func(h http.HandlerFunc) http.Handler { return c.checked(true, c.timed(h)) }
	routes := map[string]http.Handler{
		"GET /healthz":        c.checked(false, c.timed(http.HandlerFunc(c.healthz))),
		"GET /readyz":         c.checked(false, c.timed(http.HandlerFunc(c.readyz))),
		"POST /api/v1/login":  own(c.login),
		"POST /api/v1/logout": own(c.logout),
		"GET /api/v1/session": own(c.session),
		// Without these, the API would be asked about its other methods.
		"/api/v1/login":   own(onlyMethod(http.MethodPost)),
		"/api/v1/logout":  own(onlyMethod(http.MethodPost)),
		"/api/v1/session": own(onlyMethod(http.MethodGet)),
		"/api/":           c.checked(true, c.timed(c.authenticated(c.exports(http.HandlerFunc(c.serveAPI))))),
		"/":               c.checked(false, c.timed(http.HandlerFunc(c.serveUI))),
	}
	for _, pattern := range awaited {
		routes[pattern] = own(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			problem(w, http.StatusServiceUnavailable, "the live tail is not there (yet): it is mounted by a live_tail exporter with `console:`")
		})
	}
	return routes
}

func onlyMethod(method string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", method)
		problem(w, http.StatusMethodNotAllowed, r.URL.Path+" is asked with "+method)
	}
}

func (c *console) serveAPI(w http.ResponseWriter, r *http.Request) { c.api.ServeHTTP(w, r) }

func (c *console) serveUI(w http.ResponseWriter, r *http.Request) { c.ui.ServeHTTP(w, r) }

// mounted puts the caller into the context if a valid credential came, for handlers that decide themselves.
func (c *console) mounted(h http.Handler) http.Handler {
	return c.checked(true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := c.Authority().Authenticate(r.Context(), r.Header)
		if err == nil {
			if !c.csrfHolds(w, r, caller) {
				return
			}
			r = r.WithContext(access.NewContext(r.Context(), caller))
		}
		h.ServeHTTP(w, r)
	}))
}
