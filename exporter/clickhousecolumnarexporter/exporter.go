// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhousecolumnarexporter

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/tailrace/tailrace/exporter/clickhousecolumnarexporter/internal/metadata"
	"github.com/tailrace/tailrace/internal/columnar"
	"github.com/tailrace/tailrace/internal/insert"
)

var errNotStarted = errors.New("clickhouse_columnar: not started")

// columnarExporter owns the connections and the column buffers of all its pipelines. It is safe for concurrent use between
// Start and Shutdown.
type columnarExporter struct {
	cfg *Config
	set exporter.Settings

	client    *columnar.Client // nil before Start
	telemetry *metadata.TelemetryBuilder
	spans     *columnar.Pool[*columnar.Traces]
	records   *columnar.Pool[*columnar.Logs]
	points    *columnar.Pool[*columnar.Metrics]
	stop      sync.Once
}

func newExporter(set exporter.Settings, cfg *Config) (*columnarExporter, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	return &columnarExporter{
		cfg: cfg, set: set, telemetry: telemetry,
		spans:   columnar.NewPool(cfg.Connections, columnar.NewTraces),
		records: columnar.NewPool(cfg.Connections, columnar.NewLogs),
		points:  columnar.NewPool(cfg.Connections, columnar.NewMetrics),
	}, nil
}

// Start implements component.Component. It never waits for ClickHouse: the first insert connects.
func (e *columnarExporter) Start(ctx context.Context, _ component.Host) error {
	hosts, err := e.cfg.hosts()
	if err != nil {
		return fmt.Errorf("endpoint: %w", err)
	}
	var encrypt *tls.Config
	if e.cfg.TLS.HasValue() {
		if encrypt, err = e.cfg.TLS.Get().LoadTLSConfig(ctx); err != nil {
			return fmt.Errorf("tls: %w", err)
		}
	}
	compression, _ := e.cfg.Compression.method()
	e.client = columnar.NewClient(columnar.Options{
		Hosts: hosts, Database: e.cfg.Database, Username: e.cfg.Username, Password: string(e.cfg.Password), Compression: compression,
		TLS: encrypt, DialTimeout: e.cfg.DialTimeout, Connections: e.cfg.Connections,
		ClientName: e.set.BuildInfo.Command + "/" + e.set.BuildInfo.Version,
	})
	return errors.Join(
		e.telemetry.RegisterClickhouseColumnarConnectionsCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(e.client.Open()))
			return nil
		}),
		e.telemetry.RegisterClickhouseColumnarBuffersCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(e.spans.Held() + e.records.Held() + e.points.Held()))
			return nil
		}))
}

// Shutdown implements component.Component. Inserts that are under way still end by their time-out.
func (e *columnarExporter) Shutdown(context.Context) error {
	e.stop.Do(func() {
		if e.client != nil {
			e.client.Close()
		}
		e.telemetry.Shutdown()
	})
	return nil
}

func (e *columnarExporter) exportTraces(ctx context.Context, d ptrace.Traces) error {
	return e.export(ctx, func(send func(*columnar.Block) error) error {
		b := e.spans.Get()
		defer e.spans.Put(b)
		b.Append(d)
		return send(&b.Block)
	})
}

func (e *columnarExporter) exportLogs(ctx context.Context, d plog.Logs) error {
	return e.export(ctx, func(send func(*columnar.Block) error) error {
		b := e.records.Get()
		defer e.records.Put(b)
		b.Append(d)
		return send(&b.Block)
	})
}

// exportMetrics inserts into every table, whatever the tables before answer: what one refuses does not keep the others from their rows.
func (e *columnarExporter) exportMetrics(ctx context.Context, d pmetric.Metrics) error {
	return e.export(ctx, func(send func(*columnar.Block) error) error {
		b := e.points.Get()
		defer e.points.Put(b)
		if n := b.Append(d); n > 0 {
			e.telemetry.ClickhouseColumnarMetricsWithoutData.Add(ctx, int64(n))
		}
		var errs []error
		for _, block := range b.Blocks() {
			errs = append(errs, send(block))
		}
		return errors.Join(errs...)
	})
}

// export calls f with a connection. Columns are made only then, so that `connections` bounds the memory too.
func (e *columnarExporter) export(ctx context.Context, f func(send func(*columnar.Block) error) error) error {
	if e.client == nil {
		return errNotStarted
	}
	lease, err := e.client.Acquire(ctx)
	if err != nil {
		return err
	}
	defer lease.Release()
	token := insert.Token(ctx)
	return e.class(token, f(func(b *columnar.Block) error {
		if b.Rows() == 0 {
			return nil
		}
		start := time.Now()
		err := lease.Insert(ctx, token, b)
		outcome := "ok"
		if err != nil {
			outcome = "error"
		}
		attrs := metric.WithAttributeSet(attribute.NewSet(attribute.String("table", b.Table), attribute.String("outcome", outcome)))
		e.telemetry.ClickhouseColumnarInsertDuration.Record(ctx, time.Since(start).Seconds(), attrs)
		e.telemetry.ClickhouseColumnarRows.Add(ctx, int64(b.Rows()), attrs)
		return err
	}))
}

// class makes the errors permanent that say that a record of the batch is to blame, so that neither retry_on_failure nor
// the sender repeats what never works. Who has set a token decides by the code itself: it can take the batch apart.
func (e *columnarExporter) class(token string, err error) error {
	if err == nil || token != "" {
		return err
	}
	if class, _ := insert.Classify(err); class == insert.Refused {
		return consumererror.NewPermanent(err)
	}
	return err
}
