// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/extension/consoleextension/internal/metadata"
	"github.com/tailrace/tailrace/extension/consoleextension/internal/ui"
	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/audit"
	"github.com/tailrace/tailrace/internal/clickhouse"
	"github.com/tailrace/tailrace/internal/pipelinestatus"
	"github.com/tailrace/tailrace/internal/restapi"
	"github.com/tailrace/tailrace/internal/webguard"
)

// console is the extension. Components find it by its component.ID and use Mount, Authority and audit.Source.
type console struct {
	cfg       *Config
	settings  component.TelemetrySettings
	logger    *zap.Logger
	telemetry *metadata.TelemetryBuilder

	guard  webguard.Guard
	proxy  proxies
	gate   *access.Gate // nil without auth, and before Start
	mounts *mounts
	audit  *audit.Queue
	ui     http.Handler
	api    http.Handler
	store  clickhouse.Store // nil without store
	host   component.Host
	ready  atomic.Bool // pipelines are

	reloads reloads
	// Registry is where other components say how they do.
	pipelinestatus.Registry

	mu      sync.Mutex // guards what follows
	server  *http.Server
	addr    net.Addr
	stop    context.CancelFunc
	running sync.WaitGroup
}

var (
	_ extension.Extension                   = (*console)(nil)
	_ extensioncapabilities.Dependent       = (*console)(nil)
	_ extensioncapabilities.PipelineWatcher = (*console)(nil)
	_ audit.Source                          = (*console)(nil)
	_ audit.Recorder                        = (*console)(nil)
	_ pipelinestatus.Reporter               = (*console)(nil)
	_ restapi.PipelineSource                = (*console)(nil)
	_ restapi.FailedSource                  = (*console)(nil)
)

func newConsole(set extension.Settings, cfg *Config) (*console, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	guard, err := cfg.guard()
	if err != nil {
		return nil, err
	}
	trusted, err := cfg.trusted()
	if err != nil {
		return nil, err
	}
	c := &console{cfg: cfg, proxy: trusted, settings: set.TelemetrySettings, logger: set.Logger, telemetry: telemetry, guard: guard, ui: ui.New()}
	c.audit = audit.NewQueue(audit.DefaultWindow, c.auditLost)
	c.mounts = newMounts(c.routes())
	return c, nil
}

// Dependencies implements extensioncapabilities.Dependent: what is asked starts before and stops after.
func (c *console) Dependencies() []component.ID {
	var ids []component.ID
	if c.cfg.Store != nil {
		ids = append(ids, *c.cfg.Store)
	}
	if auth := c.cfg.Auth.Get(); auth != nil {
		ids = append(ids, auth.Authenticators...)
	}
	return ids
}

// Start opens the port. Whatever cannot work is an error here, at once; ClickHouse may come later.
func (c *console) Start(ctx context.Context, host component.Host) error {
	c.host = host
	if err := c.findStore(host); err != nil {
		return err
	}
	run, stop := context.WithCancel(context.Background())
	c.mu.Lock()
	c.stop = stop
	c.mu.Unlock()
	if c.cfg.Auth.HasValue() {
		authenticators, err := c.authenticators(host)
		if err != nil {
			return err
		}
		auth := c.cfg.Auth.Get()
		c.gate = access.NewGate(access.GateOptions{
			Authenticators: authenticators, CredentialHeaders: auth.CredentialHeaders,
			CookieName: c.cfg.cookieName(), SessionLifetime: auth.Session.Lifetime, MaxSessions: auth.Session.Max,
		})
		if path := auth.Session.File; path != "" {
			if err := c.gate.KeepSessions(path, c.sessionsNotKept); err != nil {
				c.logger.Warn("The sessions of before are not used, so everybody has to log in again", zap.String("auth::session::file", path), zap.Error(err))
			}
		}
		if err := c.watchAuth(run); err != nil {
			return err
		}
	}
	var err error
	if c.api, err = c.newAPI(); err != nil {
		return err
	}
	if err := c.observe(); err != nil {
		return err
	}
	return c.serve(ctx, host)
}

func (c *console) sessionsNotKept(err error) {
	c.logger.Warn("Sessions can't be written, so that a restart would end those since", zap.String("auth::session::file", c.cfg.Auth.Get().Session.File), zap.Error(err))
}

func (c *console) findStore(host component.Host) error {
	if c.cfg.Store == nil {
		return nil
	}
	extension, ok := host.GetExtensions()[*c.cfg.Store]
	if !ok {
		return fmt.Errorf("store: there is no extension %q: define it under extensions and list it in service::extensions", c.cfg.Store)
	}
	if c.store, ok = extension.(clickhouse.Store); !ok {
		return fmt.Errorf("store: the extension %q is no ClickHouse: name an extension of the type clickhouse_store", c.cfg.Store)
	}
	return nil
}

// Ready implements extensioncapabilities.PipelineWatcher.
func (c *console) Ready() error {
	c.ready.Store(true)
	if c.gate != nil && !c.audit.Attached() {
		c.logger.Warn("No console_audit receiver takes the audit into a pipeline: logins, refusals and exports are only in this log")
		c.logAudit()
	}
	return nil
}

// NotReady implements extensioncapabilities.PipelineWatcher.
func (c *console) NotReady() error {
	c.ready.Store(false)
	return nil
}

// Shutdown closes the port, lets requests that run end until ctx does, and then cuts them off. Mounted streams have been ended by who
// mounted them, since pipelines stop before extensions.
func (c *console) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	server, stop := c.server, c.stop
	c.server, c.stop = nil, nil
	c.mu.Unlock()
	var err error
	if server != nil {
		soon, cancel := context.WithTimeout(ctx, 5*time.Second)
		if err = server.Shutdown(soon); errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
		cancel()
	}
	if stop != nil {
		stop()
	}
	c.running.Wait()
	c.logAudit()
	c.telemetry.Shutdown()
	return err
}

// Mount serves h under a pattern of http.ServeMux, until unmount is called; requests that run then go on. Host and Origin are checked before, and
// the caller is in the context if a valid credential came; without one the handler is called all the same, and decides itself.
func (c *console) Mount(pattern string, h http.Handler) (unmount func(), err error) {
	return c.mounts.mount(pattern, c.mounted(h))
}

// Authority decides who a credential stands for.
func (c *console) Authority() access.Authority {
	if c.gate == nil {
		return access.Open()
	}
	return c.gate
}
