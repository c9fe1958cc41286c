// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/supervise"
)

// RestartLimitConfig gives up a server that was started again Count times within Window.
type RestartLimitConfig struct {
	// Count of starts within Window; 0 is no limit.
	Count  int           `mapstructure:"count"`
	Window time.Duration `mapstructure:"window"`
}

// DependencyConfig is what a server waits for before its first start.
type DependencyConfig struct {
	// Either Server or Build is set. A Build has no Condition: it has to succeed.
	Server string `mapstructure:"server"`
	Build  string `mapstructure:"build"`
	// Condition of the server: healthy (when empty), running or completed.
	Condition supervise.Condition `mapstructure:"condition"`
}

// ownAttributes are resource attributes that no label may replace.
var ownAttributes = []string{
	identity.AttrProject, identity.AttrDeployment, identity.AttrServer, identity.AttrBuild,
	"service.name", "service.instance.id", "host.name", "process.pid", "process.executable.name",
}

func (l RestartLimitConfig) validate() []error {
	var errs []error
	if l.Count < 0 {
		errs = append(errs, fmt.Errorf("restart_limit::count: must be at least 0 (no limit), not %d", l.Count))
	}
	if l.Window <= 0 {
		errs = append(errs, fmt.Errorf("restart_limit::window: must be more than 0s, not %s", l.Window))
	}
	return errs
}

func validateLabels(key string, labels map[string]string) []error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if name == "" || strings.ContainsRune(name+labels[name], 0) {
			errs = append(errs, fmt.Errorf("%s.labels: a name must not be empty, and nothing may contain a NUL byte: %q", key, name))
		}
		if slices.Contains(ownAttributes, name) {
			errs = append(errs, fmt.Errorf("%s.labels: %q is set by the runner", key, name))
		}
	}
	return errs
}

// validateDependencies looks at all servers together.
func validateDependencies(servers []ServerConfig, builds []BuildConfig) []error {
	var errs []error
	index := map[string]int{}
	for i := range servers {
		index[servers[i].ID] = i
	}
	for i := range servers {
		for j, d := range servers[i].DependsOn {
			key := fmt.Sprintf("servers[%d].depends_on[%d]", i, j)
			if d.Build != "" {
				if !slices.ContainsFunc(builds, func(b BuildConfig) bool { return b.ID == d.Build }) {
					errs = append(errs, fmt.Errorf("%s.build: must be the id of a build, not %q", key, d.Build))
				}
				if d.Server != "" || d.Condition != "" && d.Condition != supervise.ConditionSucceeded {
					errs = append(errs, fmt.Errorf("%s: a build goes without server, and without another condition than %s", key, supervise.ConditionSucceeded))
				}
				continue
			}
			if _, ok := index[d.Server]; !ok || d.Server == "" {
				errs = append(errs, fmt.Errorf("%s.server: must be the id of another server, not %q", key, d.Server))
			}
			switch d.Condition {
			case "", supervise.ConditionRunning, supervise.ConditionHealthy, supervise.ConditionCompleted:
			default:
				errs = append(errs, fmt.Errorf("%s.condition: must be %s, %s or %s, not %q", key,
					supervise.ConditionRunning, supervise.ConditionHealthy, supervise.ConditionCompleted, d.Condition))
			}
		}
	}
	if circle := findCircle(servers, index); circle != nil {
		errs = append(errs, fmt.Errorf("servers[%d].depends_on: is a circle, so that none of these can start: %s",
			index[circle[0]], strings.Join(circle, " → ")))
	}
	return errs
}

// findCircle returns the ids of the first circle of dependencies, the first one again at the end; nil without.
func findCircle(servers []ServerConfig, index map[string]int) []string {
	done := map[int]bool{}
	var path []int
	var visit func(i int) []string
	visit = func(i int) []string {
		if at := slices.Index(path, i); at >= 0 {
			var ids []string
			for _, k := range append(path[at:], i) {
				ids = append(ids, servers[k].ID)
			}
			return ids
		}
		if done[i] {
			return nil
		}
		path = append(path, i)
		for _, d := range servers[i].DependsOn {
			if next, ok := index[d.Server]; ok {
				if ids := visit(next); ids != nil {
					return ids
				}
			}
		}
		path = path[:len(path)-1]
		done[i] = true
		return nil
	}
	for i := range servers {
		if ids := visit(i); ids != nil {
			return ids
		}
	}
	return nil
}

func (s *ServerConfig) dependencies() []supervise.Dependency {
	var all []supervise.Dependency
	for _, d := range s.DependsOn {
		if d.Build != "" {
			all = append(all, supervise.Dependency{Server: d.Build, Condition: supervise.ConditionSucceeded})
			continue
		}
		all = append(all, supervise.Dependency{Server: d.Server, Condition: cmp.Or(d.Condition, supervise.ConditionHealthy)})
	}
	return all
}

// labels are sorted, so that they are the same after each start.
func (s *ServerConfig) labels() []supervise.Label {
	var all []supervise.Label
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		all = append(all, supervise.Label{Key: name, Value: s.Labels[name]})
	}
	return all
}
