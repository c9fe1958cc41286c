// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runnerlogreceiver

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

// measured is the value of each metric of a server.
func measured(all []pmetric.Metrics, server string) map[string]float64 {
	values := map[string]float64{}
	for _, metrics := range all {
		for _, resource := range metrics.ResourceMetrics().All() {
			if id, _ := resource.Resource().Attributes().Get("server.id"); id.AsString() != server {
				continue
			}
			for _, m := range resource.ScopeMetrics().At(0).Metrics().All() {
				points := m.Sum().DataPoints
				if m.Type() == pmetric.MetricTypeGauge {
					points = m.Gauge().DataPoints
				}
				point := points().At(0)
				values[m.Name()] = point.DoubleValue() + float64(point.IntValue())
			}
		}
	}
	return values
}

func TestMetricsOfProcessTrees(t *testing.T) {
	supervisor, host := start(t, consumertest.NewNop(),
		server("tree", "shop", "sleep 600 | sleep 600"), server("gone", "shop", "exit 0"))
	require.Eventually(t, func() bool {
		all := supervisor.Servers()
		return all[0].Usage != nil && all[0].Usage.Processes >= 3 && !all[1].Running
	}, 20*time.Second, 10*time.Millisecond)

	cfg := createDefaultConfig().(*Config)
	cfg.CollectionInterval = 20 * time.Millisecond
	sink := new(consumertest.MetricsSink)
	r, err := NewFactory().CreateMetrics(t.Context(), receivertest.NewNopSettings(NewFactory().Type()), cfg, sink)
	require.NoError(t, err)
	// Beside the receiver of lines, which reads the same runner.
	require.NoError(t, r.Start(t.Context(), host))
	require.Eventually(t, func() bool { return len(sink.AllMetrics()) > 1 }, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, r.Shutdown(context.Background()))

	tree := measured(sink.AllMetrics(), "tree")
	assert.GreaterOrEqual(t, tree["server.process.count"], 3.0)
	assert.GreaterOrEqual(t, tree["process.thread.count"], 3.0)
	assert.Greater(t, tree["process.memory.usage"], 100e3)
	assert.Greater(t, tree["process.uptime"], 0.0)
	assert.GreaterOrEqual(t, tree["process.unix.file_descriptor.count"], 9.0)
	assert.Contains(t, tree, "process.cpu.time")
	gone := measured(sink.AllMetrics(), "gone")
	assert.Contains(t, gone, "process.cpu.time", "a counter goes on when the server has ended")
	delete(gone, "process.cpu.time")
	assert.Equal(t, map[string]float64{"server.process.count": 0}, gone)

	resource := sink.AllMetrics()[0].ResourceMetrics().At(0).Resource().Attributes().AsRaw()
	assert.Equal(t, "shop", resource["project.id"])
	assert.Equal(t, "shop-web", resource["deployment.id"])
	assert.NotContains(t, resource, "process.pid", "a series ends with its resource")
}

func TestMetricsNeedARunner(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	r, err := NewFactory().CreateMetrics(t.Context(), receivertest.NewNopSettings(NewFactory().Type()), cfg, consumertest.NewNop())
	require.NoError(t, err)
	err = r.Start(t.Context(), &testHost{})
	assert.ErrorContains(t, err, `runner: there is no extension "runner"`)
	require.NoError(t, r.Shutdown(context.Background()))
}
