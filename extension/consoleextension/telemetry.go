// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// observe registers the gauges.
func (c *console) observe() error {
	gauge := func(value func() int) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(value()))
			return nil
		}
	}
	return errors.Join(
		c.telemetry.RegisterConsoleAuditWaitingCallback(gauge(c.audit.Waiting)),
		c.telemetry.RegisterConsoleSessionsCallback(gauge(func() int {
			if c.gate != nil {
				return c.gate.Sessions()
			}
			return 0
		})),
		c.telemetry.RegisterConsoleTokensCallback(gauge(func() int {
			if c.gate != nil {
				return c.gate.Tokens().Len()
			}
			return 0
		})),
	)
}

func (c *console) countLogin(ctx context.Context, outcome string) {
	c.telemetry.ConsoleLogins.Add(ctx, 1, metric.WithAttributeSet(attribute.NewSet(attribute.String("outcome", outcome))))
}

func (c *console) countRefusal(ctx context.Context, reason string) {
	c.telemetry.ConsoleRefusals.Add(ctx, 1, metric.WithAttributeSet(attribute.NewSet(attribute.String("reason", reason))))
}

func (c *console) countReload(ctx context.Context, file, outcome string) {
	c.telemetry.ConsoleReloads.Add(ctx, 1, metric.WithAttributeSet(attribute.NewSet(attribute.String("file", file), attribute.String("outcome", outcome))))
}
