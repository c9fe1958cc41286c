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
	"github.com/tailrace/tailrace/internal/runnercontrol"
	"github.com/tailrace/tailrace/internal/supervise"
)

var (
	_ extension.Extension                   = (*runner)(nil)
	_ extensioncapabilities.PipelineWatcher = (*runner)(nil)
	_ supervise.Output                      = (*runner)(nil)
	_ supervise.Reporter                    = (*runner)(nil)
	_ identity.TokenResolver                = (*runner)(nil)
	_ identity.TokenRegistry                = (*runner)(nil)
)

// runner is the extension. Its children run from Ready to NotReady: only then all receivers listen. When the collector
// reloads its configuration they outlive it, and belong to the next runner with the same ID (handover.go).
type runner struct {
	id        component.ID
	cfg       *Config // never changed
	environ   []string
	logger    *zap.Logger
	telemetry *metadata.TelemetryBuilder
	health    health
	control   control
	phase     func() phase // of the collector

	*childrenState      // set anew by Start at most
	adopted        bool // by Start, from a predecessor

	mu      sync.Mutex
	ready   bool // between Ready and NotReady
	parting bool // the children outlive this runner
	parted  bool // they belong to another one
}

func newRunner(set extension.Settings, cfg *Config) (*runner, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	r := &runner{
		id: set.ID, cfg: withSums(cfg), environ: os.Environ(), logger: set.Logger, telemetry: telemetry, phase: collectorPhase,
		childrenState: &childrenState{tokens: newTokens(), logger: set.Logger},
	}
	r.supervisor = supervise.New(r.options())
	return r, nil
}

// Start implements component.Component. Nothing is started before Ready; what runs since before a reload belongs to this
// runner from now on.
func (r *runner) Start(_ context.Context, host component.Host) error {
	r.health.host = host
	if r.cfg.HideCollector {
		if err := hideCollector(); err != nil {
			return fmt.Errorf("hide_collector: %w", err)
		}
	}
	if r.phase() == phaseRenewing {
		if state := handovers.take(r.id); state != nil {
			r.adopt(state)
		}
	}
	if r.cfg.Control.Socket != "" {
		listener, err := runnercontrol.Listen(r.cfg.Control.Socket)
		if err != nil {
			return fmt.Errorf("control::socket: %w", err)
		}
		r.control.serve(r, listener, r.logger)
	}
	return observe(r.telemetry, r.supervisor)
}

// Ready starts the children: all receivers listen now. Of those that run since before a reload, it ends those that are no longer
// defined, and starts again those that are defined differently.
func (r *runner) Ready() error {
	if !r.supervisor.Attached() {
		r.logger.Warn(fmt.Sprintf("No receiver takes the output of the servers, which is dropped and counted (otelcol_runner_output_dropped). "+
			"To keep it, add the receiver `runner_log` with `runner: %s` to a logs pipeline.", r.id))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready = true
	if r.adopted {
		r.apply()
	} else {
		r.supervisor.Start()
	}
	return nil
}

// NotReady stops the children while all receivers still listen, and returns when their last words are
// accepted. It does not wait longer than grace_period and drain_timeout. Before a reload it only sees to it that their output waits for
// the receivers to come.
func (r *runner) NotReady() error {
	r.mu.Lock()
	r.parting = r.ready && r.phase() == phaseRetiring
	r.ready = false
	parting := r.parting
	r.mu.Unlock()
	if parting {
		r.supervisor.Suspend()
		return nil
	}
	return r.supervisor.Stop(context.Background())
}

// Shutdown implements component.Component. It stops what NotReady, which is not called when the start of
// another component fails, has not; before a reload it leaves the children to the next runner.
func (r *runner) Shutdown(ctx context.Context) error {
	r.control.close()
	r.telemetry.Shutdown()
	r.mu.Lock()
	parting, parted := r.parting, r.parted
	r.parted = parting || parted
	r.mu.Unlock()
	switch {
	case parted:
		return nil
	case parting:
		handovers.park(r.id, r.childrenState)
		return nil
	}
	return r.supervisor.Stop(ctx)
}

// Attach implements supervise.Output.
func (r *runner) Attach(sink supervise.Sink) (func(), error) { return r.supervisor.Attach(sink) }

// ServerStats implements supervise.Reporter.
func (r *runner) ServerStats() []supervise.ServerStats { return r.supervisor.Servers() }

// ServerIDs returns the ids of all servers: a runner_log checks its own by them.
func (r *runner) ServerIDs() []string { return r.supervisor.ServerIDs() }

// ResolveToken implements identity.TokenResolver. A token stays valid for some time after its definition was removed, because
// the last spans of a server may come after its end.
func (r *runner) ResolveToken(token string) (identity.Identity, bool) { return r.tokens.resolve(token) }

// RegisterToken implements identity.TokenRegistry, for processes that `tailctl run` runs.
func (r *runner) RegisterToken(token string, id identity.Identity) bool {
	return r.tokens.register(token, id)
}

// ForgetToken implements identity.TokenRegistry.
func (r *runner) ForgetToken(token string) { r.tokens.forget(token) }

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
