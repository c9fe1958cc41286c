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
		own := make(map[string]string, len(s.Env))
		for name, value := range s.Env {
			own[name] = string(value)
		}
		rights, _ := s.rights() // validated
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
			Env:     supervise.Environ(environ, cfg.InheritEnv, injected(cfg, s, service, token), own),
			EnvFile: s.EnvFile, EnvFixed: slices.Collect(maps.Keys(own)),
			Rights: rights, AssignPort: s.AssignPort,
			DependsOn: s.dependencies(),
			Restart:   cmp.Or(s.Restart, supervise.RestartOnFailure),
			Health:    s.Health.check(s.port()),

			DropOldest: cmp.Or(s.OnOverflow, cfg.OnOverflow) == overflowDropOldest,
		})
	}
	return servers
}

// injected is what a child needs to send its telemetry here, as itself.
func injected(cfg *Config, s *ServerConfig, service, token string) map[string]string {
	attributes := []string{
		identity.AttrProject, s.Project,
		identity.AttrDeployment, s.Deployment,
		identity.AttrServer, s.ID,
		"service.instance.id", s.ID,
	}
	for _, label := range s.labels() {
		attributes = append(attributes, label.Key, label.Value)
	}
	env := map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": cfg.OTLPEndpoint,
		"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
		"OTEL_EXPORTER_OTLP_HEADERS":  supervise.PairList(identity.MetadataToken, token),
		"OTEL_RESOURCE_ATTRIBUTES":    supervise.PairList(attributes...),
		"OTEL_SERVICE_NAME":           service,
		"TAILRACE_SERVER_ID":          s.ID,
	}
	if s.Project != "" {
		env["TAILRACE_PROJECT_ID"] = s.Project
	}
	if s.Deployment != "" {
		env["TAILRACE_DEPLOYMENT_ID"] = s.Deployment
	}
	return env
}
