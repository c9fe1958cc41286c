// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/supervise"
)

// children turns the configured servers into what the supervisor runs. Each gets a token.
func children(cfg *Config, environ []string, tokens *tokens) []supervise.Server {
	servers := make([]supervise.Server, 0, len(cfg.Servers))
	for i := range cfg.Servers {
		s := &cfg.Servers[i]
		own := s.env()
		rights, _ := s.rights() // validated
		if rights.Memory != 0 {
			rights.Cgroup = cfg.Guardian.Cgroup
		}
		service := cmp.Or(own["OTEL_SERVICE_NAME"], s.Deployment, s.ID)
		token := tokens.issue(identity.Identity{Project: s.Project, Deployment: s.Deployment, Server: s.ID})
		servers = append(servers, supervise.Server{
			Source: &supervise.Source{
				Project: s.Project, Deployment: s.Deployment, Server: s.ID,
				Service: service, Executable: filepath.Base(s.Command[0]), Labels: s.labels(),
			},
			Name:    fmt.Sprintf("servers[%d] (%s)", i, s.ID),
			Command: s.Command,
			Dir:     s.Dir,
			Env:     supervise.Environ(environ, s.inherited(cfg), injectedServer(cfg, s, service, token), own),
			EnvFile: s.EnvFile, EnvFixed: slices.Collect(maps.Keys(own)), EnvFileSum: s.envFileSum,
			Rights: rights, AssignPort: s.AssignPort,
			DependsOn:  s.dependencies(),
			StopSignal: supervise.SignalNumber(s.StopSignal), GracePeriod: s.GracePeriod,
			Restart:    cmp.Or(s.Restart, supervise.RestartOnFailure),
			Health:     s.Health.check(s.port()),
			DropOldest: cmp.Or(s.OnOverflow, cfg.OnOverflow) == overflowDropOldest,
		})
	}
	return servers
}

// builds turns the configured builds into what the supervisor runs. Each gets a token.
func builds(cfg *Config, environ []string, tokens *tokens) []supervise.Build {
	all := make([]supervise.Build, 0, len(cfg.Builds))
	for i := range cfg.Builds {
		b := &cfg.Builds[i]
		s := b.process()
		own := s.env()
		rights, _ := s.rights() // validated
		if rights.Memory != 0 {
			rights.Cgroup = cfg.Guardian.Cgroup
		}
		service := cmp.Or(own["OTEL_SERVICE_NAME"], b.Deployment, b.ID)
		token := tokens.issue(identity.Identity{Project: b.Project, Deployment: b.Deployment, Build: b.ID})
		env := injected(cfg, s, service, token, identity.AttrBuild, b.ID)
		env["TAILRACE_BUILD_ID"] = b.ID
		all = append(all, supervise.Build{
			Source: &supervise.Source{
				Project: b.Project, Deployment: b.Deployment, Build: b.ID,
				Service: service, Executable: filepath.Base(b.Command[0]), Labels: s.labels(),
			},
			Name:    fmt.Sprintf("builds[%d] (%s)", i, b.ID),
			Command: b.Command, Deploy: b.Deploy, Deploys: b.Deploys, Dir: b.Dir,
			Env:     supervise.Environ(environ, s.inherited(cfg), env, own),
			EnvFile: b.EnvFile, EnvFixed: slices.Collect(maps.Keys(own)), EnvFileSum: b.envFileSum,
			Rights: rights, Timeout: b.timeout(), OnStart: b.onStart(),
		})
	}
	return all
}

// inherited names the variables of the collector that the process sees.
func (s *ServerConfig) inherited(cfg *Config) []string {
	if s.InheritEnv != nil {
		return s.InheritEnv
	}
	return cfg.InheritEnv
}

// env is what the configuration sets, in the clear.
func (s *ServerConfig) env() map[string]string {
	own := make(map[string]string, len(s.Env))
	for name, value := range s.Env {
		own[name] = string(value)
	}
	return own
}

func injectedServer(cfg *Config, s *ServerConfig, service, token string) map[string]string {
	env := injected(cfg, s, service, token, identity.AttrServer, s.ID, "service.instance.id", s.ID)
	env["TAILRACE_SERVER_ID"] = s.ID
	return env
}

// injected is what a child needs to send its telemetry here, as itself. ids are attributes and their values.
func injected(cfg *Config, s *ServerConfig, service, token string, ids ...string) map[string]string {
	attributes := append([]string{
		identity.AttrProject, s.Project,
		identity.AttrDeployment, s.Deployment,
	}, ids...)
	for _, label := range s.labels() {
		attributes = append(attributes, label.Key, label.Value)
	}
	env := map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": cfg.OTLPEndpoint,
		"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
		"OTEL_EXPORTER_OTLP_HEADERS":  supervise.PairList(identity.MetadataToken, token),
		"OTEL_RESOURCE_ATTRIBUTES":    supervise.PairList(attributes...),
		"OTEL_SERVICE_NAME":           service,
	}
	if s.Project != "" {
		env["TAILRACE_PROJECT_ID"] = s.Project
	}
	if s.Deployment != "" {
		env["TAILRACE_DEPLOYMENT_ID"] = s.Deployment
	}
	return env
}
