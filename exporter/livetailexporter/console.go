// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/audit"
	"github.com/tailrace/tailrace/internal/livetail/tailws"
	"github.com/tailrace/tailrace/internal/pipelinestatus"
)

// tailPath is where records are streamed over plain HTTP.
const tailPath = "/api/v1/tail"

// console is what the live tail needs of the extension that it is mounted on.
type console interface {
	// Mount serves h under a pattern of http.ServeMux until unmount is called. The console has checked Host and Origin of
	// what reaches h, and put the caller into the context when a valid credential came.
	Mount(pattern string, h http.Handler) (unmount func(), err error)
	// Authority decides who a credential stands for; nil: nobody has to show one.
	Authority() access.Authority
}

func (t *liveTail) mount(host component.Host) error {
	extension, ok := host.GetExtensions()[*t.cfg.Console]
	if !ok {
		return fmt.Errorf("console: there is no extension %q; list it under service::extensions", t.cfg.Console)
	}
	c, ok := extension.(console)
	if !ok {
		return fmt.Errorf("console: the extension %q is no console that live_tail can be mounted on", t.cfg.Console)
	}
	door := tailws.Door{Mounted: true, Authority: c.Authority()}
	if recorder, ok := extension.(audit.Recorder); ok {
		door.Audit = recorder.RecordAudit
	}
	for _, m := range []struct {
		path    string
		handler http.Handler
	}{
		{t.cfg.Path, t.ws.WebSocket(door)},
		{tailPath, t.ws.Tail(door)},
	} {
		unmount, err := c.Mount(m.path, m.handler)
		if err != nil {
			return fmt.Errorf("console: mount %s: %w", m.path, err)
		}
		t.unmount = append(t.unmount, unmount)
	}
	// A console shows how the live tail does, if it is one that can.
	if r, ok := extension.(interface {
		ReportLiveTail(status func() pipelinestatus.LiveTail) (forget func())
	}); ok {
		t.unmount = append(t.unmount, r.ReportLiveTail(t.status))
	}
	return nil
}

func (t *liveTail) status() pipelinestatus.LiveTail {
	s := t.hub.Stats()
	return pipelinestatus.LiveTail{
		ID: t.id.String(), Clients: s.Subscribers, Subscriptions: s.Subscriptions, Delivered: s.Delivered,
		Dropped: s.DroppedSlow + s.DroppedClosed + s.DroppedBusy + s.DroppedEvicted + s.DroppedLost,
	}
}

// serverAuth makes an authority of an auth extension of the collector: it knows who may come in, and nothing of projects. So
// whoever it lets in sees all of them; who needs more uses a console.
type serverAuth struct {
	server interface {
		Authenticate(ctx context.Context, sources map[string][]string) (context.Context, error)
	}
}

// Authenticate implements access.Authority.
func (a serverAuth) Authenticate(ctx context.Context, headers http.Header) (*access.Caller, error) {
	if _, err := a.server.Authenticate(ctx, headers); err != nil {
		return nil, errors.Join(access.ErrUnauthenticated, err)
	}
	return access.NewCaller("", "http.auth", time.Time{}, []access.Grant{{Role: access.RoleViewer, Projects: []access.Pattern{access.All}}}), nil
}

// Changed implements access.Authority: such an extension says nothing.
func (serverAuth) Changed() <-chan struct{} { return nil }
