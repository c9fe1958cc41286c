// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package jsonlexporter

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/exporter/jsonlexporter/internal/metadata"
	"github.com/tailrace/tailrace/exporter/jsonlexporter/internal/otlpjson"
	"github.com/tailrace/tailrace/internal/segment"
)

var errNotStarted = errors.New("jsonl: not started")

// jsonlExporter encodes batches and hands them to the segment writer. Safe for concurrent use between start and shutdown.
type jsonlExporter struct {
	cfg      *Config
	log      *zap.Logger
	telem    *telemetry
	fs       segment.FS // replaced in tests
	encoders sync.Pool

	mu     sync.RWMutex // guards writer
	writer *segment.Writer
}

func newExporter(set exporter.Settings, cfg *Config) (*jsonlExporter, error) {
	tb, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	e := &jsonlExporter{cfg: cfg, log: set.Logger, telem: newTelemetry(tb), fs: segment.OS()}
	e.encoders.New = func() any { return newEncoder(cfg) }
	return e, nil
}

// Start implements component.Component. It locks the folder and publishes what an earlier run left open.
func (e *jsonlExporter) Start(_ context.Context, host component.Host) error {
	w, err := segment.OpenWriter(segment.WriterOptions{
		Dir:       e.cfg.Path,
		Group:     e.cfg.Sync == SyncBatch,
		SyncEvery: e.cfg.FsyncInterval,
		Rotation: segment.Rotation{
			MaxBytes:   e.cfg.Rotation.MaxBytes,
			MaxRecords: e.cfg.Rotation.MaxRecords,
			MaxAge:     e.cfg.Rotation.MaxAge,
			Idle:       e.cfg.Rotation.Idle,
		},
		MaxOpenFiles: e.cfg.MaxOpenFiles,
		MaxDiskBytes: e.cfg.MaxDiskBytes,
		DropOldest:   e.cfg.OnFull == OnFullDropOldest,
		Zstd:         e.cfg.Compression == CompressionZstd,
		FS:           e.fs,
		Observer:     e.telem,
		Logger:       e.log,
		OnHealth:     func(err error) { e.report(host, err) },
	})
	if err != nil {
		return fmt.Errorf("jsonl: %w", err)
	}
	e.mu.Lock()
	e.writer = w
	e.mu.Unlock()
	return e.telem.observe(w)
}

// report tells the collector, and the log, when writing begins to fail and when it works again.
func (e *jsonlExporter) report(host component.Host, err error) {
	if err != nil {
		e.log.Error("Writing fails; senders are asked to repeat", zap.String("path", e.cfg.Path), zap.Error(err))
		componentstatus.ReportStatus(host, componentstatus.NewRecoverableErrorEvent(err))
		return
	}
	e.log.Info("Writing works again", zap.String("path", e.cfg.Path))
	componentstatus.ReportStatus(host, componentstatus.NewEvent(componentstatus.StatusOK))
}

// Shutdown implements component.Component. It publishes all segments.
func (e *jsonlExporter) Shutdown(context.Context) error {
	e.mu.Lock()
	w := e.writer
	e.writer = nil
	e.mu.Unlock()
	e.telem.shutdown()
	if w == nil {
		return nil
	}
	return w.Close()
}

func (e *jsonlExporter) exportTraces(ctx context.Context, td ptrace.Traces) error {
	return e.export(ctx, func(enc encoder) ([]segment.Part, otlpjson.Stats) { return enc.Traces(td) })
}

func (e *jsonlExporter) exportLogs(ctx context.Context, ld plog.Logs) error {
	return e.export(ctx, func(enc encoder) ([]segment.Part, otlpjson.Stats) { return enc.Logs(ld) })
}

func (e *jsonlExporter) exportMetrics(ctx context.Context, md pmetric.Metrics) error {
	return e.export(ctx, func(enc encoder) ([]segment.Part, otlpjson.Stats) { return enc.Metrics(md) })
}

// export returns nil when the whole batch is written as `sync` demands, else an error of the right class: see classify.
func (e *jsonlExporter) export(ctx context.Context, encode func(encoder) ([]segment.Part, otlpjson.Stats)) error {
	e.mu.RLock()
	w := e.writer
	e.mu.RUnlock()
	if w == nil {
		return errNotStarted
	}
	enc := e.encoders.Get().(encoder)
	defer e.encoders.Put(enc)
	parts, stats := encode(enc)
	if len(parts) > 0 {
		if err := w.Append(ctx, parts); err != nil {
			return classify(err)
		}
	}
	e.telem.exported(ctx, parts, stats)
	return nil
}
