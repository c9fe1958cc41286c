// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"go.opentelemetry.io/collector/confmap"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/runnercontrol"
	"github.com/tailrace/tailrace/internal/supervise"
)

var _ runnercontrol.Runner = (*runner)(nil)

// control is the server of the control API.
type control struct {
	server *http.Server
	cancel context.CancelFunc // of all requests
	ended  chan struct{}
}

// lastRequests bounds the wait for requests that are being answered.
const lastRequests = 5 * time.Second

func (c *control) serve(runner runnercontrol.Runner, listener net.Listener, logger *zap.Logger) {
	c.server, c.ended = runnercontrol.NewServer(runner), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.server.BaseContext = func(net.Listener) context.Context { return ctx }
	go func() {
		defer close(c.ended)
		if err := c.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("The control API has ended", zap.Error(err))
		}
	}()
}

// close lets nobody in any more, and ends the requests that wait.
func (c *control) close() {
	if c.server == nil {
		return
	}
	c.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), lastRequests)
	defer cancel()
	if c.server.Shutdown(ctx) != nil {
		_ = c.server.Close() // its listener is gone either way
	}
	<-c.ended
	c.server = nil
}

// Servers implements runnercontrol.Runner.
func (r *runner) Servers() []runnercontrol.Server {
	var all []runnercontrol.Server
	for _, stats := range r.supervisor.Servers() {
		all = append(all, r.serverState(stats))
	}
	return all
}

// Builds implements runnercontrol.Runner.
func (r *runner) Builds() []runnercontrol.Build {
	var all []runnercontrol.Build
	for _, stats := range r.supervisor.Builds() {
		all = append(all, r.buildState(stats))
	}
	return all
}

func (r *runner) serverState(stats supervise.ServerStats) runnercontrol.Server {
	state := runnercontrol.Server{
		ID: stats.Source.Server, Project: stats.Source.Project, Deployment: stats.Source.Deployment,
		State: stats.State, Since: timeOf(stats.Since), Reason: stats.Reason, Health: stats.Health, Settled: stats.Settled,
		PID: stats.PID, Port: stats.Port, Restarts: stats.Restarts, Exit: exitOf(stats.Exit), Uptime: stats.Uptime.Seconds(),
		Origin: runnercontrol.OriginRuntime,
	}
	if slices.ContainsFunc(r.cfg.Servers, func(s ServerConfig) bool { return s.ID == state.ID }) {
		state.Origin = runnercontrol.OriginConfiguration
	}
	if u := stats.Usage; u != nil {
		state.Usage = &runnercontrol.Usage{
			CPU: u.CPU.Seconds(), Memory: u.RSS, Processes: u.Processes, Threads: u.Threads, OpenFiles: max(0, u.OpenFiles),
		}
	}
	return state
}

func (r *runner) buildState(stats supervise.BuildStats) runnercontrol.Build {
	state := runnercontrol.Build{
		ID: stats.Source.Build, Project: stats.Source.Project, Deployment: stats.Source.Deployment,
		Phase: stats.Phase, Since: timeOf(stats.Since), Reason: stats.Reason, Settled: stats.Settled, Queue: stats.Queue,
		PID: stats.PID, Runs: stats.Runs, Exit: exitOf(stats.Exit), Duration: stats.Duration.Seconds(),
		Origin: runnercontrol.OriginRuntime,
	}
	if state.Phase == "" {
		state.Phase = supervise.StateDefined
	}
	if slices.ContainsFunc(r.cfg.Builds, func(b BuildConfig) bool { return b.ID == state.ID }) {
		state.Origin = runnercontrol.OriginConfiguration
	}
	return state
}

func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	utc := t.UTC()
	return &utc
}

func exitOf(exit *supervise.Exit) *runnercontrol.Exit {
	if exit == nil {
		return nil
	}
	return &runnercontrol.Exit{Code: exit.Code, Signal: exit.Signal}
}

// ControlServer implements runnercontrol.Runner.
func (r *runner) ControlServer(id, action string) error {
	do := map[string]func(string) error{
		runnercontrol.ActionStart: r.supervisor.StartServer, runnercontrol.ActionStop: r.supervisor.StopServer,
		runnercontrol.ActionRestart: r.supervisor.RestartServer,
	}[action]
	return r.operate(func() error { return problemOf(do(id)) })
}

// ControlBuild implements runnercontrol.Runner.
func (r *runner) ControlBuild(id, action string) error {
	do := map[string]func(string) error{
		runnercontrol.ActionStart: r.supervisor.StartBuild, runnercontrol.ActionCancel: r.supervisor.CancelBuild,
	}[action]
	return r.operate(func() error { return problemOf(do(id)) })
}

// WaitServer implements runnercontrol.Runner.
func (r *runner) WaitServer(ctx context.Context, id string) (runnercontrol.Server, error) {
	stats, err := r.supervisor.WaitServer(ctx, id)
	if stats.Source == nil {
		return runnercontrol.Server{}, problemOf(err)
	}
	return r.serverState(stats), err
}

// WaitBuild implements runnercontrol.Runner.
func (r *runner) WaitBuild(ctx context.Context, id string) (runnercontrol.Build, error) {
	stats, err := r.supervisor.WaitBuild(ctx, id)
	if stats.Source == nil {
		return runnercontrol.Build{}, problemOf(err)
	}
	return r.buildState(stats), err
}

func problemOf(err error) error {
	for known, code := range map[error]string{
		supervise.ErrUnknown: runnercontrol.CodeUnknown, supervise.ErrBusy: runnercontrol.CodeBusy,
		supervise.ErrIdle: runnercontrol.CodeIdle, supervise.ErrStopping: runnercontrol.CodeNotReady,
	} {
		if errors.Is(err, known) {
			return runnercontrol.NewProblem(code, "%v", err)
		}
	}
	return err
}

// operate does something that is possible only between Ready and NotReady: what is changed later would be lost.
func (r *runner) operate(do func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ready {
		return runnercontrol.NewProblem(runnercontrol.CodeNotReady, "the collector is starting, reloading or stopping; try again")
	}
	return do()
}

// PutServer implements runnercontrol.Runner.
func (r *runner) PutServer(id string, definition []byte) (created bool, err error) {
	server, err := parseServer(id, definition)
	if err != nil {
		return false, err
	}
	err = r.operate(func() error {
		if slices.ContainsFunc(r.cfg.Servers, func(s ServerConfig) bool { return s.ID == id }) {
			return configured("server", id)
		}
		servers := slices.Clone(r.servers)
		at := slices.IndexFunc(servers, func(s ServerConfig) bool { return s.ID == id })
		if created = at < 0; created {
			servers = append(servers, *server)
		} else {
			servers[at] = *server
		}
		return r.define(servers, r.builds, runnercontrol.CodeInvalid, invalidServer)
	})
	return created, err
}

// PutBuild implements runnercontrol.Runner.
func (r *runner) PutBuild(id string, definition []byte) (created bool, err error) {
	build, err := parseBuild(id, definition)
	if err != nil {
		return false, err
	}
	err = r.operate(func() error {
		if slices.ContainsFunc(r.cfg.Builds, func(b BuildConfig) bool { return b.ID == id }) {
			return configured("build", id)
		}
		all := slices.Clone(r.builds)
		at := slices.IndexFunc(all, func(b BuildConfig) bool { return b.ID == id })
		if created = at < 0; created {
			all = append(all, *build)
		} else {
			all[at] = *build
		}
		return r.define(r.servers, all, runnercontrol.CodeInvalid, invalidBuild)
	})
	return created, err
}

// DeleteServer implements runnercontrol.Runner.
func (r *runner) DeleteServer(id string) error {
	return r.operate(func() error {
		if slices.ContainsFunc(r.cfg.Servers, func(s ServerConfig) bool { return s.ID == id }) {
			return configured("server", id)
		}
		left := slices.DeleteFunc(slices.Clone(r.servers), func(s ServerConfig) bool { return s.ID == id })
		if len(left) == len(r.servers) {
			return runnercontrol.NewProblem(runnercontrol.CodeUnknown, "server %q is not defined", id)
		}
		return r.define(left, r.builds, runnercontrol.CodeInUse, fmt.Sprintf("server %q is named by other definitions", id))
	})
}

// DeleteBuild implements runnercontrol.Runner.
func (r *runner) DeleteBuild(id string) error {
	return r.operate(func() error {
		if slices.ContainsFunc(r.cfg.Builds, func(b BuildConfig) bool { return b.ID == id }) {
			return configured("build", id)
		}
		left := slices.DeleteFunc(slices.Clone(r.builds), func(b BuildConfig) bool { return b.ID == id })
		if len(left) == len(r.builds) {
			return runnercontrol.NewProblem(runnercontrol.CodeUnknown, "build %q is not defined", id)
		}
		return r.define(r.servers, left, runnercontrol.CodeInUse, fmt.Sprintf("build %q is named by other definitions", id))
	})
}

func configured(kind, id string) error {
	return runnercontrol.NewProblem(runnercontrol.CodeConfigured,
		"%s %q is defined in the configuration of the collector: change it there, and reload with SIGHUP", kind, id)
}

const (
	invalidServer = "the definition of the server is not valid"
	invalidBuild  = "the definition of the build is not valid"
)

// parseServer reads a definition in JSON, with the keys of servers[] in the YAML.
func parseServer(id string, definition []byte) (*ServerConfig, error) {
	server := &ServerConfig{}
	if err := decode(definition, server, invalidServer); err != nil {
		return nil, err
	}
	errs := checkID(id, &server.ID)
	errs = append(errs, server.validate("server")...)
	if len(errs) > 0 {
		return nil, invalid(runnercontrol.CodeInvalid, invalidServer, errs)
	}
	server.envFileSum = sumEnvFile(server.EnvFile)
	return server, nil
}

// parseBuild reads a definition in JSON, with the keys of builds[] in the YAML.
func parseBuild(id string, definition []byte) (*BuildConfig, error) {
	build := &BuildConfig{}
	if err := decode(definition, build, invalidBuild); err != nil {
		return nil, err
	}
	errs := checkID(id, &build.ID)
	errs = append(errs, build.validate("build")...)
	if len(errs) > 0 {
		return nil, invalid(runnercontrol.CodeInvalid, invalidBuild, errs)
	}
	build.envFileSum = sumEnvFile(build.EnvFile)
	return build, nil
}

// checkID gives a definition the id of its path; it may repeat it, but not contradict.
func checkID(id string, own *string) []error {
	if id == "." || id == ".." {
		return []error{fmt.Errorf("id: %q can't be part of a path", id)}
	}
	if *own != "" && *own != id {
		return []error{fmt.Errorf("id: is %q in the path and %q in the definition", id, *own)}
	}
	*own = id
	return nil
}

// decode reads JSON as the collector reads YAML: with the same keys, durations as text, and no key that is not known.
func decode(definition []byte, into any, detail string) error {
	keys := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(definition))
	if err := decoder.Decode(&keys); err != nil || keys == nil {
		return runnercontrol.NewProblem(runnercontrol.CodeRequest, "the definition must be a JSON object: %v", err)
	}
	if decoder.More() {
		return runnercontrol.NewProblem(runnercontrol.CodeRequest, "the definition must be one JSON object, and nothing behind it")
	}
	if err := confmap.NewFromStringMap(keys).Unmarshal(into); err != nil {
		return invalid(runnercontrol.CodeInvalid, detail, []error{err})
	}
	return nil
}
