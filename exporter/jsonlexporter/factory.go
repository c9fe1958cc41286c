// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package jsonlexporter

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/tailrace/tailrace/exporter/jsonlexporter/internal/metadata"
	"github.com/tailrace/tailrace/internal/sharedcomponent"
)

// NewFactory returns the factory of the jsonl exporter. The pipelines of one component.ID share one instance: the folder
// is locked once.
func NewFactory() exporter.Factory {
	f := &factory{shared: sharedcomponent.NewMap[component.ID, *jsonlExporter]()}
	return exporter.NewFactory(metadata.Type, createDefaultConfig,
		exporter.WithTraces(f.traces, metadata.TracesStability),
		exporter.WithLogs(f.logs, metadata.LogsStability),
		exporter.WithMetrics(f.metrics, metadata.MetricsStability))
}

type factory struct {
	shared *sharedcomponent.Map[component.ID, *jsonlExporter]
}

func (f *factory) get(set exporter.Settings, cfg component.Config) (*sharedcomponent.Handle[*jsonlExporter], error) {
	return f.shared.GetOrCreate(set.ID, func() (*jsonlExporter, error) {
		return newExporter(set, cfg.(*Config))
	})
}

func (f *factory) traces(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Traces, error) {
	h, err := f.get(set, cfg)
	if err != nil {
		return nil, err
	}
	return exporterhelper.NewTraces(ctx, set, cfg, h.Unwrap().exportTraces, options(h)...)
}

func (f *factory) logs(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Logs, error) {
	h, err := f.get(set, cfg)
	if err != nil {
		return nil, err
	}
	return exporterhelper.NewLogs(ctx, set, cfg, h.Unwrap().exportLogs, options(h)...)
}

func (f *factory) metrics(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Metrics, error) {
	h, err := f.get(set, cfg)
	if err != nil {
		return nil, err
	}
	return exporterhelper.NewMetrics(ctx, set, cfg, h.Unwrap().exportMetrics, options(h)...)
}

// options leaves out queue, retry and time-out: the answer of a write is the acknowledgement to the sender.
func options(h *sharedcomponent.Handle[*jsonlExporter]) []exporterhelper.Option {
	return []exporterhelper.Option{
		exporterhelper.WithCapabilities(consumer.Capabilities{MutatesData: false}),
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{Timeout: 0}),
		exporterhelper.WithStart(h.Start),
		exporterhelper.WithShutdown(h.Shutdown),
	}
}
