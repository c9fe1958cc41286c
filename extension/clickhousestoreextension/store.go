// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhousestoreextension

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/extension/clickhousestoreextension/internal/metadata"
	"github.com/tailrace/tailrace/internal/clickhouse"
)

// store runs a clickhouse.Keeper and tells the collector how it fares.
type store struct {
	cfg       *Config
	logger    *zap.Logger
	telemetry *metadata.TelemetryBuilder
	version   string
	keeper    *clickhouse.Keeper
	timing    clickhouse.Timing // zero but in tests

	conf atomic.Pointer[confmap.Conf] // the collector's

	cancel context.CancelFunc
	done   sync.WaitGroup
	host   component.Host

	gone []string // hosts of the cluster that do not answer; used by the keeper's goroutine
}

var (
	_ extension.Extension                         = (*store)(nil)
	_ extensioncapabilities.Dependent             = (*store)(nil)
	_ extensioncapabilities.ConfigSnapshotWatcher = (*store)(nil)
	_ clickhouse.Store                            = (*store)(nil)
)

var errNotStarted = errors.New("clickhouse_store has not been started")

func newStore(set extension.Settings, cfg *Config) (*store, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	return &store{cfg: cfg, logger: set.Logger, telemetry: telemetry, version: set.BuildInfo.Version}, nil
}

// Dependencies implements extensioncapabilities.Dependent.
func (s *store) Dependencies() []component.ID {
	if s.cfg.Server == nil {
		return nil
	}
	return []component.ID{*s.cfg.Server}
}

// Start opens nothing and waits for nothing: the work happens in the background. It fails on what can never work, such
// as a certificate that can't be read.
func (s *store) Start(_ context.Context, host component.Host) error {
	server := s.cfg.server()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.host = cancel, host
	if s.cfg.TLS.HasValue() {
		tls, err := s.cfg.TLS.Get().LoadTLSConfig(ctx)
		if err != nil {
			return fmt.Errorf("tls: %w", err)
		}
		server.TLS = tls
	}
	migrations, err := clickhouse.Migrations()
	if err != nil {
		return err
	}
	s.keeper, err = clickhouse.NewKeeper(server, s.timing, clickhouse.Migrator{
		Version:    s.version,
		Migrations: migrations,
		Policy:     s.cfg.policy(),
		Cluster:    s.cfg.cluster(),
		DryRun:     s.cfg.DryRun,
		Said: func(statement string) {
			s.logger.Info("dry_run: would run", zap.String("statement", statement))
		},
		Absent: s.absent,
		Adjusted: func(statement string) {
			s.logger.Info("Retention or prices changed in ClickHouse", zap.String("statement", statement))
		},
		Applied: func(m clickhouse.Migration) {
			s.telemetry.ClickhouseStoreMigrationsApplied.Add(ctx, 1)
			s.logger.Info("Migration applied", zap.Stringer("migration", m), zap.String("database", s.cfg.Database))
		},
		Recreated: func(tables []string) {
			s.telemetry.ClickhouseStoreTablesRecreated.Add(ctx, int64(len(tables)))
			s.logger.Warn("Tables had been lost and were created again, empty", zap.Strings("tables", tables), zap.String("database", s.cfg.Database))
		},
	}, func(err error) { s.changed(ctx, err) })
	if err != nil {
		return err
	}
	s.telemetry.ClickhouseStoreReady.Record(ctx, 0)
	s.done.Go(func() { s.keeper.Run(ctx) })
	return nil
}

// absent tells when other hosts of the cluster than before do not answer. It is no failure: the others go on.
func (s *store) absent(hosts []string) {
	if slices.Equal(hosts, s.gone) {
		return
	}
	s.gone = hosts
	if len(hosts) == 0 {
		s.logger.Info("All hosts of the cluster answer again")
		return
	}
	s.logger.Warn("Hosts of the cluster do not answer; migrations, retention and prices wait for them", zap.Strings("hosts", hosts))
}

// changed reports a change of state: the keeper calls it on changes only.
func (s *store) changed(ctx context.Context, err error) {
	if err != nil {
		s.telemetry.ClickhouseStoreReady.Record(ctx, 0)
		s.telemetry.ClickhouseStoreFailures.Add(ctx, 1)
		s.logger.Warn("ClickHouse is not ready", zap.Error(err))
		componentstatus.ReportStatus(s.host, componentstatus.NewRecoverableErrorEvent(err))
		return
	}
	s.telemetry.ClickhouseStoreReady.Record(ctx, 1)
	s.logger.Info("ClickHouse is ready", zap.String("endpoint", s.cfg.Endpoint), zap.String("database", s.cfg.Database))
	componentstatus.ReportStatus(s.host, componentstatus.NewEvent(componentstatus.StatusOK))
}

// Shutdown ends a migration that is running between two statements, or with the statement's context.
func (s *store) Shutdown(context.Context) error {
	if s.cancel != nil {
		s.cancel()
	}
	s.done.Wait()
	s.telemetry.Shutdown()
	if s.keeper == nil {
		return nil
	}
	return s.keeper.Close()
}

// NotifyConfigSnapshot implements extensioncapabilities.ConfigSnapshotWatcher. The collector calls it before it starts
// the pipelines.
func (s *store) NotifyConfigSnapshot(_ context.Context, snapshot extensioncapabilities.ConfigSnapshot) error {
	s.conf.Store(snapshot.Effective())
	return nil
}

// CollectorConfig is the collector's effective configuration, for components whose guarantee depends on the
// pipelines around them; nil before the collector told it. It must not be changed.
func (s *store) CollectorConfig() map[string]any {
	conf := s.conf.Load()
	if conf == nil {
		return nil
	}
	return conf.ToStringMap()
}

// WaitReady implements clickhouse.Store. Before Start there is nothing to wait for.
func (s *store) WaitReady(ctx context.Context) error {
	if s.keeper == nil {
		return errNotStarted
	}
	return s.keeper.WaitReady(ctx)
}

// Conn implements clickhouse.Store; nil before Start.
func (s *store) Conn() driver.Conn {
	if s.keeper == nil {
		return nil
	}
	return s.keeper.Conn()
}

// Database implements clickhouse.Store.
func (s *store) Database() string { return s.cfg.Database }
