// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleauditreceiver

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/audit"
	"github.com/tailrace/tailrace/receiver/consoleauditreceiver/internal/metadata"
)

const (
	// A refused batch is offered again after firstWait, doubled up to longestWait.
	firstWait   = 20 * time.Millisecond
	longestWait = 2 * time.Second
	// tellAfter is how long a refusal lasts before it is shown as a status.
	tellAfter = time.Second

	format = "audit"
)

// auditReceiver is a sink of the console's audit.
type auditReceiver struct {
	cfg       *Config
	next      consumer.Logs
	logger    *zap.Logger
	report    *receiverhelper.ObsReport
	telemetry *metadata.TelemetryBuilder
	scopeName string
	version   string
	host      string // of the machine
	project   string
	collector component.Host
	detach    func()
}

var _ audit.Sink = (*auditReceiver)(nil)

func newReceiver(set receiver.Settings, cfg *Config, next consumer.Logs) (*auditReceiver, error) {
	report, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: set.ID, Transport: "console", LongLivedCtx: true, ReceiverCreateSettings: set,
	})
	if err != nil {
		return nil, err
	}
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	hostname, _ := os.Hostname() // the attribute is left out without
	return &auditReceiver{
		cfg: cfg, next: next, logger: set.Logger, report: report, telemetry: telemetry, scopeName: metadata.ScopeName,
		version: set.BuildInfo.Version, host: hostname,
	}, nil
}

// Start attaches to the console.
func (r *auditReceiver) Start(_ context.Context, host component.Host) error {
	r.collector = host
	extension, ok := host.GetExtensions()[r.cfg.Console]
	if !ok {
		return fmt.Errorf("console: there is no extension %q: define it under extensions and list it in service::extensions", r.cfg.Console)
	}
	source, ok := extension.(audit.Source)
	if !ok {
		return fmt.Errorf("console: the extension %q has no audit: name an extension of the type console", r.cfg.Console)
	}
	r.project = source.AuditProject()
	detach, err := source.AttachAudit(r)
	if err != nil {
		return fmt.Errorf("console: %q can't be read: %w", r.cfg.Console, err)
	}
	r.detach = detach
	return nil
}

// Shutdown implements component.Component. What the pipeline has not accepted stays with the console.
func (r *auditReceiver) Shutdown(context.Context) error {
	if r.detach != nil {
		r.detach()
	}
	r.telemetry.Shutdown()
	return nil
}

// Deliver implements audit.Sink.
func (r *auditReceiver) Deliver(ctx context.Context, events []audit.Event) error {
	began, told := time.Now(), false
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		opCtx := r.report.StartLogsOp(ctx)
		err := r.next.ConsumeLogs(opCtx, r.build(events))
		r.report.EndLogsOp(opCtx, format, len(events), err)
		if err == nil || consumererror.IsPermanent(err) {
			if err != nil {
				r.refused(ctx, events, err)
			}
			if told {
				componentstatus.ReportStatus(r.collector, componentstatus.NewEvent(componentstatus.StatusOK))
			}
			return nil
		}
		if !told && time.Since(began) > tellAfter {
			told = true
			componentstatus.ReportStatus(r.collector, componentstatus.NewRecoverableErrorEvent(fmt.Errorf("the pipeline does not take the audit: %w", err)))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// refused writes to the log what no pipeline will have.
func (r *auditReceiver) refused(ctx context.Context, events []audit.Event, err error) {
	r.telemetry.ConsoleAuditRefused.Add(ctx, int64(len(events)))
	for i := range events {
		e := &events[i]
		r.logger.Error("The pipeline refused an audit event for good: "+e.Text(), zap.Error(err), zap.String("event", e.Name), zap.Time("at", e.Time))
	}
}
