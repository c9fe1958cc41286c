// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserverextension

import (
	"context"
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/tailrace/tailrace/extension/clickhouseserverextension/internal/metadata"
	"github.com/tailrace/tailrace/internal/clickhouseserver"
	"github.com/tailrace/tailrace/internal/clickhouseserver/guard"
)

type clickhouseServer struct {
	server    *clickhouseserver.Server
	telemetry *metadata.TelemetryBuilder

	mu     sync.Mutex
	host   component.Host // guarded by mu
	failed bool           // guarded by mu; the last status reported was an error
	closed bool           // guarded by mu; Shutdown has begun
}

func newExtension(set extension.Settings, cfg *Config) (*clickhouseServer, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	e := &clickhouseServer{telemetry: telemetry}
	e.server = clickhouseserver.New(clickhouseserver.Config{
		Path: cfg.Path, TCPPort: cfg.TCPPort, HTTPPort: cfg.HTTPPort,
		Database: cfg.Database, Username: cfg.Username, Password: string(cfg.Password),
		Binary: cfg.Binary, Library: cfg.Library,
		MaxServerMemoryUsage: uint64(cfg.MaxServerMemoryUsage), ShutdownTimeout: cfg.ShutdownTimeout,
	}, clickhouseserver.Options{
		Logger:    set.Logger,
		OnState:   e.onState,
		OnRestart: func() { telemetry.ClickhouseServerRestarts.Add(context.Background(), 1) },
		OnConnection: func(delta int64) {
			telemetry.ClickhouseServerNativeConnections.Add(context.Background(), delta)
		},
		OnRefused: func(reason guard.Reason) {
			telemetry.ClickhouseServerNativeRefused.Add(context.Background(), 1, metric.WithAttributes(attribute.String("reason", string(reason))))
		},
	})
	return e, nil
}

// Start fails on what could never work, and does not wait for ClickHouse.
func (e *clickhouseServer) Start(_ context.Context, host component.Host) error {
	e.mu.Lock()
	e.host = host
	e.mu.Unlock()
	e.telemetry.ClickhouseServerUp.Record(context.Background(), 0)
	if err := e.server.Start(); err != nil {
		return fmt.Errorf("clickhouse_server: %w", err)
	}
	return nil
}

// Shutdown ends ClickHouse, gracefully as long as ctx and shutdown_timeout allow.
func (e *clickhouseServer) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.server.Stop(ctx)
	e.telemetry.Shutdown()
	return nil
}

// Endpoint is host:port of the native protocol.
func (e *clickhouseServer) Endpoint() string { return e.server.Addr() }

// Ready is true while ClickHouse answers.
func (e *clickhouseServer) Ready() bool { return e.server.State() == clickhouseserver.Ready }

// onState turns a state into a component status. The collector itself reports "starting" and "ok" around
// Start; from there on only trouble and its end are news.
func (e *clickhouseServer) onState(state clickhouseserver.State, err error) {
	up := int64(0)
	if state == clickhouseserver.Ready {
		up = 1
	}
	e.telemetry.ClickhouseServerUp.Record(context.Background(), up)

	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	switch {
	case state == clickhouseserver.Failed:
		e.failed = true
		componentstatus.ReportStatus(e.host, componentstatus.NewRecoverableErrorEvent(err))
	case state == clickhouseserver.Ready && e.failed:
		e.failed = false
		componentstatus.ReportStatus(e.host, componentstatus.NewEvent(componentstatus.StatusOK))
	}
}
