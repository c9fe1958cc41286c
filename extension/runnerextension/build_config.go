// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configopaque"
)

// defaultBuildTimeout bounds a build without timeout.
const defaultBuildTimeout = 10 * time.Minute

// BuildConfig is something that runs to its end. What it shares with ServerConfig means the same.
type BuildConfig struct {
	ID         string                         `mapstructure:"id"`
	Project    string                         `mapstructure:"project"`
	Deployment string                         `mapstructure:"deployment"`
	Command    []string                       `mapstructure:"command"`
	Dir        string                         `mapstructure:"dir"`
	Env        map[string]configopaque.String `mapstructure:"env"`
	InheritEnv []string                       `mapstructure:"inherit_env"`
	EnvFile    string                         `mapstructure:"env_file"`
	User       string                         `mapstructure:"user"`
	Group      string                         `mapstructure:"group"`
	Umask      string                         `mapstructure:"umask"`
	Limits     LimitsConfig                   `mapstructure:"limits"`
	Labels     map[string]string              `mapstructure:"labels"`
	// Deploy is a second command, after the first has succeeded.
	Deploy []string `mapstructure:"deploy"`
	// Deploys are the ids of servers that are started, or started again, at the end.
	Deploys []string `mapstructure:"deploys"`
	// Timeout bounds a run, the wait in the queue excepted (10m); 0s is no limit.
	Timeout *time.Duration `mapstructure:"timeout"`
	// OnStart runs the build when the collector starts and when its definition changes; true when it is not given.
	OnStart *bool `mapstructure:"on_start"`

	envFileSum string // see sumEnvFile
}

// process is what a build has in common with a server.
func (b *BuildConfig) process() *ServerConfig {
	return &ServerConfig{
		ID: b.ID, Project: b.Project, Deployment: b.Deployment, Command: b.Command, Dir: b.Dir, Env: b.Env, InheritEnv: b.InheritEnv, EnvFile: b.EnvFile,
		User: b.User, Group: b.Group, Umask: b.Umask, Limits: b.Limits, Labels: b.Labels, envFileSum: b.envFileSum,
	}
}

func (b *BuildConfig) timeout() time.Duration {
	if b.Timeout == nil {
		return defaultBuildTimeout
	}
	return *b.Timeout
}

func (b *BuildConfig) onStart() bool { return b.OnStart == nil || *b.OnStart }

func (b *BuildConfig) validate(key string) []error {
	errs := b.process().validate(key)
	if len(b.Deploy) > 0 && b.Deploy[0] == "" {
		errs = append(errs, fmt.Errorf("%s.deploy: the program, its first entry, must not be empty", key))
	}
	if strings.ContainsRune(strings.Join(b.Deploy, ""), 0) {
		errs = append(errs, fmt.Errorf("%s.deploy: must not contain a NUL byte", key))
	}
	if b.Timeout != nil && *b.Timeout < 0 {
		errs = append(errs, fmt.Errorf("%s.timeout: must be at least 0s (no limit), not %s", key, *b.Timeout))
	}
	return errs
}

// validateDeploys looks at all builds and servers together.
func validateDeploys(builds []BuildConfig, servers []ServerConfig) []error {
	var errs []error
	for i := range builds {
		for j, id := range builds[i].Deploys {
			if !slices.ContainsFunc(servers, func(s ServerConfig) bool { return s.ID == id }) {
				errs = append(errs, fmt.Errorf("builds[%d].deploys[%d]: must be the id of a server, not %q", i, j, id))
			}
			if slices.Contains(builds[i].Deploys[:j], id) {
				errs = append(errs, fmt.Errorf("builds[%d].deploys[%d]: names %q twice", i, j, id))
			}
		}
	}
	return errs
}

// validateIDs finds ids that are used twice. get returns the id at an index.
func validateIDs(key string, count int, get func(int) string) []error {
	var errs []error
	seen := map[string]int{}
	for i := range count {
		id := get(i)
		if first, ok := seen[id]; ok && id != "" {
			errs = append(errs, fmt.Errorf("%s[%d].id: %q is the id of %s[%d] already", key, i, id, key, first))
		} else {
			seen[id] = i
		}
	}
	return errs
}
