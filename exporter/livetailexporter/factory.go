// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/tailrace/tailrace/exporter/livetailexporter/internal/metadata"
	"github.com/tailrace/tailrace/internal/sharedcomponent"
)

// NewFactory returns the factory of the live_tail exporter. All signals of one component id share one hub.
func NewFactory() exporter.Factory {
	f := &factory{shared: newShared()}
	return exporter.NewFactory(
		metadata.Type,
		createDefaultConfig,
		exporter.WithLogs(f.createLogs, metadata.LogsStability),
		exporter.WithTraces(f.createTraces, metadata.TracesStability),
		exporter.WithMetrics(f.createMetrics, metadata.MetricsStability),
	)
}

type factory struct {
	shared *sharedcomponent.Map[component.ID, *liveTail]
}

func newShared() *sharedcomponent.Map[component.ID, *liveTail] {
	return sharedcomponent.NewMap[component.ID, *liveTail]()
}

func (f *factory) handle(set exporter.Settings, cfg component.Config) (*sharedcomponent.Handle[*liveTail], error) {
	return f.shared.GetOrCreate(set.ID, func() (*liveTail, error) { return newLiveTail(set, cfg.(*Config)) })
}

func (f *factory) createLogs(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Logs, error) {
	h, err := f.handle(set, cfg)
	if err != nil {
		return nil, err
	}
	return exporterhelper.NewLogs(ctx, set, cfg, h.Unwrap().pushLogs, helperOptions(h)...)
}

func (f *factory) createTraces(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Traces, error) {
	h, err := f.handle(set, cfg)
	if err != nil {
		return nil, err
	}
	return exporterhelper.NewTraces(ctx, set, cfg, h.Unwrap().pushTraces, helperOptions(h)...)
}

func (f *factory) createMetrics(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Metrics, error) {
	h, err := f.handle(set, cfg)
	if err != nil {
		return nil, err
	}
	return exporterhelper.NewMetrics(ctx, set, cfg, h.Unwrap().pushMetrics, helperOptions(h)...)
}

// helperOptions: no queue and no retry, since nothing can fail and nothing waits; no time-out either.
func helperOptions(h *sharedcomponent.Handle[*liveTail]) []exporterhelper.Option {
	return []exporterhelper.Option{
		exporterhelper.WithStart(h.Start),
		exporterhelper.WithShutdown(h.Shutdown),
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{Timeout: 0}),
		exporterhelper.WithCapabilities(consumer.Capabilities{MutatesData: false}),
	}
}
