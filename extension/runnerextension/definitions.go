// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/runnercontrol"
	"github.com/tailrace/tailrace/internal/supervise"
)

// maxRuntime bounds how many servers, and how many builds, can be defined at run time.
const maxRuntime = 1000

// childrenState is what a runner hands to its successor when the configuration is reloaded.
type childrenState struct {
	supervisor *supervise.Supervisor
	tokens     *tokens
	// servers and builds were defined at run time, by the control API.
	servers []ServerConfig
	builds  []BuildConfig
	logger  *zap.Logger
}

// sumEnvFile stands for the content of an environment file when it was defined, so that a reload notices a change. A
// file that can't be read is another one than any that can.
func sumEnvFile(path string) string {
	if path == "" {
		return ""
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "unreadable"
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// withSums returns a copy of the configuration that knows what its environment files hold.
func withSums(cfg *Config) *Config {
	summed := *cfg
	summed.Servers, summed.Builds = slices.Clone(cfg.Servers), slices.Clone(cfg.Builds)
	for i := range summed.Servers {
		summed.Servers[i].envFileSum = sumEnvFile(summed.Servers[i].EnvFile)
	}
	for i := range summed.Builds {
		summed.Builds[i].envFileSum = sumEnvFile(summed.Builds[i].EnvFile)
	}
	return &summed
}

// merged is the configuration with what was defined at run time behind it.
func (r *runner) merged() *Config {
	all := *r.cfg
	all.Servers = slices.Concat(r.cfg.Servers, r.servers)
	all.Builds = slices.Concat(r.cfg.Builds, r.builds)
	return &all
}

// options are what the supervisor runs. Needs r.mu, or that nobody else knows r.
func (r *runner) options() supervise.Options {
	cfg := r.merged()
	options := supervise.Options{
		Servers:      children(cfg, r.environ, r.tokens),
		Builds:       builds(cfg, r.environ, r.tokens),
		MaxBuilds:    cfg.MaxParallelBuilds,
		StopSignal:   supervise.SignalNumber(cfg.StopSignal),
		GracePeriod:  cfg.GracePeriod,
		Owner:        cfg.owner(r.id),
		OrphanGrace:  cfg.Guardian.GracePeriod,
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
		Logger:         r.logger,
		OnFailure:      r.health.set,
	}
	for i := range r.servers {
		options.Servers[len(r.cfg.Servers)+i].Name = fmt.Sprintf("server %s, defined at run time", r.servers[i].ID)
	}
	for i := range r.builds {
		options.Builds[len(r.cfg.Builds)+i].Name = fmt.Sprintf("build %s, defined at run time", r.builds[i].ID)
	}
	return options
}

// adopt takes over what the predecessor left.
func (r *runner) adopt(state *childrenState) {
	r.childrenState, r.adopted = state, true
	state.logger = r.logger
	state.servers = slices.DeleteFunc(state.servers, func(s ServerConfig) bool {
		return r.shadowed("server", s.ID, slices.ContainsFunc(r.cfg.Servers, func(c ServerConfig) bool { return c.ID == s.ID }))
	})
	state.builds = slices.DeleteFunc(state.builds, func(b BuildConfig) bool {
		return r.shadowed("build", b.ID, slices.ContainsFunc(r.cfg.Builds, func(c BuildConfig) bool { return c.ID == b.ID }))
	})
}

func (r *runner) shadowed(kind, id string, shadowed bool) bool {
	if shadowed {
		r.logger.Warn("The configuration defines now what was defined at run time, which is forgotten", zap.String(kind, id))
	}
	return shadowed
}

// apply makes the present definitions true. Needs r.mu.
func (r *runner) apply() {
	r.supervisor.Apply(r.options())
	keep := map[identity.Identity]bool{}
	cfg := r.merged()
	for i := range cfg.Servers {
		s := &cfg.Servers[i]
		keep[identity.Identity{Project: s.Project, Deployment: s.Deployment, Server: s.ID}] = true
	}
	for i := range cfg.Builds {
		b := &cfg.Builds[i]
		keep[identity.Identity{Project: b.Project, Deployment: b.Deployment, Build: b.ID}] = true
	}
	r.tokens.retire(keep, time.Now())
}

// define replaces what is defined at run time if that is valid with all the rest.
func (r *runner) define(servers []ServerConfig, builds []BuildConfig, code, detail string) error {
	errs := validateTogether(slices.Concat(r.cfg.Servers, servers), slices.Concat(r.cfg.Builds, builds))
	if len(errs) > 0 {
		return r.renamed(invalid(code, detail, errs), servers, builds)
	}
	if len(servers) > maxRuntime || len(builds) > maxRuntime {
		return runnercontrol.NewProblem(runnercontrol.CodeTooMany, "at most %d servers and %d builds can be defined at run time; delete some", maxRuntime, maxRuntime)
	}
	r.servers, r.builds = servers, builds
	r.apply()
	return nil
}

// renamed calls what was defined at run time by its id, because its index is nowhere to be seen.
func (r *runner) renamed(problem *runnercontrol.Problem, servers []ServerConfig, builds []BuildConfig) error {
	for i, text := range problem.Errors {
		for j := range servers {
			text = strings.ReplaceAll(text, fmt.Sprintf("servers[%d]", len(r.cfg.Servers)+j), "server "+servers[j].ID)
		}
		for j := range builds {
			text = strings.ReplaceAll(text, fmt.Sprintf("builds[%d]", len(r.cfg.Builds)+j), "build "+builds[j].ID)
		}
		problem.Errors[i] = text
	}
	return problem
}

func invalid(code, detail string, errs []error) *runnercontrol.Problem {
	problem := runnercontrol.NewProblem(code, "%s", detail)
	for _, err := range errs {
		var joined interface{ Unwrap() []error }
		if errors.As(err, &joined) {
			for _, part := range joined.Unwrap() {
				problem.Errors = append(problem.Errors, part.Error())
			}
			continue
		}
		problem.Errors = append(problem.Errors, err.Error())
	}
	return problem
}
