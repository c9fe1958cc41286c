// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/tailws"
)

// registerMetrics reads the hub's own counters when metrics are collected: nothing is paid per record.
func (t *liveTail) registerMetrics() error {
	hub := func(read func(livetail.Stats) int64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(read(t.hub.Stats()))
			return nil
		}
	}
	server := func(read func(tailws.Stats) int64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(read(t.serverStats()))
			return nil
		}
	}
	b := t.telemetry
	return errors.Join(append(t.clusterMetrics(),
		b.RegisterLiveTailClientsCallback(hub(func(s livetail.Stats) int64 { return int64(s.Subscribers) })),
		b.RegisterLiveTailSubscriptionsCallback(hub(func(s livetail.Stats) int64 { return int64(s.Subscriptions) })),
		b.RegisterLiveTailRecordsCallback(hub(func(s livetail.Stats) int64 { return int64(s.Seen) })),
		b.RegisterLiveTailDuplicatesCallback(hub(func(s livetail.Stats) int64 { return int64(s.Duplicates) })),
		b.RegisterLiveTailMatchedCallback(hub(func(s livetail.Stats) int64 { return int64(s.Matched) })),
		b.RegisterLiveTailDeliveredCallback(hub(func(s livetail.Stats) int64 { return int64(s.Delivered) })),
		b.RegisterLiveTailStoredCallback(hub(func(s livetail.Stats) int64 { return int64(s.Stored) })),
		b.RegisterLiveTailRingRecordsCallback(hub(func(s livetail.Stats) int64 { return int64(s.RingRecords) })),
		b.RegisterLiveTailRingSizeCallback(hub(func(s livetail.Stats) int64 { return int64(s.RingBytes) })),
		b.RegisterLiveTailSentCallback(server(func(s tailws.Stats) int64 { return int64(s.BytesSent) })),
		b.RegisterLiveTailFramesCallback(server(func(s tailws.Stats) int64 { return int64(s.FramesSent) })),
		b.RegisterLiveTailWritesCallback(server(func(s tailws.Stats) int64 { return int64(s.Writes) })),
		b.RegisterLiveTailWriteDurationCallback(func(_ context.Context, o metric.Float64Observer) error {
			o.Observe(float64(t.serverStats().WriteNanos) / 1e9)
			return nil
		}),
		b.RegisterLiveTailWriteErrorsCallback(server(func(s tailws.Stats) int64 { return int64(s.WriteErrors) })),
		b.RegisterLiveTailDroppedCallback(func(_ context.Context, o metric.Int64Observer) error {
			s := t.hub.Stats()
			observe(o, s.DroppedSlow, "slow")
			observe(o, s.DroppedClosed, "disconnected")
			observe(o, s.DroppedBusy, "overload")
			observe(o, s.DroppedEvicted, "evicted")
			observe(o, s.DroppedSampled, "sampled")
			observe(o, s.DroppedLost, "lost")
			return nil
		}),
		b.RegisterLiveTailRefusedCallback(func(_ context.Context, o metric.Int64Observer) error {
			s := t.serverStats()
			observe(o, s.RefusedOrigin, "origin")
			observe(o, s.RefusedAuth, "authentication")
			observe(o, s.RefusedTooMany, "too_many")
			observe(o, s.RefusedForbidden, "forbidden")
			observe(o, s.RefusedMessage, "message")
			return nil
		}),
	)...)
}

func observe(o metric.Int64Observer, n uint64, reason string) {
	o.Observe(int64(n), metric.WithAttributes(attribute.String("reason", reason)))
}

func (t *liveTail) serverStats() tailws.Stats {
	t.mu.Lock()
	ws := t.ws
	t.mu.Unlock()
	if ws == nil {
		return tailws.Stats{}
	}
	return ws.Stats()
}
