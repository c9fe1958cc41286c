// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package identityprocessor

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/processor"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/processor/identityprocessor/internal/metadata"
)

// NewFactory returns the factory of the identity processor. Each pipeline has an instance of its own; they share the configuration and
// what projects have left of their quotas.
func NewFactory() processor.Factory {
	return processor.NewFactory(metadata.Type, createDefaultConfig,
		processor.WithTraces(createTraces, metadata.TracesStability),
		processor.WithLogs(createLogs, metadata.LogsStability),
		processor.WithMetrics(createMetrics, metadata.MetricsStability))
}

func createDefaultConfig() component.Config {
	return &Config{
		OnUnknownToken: unknownRefuse,
		Aliases:        identity.DefaultAliases(),
		DefaultProject: identity.DefaultProject,
	}
}

func createTraces(ctx context.Context, set processor.Settings, cfg component.Config, next consumer.Traces) (processor.Traces, error) {
	i, err := newIdentifier(set, cfg.(*Config), "traces")
	if err != nil {
		return nil, err
	}
	return newTraces(ctx, set, cfg, i, next)
}

func createLogs(ctx context.Context, set processor.Settings, cfg component.Config, next consumer.Logs) (processor.Logs, error) {
	i, err := newIdentifier(set, cfg.(*Config), "logs")
	if err != nil {
		return nil, err
	}
	return newLogs(ctx, set, cfg, i, next)
}

func createMetrics(ctx context.Context, set processor.Settings, cfg component.Config, next consumer.Metrics) (processor.Metrics, error) {
	i, err := newIdentifier(set, cfg.(*Config), "metrics")
	if err != nil {
		return nil, err
	}
	return newMetrics(ctx, set, cfg, i, next)
}
