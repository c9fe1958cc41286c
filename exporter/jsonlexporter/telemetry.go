// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package jsonlexporter

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/tailrace/tailrace/exporter/jsonlexporter/internal/metadata"
	"github.com/tailrace/tailrace/exporter/jsonlexporter/internal/otlpjson"
	"github.com/tailrace/tailrace/internal/segment"
)

// telemetry counts what the exporter and the segment writer do. It implements segment.Observer.
type telemetry struct {
	tb *metadata.TelemetryBuilder
	// Attribute sets are built once: building them is most of the cost of counting.
	byType   map[segment.Type]metric.MeasurementOption
	ok, fail metric.MeasurementOption
}

var _ segment.Observer = (*telemetry)(nil)

func newTelemetry(tb *metadata.TelemetryBuilder) *telemetry {
	t := &telemetry{
		tb:     tb,
		byType: map[segment.Type]metric.MeasurementOption{},
		ok:     metric.WithAttributeSet(attribute.NewSet(attribute.String("outcome", "ok"))),
		fail:   metric.WithAttributeSet(attribute.NewSet(attribute.String("outcome", "error"))),
	}
	for _, typ := range segment.Types() {
		t.byType[typ] = metric.WithAttributeSet(t.attrs(typ))
	}
	return t
}

func (*telemetry) attrs(typ segment.Type) attribute.Set {
	return attribute.NewSet(attribute.String("type", string(typ)))
}

// observe registers the gauges that look at w.
func (t *telemetry) observe(w *segment.Writer) error {
	gauges := []struct {
		register func(metric.Int64Callback) error
		value    func(segment.Stats) int64
	}{
		{t.tb.RegisterJsonlSegmentsOpenCallback, func(s segment.Stats) int64 { return int64(s.OpenSegments) }},
		{t.tb.RegisterJsonlFilesOpenCallback, func(s segment.Stats) int64 { return int64(s.OpenFiles) }},
		{t.tb.RegisterJsonlPendingBytesCallback, func(s segment.Stats) int64 { return s.PendingBytes }},
		{t.tb.RegisterJsonlPendingFilesCallback, func(s segment.Stats) int64 { return s.PendingFiles }},
	}
	for _, g := range gauges {
		if err := g.register(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(g.value(w.Stats()))
			return nil
		}); err != nil {
			return err
		}
	}
	return t.tb.RegisterJsonlOldestAgeCallback(func(_ context.Context, o metric.Float64Observer) error {
		age := 0.0
		if oldest := w.Stats().Oldest; !oldest.IsZero() {
			age = max(0, time.Since(oldest).Seconds()) // the clock may go back
		}
		o.Observe(age)
		return nil
	})
}

func (t *telemetry) shutdown() { t.tb.Shutdown() }

// exported counts a batch that was acknowledged.
func (t *telemetry) exported(ctx context.Context, parts []segment.Part, s otlpjson.Stats) {
	for _, p := range parts {
		t.tb.JsonlRecords.Add(ctx, int64(p.Records), t.byType[p.Type])
		t.tb.JsonlBytes.Add(ctx, int64(len(p.Data)), t.byType[p.Type])
	}
	add := func(c metric.Int64Counter, n int) {
		if n > 0 {
			c.Add(ctx, int64(n))
		}
	}
	add(t.tb.JsonlLinesSplit, s.Splits)
	add(t.tb.JsonlRecordsOversize, s.Oversize)
	add(t.tb.JsonlRecordsRepaired, s.Repaired)
	add(t.tb.JsonlSpansUnfinished, s.Unfinished)
}

// Fsync implements segment.Observer.
func (t *telemetry) Fsync(took time.Duration, err error) {
	ctx := context.Background()
	if err != nil {
		t.tb.JsonlFsyncs.Add(ctx, 1, t.fail)
		return
	}
	t.tb.JsonlFsyncs.Add(ctx, 1, t.ok)
	t.tb.JsonlFsyncDuration.Record(ctx, took.Seconds())
}

// Published implements segment.Observer.
func (t *telemetry) Published(typ segment.Type) {
	t.tb.JsonlSegmentsPublished.Add(context.Background(), 1, t.byType[typ])
}

// Recovered implements segment.Observer.
func (t *telemetry) Recovered(typ segment.Type) {
	t.tb.JsonlSegmentsRecovered.Add(context.Background(), 1, t.byType[typ])
}

// Dropped implements segment.Observer.
func (t *telemetry) Dropped(typ segment.Type, bytes int64) {
	t.tb.JsonlSegmentsDropped.Add(context.Background(), 1, t.byType[typ])
	t.tb.JsonlBytesDropped.Add(context.Background(), bytes, t.byType[typ])
}

// WriteFailed implements segment.Observer.
func (t *telemetry) WriteFailed(typ segment.Type) {
	t.tb.JsonlWriteErrors.Add(context.Background(), 1, t.byType[typ])
}
