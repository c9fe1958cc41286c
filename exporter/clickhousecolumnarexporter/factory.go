// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhousecolumnarexporter

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/tailrace/tailrace/exporter/clickhousecolumnarexporter/internal/metadata"
	"github.com/tailrace/tailrace/internal/sharedcomponent"
)

// NewFactory returns the factory of the clickhouse_columnar exporter. The pipelines of one component.ID share one
// instance, so that `connections` bounds all of them together.
func NewFactory() exporter.Factory {
	f := &factory{shared: sharedcomponent.NewMap[component.ID, *columnarExporter]()}
	return exporter.NewFactory(metadata.Type, createDefaultConfig,
		exporter.WithTraces(f.traces, metadata.TracesStability),
		exporter.WithLogs(f.logs, metadata.LogsStability),
		exporter.WithMetrics(f.metrics, metadata.MetricsStability))
}

type factory struct {
	shared *sharedcomponent.Map[component.ID, *columnarExporter]
}

func (f *factory) get(set exporter.Settings, cfg component.Config) (*sharedcomponent.Handle[*columnarExporter], error) {
	return f.shared.GetOrCreate(set.ID, func() (*columnarExporter, error) {
		return newExporter(set, cfg.(*Config))
	})
}

func (f *factory) traces(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Traces, error) {
	h, err := f.get(set, cfg)
	if err != nil {
		return nil, err
	}
	return exporterhelper.NewTraces(ctx, set, cfg, h.Unwrap().exportTraces, options(h, cfg.(*Config))...)
}

func (f *factory) logs(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Logs, error) {
	h, err := f.get(set, cfg)
	if err != nil {
		return nil, err
	}
	return exporterhelper.NewLogs(ctx, set, cfg, h.Unwrap().exportLogs, options(h, cfg.(*Config))...)
}

func (f *factory) metrics(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Metrics, error) {
	h, err := f.get(set, cfg)
	if err != nil {
		return nil, err
	}
	return exporterhelper.NewMetrics(ctx, set, cfg, h.Unwrap().exportMetrics, options(h, cfg.(*Config))...)
}

func options(h *sharedcomponent.Handle[*columnarExporter], cfg *Config) []exporterhelper.Option {
	return []exporterhelper.Option{
		exporterhelper.WithCapabilities(consumer.Capabilities{MutatesData: false}),
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{Timeout: cfg.Timeout}),
		exporterhelper.WithQueue(cfg.Queue),
		exporterhelper.WithRetry(cfg.Retry),
		exporterhelper.WithStart(h.Start),
		exporterhelper.WithShutdown(h.Shutdown),
	}
}
