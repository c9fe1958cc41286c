// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailws

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/tailrace/tailrace/internal/livetail/tailv1"
)

// WebSocket is the WebSocket endpoint of a door.
func (s *Server) WebSocket(door Door) http.Handler {
	e := s.open(door)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serveWebSocket(e, w, r) })
}

func (s *Server) serveWebSocket(door *entrance, w http.ResponseWriter, r *http.Request) {
	if !s.guarded(door, w, r) {
		return
	}
	if !websocket.IsWebSocketUpgrade(r) {
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this is a WebSocket endpoint", http.StatusUpgradeRequired)
		return
	}
	classic := !slices.Contains(websocket.Subprotocols(r), tailv1.Subprotocol)
	decided := door.changes.Load()
	caller, headers := s.identify(door, r, classic && s.opts.QueryToken)
	if !s.enter() {
		http.Error(w, goingAway, http.StatusServiceUnavailable)
		return
	}
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		s.done.Done()
		return // Upgrade has answered
	}
	c := newConn(s, door, ws, classic)
	c.deflate = !classic && s.opts.Compression && offersDeflate(r)
	c.who.caller, c.who.headers, c.who.decided = caller, headers, decided
	c.who.arrived(r)
	// The handler returns: its goroutine has a stack and buffers that an idle connection has no use for.
	go c.serve()
}

// guarded reports whether a request may come in, and answers it otherwise.
func (s *Server) guarded(door *entrance, w http.ResponseWriter, r *http.Request) bool {
	if door.Guard == nil {
		return true
	}
	if err := door.Guard.Check(r); err != nil {
		s.stats.refusedOrigin.Add(1)
		http.Error(w, err.Error(), http.StatusForbidden)
		return false
	}
	return true
}

// offersDeflate reports whether the upgrader has negotiated permessage-deflate, which it always does when it is offered.
func offersDeflate(r *http.Request) bool {
	for _, line := range r.Header.Values("Sec-Websocket-Extensions") {
		for _, extension := range strings.Split(line, ",") {
			name, _, _ := strings.Cut(extension, ";")
			if strings.TrimSpace(name) == "permessage-deflate" {
				return true
			}
		}
	}
	return false
}
