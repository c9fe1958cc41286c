// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/audit"
	"github.com/tailrace/tailrace/internal/pipelinestatus"
)

// record keeps an event for the receiver that takes it into a pipeline; without one it goes to the log.
func (c *console) record(e audit.Event) {
	c.audit.Add(e)
	if c.ready.Load() && !c.audit.Attached() {
		c.logAudit()
	}
}

// RecordAudit implements audit.Recorder. What the local caller does, where there is no authentication, is nobody's.
func (c *console) RecordAudit(e audit.Event) {
	if c.gate == nil {
		return
	}
	e.Time = time.Now()
	c.record(e)
}

// AttachAudit implements audit.Source.
func (c *console) AttachAudit(sink audit.Sink) (detach func(), err error) {
	return c.audit.AttachAudit(sink)
}

// AuditProject implements audit.Source.
func (c *console) AuditProject() string { return c.cfg.Audit.Project }

// wasPutBack records who put a file back; one without the right to is a refusal, which is recorded for all routes alike.
func (c *console) wasPutBack(r *http.Request, f pipelinestatus.FailedFile, status int) {
	if status == http.StatusForbidden {
		return
	}
	e := event(r, access.FromContext(r.Context()))
	e.Name, e.Outcome, e.Status, e.Object = audit.PutBack, audit.Success, status, f.File
	if status != http.StatusOK {
		e.Outcome = audit.Failed
	}
	c.record(e)
}

// logAudit writes what waits to the collector's log, so that no event is nowhere.
func (c *console) logAudit() {
	for _, e := range c.audit.Take() {
		c.logEvent(e)
	}
}

func (c *console) auditLost(e audit.Event) {
	c.telemetry.ConsoleAuditDropped.Add(context.Background(), 1)
	c.logEvent(e)
}

func (c *console) logEvent(e audit.Event) {
	c.logger.Info("Audit: "+e.Text(), zap.String("event", e.Name), zap.String("outcome", e.Outcome), zap.String("reason", e.Reason),
		zap.String("subject", e.Subject), zap.String("client", e.Client), zap.String("path", e.Path), zap.String("object", e.Object), zap.Int("count", e.Count), zap.Time("at", e.Time))
}
