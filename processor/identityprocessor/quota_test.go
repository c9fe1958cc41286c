// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package identityprocessor

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor/processortest"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tailrace/tailrace/processor/identityprocessor/internal/metadata"
)

func TestAProjectAboveItsQuotaHasToWait(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.Quotas = Quotas{Default: Quota{RecordsPerSecond: 1, Burst: 10 * time.Second}, Projects: map[string]Quota{"free": {}}}
	var sink consumertest.TracesSink
	p, err := NewFactory().CreateTraces(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, &sink)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	defer func() { assert.NoError(t, p.Shutdown(context.Background())) }()

	require.NoError(t, p.ConsumeTraces(t.Context(), spans(8, "shop")))
	err = p.ConsumeTraces(t.Context(), spans(8, "shop", "lab"))
	require.ErrorContains(t, err, `project "shop" sends more than its quota (identity: quotas); nothing of the request was taken, with 1 other projects in it; send it again in `)
	assert.False(t, consumererror.IsPermanent(err), "a sender is to repeat it")
	answer := status.Convert(err)
	assert.Equal(t, codes.ResourceExhausted, answer.Code())
	require.Len(t, answer.Details(), 1)
	wait := answer.Details()[0].(*errdetails.RetryInfo).RetryDelay.AsDuration()
	assert.InDelta(t, 6, wait.Seconds(), 1)

	require.NoError(t, p.ConsumeTraces(t.Context(), spans(8, "lab")), "what was refused has cost it nothing")
	require.NoError(t, p.ConsumeTraces(t.Context(), spans(1000, "free")), "a quota of its own without bounds")
	assert.Equal(t, 8+8+1000, sink.SpanCount())
}

func TestSignalsShareAQuotaAndBytesCount(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.Quotas.Default = Quota{BytesPerSecond: 100, Burst: time.Second}
	set := processortest.NewNopSettings(metadata.Type)
	traces, err := NewFactory().CreateTraces(t.Context(), set, cfg, consumertest.NewNop())
	require.NoError(t, err)
	logs, err := NewFactory().CreateLogs(t.Context(), set, cfg, consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, traces.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, logs.Start(t.Context(), componenttest.NewNopHost()))
	defer func() {
		assert.NoError(t, traces.Shutdown(context.Background()))
		assert.NoError(t, logs.Shutdown(context.Background()))
	}()
	require.NoError(t, traces.ConsumeTraces(t.Context(), spans(1000, "shop")), "above the whole burst: it takes all there is")
	assert.ErrorContains(t, logs.ConsumeLogs(t.Context(), logOf("shop")), `project "shop"`)
	assert.NoError(t, logs.ConsumeLogs(t.Context(), logOf("lab")))
}

func logOf(project string) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("project.id", project)
	rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("x")
	return ld
}

func TestQuotasAreRememberedForABoundedNumberOfProjects(t *testing.T) {
	l := &limits{}
	q := &Quotas{Default: Quota{RecordsPerSecond: 10, Burst: time.Second}}
	now := time.Unix(1_800_000_000, 0)
	for i := range 3 * maxQuotaProjects {
		now = now.Add(time.Millisecond)
		wait, _ := l.take(q, []share{{project: fmt.Sprint(i), records: 10}}, now)
		require.Zero(t, wait)
	}
	assert.LessOrEqual(t, len(l.projects), maxQuotaProjects+1)
	wait, of := l.take(q, []share{{project: fmt.Sprint(3*maxQuotaProjects - 1), records: 5}}, now)
	assert.Equal(t, 500*time.Millisecond, wait, "those that still owe are not forgotten")
	assert.Equal(t, "29999", of)
}

func TestWrongQuotasNameTheirKeys(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.Quotas = Quotas{Default: Quota{RecordsPerSecond: -1}, Projects: map[string]Quota{"shop": {Burst: time.Second}, "lab": {RecordsPerSecond: 1, Burst: -1}}}
	err := cfg.Validate()
	for _, says := range []string{"quotas.default.records_per_second: -1 is negative", "quotas.projects.shop.burst: means nothing", "quotas.projects.lab.burst: -1ns is negative"} {
		assert.ErrorContains(t, err, says)
	}
}
