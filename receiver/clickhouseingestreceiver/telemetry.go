// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/tailrace/tailrace/internal/ingest"
	"github.com/tailrace/tailrace/receiver/clickhouseingestreceiver/internal/metadata"
)

// observer turns what the engine tells into metrics and the component's status.
type observer struct {
	telemetry *metadata.TelemetryBuilder
	report    func(error) // nil: all is well

	mu     sync.Mutex // guards ill, and keeps reports in order
	ill    map[string]error
	signal map[string]metric.MeasurementOption
}

func newObserver(telemetry *metadata.TelemetryBuilder, report func(error)) *observer {
	o := &observer{telemetry: telemetry, report: report, ill: map[string]error{}, signal: map[string]metric.MeasurementOption{}}
	for _, s := range []string{signalTraces, signalLogs, signalMetrics, ""} {
		o.signal[s] = metric.WithAttributeSet(attribute.NewSet(attribute.String("signal", s)))
	}
	return o
}

func kinds(signal, kind string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String("signal", signal), attribute.String("kind", kind)))
}

// Delivered implements ingest.Observer.
func (o *observer) Delivered(signal string, records int, bytes int64, took time.Duration, replayed bool) {
	ctx, s := context.Background(), o.signal[signal]
	o.telemetry.ClickhouseIngestBatches.Add(ctx, 1, s)
	o.telemetry.ClickhouseIngestRecords.Add(ctx, int64(records), s)
	o.telemetry.ClickhouseIngestBytes.Add(ctx, bytes, s)
	o.telemetry.ClickhouseIngestBatchDuration.Record(ctx, took.Seconds(), s)
	if replayed {
		o.telemetry.ClickhouseIngestReplays.Add(ctx, 1, s)
	}
}

// Failed implements ingest.Observer.
func (o *observer) Failed(signal, kind string, n int) {
	o.telemetry.ClickhouseIngestFailed.Add(context.Background(), int64(n), kinds(signal, kind))
}

// Retried implements ingest.Observer.
func (o *observer) Retried(signal string, _ error) {
	o.telemetry.ClickhouseIngestRetries.Add(context.Background(), 1, o.signal[signal])
}

// Moved implements ingest.Observer.
func (o *observer) Moved(signal string, n int) {
	o.telemetry.ClickhouseIngestMoved.Add(context.Background(), int64(n), o.signal[signal])
}

// Expired implements ingest.Observer.
func (o *observer) Expired(signal string, files int, bytes int64) {
	ctx, s := context.Background(), o.signal[signal]
	o.telemetry.ClickhouseIngestExpired.Add(ctx, int64(files), s)
	o.telemetry.ClickhouseIngestExpiredBytes.Add(ctx, bytes, s)
}

// Trouble implements ingest.Observer.
func (o *observer) Trouble(signal, kind string) {
	o.telemetry.ClickhouseIngestTroubles.Add(context.Background(), 1, kinds(signal, kind))
}

// Health implements ingest.Observer. The component is well when all of its signals are.
func (o *observer) Health(signal string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.ill[signal] = err
		o.report(fmt.Errorf("%s: %w", signal, err))
		return
	}
	delete(o.ill, signal)
	if len(o.ill) == 0 {
		o.report(nil)
	}
}

// watch registers the metrics that are asked for instead of told.
func (o *observer) watch(engine *ingest.Engine, signals []string) error {
	each := func(f func(p ingest.Pending, s metric.MeasurementOption)) {
		for _, s := range signals {
			f(engine.Pending(s), o.signal[s])
		}
	}
	return errors.Join(
		o.telemetry.RegisterClickhouseIngestActiveCallback(func(_ context.Context, to metric.Int64Observer) error {
			var active int64
			if engine.Active() {
				active = 1
			}
			for _, s := range signals {
				to.Observe(active, o.signal[s])
			}
			return nil
		}),
		o.telemetry.RegisterClickhouseIngestPendingFilesCallback(func(_ context.Context, to metric.Int64Observer) error {
			each(func(p ingest.Pending, s metric.MeasurementOption) { to.Observe(p.Files, s) })
			return nil
		}),
		o.telemetry.RegisterClickhouseIngestPendingBytesCallback(func(_ context.Context, to metric.Int64Observer) error {
			each(func(p ingest.Pending, s metric.MeasurementOption) { to.Observe(p.Bytes, s) })
			return nil
		}),
		o.telemetry.RegisterClickhouseIngestLagCallback(func(_ context.Context, to metric.Float64Observer) error {
			each(func(p ingest.Pending, s metric.MeasurementOption) { to.Observe(p.Oldest.Seconds(), s) })
			return nil
		}),
	)
}

// worst is why loading stands still, nil when it does not.
func (o *observer) worst() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, signal := range []string{signalTraces, signalLogs, signalMetrics, ""} {
		if err := o.ill[signal]; err != nil {
			return err
		}
	}
	return nil
}
