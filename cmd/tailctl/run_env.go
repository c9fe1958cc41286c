// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/lineproto"
	"github.com/tailrace/tailrace/internal/supervise"
)

// Variables of the OpenTelemetry SDKs.
const (
	envEndpoint   = "OTEL_EXPORTER_OTLP_ENDPOINT"
	envProtocol   = "OTEL_EXPORTER_OTLP_PROTOCOL"
	envHeaders    = "OTEL_EXPORTER_OTLP_HEADERS"
	envAttributes = "OTEL_RESOURCE_ATTRIBUTES"
	envService    = "OTEL_SERVICE_NAME"
)

// defaultOTLP is where a collector listens that did not answer in time.
var defaultOTLP = lineproto.OTLP{Endpoint: "http://localhost:4318", Protocol: "http/protobuf"}

// childEnv adds to an environment what the command needs to send its telemetry as itself. What is there wins, but for the ids of
// OTEL_RESOURCE_ATTRIBUTES. Where the command sends elsewhere, it gets no token of ours.
func childEnv(environ []string, h lineproto.Hello, otlp lineproto.OTLP) []string {
	env := map[string]string{}
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok {
			env[name] = value
		}
	}
	if env[envEndpoint] == "" && otlp.Endpoint != "" {
		env[envEndpoint] = otlp.Endpoint
		if env[envProtocol] == "" && otlp.Protocol != "" {
			env[envProtocol] = otlp.Protocol
		}
		var pairs []string
		for _, name := range slices.Sorted(maps.Keys(otlp.Headers)) {
			pairs = append(pairs, name, otlp.Headers[name])
		}
		if headers := supervise.PairList(pairs...); headers != "" {
			env[envHeaders] = strings.TrimPrefix(env[envHeaders]+","+headers, ",")
		}
	}
	pairs := []string{
		identity.AttrProject, h.Project, identity.AttrDeployment, h.Deployment,
		identity.AttrServer, h.Server, identity.AttrBuild, h.Build,
	}
	own := map[string]bool{}
	for i := 0; i < len(pairs); i += 2 {
		own[pairs[i]] = true
	}
	var kept []string
	given := map[string]bool{}
	for _, pair := range strings.Split(env[envAttributes], ",") {
		name, _, ok := strings.Cut(pair, "=")
		if name = unescape(strings.TrimSpace(name)); ok && !own[name] {
			kept = append(kept, strings.TrimSpace(pair))
			given[name] = true
		}
	}
	for _, name := range append([]string{"service.instance.id"}, slices.Sorted(maps.Keys(h.Labels))...) {
		value := h.Labels[name]
		if name == "service.instance.id" && value == "" {
			value = h.Server + h.Build // one of them is empty
		}
		if !given[name] && !own[name] {
			pairs = append(pairs, name, value)
			given[name] = true
		}
	}
	env[envAttributes] = strings.Join(append(kept, supervise.PairList(pairs...)), ",")
	if env[envService] == "" && !given["service.name"] {
		env[envService] = h.Service
	}
	for name, value := range map[string]string{
		"TAILRACE_PROJECT_ID": h.Project, "TAILRACE_DEPLOYMENT_ID": h.Deployment, "TAILRACE_SERVER_ID": h.Server, "TAILRACE_BUILD_ID": h.Build,
	} {
		if value != "" {
			env[name] = value
		}
	}
	out := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, name+"="+env[name])
	}
	return out
}

// serviceName is what the environment says, or else what is given.
func serviceName(environ []string, otherwise string) string {
	name := otherwise
	for _, entry := range environ {
		if value, ok := strings.CutPrefix(entry, envService+"="); ok && value != "" {
			return value
		}
		if list, ok := strings.CutPrefix(entry, envAttributes+"="); ok {
			for _, pair := range strings.Split(list, ",") {
				if key, value, _ := strings.Cut(strings.TrimSpace(pair), "="); key == "service.name" && value != "" {
					name = unescape(value)
				}
			}
		}
	}
	return name
}

func unescape(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}
