// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerlogreceiver

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/scraper/scraperhelper"

	"github.com/tailrace/tailrace/receiver/runnerlogreceiver/internal/metadata"
)

// NewFactory returns the factory of the runner log receiver.
func NewFactory() receiver.Factory {
	return receiver.NewFactory(metadata.Type, createDefaultConfig,
		receiver.WithLogs(createLogs, metadata.LogsStability), receiver.WithMetrics(createMetrics, metadata.MetricsStability))
}

func createDefaultConfig() component.Config {
	return &Config{
		Runner: component.MustNewID("runner"), Parse: parseAuto, Multiline: true, ANSI: ansiKeep, CarriageReturn: returnKeep,
		KeepOriginal:         true,
		ControllerConfig:     scraperhelper.ControllerConfig{CollectionInterval: 10 * time.Second},
		MetricsBuilderConfig: metadata.NewDefaultMetricsBuilderConfig(),
	}
}

func createLogs(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
	return newRunnerLog(set, cfg.(*Config), next)
}
