// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/tailrace/tailrace/extension/runnerextension/internal/metadata"
	"github.com/tailrace/tailrace/internal/supervise"
)

// observe publishes the counters of the supervisor. They are read when somebody asks, so that lines cost
// nothing more.
func observe(builder *metadata.TelemetryBuilder, s *supervise.Supervisor) error {
	single := func(value func(supervise.Stats) int64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(value(s.Stats()))
			return nil
		}
	}
	stdout := metric.WithAttributeSet(attribute.NewSet(attribute.String("stream", supervise.Stdout.String())))
	stderr := metric.WithAttributeSet(attribute.NewSet(attribute.String("stream", supervise.Stderr.String())))
	streams := func(value func(supervise.StreamStats) int64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			stats := s.Stats()
			o.Observe(value(stats.Stdout), stdout)
			o.Observe(value(stats.Stderr), stderr)
			return nil
		}
	}
	// The ids of the servers bound the cardinality.
	of := func(server supervise.ServerStats) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(attribute.String("server", server.Source.Server)))
	}
	floats := func(value func(supervise.ServerStats) (float64, bool)) metric.Float64Callback {
		return func(_ context.Context, o metric.Float64Observer) error {
			for _, server := range s.Servers() {
				if v, ok := value(server); ok {
					o.Observe(v, of(server))
				}
			}
			return nil
		}
	}
	ints := func(value func(supervise.ServerStats) (int64, bool)) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			for _, server := range s.Servers() {
				if v, ok := value(server); ok {
					o.Observe(v, of(server))
				}
			}
			return nil
		}
	}
	return errors.Join(
		builder.RegisterRunnerServerCPUTimeCallback(floats(func(s supervise.ServerStats) (float64, bool) {
			return s.CPU.Seconds(), true
		})),
		builder.RegisterRunnerServerUptimeCallback(floats(func(s supervise.ServerStats) (float64, bool) {
			return s.Uptime.Seconds(), s.Running
		})),
		builder.RegisterRunnerServerHealthyCallback(ints(func(s supervise.ServerStats) (int64, bool) {
			if s.Health == supervise.HealthHealthy {
				return 1, true
			}
			return 0, true
		})),
		builder.RegisterRunnerServerMemoryCallback(ints(func(s supervise.ServerStats) (int64, bool) {
			return usageOf(s).RSS, s.Usage != nil
		})),
		builder.RegisterRunnerServerThreadsCallback(ints(func(s supervise.ServerStats) (int64, bool) {
			return int64(usageOf(s).Threads), s.Usage != nil
		})),
		builder.RegisterRunnerServerOpenFilesCallback(ints(func(s supervise.ServerStats) (int64, bool) {
			return int64(usageOf(s).OpenFiles), s.Usage != nil && s.Usage.OpenFiles >= 0
		})),
		builder.RegisterRunnerServerDroppedCallback(ints(func(s supervise.ServerStats) (int64, bool) { return s.Dropped, true })),
		builder.RegisterRunnerProcessesCallback(single(func(s supervise.Stats) int64 { return s.Running })),
		builder.RegisterRunnerRestartsCallback(single(func(s supervise.Stats) int64 { return s.Restarts })),
		builder.RegisterRunnerOutputBufferedCallback(single(func(s supervise.Stats) int64 { return s.Buffered })),
		builder.RegisterRunnerOutputDroppedCallback(single(func(s supervise.Stats) int64 { return s.Dropped })),
		builder.RegisterRunnerOutputBytesCallback(streams(func(s supervise.StreamStats) int64 { return s.Bytes })),
		builder.RegisterRunnerOutputLinesCallback(streams(func(s supervise.StreamStats) int64 { return s.Lines })),
		builder.RegisterRunnerOutputLinesCutCallback(streams(func(s supervise.StreamStats) int64 { return s.Cut })),
		builder.RegisterRunnerOutputLinesRepairedCallback(streams(func(s supervise.StreamStats) int64 { return s.Repaired })),
	)
}

// usageOf is zero where it is not known.
func usageOf(s supervise.ServerStats) supervise.Usage {
	if s.Usage == nil {
		return supervise.Usage{}
	}
	return *s.Usage
}
