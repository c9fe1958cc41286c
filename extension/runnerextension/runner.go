// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/extension/runnerextension/internal/metadata"
	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/supervise"
)

var (
	_ extension.Extension                   = (*runner)(nil)
	_ extensioncapabilities.PipelineWatcher = (*runner)(nil)
	_ supervise.Output                      = (*runner)(nil)
	_ identity.TokenResolver                = (*runner)(nil)
)

// runner is the extension. Its children run from Ready to NotReady: only then all receivers listen.
type runner struct {
	id         component.ID
	logger     *zap.Logger
	supervisor *supervise.Supervisor
	tokens     *tokens
	telemetry  *metadata.TelemetryBuilder
	health     health
}

func newRunner(set extension.Settings, cfg *Config) (*runner, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	r := &runner{id: set.ID, logger: set.Logger, tokens: newTokens(), telemetry: telemetry}
	r.supervisor = supervise.New(supervise.Options{
		Servers:      children(cfg, os.Environ(), r.tokens),
		StopSignal:   supervise.SignalNumber(cfg.StopSignal),
		GracePeriod:  cfg.GracePeriod,
		DrainTimeout: cfg.DrainTimeout,
		MaxLineBytes: cfg.MaxLineBytes,
		BufferBytes:  cfg.BufferBytes,
		Backoff: supervise.Backoff{
			Initial: cfg.RestartBackoff.InitialInterval,
			Max:     cfg.RestartBackoff.MaxInterval,
			Reset:   cfg.RestartBackoff.ResetAfter,
		},
		RestartLimit:   supervise.RestartLimit{Count: cfg.RestartLimit.Count, Window: cfg.RestartLimit.Window},
		Ports:          supervise.PortRange{From: cfg.Ports.From, To: cfg.Ports.To},
		ReportInterval: cfg.HealthReportInterval,
		Logger:         set.Logger,
		OnFailure:      r.health.set,
	})
	return r, nil
}

// Start implements component.Component. Nothing runs before Ready.
func (r *runner) Start(_ context.Context, host component.Host) error {
	r.health.host = host
	return observe(r.telemetry, r.supervisor)
}

// Ready starts the children: all receivers listen now.
func (r *runner) Ready() error {
	if !r.supervisor.Attached() {
		r.logger.Warn(fmt.Sprintf("No receiver takes the output of the servers, which is dropped and counted (otelcol_runner_output_dropped). "+
			"To keep it, add the receiver `runner_log` with `runner: %s` to a logs pipeline.", r.id))
	}
	r.supervisor.Start()
	return nil
}

// NotReady stops the children while all receivers still listen, and returns when their last words are
// accepted. It does not wait longer than grace_period and drain_timeout.
func (r *runner) NotReady() error { return r.supervisor.Stop(context.Background()) }

// Shutdown implements component.Component. It stops what NotReady, which is not called when the start of
// another component fails, has not.
func (r *runner) Shutdown(ctx context.Context) error {
	err := r.supervisor.Stop(ctx)
	r.telemetry.Shutdown()
	return err
}

// Attach implements supervise.Output.
func (r *runner) Attach(sink supervise.Sink) (func(), error) { return r.supervisor.Attach(sink) }

// ServerIDs returns the ids of all servers: a runner_log checks its own by them.
func (r *runner) ServerIDs() []string { return r.supervisor.ServerIDs() }

// ResolveToken implements identity.TokenResolver. A token stays valid until the collector ends, because the
// last spans of a server may come after its end.
func (r *runner) ResolveToken(token string) (identity.Identity, bool) { return r.tokens.resolve(token) }

// health turns failures of servers into the status of the component, when they change.
type health struct {
	host component.Host // set before the first server starts

	mu     sync.Mutex
	failed map[*supervise.Source]error
}

func (h *health) set(server *supervise.Source, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	last, had := h.failed[server]
	if err == nil && !had || had && err != nil && err.Error() == last.Error() {
		return
	}
	if h.failed == nil {
		h.failed = map[*supervise.Source]error{}
	}
	if err == nil {
		delete(h.failed, server)
	} else {
		h.failed[server] = err
	}
	if len(h.failed) == 0 {
		componentstatus.ReportStatus(h.host, componentstatus.NewEvent(componentstatus.StatusOK))
		return
	}
	errs := slices.SortedFunc(maps.Values(h.failed), func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	componentstatus.ReportStatus(h.host, componentstatus.NewRecoverableErrorEvent(errors.Join(errs...)))
}
