// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"

	"github.com/tailrace/tailrace/receiver/clickhouseingestreceiver/internal/metadata"
)

// NewFactory returns the factory of the `clickhouse_ingest` receiver.
//
// Each signal is an instance of its own, with its own engine, state and lock, although the collector could share one:
// a pipeline's exporter starts before and stops after its own receiver, but not before and after that of another pipeline.
func NewFactory() receiver.Factory {
	return receiver.NewFactory(metadata.Type, createDefaultConfig,
		receiver.WithTraces(func(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Traces) (receiver.Traces, error) {
			return newReceiver(set, cfg.(*Config), func(r *ingestReceiver) { r.traces = next })
		}, metadata.TracesStability),
		receiver.WithLogs(func(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
			return newReceiver(set, cfg.(*Config), func(r *ingestReceiver) { r.logs = next })
		}, metadata.LogsStability),
		receiver.WithMetrics(func(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Metrics) (receiver.Metrics, error) {
			return newReceiver(set, cfg.(*Config), func(r *ingestReceiver) { r.metrics = next })
		}, metadata.MetricsStability),
	)
}
