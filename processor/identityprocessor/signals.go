// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package identityprocessor

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processorhelper"

	"github.com/tailrace/tailrace/internal/identity"
)

// A processorhelper function can hand data on or return an error, not both; a request that is refused in part needs both.
// So the function leaves the refusal in a slot of the context, and the signal's wrapper around the helper returns it after
// the next consumer has taken the good part. What the next consumer says comes first: when it may heal, the sender sends all again.

type slotKey struct{}

type slot struct{ refusal error }

func withSlot(ctx context.Context) (context.Context, *slot) {
	s := &slot{}
	return context.WithValue(ctx, slotKey{}, s), s
}

// leave returns err when nothing is left to hand on, or a project has to wait, and otherwise leaves it in the slot. size is the bytes of what is left.
func leave(ctx context.Context, r *request, size func() int) error {
	if err := r.admit(size); err != nil {
		for _, s := range r.shares {
			r.telemetry.IdentityRefusedRecords.Add(ctx, int64(s.records), r.byReason[quota])
		}
		return err
	}
	err := r.finish(ctx)
	if err == nil || r.bad == r.resources {
		return err
	}
	ctx.Value(slotKey{}).(*slot).refusal = err
	return nil
}

func (s *slot) after(err error) error {
	if err != nil {
		return err
	}
	return s.refusal
}

func (i *identifier) options() []processorhelper.Option {
	return []processorhelper.Option{
		processorhelper.WithCapabilities(consumer.Capabilities{MutatesData: true}),
		processorhelper.WithStart(i.start),
		processorhelper.WithShutdown(i.shutdown),
	}
}

type traces struct{ processor.Traces }

func newTraces(ctx context.Context, set processor.Settings, cfg component.Config, i *identifier, next consumer.Traces) (processor.Traces, error) {
	inner, err := processorhelper.NewTraces(ctx, set, cfg, next, func(ctx context.Context, td ptrace.Traces) (ptrace.Traces, error) {
		proof, err := i.authenticate(ctx, td.SpanCount())
		if err != nil {
			return td, err
		}
		r := &request{identifier: i, proof: proof}
		td.ResourceSpans().RemoveIf(func(rs ptrace.ResourceSpans) bool {
			n := 0
			for _, ss := range rs.ScopeSpans().All() {
				n += ss.Spans().Len()
			}
			return r.resource(rs.Resource(), n)
		})
		return td, leave(ctx, r, func() int { return new(ptrace.ProtoMarshaler).TracesSize(td) })
	}, i.options()...)
	return traces{inner}, err
}

// ConsumeTraces implements consumer.Traces.
func (p traces) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	ctx, s := withSlot(ctx)
	return s.after(p.Traces.ConsumeTraces(ctx, td))
}

type logs struct{ processor.Logs }

func newLogs(ctx context.Context, set processor.Settings, cfg component.Config, i *identifier, next consumer.Logs) (processor.Logs, error) {
	inner, err := processorhelper.NewLogs(ctx, set, cfg, next, func(ctx context.Context, ld plog.Logs) (plog.Logs, error) {
		records := ld.LogRecordCount()
		proof, err := i.authenticate(ctx, records)
		if err != nil {
			return ld, err
		}
		r := &request{identifier: i, proof: proof}
		uids := i.uids.Reserve(records)
		ld.ResourceLogs().RemoveIf(func(rl plog.ResourceLogs) bool {
			n := 0
			for _, sl := range rl.ScopeLogs().All() {
				n += sl.LogRecords().Len()
			}
			if r.resource(rl.Resource(), n) {
				return true
			}
			r.stamped += stamp(rl, &uids)
			return false
		})
		return ld, leave(ctx, r, func() int { return new(plog.ProtoMarshaler).LogsSize(ld) })
	}, i.options()...)
	return logs{inner}, err
}

func stamp(rl plog.ResourceLogs, uids *identity.Range) (n int64) {
	for _, sl := range rl.ScopeLogs().All() {
		records := sl.LogRecords()
		for k := range records.Len() {
			if identity.StampLog(records.At(k), uids) {
				n++
			}
		}
	}
	return n
}

// ConsumeLogs implements consumer.Logs.
func (p logs) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	ctx, s := withSlot(ctx)
	return s.after(p.Logs.ConsumeLogs(ctx, ld))
}

type metrics struct{ processor.Metrics }

func newMetrics(ctx context.Context, set processor.Settings, cfg component.Config, i *identifier, next consumer.Metrics) (processor.Metrics, error) {
	inner, err := processorhelper.NewMetrics(ctx, set, cfg, next, func(ctx context.Context, md pmetric.Metrics) (pmetric.Metrics, error) {
		proof, err := i.authenticate(ctx, md.DataPointCount())
		if err != nil {
			return md, err
		}
		r := &request{identifier: i, proof: proof}
		md.ResourceMetrics().RemoveIf(func(rm pmetric.ResourceMetrics) bool {
			return r.resource(rm.Resource(), points(rm))
		})
		return md, leave(ctx, r, func() int { return new(pmetric.ProtoMarshaler).MetricsSize(md) })
	}, i.options()...)
	return metrics{inner}, err
}

func points(rm pmetric.ResourceMetrics) (n int) {
	for _, sm := range rm.ScopeMetrics().All() {
		for _, m := range sm.Metrics().All() {
			switch m.Type() {
			case pmetric.MetricTypeGauge:
				n += m.Gauge().DataPoints().Len()
			case pmetric.MetricTypeSum:
				n += m.Sum().DataPoints().Len()
			case pmetric.MetricTypeHistogram:
				n += m.Histogram().DataPoints().Len()
			case pmetric.MetricTypeExponentialHistogram:
				n += m.ExponentialHistogram().DataPoints().Len()
			case pmetric.MetricTypeSummary:
				n += m.Summary().DataPoints().Len()
			}
		}
	}
	return n
}

// ConsumeMetrics implements consumer.Metrics.
func (p metrics) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	ctx, s := withSlot(ctx)
	return s.after(p.Metrics.ConsumeMetrics(ctx, md))
}
