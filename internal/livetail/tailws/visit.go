// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailws

import (
	"net"
	"net/http"
	"time"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/audit"
)

// visit is what the audit gets to know of a connection.
type visit struct {
	event audit.Event
	began time.Time // zero until its caller is known
}

// arrived keeps what a request says of itself, if somebody wants to know.
func (n *session) arrived(r *http.Request) {
	if n.door.Audit == nil {
		return
	}
	client := access.ClientFrom(r.Context())
	if client == "" {
		if client = r.RemoteAddr; client != "" {
			if host, _, err := net.SplitHostPort(client); err == nil {
				client = host
			}
		}
	}
	n.visit = &visit{event: audit.Event{Outcome: audit.Success, Client: client, HTTPMethod: r.Method, Path: r.URL.Path, Query: audit.Query(r.URL)}}
}

// began tells of a connection whose caller is known now. It is called by the goroutine that reads requests, as left is.
func (n *session) began() {
	if n.visit == nil || !n.visit.began.IsZero() {
		return
	}
	n.visit.began = time.Now()
	n.tell(audit.TailStart)
}

// left tells of its end.
func (n *session) left() {
	if n.visit != nil && !n.visit.began.IsZero() {
		n.visit.event.Duration = time.Since(n.visit.began)
		n.tell(audit.TailEnd)
	}
}

func (n *session) tell(name string) {
	caller := n.currentCaller()
	e := n.visit.event
	e.Name, e.Subject, e.Method = name, caller.Subject(), caller.Method()
	n.door.Audit(e)
}
