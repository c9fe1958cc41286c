// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"context"
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/livetail/cluster"
	"github.com/tailrace/tailrace/internal/livetail/tailws"
)

// Codes of notices to clients.
const (
	noticePeersAway = "PEERS_AWAY"
	noticePeersBack = "PEERS_BACK"
)

// peers connects the live tail with those of other collectors.
type peers struct {
	cluster *cluster.Cluster
	logger  *zap.Logger
	started bool

	mu   sync.Mutex // guards what follows
	host component.Host
	ws   *tailws.Server
	away bool // it was told
}

func newPeers(cfg *Config, logger *zap.Logger) *peers {
	p := &peers{logger: logger}
	opts := cluster.DefaultOptions()
	opts.BufferBytes = cfg.ClusterBufferBytes
	opts.Changed = p.changed
	opts.Problem = func(err error) { logger.Warn("Records of another collector can't be shown", zap.Error(err)) }
	p.cluster = cluster.New(opts)
	return p
}

// startCluster joins the other collectors. It does not wait for them.
func (t *liveTail) startCluster(host component.Host) error {
	if t.peers == nil {
		return nil
	}
	extension, ok := host.GetExtensions()[*t.cfg.Cluster]
	if !ok {
		return fmt.Errorf("cluster: there is no extension %q: define it under extensions and list it in service::extensions", t.cfg.Cluster)
	}
	bus, ok := extension.(cluster.Bus)
	if !ok {
		return fmt.Errorf("cluster: the extension %q connects no collectors: name an extension of the type nats", t.cfg.Cluster)
	}
	t.peers.host, t.peers.ws, t.peers.started = host, t.ws, true
	t.peers.cluster.Start(t.hub, bus)
	return nil
}

func (p *peers) close() {
	if p != nil && p.started {
		p.cluster.Close()
	}
}

// changed says once that the others are away, and once that they are back.
func (p *peers) changed(connected bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case connected:
		p.logger.Info("Live tail is connected with other collectors")
		componentstatus.ReportStatus(p.host, componentstatus.NewEvent(componentstatus.StatusOK))
		if p.away {
			p.ws.Notice(noticePeersBack, "records of other collectors are shown again; what is missing in between is told by gaps", false)
		}
	case !p.away:
		if err == nil {
			err = fmt.Errorf("the connection was lost")
		}
		p.logger.Warn("Live tail can't reach other collectors; it shows what comes in here, and goes on trying", zap.Error(err))
		componentstatus.ReportStatus(p.host, componentstatus.NewRecoverableErrorEvent(fmt.Errorf("live tail can't reach other collectors: %w", err)))
		p.ws.Notice(noticePeersAway, "other collectors can't be reached at the moment: only what comes in at this one is shown", true)
	}
	p.away = !connected
}

// registerMetrics reads the cluster's own counters when metrics are collected. Without a cluster there are none.
func (t *liveTail) clusterMetrics() []error {
	observe := func(read func(cluster.Stats) int64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			if t.peers != nil {
				o.Observe(read(t.peers.cluster.Stats()))
			}
			return nil
		}
	}
	b := t.telemetry
	return []error{
		b.RegisterLiveTailClusterConnectedCallback(observe(func(s cluster.Stats) int64 {
			if s.Connected {
				return 1
			}
			return 0
		})),
		b.RegisterLiveTailClusterPeersCallback(observe(func(s cluster.Stats) int64 { return int64(s.Peers) })),
		b.RegisterLiveTailClusterPublishedCallback(observe(func(s cluster.Stats) int64 { return int64(s.Published) })),
		b.RegisterLiveTailClusterPublishedSizeCallback(observe(func(s cluster.Stats) int64 { return int64(s.PublishedBytes) })),
		b.RegisterLiveTailClusterReceivedCallback(observe(func(s cluster.Stats) int64 { return int64(s.Received) })),
		b.RegisterLiveTailClusterReceivedSizeCallback(observe(func(s cluster.Stats) int64 { return int64(s.ReceivedBytes) })),
		b.RegisterLiveTailClusterDroppedCallback(observe(func(s cluster.Stats) int64 { return int64(s.Dropped) })),
		b.RegisterLiveTailClusterLostCallback(observe(func(s cluster.Stats) int64 { return int64(s.Lost) })),
		b.RegisterLiveTailClusterRefusedCallback(observe(func(s cluster.Stats) int64 { return int64(s.Malformed) })),
		b.RegisterLiveTailClusterWaitingCallback(observe(func(s cluster.Stats) int64 { return int64(s.Waiting) })),
	}
}
