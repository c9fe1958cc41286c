// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/tailrace/tailrace/exporter/livetailexporter/internal/metadata"
	"github.com/tailrace/tailrace/exporter/livetailexporter/internal/metadatatest"
)

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	cfg := createDefaultConfig().(*Config)
	ownServer(cfg).NetAddr.Endpoint = taken.Addr().String()
	e, err := NewFactory().CreateLogs(context.Background(), exportertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	began := time.Now()
	err = e.Start(context.Background(), componenttest.NewNopHost())
	require.ErrorContains(t, err, "http.endpoint: "+taken.Addr().String()+" is in use")
	require.ErrorContains(t, err, "free address")
	assert.Less(t, time.Since(began), 2*time.Second)
	require.NoError(t, e.Shutdown(context.Background()))
}

func TestBadEndpoint(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	ownServer(cfg).NetAddr.Endpoint = "192.0.2.1:4400" // not of this machine
	e, err := NewFactory().CreateTraces(context.Background(), exportertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.ErrorContains(t, e.Start(context.Background(), componenttest.NewNopHost()), "http.endpoint: cannot listen on 192.0.2.1:4400")
	require.NoError(t, e.Shutdown(context.Background()))
	require.NoError(t, e.Shutdown(context.Background()))
}

func TestTwoInstances(t *testing.T) {
	a, b := start(t, nil, nil), start(t, nil, nil)
	ca, cb := connect(t, a.url), connect(t, b.url)
	for _, c := range []*client{ca, cb} {
		c.ask(`{"type":"subscribe","payload":{"channel":"*"}}`, `{"type":"subscribed","payload":{"channel":"*"}}`)
	}
	a.print(t, "web-a", 0, 1, 1)
	b.print(t, "web-b", 0, 1, 1)
	assert.Equal(t, "web-a", ca.next().Payload["server"])
	assert.Equal(t, "web-b", cb.next().Payload["server"])
}

func TestMetrics(t *testing.T) {
	tt := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tt.Shutdown(context.Background())) }()
	cfg := createDefaultConfig().(*Config)
	ownServer(cfg).NetAddr.Endpoint = "127.0.0.1:0"
	set := exportertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tt.NewTelemetrySettings()
	f := &factory{shared: newShared()}
	e, err := f.createLogs(context.Background(), set, cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()))
	defer func() { require.NoError(t, e.Shutdown(context.Background())) }()
	h, err := f.handle(set, cfg)
	require.NoError(t, err)
	tl := &tail{liveTail: h.Unwrap(), logs: e}
	defer func() { require.NoError(t, h.Shutdown(context.Background())) }()

	c := connect(t, "ws://"+tl.addr.String()+"/ws")
	c.ask(`{"type":"subscribe","payload":{"channel":"server:web-1"}}`, `{"type":"subscribed","payload":{"channel":"server:web-1"}}`)
	tl.print(t, "web-1", 0, 5, 1)
	tl.print(t, "web-1", 0, 5, 1)
	for range 5 {
		require.Equal(t, "server:log", c.next().Type)
	}
	require.Eventually(t, func() bool { return tl.hub.Stats().Delivered == 5 }, waitFor, tick)
	point := func(n int64) []metricdata.DataPoint[int64] { return []metricdata.DataPoint[int64]{{Value: n}} }
	ignore := metricdatatest.IgnoreTimestamp()
	metadatatest.AssertEqualLiveTailClients(t, tt, point(1), ignore)
	metadatatest.AssertEqualLiveTailSubscriptions(t, tt, point(1), ignore)
	metadatatest.AssertEqualLiveTailRecords(t, tt, point(10), ignore)
	metadatatest.AssertEqualLiveTailDuplicates(t, tt, point(5), ignore)
	metadatatest.AssertEqualLiveTailMatched(t, tt, point(5), ignore)
	metadatatest.AssertEqualLiveTailDelivered(t, tt, point(5), ignore)
	metadatatest.AssertEqualLiveTailRingRecords(t, tt, point(5), ignore)
	metadatatest.AssertEqualLiveTailRingSize(t, tt, point(int64(tl.hub.Stats().RingBytes)), ignore)
	metadatatest.AssertEqualLiveTailSent(t, tt, point(int64(tl.serverStats().BytesSent)), ignore)
	metadatatest.AssertEqualLiveTailFrames(t, tt, point(int64(tl.serverStats().FramesSent)), ignore)
	metadatatest.AssertEqualLiveTailWrites(t, tt, point(int64(tl.serverStats().Writes)), ignore)
	metadatatest.AssertEqualLiveTailWriteErrors(t, tt, point(0), ignore)
	reasons := func(names ...string) (out []metricdata.DataPoint[int64]) {
		for _, n := range names {
			out = append(out, metricdata.DataPoint[int64]{Attributes: attribute.NewSet(attribute.String("reason", n))})
		}
		return out
	}
	metadatatest.AssertEqualLiveTailDropped(t, tt, reasons("slow", "disconnected", "overload", "evicted", "sampled", "lost"), ignore)
	metadatatest.AssertEqualLiveTailRefused(t, tt, reasons("origin", "authentication", "too_many", "forbidden", "message"), ignore)
	c.Close()
}
