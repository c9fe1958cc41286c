// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/ingest"
	"github.com/tailrace/tailrace/internal/ingest/linecodec"
	"github.com/tailrace/tailrace/internal/insert"
	"github.com/tailrace/tailrace/internal/segment"
	"github.com/tailrace/tailrace/receiver/clickhouseingestreceiver/internal/metadata"
)

// Signals, as they appear in tokens, in the state folder and in metrics.
const (
	signalTraces  = "traces"
	signalLogs    = "logs"
	signalMetrics = "metrics"
)

// format is what the spans of a delivery say of its origin.
const format = "jsonl"

// ingestReceiver reads the signals whose consumers are set before Start; the factory sets one.
type ingestReceiver struct {
	cfg *Config
	set receiver.Settings

	traces  consumer.Traces
	logs    consumer.Logs
	metrics consumer.Metrics

	hook     func(signal string, p ingest.Point) // only in tests: where the process is to be killed
	fault    func(op, path string) error         // only in tests: what fails of the file system
	retryMin time.Duration                       // only in tests: the first pause after an error

	store     schema // nil when none is configured
	obs       *receiverhelper.ObsReport
	telemetry *metadata.TelemetryBuilder
	engine    *ingest.Engine // nil before Start and when it failed
	forget    func()         // the console forgets us; nil without one
	stop      sync.Once
	stopErr   error
}

// schema is what this receiver needs of the extension that owns the tables.
type schema interface {
	// WaitReady returns nil as soon as every table is there, or an error that says why not when ctx ends.
	WaitReady(ctx context.Context) error
}

// askable is what the extension offers to ask the tables.
type askable interface {
	// Conn is nil before the extension's start.
	Conn() driver.Conn
	Database() string
}

// schemaWait bounds one wait for the tables, so that a shutdown is not held up while the store is away.
const schemaWait = 2 * time.Second

func newReceiver(set receiver.Settings, cfg *Config, wire func(*ingestReceiver)) (*ingestReceiver, error) {
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: set.ID, Transport: "file", LongLivedCtx: true, ReceiverCreateSettings: set,
	})
	if err != nil {
		return nil, err
	}
	r := &ingestReceiver{cfg: cfg, set: set, obs: obs}
	wire(r)
	return r, nil
}

// Start implements component.Component. It never waits for ClickHouse.
func (r *ingestReceiver) Start(ctx context.Context, host component.Host) error {
	if err := r.findStore(host); err != nil {
		return err
	}
	console, err := r.findConsole(host)
	if err != nil {
		return err
	}
	telemetry, err := metadata.NewTelemetryBuilder(r.set.TelemetrySettings)
	if err != nil {
		return err
	}
	r.telemetry = telemetry
	observer := newObserver(telemetry, func(err error) {
		if err != nil {
			componentstatus.ReportStatus(host, componentstatus.NewRecoverableErrorEvent(err))
			return
		}
		componentstatus.ReportStatus(host, componentstatus.NewEvent(componentstatus.StatusOK))
	})
	engine, err := ingest.Start(ingest.Options{
		Path: r.cfg.Path, StatePath: r.cfg.StatePath,
		Limits: ingest.Limits{
			MaxRecords: r.cfg.Batch.MaxRecords, MaxBytes: r.cfg.Batch.MaxBytes, MaxDelay: r.cfg.Batch.MaxDelay,
			MaxLineBytes: r.cfg.MaxLineBytes, PollInterval: r.cfg.PollInterval, TokenWindow: r.cfg.TokenWindow, RetryMin: r.retryMin,
		},
		Delete:   r.cfg.AfterIngest == afterDelete,
		Retain:   ingest.Retain{MaxAge: r.cfg.Retain.MaxAge, MaxBytes: r.cfg.Retain.MaxBytes},
		Sources:  r.sources(),
		Classify: classify,
		Logger:   r.set.Logger,
		Observer: observer,
		Hook:     r.hook,
		Fault:    r.fault,
	})
	if err != nil {
		return err
	}
	r.engine = engine
	if err := observer.watch(engine, r.signals()); err != nil {
		return errors.Join(err, engine.Shutdown(ctx, 0))
	}
	if console != nil {
		status, failed := console.ReportIngest(newStatus(r, engine, observer).get), console.ReportFailed(r.set.ID.String(), engine)
		r.forget = func() { status(); failed() }
	}
	return nil
}

func (r *ingestReceiver) findStore(host component.Host) error {
	if r.cfg.Store == nil {
		return nil
	}
	extension, ok := host.GetExtensions()[*r.cfg.Store]
	if !ok {
		return fmt.Errorf("store: there is no extension %q: define it under extensions and list it in service::extensions", r.cfg.Store)
	}
	if r.store, ok = extension.(schema); !ok {
		return fmt.Errorf("store: the extension %q owns no tables: name an extension of the type clickhouse_store", r.cfg.Store)
	}
	if w, ok := extension.(watchesConfig); ok {
		for _, what := range weaknesses(w.CollectorConfig(), r.set.ID) {
			r.set.Logger.Warn("the pipeline weakens the guarantee that everything is stored exactly once", zap.String("what", what))
		}
	}
	return nil
}

// ready waits a while for the tables.
func (r *ingestReceiver) ready(ctx context.Context) error {
	if r.store == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, schemaWait)
	defer cancel()
	return r.store.WaitReady(ctx)
}

// Shutdown implements component.Component: what is on disk is still loaded, within shutdown_timeout.
func (r *ingestReceiver) Shutdown(ctx context.Context) error {
	r.stop.Do(func() {
		if r.forget != nil {
			r.forget()
		}
		if r.engine != nil {
			r.stopErr = r.engine.Shutdown(ctx, r.cfg.ShutdownTimeout)
		}
		if r.telemetry != nil {
			r.telemetry.Shutdown()
		}
	})
	return r.stopErr
}

func (r *ingestReceiver) signals() (signals []string) {
	for _, s := range r.sources() {
		signals = append(signals, s.Signal)
	}
	return signals
}

// sources lists what is wired: a signal without a pipeline is not read, so that its segments stay where they are.
func (r *ingestReceiver) sources() (sources []ingest.Source) {
	if r.traces != nil {
		sources = append(sources, ingest.Source{
			Signal: signalTraces, Types: []segment.Type{segment.Spans}, NewBatch: linecodec.NewTraces, Deliver: r.deliverTraces,
		})
	}
	if r.logs != nil {
		sources = append(sources, ingest.Source{ // scores are log records
			Signal: signalLogs, Types: []segment.Type{segment.Logs, segment.Scores}, NewBatch: linecodec.NewLogs, Deliver: r.deliverLogs,
		})
	}
	if r.metrics != nil {
		sources = append(sources, ingest.Source{
			Signal: signalMetrics, Types: []segment.Type{segment.Metrics}, NewBatch: linecodec.NewMetrics, Deliver: r.deliverMetrics,
			MaxDelay: r.cfg.Batch.MetricsMaxDelay,
		})
	}
	if store, ok := r.store.(askable); ok {
		for i := range sources {
			sources[i].Missing = func(ctx context.Context, u ingest.Unit) (int, error) {
				if err := r.ready(ctx); err != nil {
					return 0, err
				}
				return (&asker{conn: store.Conn(), database: store.Database()}).missing(ctx, u)
			}
		}
	}
	return sources
}

var errUnit = errors.New("a unit of another signal")

func (r *ingestReceiver) deliverTraces(ctx context.Context, token string, u ingest.Unit) error {
	unit, ok := u.(*linecodec.Unit[ptrace.Traces])
	if !ok {
		return errUnit
	}
	if err := r.ready(ctx); err != nil {
		return err
	}
	ctx = r.obs.StartTracesOp(insert.NewContext(ctx, token))
	err := r.traces.ConsumeTraces(ctx, unit.Data)
	r.obs.EndTracesOp(ctx, format, unit.Records(), err)
	return err
}

func (r *ingestReceiver) deliverLogs(ctx context.Context, token string, u ingest.Unit) error {
	unit, ok := u.(*linecodec.Unit[plog.Logs])
	if !ok {
		return errUnit
	}
	if err := r.ready(ctx); err != nil {
		return err
	}
	ctx = r.obs.StartLogsOp(insert.NewContext(ctx, token))
	err := r.logs.ConsumeLogs(ctx, unit.Data)
	r.obs.EndLogsOp(ctx, format, unit.Records(), err)
	return err
}

func (r *ingestReceiver) deliverMetrics(ctx context.Context, token string, u ingest.Unit) error {
	unit, ok := u.(*linecodec.Unit[pmetric.Metrics])
	if !ok {
		return errUnit
	}
	if err := r.ready(ctx); err != nil {
		return err
	}
	ctx = r.obs.StartMetricsOp(insert.NewContext(ctx, token))
	err := r.metrics.ConsumeMetrics(ctx, unit.Data)
	r.obs.EndMetricsOp(ctx, format, unit.Records(), err)
	return err
}
