// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/exporter/livetailexporter/internal/metadata"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/classic"
	"github.com/tailrace/tailrace/internal/livetail/tailv1"
	"github.com/tailrace/tailrace/internal/livetail/tailws"
	"github.com/tailrace/tailrace/internal/webguard"
)

// liveTail is the exporter behind all signals of one component id.
type liveTail struct {
	id        component.ID
	cfg       *Config
	settings  component.TelemetrySettings
	telemetry *metadata.TelemetryBuilder
	hub       *livetail.Hub
	version   string
	history   *storeHistory // nil without a store
	peers     *peers        // nil without a cluster

	mu        sync.Mutex // guards what follows
	ws        *tailws.Server
	server    *http.Server
	addr      net.Addr
	unmount   []func()
	serving   sync.WaitGroup
	shutdowns sync.Once
}

func newLiveTail(set exporter.Settings, cfg *Config) (*liveTail, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	var past *storeHistory
	var history livetail.History
	if cfg.Store != nil {
		past = &storeHistory{}
		history = past
	}
	var others *peers
	var hubPeers livetail.Peers
	if cfg.Cluster != nil {
		others = newPeers(cfg, set.Logger)
		hubPeers = others.cluster
	}
	t := &liveTail{
		history: past, peers: others,
		id: set.ID, cfg: cfg, settings: set.TelemetrySettings, telemetry: telemetry, version: set.BuildInfo.Version,
		hub: livetail.New(livetail.Options{
			RingRecords: cfg.Ring.Records, RingBytes: cfg.Ring.Bytes, TotalBytes: cfg.Ring.TotalBytes,
			MaxSources: cfg.Ring.MaxSources, MaxRecord: min(cfg.Ring.MaxRecordBytes, cfg.ClientBufferBytes/2), RecentRecords: cfg.RecentRecords,
			ClientBytes: cfg.ClientBufferBytes, MaxChannels: cfg.MaxSubscriptions,
			Format: classic.Format{}, AppendRecord: tailv1.AppendRecord, History: history, Peers: hubPeers,
		}),
	}
	if err := t.registerMetrics(); err != nil {
		t.hub.Close()
		telemetry.Shutdown()
		return nil, err
	}
	return t, nil
}

// Start opens the doors: the port of its own, the console, or both. Whatever cannot work is an error here, at once.
func (t *liveTail) Start(ctx context.Context, host component.Host) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.findStore(host); err != nil {
		return err
	}
	t.ws = tailws.NewServer(t.serverOptions())
	t.hub.Start()
	if err := t.startCluster(host); err != nil {
		return err
	}
	if t.cfg.Console != nil {
		if err := t.mount(host); err != nil {
			return err
		}
	}
	if own := t.cfg.ownServer(); own != nil {
		return t.serve(ctx, host, own)
	}
	return nil
}

// serve starts the server of its own.
func (t *liveTail) serve(ctx context.Context, host component.Host, own *serverConfig) error {
	door, err := t.ownDoor(ctx, host, own)
	if err != nil {
		return err
	}
	listener, err := listen(ctx, own)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(t.cfg.Path, t.ws.WebSocket(door))
	mux.Handle(tailPath, t.ws.Tail(door))
	httpConfig := *own
	httpConfig.Auth = configoptional.None[confighttp.AuthConfig]() // asked by tailws, so that browsers see the close code
	t.server, err = httpConfig.ToServer(ctx, host.GetExtensions(), t.settings, mux)
	if err != nil {
		return errors.Join(fmt.Errorf("http: %w", err), listener.Close())
	}
	t.addr = listener.Addr()
	server := t.server
	t.serving.Go(func() {
		if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			componentstatus.ReportStatus(host, componentstatus.NewRecoverableErrorEvent(fmt.Errorf("live tail server: %w", err)))
		}
	})
	t.settings.Logger.Info("Live tail is listening", zap.String("endpoint", t.addr.String()), zap.String("path", t.cfg.Path))
	return nil
}

func (t *liveTail) serverOptions() tailws.Options {
	return tailws.Options{
		Hub: t.hub, Version: t.version, MaxClients: t.cfg.MaxClients, MaxPerIdentity: t.cfg.MaxClientsPerIdentity,
		MaxMessageBytes: t.cfg.MaxMessageBytes, PingInterval: t.cfg.PingInterval, WriteTimeout: t.cfg.WriteTimeout,
		AuthTimeout: t.cfg.AuthTimeout, QueryToken: t.cfg.Classic.QueryToken, Compression: t.cfg.Compression,
		Hello: tailv1.Hello{
			Version: t.version, Epoch: t.hub.Epoch(), PingIntervalMS: t.cfg.PingInterval.Milliseconds(), MaxMessageBytes: t.cfg.MaxMessageBytes,
			MaxSubscriptions: t.cfg.MaxSubscriptions, ClientBytes: t.cfg.ClientBufferBytes, RingRecords: t.cfg.Ring.Records,
		},
	}
}

func (t *liveTail) ownDoor(ctx context.Context, host component.Host, own *serverConfig) (tailws.Door, error) {
	origins, _ := normalize(t.cfg.AllowedOrigins, "allowed_origins", webguard.NormalizeOrigin) // Validate has reported errors
	hosts, _ := normalize(t.cfg.AllowedHosts, "allowed_hosts", webguard.NormalizeHost)
	door := tailws.Door{Guard: &webguard.Guard{Origins: origins, Hosts: hosts}}
	if own.Auth.HasValue() {
		auth := own.Auth.Get().Config
		authenticator, err := auth.GetServerAuthenticator(ctx, host.GetExtensions())
		if err != nil {
			return door, fmt.Errorf("http.auth: %w", err)
		}
		door.Authority = serverAuth{authenticator}
	}
	return door, nil
}

func listen(ctx context.Context, own *serverConfig) (net.Listener, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	listener, err := own.ToListener(ctx)
	switch {
	case err == nil:
		return listener, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("http.endpoint: %s is in use by another program; stop that one, or set http.endpoint of "+
			"the live_tail exporter to a free address: %w", own.NetAddr.Endpoint, err)
	default:
		return nil, fmt.Errorf("http.endpoint: cannot listen on %s; set http.endpoint of the live_tail exporter to an "+
			"address of this machine such as localhost:4400: %w", own.NetAddr.Endpoint, err)
	}
}

// Shutdown hands on what the hub has, says good-bye to the clients and closes the port.
func (t *liveTail) Shutdown(context.Context) error {
	var err error
	t.shutdowns.Do(func() {
		t.mu.Lock()
		ws, server, unmount := t.ws, t.server, t.unmount
		t.mu.Unlock()
		t.hub.Close()
		if ws != nil {
			ws.Close()
		}
		for _, f := range unmount {
			f()
		}
		if server != nil {
			err = server.Close()
		}
		t.peers.close()
		t.serving.Wait()
		t.telemetry.Shutdown()
	})
	return err
}

func (t *liveTail) pushLogs(_ context.Context, ld plog.Logs) error {
	b := t.hub.NewBatch()
	b.AddLogs(ld)
	t.hub.Publish(b)
	return nil
}

func (t *liveTail) pushTraces(_ context.Context, td ptrace.Traces) error {
	b := t.hub.NewBatch()
	b.AddSpans(td)
	t.hub.Publish(b)
	return nil
}

func (t *liveTail) pushMetrics(_ context.Context, md pmetric.Metrics) error {
	b := t.hub.NewBatch()
	b.AddMetrics(md)
	t.hub.Publish(b)
	return nil
}
