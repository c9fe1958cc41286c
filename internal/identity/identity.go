// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package identity names what a telemetry record belongs to: project, deployment, server and build.
//
// It holds the resource attribute names, the well-known log record attributes and event names of
// runner logs, and the small Identity value that components pass around. It is free of state and
// safe for concurrent use.
package identity

import "go.opentelemetry.io/collector/pdata/pcommon"

// Resource attributes that carry an identity. `deployment.id` follows the OpenTelemetry semantic
// conventions; the other three are Tailrace's.
const (
	AttrProject    = "project.id"
	AttrDeployment = "deployment.id"
	AttrServer     = "server.id"
	AttrBuild      = "build.id"
)

// Log record attributes of runner logs, as in the OpenTelemetry semantic conventions.
const (
	// AttrLogUID is unique per log record; every later deduplication needs it.
	AttrLogUID = "log.record.uid"
	// AttrLogStream is "stdout" or "stderr".
	AttrLogStream = "log.iostream"
	// AttrLogOriginal holds a line as it was printed, when the body is the message that was found in it.
	AttrLogOriginal = "log.record.original"
	// AttrEventName mirrors LogRecord.EventName: ClickHouse schemas without an EventName column read it.
	AttrEventName = "event.name"
)

// Attributes of the log records that report a change of state: written by runner_log, read by the live tail.
const (
	AttrLifecycleState   = "server.lifecycle.state"
	AttrHealthStatus     = "server.health.status"
	AttrDeploymentStatus = "deployment.status"
	AttrBuildStatus      = "build.status"
	AttrUptime           = "server.uptime_s"
	AttrCPUPercent       = "server.cpu_percent" // 100 is one core
	AttrMemoryUsageMB    = "server.memory_usage_mb"
)

// Event names of the log records that report a change of state, and of evaluation scores.
const (
	EventServerLifecycle  = "server.lifecycle"
	EventServerHealth     = "server.health"
	EventDeploymentStatus = "deployment.status"
	EventBuildStatus      = "build.status"
	// EventOutputDropped stands where lines of a server are missing.
	EventOutputDropped    = "server.output_dropped"
	EventEvaluationResult = "gen_ai.evaluation.result"
)

// DefaultProject is where a record without any identity lands unless configured otherwise.
const DefaultProject = "default"

// MetadataToken is the request header (client metadata key) that carries an identity token.
// `authorization: Bearer <token>` is accepted beside it.
const MetadataToken = "x-tailrace-token"

// Identity says what a resource belongs to. Empty fields are unknown.
type Identity struct {
	// Project, Deployment, Server and Build are the ids.
	Project    string `mapstructure:"project"`
	Deployment string `mapstructure:"deployment"`
	Server     string `mapstructure:"server"`
	Build      string `mapstructure:"build"`
}

// FromResource reads the identity that a resource carries under the canonical attribute names.
func FromResource(attrs pcommon.Map) Identity {
	return Identity{
		Project:    str(attrs, AttrProject),
		Deployment: str(attrs, AttrDeployment),
		Server:     str(attrs, AttrServer),
		Build:      str(attrs, AttrBuild),
	}
}

// PutResource writes the non-empty fields under the canonical attribute names.
func (id Identity) PutResource(attrs pcommon.Map) {
	put(attrs, AttrProject, id.Project)
	put(attrs, AttrDeployment, id.Deployment)
	put(attrs, AttrServer, id.Server)
	put(attrs, AttrBuild, id.Build)
}

// TokenResolver turns the token of a sender into the identity that it stands for.
// The `runner` extension is one: it hands a token to each child. Implementations are
// safe for concurrent use and do not block.
type TokenResolver interface {
	ResolveToken(token string) (Identity, bool)
}

// TokenRegistry lets a token stand for an identity, beside those that a TokenResolver made itself. The `runner`
// extension is one: for processes that it does not run. Implementations are safe for concurrent use.
type TokenRegistry interface {
	// RegisterToken reports false when the token stands for another identity already.
	RegisterToken(token string, id Identity) bool
	// ForgetToken undoes RegisterToken.
	ForgetToken(token string)
}

func str(attrs pcommon.Map, key string) string {
	v, ok := attrs.Get(key)
	if !ok {
		return ""
	}
	return v.AsString()
}

func put(attrs pcommon.Map, key, value string) {
	if value != "" {
		attrs.PutStr(key, value)
	}
}
