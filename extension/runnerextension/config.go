// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configopaque"

	"github.com/tailrace/tailrace/internal/runnercontrol"
	"github.com/tailrace/tailrace/internal/supervise"
)

const (
	minMaxLineBytes = 256
	// maxMaxLineBytes keeps a record below what gRPC and most stores take.
	maxMaxLineBytes = 3 << 20
)

// Config is the YAML of the runner.
type Config struct {
	// OTLPEndpoint is where children send their telemetry: OTEL_EXPORTER_OTLP_ENDPOINT.
	OTLPEndpoint string `mapstructure:"otlp_endpoint"`
	// InheritEnv names the variables of the collector that children see; a trailing * is a wildcard.
	InheritEnv []string `mapstructure:"inherit_env"`
	// HideCollector closes the collector's environment and memory, below /proc, to processes of the same user.
	HideCollector bool `mapstructure:"hide_collector"`
	// StopSignal asks a process group to end; GracePeriod later it is killed.
	StopSignal  string        `mapstructure:"stop_signal"`
	GracePeriod time.Duration `mapstructure:"grace_period"`
	// Guardian is for the end of a collector that can't stop its servers.
	Guardian GuardianConfig `mapstructure:"guardian"`
	// DrainTimeout is how long the last output may take through the pipelines after the processes have ended.
	DrainTimeout time.Duration `mapstructure:"drain_timeout"`
	// MaxLineBytes of a line; longer ones come in parts.
	MaxLineBytes int `mapstructure:"max_line_bytes"`
	// BufferBytes bounds the output of one server that waits for runner_log.
	BufferBytes int `mapstructure:"buffer_bytes"`
	// OnOverflow says what happens when BufferBytes of a server are full: block or drop_oldest.
	OnOverflow string `mapstructure:"on_overflow"`
	// RestartBackoff is the wait before a restart.
	RestartBackoff BackoffConfig `mapstructure:"restart_backoff"`
	// RestartLimit gives up a server that was started again too often.
	RestartLimit RestartLimitConfig `mapstructure:"restart_limit"`
	// Ports is where servers with AssignPort get theirs from.
	Ports PortsConfig `mapstructure:"ports"`
	// HealthReportInterval is the time between two events that repeat the health of a server with what it uses; 0: never.
	HealthReportInterval time.Duration `mapstructure:"health_report_interval"`
	// Servers are the processes that it runs.
	Servers []ServerConfig `mapstructure:"servers"`
	// Builds run to their end; what they share with servers means the same.
	Builds []BuildConfig `mapstructure:"builds"`
	// MaxParallelBuilds is how many builds run at the same time; the others wait in a queue.
	MaxParallelBuilds int `mapstructure:"max_parallel_builds"`
	// Control is the API for those who start and stop servers at run time.
	Control ControlConfig `mapstructure:"control"`
}

// ControlConfig is the control API.
type ControlConfig struct {
	// Socket is the path of a Unix socket; empty: there is no control API.
	Socket string `mapstructure:"socket"`
}

func validateInherited(key string, names []string) []error {
	var errs []error
	for i, name := range names {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(strings.TrimSuffix(name, "*"), "*") {
			errs = append(errs, fmt.Errorf("%s[%d]: must be the name of a variable, or the beginning of one and a *, not %q", key, i, name))
		}
	}
	return errs
}

// Values of OnOverflow.
const (
	overflowBlock      = "block"
	overflowDropOldest = "drop_oldest"
)

func validateOverflow(key, value string) error {
	if value == overflowBlock || value == overflowDropOldest {
		return nil
	}
	return fmt.Errorf("%s: must be %s (the server waits) or %s, not %q", key, overflowBlock, overflowDropOldest, value)
}

// BackoffConfig is the wait before a restart.
type BackoffConfig struct {
	// InitialInterval is the first wait; it doubles with each failure, up to MaxInterval.
	InitialInterval time.Duration `mapstructure:"initial_interval"`
	MaxInterval     time.Duration `mapstructure:"max_interval"`
	// ResetAfter is how long a process has to run for the wait to begin at InitialInterval again.
	ResetAfter time.Duration `mapstructure:"reset_after"`
}

// ServerConfig is one child process.
type ServerConfig struct {
	// ID is unique, and what its records have as server.id or build.id.
	ID string `mapstructure:"id"`
	// Project and Deployment are its project.id and deployment.id; without them the identity processor decides.
	Project    string `mapstructure:"project"`
	Deployment string `mapstructure:"deployment"`
	// Command is the program and its arguments; there is no shell.
	Command []string `mapstructure:"command"`
	// Dir is the working folder; empty: that of the collector.
	Dir string `mapstructure:"dir"`
	// Env are further variables. They may be secrets, so they are never printed.
	Env map[string]configopaque.String `mapstructure:"env"`
	// InheritEnv replaces that of the runner; an empty list inherits nothing.
	InheritEnv []string `mapstructure:"inherit_env"`
	// EnvFile is read at each start; Env wins over it.
	EnvFile string `mapstructure:"env_file"`
	// AssignPort hands a free one of the runner's ports over as PORT.
	AssignPort bool `mapstructure:"assign_port"`
	// User and Group are names or numbers; empty: as the collector. Umask is octal digits; empty: that of the collector.
	User   string       `mapstructure:"user"`
	Group  string       `mapstructure:"group"`
	Umask  string       `mapstructure:"umask"`
	Limits LimitsConfig `mapstructure:"limits"`
	// OnOverflow is that of the runner when empty.
	OnOverflow string `mapstructure:"on_overflow"`
	// Labels become attributes of the resource.
	Labels map[string]string `mapstructure:"labels"`
	// DependsOn is what the first start waits for.
	DependsOn []DependencyConfig `mapstructure:"depends_on"`
	// Restart says when a process that has ended is started again: never, on_failure (when empty) or always.
	Restart supervise.Restart `mapstructure:"restart"`
	// StopSignal and GracePeriod replace those of the runner.
	StopSignal  string         `mapstructure:"stop_signal"`
	GracePeriod *time.Duration `mapstructure:"grace_period"`
	// Health is the health check; without it a running server counts as healthy.
	Health *HealthConfig `mapstructure:"health"`

	envFileSum string // see sumEnvFile
}

// Validate implements confmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	if u, err := url.Parse(c.OTLPEndpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		errs = append(errs, fmt.Errorf("otlp_endpoint: must be a URL such as http://localhost:4318, not %q", c.OTLPEndpoint))
	}
	errs = append(errs, validateInherited("inherit_env", c.InheritEnv)...)
	if supervise.SignalNumber(c.StopSignal) == 0 {
		errs = append(errs, fmt.Errorf("stop_signal: must be the name of a signal such as SIGTERM or SIGINT, not %q", c.StopSignal))
	}
	for _, d := range []struct {
		key   string
		value time.Duration
		min   time.Duration
	}{
		{"grace_period", c.GracePeriod, 0},
		{"guardian::grace_period", c.Guardian.GracePeriod, 0},
		{"drain_timeout", c.DrainTimeout, 0},
		{"health_report_interval", c.HealthReportInterval, 0},
		{"restart_backoff::initial_interval", c.RestartBackoff.InitialInterval, time.Millisecond},
		{"restart_backoff::max_interval", c.RestartBackoff.MaxInterval, c.RestartBackoff.InitialInterval},
		{"restart_backoff::reset_after", c.RestartBackoff.ResetAfter, 0},
	} {
		if d.value < d.min {
			errs = append(errs, fmt.Errorf("%s: must be at least %s, not %s", d.key, d.min, d.value))
		}
	}
	if c.MaxLineBytes < minMaxLineBytes || c.MaxLineBytes > maxMaxLineBytes {
		errs = append(errs, fmt.Errorf("max_line_bytes: must be from %d to %d, not %d", minMaxLineBytes, maxMaxLineBytes, c.MaxLineBytes))
	}
	if c.BufferBytes < 1 {
		errs = append(errs, fmt.Errorf("buffer_bytes: must be at least 1, not %d", c.BufferBytes))
	}
	errs = append(errs, validateOverflow("on_overflow", c.OnOverflow))
	for i := range c.Servers {
		errs = append(errs, c.Servers[i].validate(fmt.Sprintf("servers[%d]", i))...)
	}
	for i := range c.Builds {
		errs = append(errs, c.Builds[i].validate(fmt.Sprintf("builds[%d]", i))...)
	}
	if c.MaxParallelBuilds < 1 {
		errs = append(errs, fmt.Errorf("max_parallel_builds: must be at least 1, not %d", c.MaxParallelBuilds))
	}
	if err := runnercontrol.ValidateSocket(c.Control.Socket); c.Control.Socket != "" && err != nil {
		errs = append(errs, fmt.Errorf("control::socket: %w", err))
	}
	if c.Guardian.Cgroup != "" && !filepath.IsAbs(c.Guardian.Cgroup) {
		errs = append(errs, fmt.Errorf("guardian::cgroup: must be the folder of a control group, such as /sys/fs/cgroup/tailrace, not %q", c.Guardian.Cgroup))
	}
	errs = append(errs, c.Ports.validate()...)
	errs = append(errs, c.RestartLimit.validate()...)
	errs = append(errs, validateTogether(c.Servers, c.Builds)...)
	return errors.Join(errs...)
}

// validateTogether finds what is wrong between definitions that are right each for itself.
func validateTogether(servers []ServerConfig, builds []BuildConfig) []error {
	errs := validateIDs("servers", len(servers), func(i int) string { return servers[i].ID })
	errs = append(errs, validateIDs("builds", len(builds), func(i int) string { return builds[i].ID })...)
	errs = append(errs, validateDependencies(servers, builds)...)
	return append(errs, validateDeploys(builds, servers)...)
}

func (s *ServerConfig) validate(key string) []error {
	var errs []error
	if s.ID == "" {
		errs = append(errs, fmt.Errorf("%s.id: must not be empty", key))
	}
	if len(s.Command) == 0 {
		errs = append(errs, fmt.Errorf("%s.command: must be a list of the program and its arguments, such as [node, server.mjs]", key))
	} else if s.Command[0] == "" {
		errs = append(errs, fmt.Errorf("%s.command: the program, its first entry, must not be empty", key))
	}
	texts := append([]string{s.ID, s.Project, s.Deployment, s.Dir, s.EnvFile, s.User, s.Group}, s.Command...)
	for name, value := range s.Env {
		if name == "" || strings.Contains(name, "=") {
			errs = append(errs, fmt.Errorf("%s.env: %q is not the name of a variable", key, name))
		}
		texts = append(texts, name, string(value))
	}
	if slices.ContainsFunc(texts, func(text string) bool { return strings.ContainsRune(text, 0) }) {
		errs = append(errs, fmt.Errorf("%s: no value may contain a NUL byte", key))
	}
	errs = append(errs, validateInherited(key+".inherit_env", s.InheritEnv)...)
	errs = append(errs, s.validateRights(key)...)
	errs = append(errs, s.validateStop(key)...)
	if s.OnOverflow != "" {
		errs = append(errs, validateOverflow(key+".on_overflow", s.OnOverflow))
	}
	errs = append(errs, validateLabels(key, s.Labels)...)
	switch s.Restart {
	case "", supervise.RestartNever, supervise.RestartOnFailure, supervise.RestartAlways:
	default:
		errs = append(errs, fmt.Errorf("%s.restart: must be %s, %s or %s, not %q", key,
			supervise.RestartNever, supervise.RestartOnFailure, supervise.RestartAlways, s.Restart))
	}
	if s.Health != nil {
		errs = append(errs, s.Health.validate(key+".health", s.port(), s.Restart)...)
	}
	return errs
}
