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
	"github.com/tailrace/tailrace/internal/livetail/tailws"
)

// liveTail is the exporter behind all signals of one component id.
type liveTail struct {
	cfg       *Config
	settings  component.TelemetrySettings
	telemetry *metadata.TelemetryBuilder
	hub       *livetail.Hub

	mu        sync.Mutex // guards what follows
	ws        *tailws.Server
	server    *http.Server
	addr      net.Addr
	serving   sync.WaitGroup
	shutdowns sync.Once
}

func newLiveTail(set exporter.Settings, cfg *Config) (*liveTail, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	t := &liveTail{
		cfg: cfg, settings: set.TelemetrySettings, telemetry: telemetry,
		hub: livetail.New(livetail.Options{
			RingRecords: cfg.Ring.Records, RingBytes: cfg.Ring.Bytes, TotalBytes: cfg.Ring.TotalBytes,
			MaxSources: cfg.Ring.MaxSources, MaxRecord: cfg.Ring.MaxRecordBytes, RecentRecords: cfg.RecentRecords,
			ClientBytes: cfg.ClientBufferBytes, MaxChannels: cfg.MaxSubscriptions, Format: classic.Format{},
		}),
	}
	if err := t.registerMetrics(); err != nil {
		t.hub.Close()
		telemetry.Shutdown()
		return nil, err
	}
	return t, nil
}

// Start opens the port. Whatever cannot work is an error here, at once.
func (t *liveTail) Start(ctx context.Context, host component.Host) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	opts, err := t.serverOptions(ctx, host)
	if err != nil {
		return err
	}
	listener, err := t.listen(ctx)
	if err != nil {
		return err
	}
	t.ws = tailws.NewServer(opts)
	mux := http.NewServeMux()
	mux.Handle(t.cfg.Path, t.ws)
	httpConfig := t.cfg.HTTP
	httpConfig.Auth = configoptional.None[confighttp.AuthConfig]() // asked by tailws, so that browsers see close code 4001
	t.server, err = httpConfig.ToServer(ctx, host.GetExtensions(), t.settings, mux)
	if err != nil {
		return errors.Join(fmt.Errorf("http: %w", err), listener.Close())
	}
	t.addr = listener.Addr()
	t.hub.Start()
	server := t.server
	t.serving.Go(func() {
		if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			componentstatus.ReportStatus(host, componentstatus.NewRecoverableErrorEvent(fmt.Errorf("live tail server: %w", err)))
		}
	})
	t.settings.Logger.Info("Live tail is listening", zap.String("endpoint", t.addr.String()), zap.String("path", t.cfg.Path))
	return nil
}

func (t *liveTail) serverOptions(ctx context.Context, host component.Host) (tailws.Options, error) {
	origins, _ := normalize(t.cfg.AllowedOrigins, "allowed_origins", tailws.NormalizeOrigin) // Validate has reported errors
	hosts, _ := normalize(t.cfg.AllowedHosts, "allowed_hosts", tailws.NormalizeHost)
	opts := tailws.Options{
		Hub: t.hub, AllowedOrigins: origins, AllowedHosts: hosts,
		MaxClients: t.cfg.MaxClients, MaxMessageBytes: t.cfg.MaxMessageBytes,
		PingInterval: t.cfg.PingInterval, WriteTimeout: t.cfg.WriteTimeout, QueryToken: t.cfg.Classic.QueryToken,
	}
	if t.cfg.HTTP.Auth.HasValue() {
		auth := t.cfg.HTTP.Auth.Get().Config
		authenticator, err := auth.GetServerAuthenticator(ctx, host.GetExtensions())
		if err != nil {
			return opts, fmt.Errorf("http.auth: %w", err)
		}
		opts.Authenticate = authenticator.Authenticate
	}
	return opts, nil
}

func (t *liveTail) listen(ctx context.Context) (net.Listener, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	listener, err := t.cfg.HTTP.ToListener(ctx)
	switch {
	case err == nil:
		return listener, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("http.endpoint: %s is in use by another program; stop that one, or set http.endpoint of "+
			"the live_tail exporter to a free address: %w", t.cfg.HTTP.NetAddr.Endpoint, err)
	default:
		return nil, fmt.Errorf("http.endpoint: cannot listen on %s; set http.endpoint of the live_tail exporter to an "+
			"address of this machine such as localhost:4400: %w", t.cfg.HTTP.NetAddr.Endpoint, err)
	}
}

// Handler is the WebSocket endpoint, for a server that mounts it beside its own; nil before Start.
func (t *liveTail) Handler() http.Handler {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ws == nil {
		return nil
	}
	return t.ws
}

// Shutdown hands on what the hub has, says good-bye to the clients and closes the port.
func (t *liveTail) Shutdown(context.Context) error {
	var err error
	t.shutdowns.Do(func() {
		t.mu.Lock()
		ws, server := t.ws, t.server
		t.mu.Unlock()
		t.hub.Close()
		if ws != nil {
			ws.Close()
		}
		if server != nil {
			err = server.Close()
		}
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
