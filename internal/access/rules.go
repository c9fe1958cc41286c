// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Limits of rules.
const (
	maxRules     = 10_000
	maxRulesFile = 4 << 20
)

// Rule gives whom it matches a role on projects. It matches when each of the conditions that it names does; a condition
// matches when one of its values does, in which '*' stands for any run of characters. A rule without conditions is a
// mistake: for everybody who is authenticated it says subjects: ["*"].
type Rule struct {
	// Subjects are names of callers.
	Subjects []Pattern `mapstructure:"subjects" yaml:"subjects"`
	// Groups are memberships.
	Groups []Pattern `mapstructure:"groups" yaml:"groups"`
	// Claims are further claims by their name; each must match.
	Claims map[string][]Pattern `mapstructure:"claims" yaml:"claims"`
	// Authenticators are component IDs of auth extensions: a rule with them does not match a caller of another one.
	Authenticators []string `mapstructure:"authenticators" yaml:"authenticators"`
	// Role is viewer or operator.
	Role string `mapstructure:"role" yaml:"role"`
	// Projects are the projects.
	Projects []Pattern `mapstructure:"projects" yaml:"projects"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// ParseRole reads the name of a role.
func ParseRole(name string) (Role, error) {
	switch name {
	case RoleViewer.String():
		return RoleViewer, nil
	case RoleOperator.String():
		return RoleOperator, nil
	}
	return RoleNone, fmt.Errorf("must be viewer or operator, is %q", name)
}

// validate names the key in each error, below prefix.
func (r *Rule) validate(prefix string) error {
	var errs []error
	if len(r.Subjects)+len(r.Groups)+len(r.Claims) == 0 {
		errs = append(errs, fmt.Errorf(`%s: names nobody: give it subjects, groups or claims; subjects: ["*"] are all who are authenticated`, prefix))
	}
	patterns := func(key string, all []Pattern) {
		for i, p := range all {
			if err := p.Validate(); err != nil {
				errs = append(errs, fmt.Errorf("%s::%s[%d]: %w", prefix, key, i, err))
			}
		}
	}
	patterns("subjects", r.Subjects)
	patterns("groups", r.Groups)
	for _, name := range slices.Sorted(maps.Keys(r.Claims)) {
		if len(r.Claims[name]) == 0 {
			errs = append(errs, fmt.Errorf("%s::claims::%s: must have a value", prefix, name))
		}
		patterns("claims::"+name, r.Claims[name])
	}
	if _, err := ParseRole(r.Role); err != nil {
		errs = append(errs, fmt.Errorf("%s::role: %w", prefix, err))
	}
	if len(r.Projects) == 0 {
		errs = append(errs, fmt.Errorf(`%s::projects: must not be empty; ["*"] are all projects`, prefix))
	}
	patterns("projects", r.Projects)
	return errors.Join(errs...)
}

func (r *Rule) matches(id Identity) bool {
	if len(r.Authenticators) > 0 && !slices.Contains(r.Authenticators, id.Authenticator) {
		return false
	}
	if len(r.Subjects) > 0 && !anyMatch(r.Subjects, []string{id.Subject}) {
		return false
	}
	if len(r.Groups) > 0 && !anyMatch(r.Groups, id.Groups) {
		return false
	}
	for name, want := range r.Claims {
		if !anyMatch(want, id.Claims[name]) {
			return false
		}
	}
	return len(r.Subjects)+len(r.Groups)+len(r.Claims) > 0
}

func anyMatch(patterns []Pattern, values []string) bool {
	return slices.ContainsFunc(patterns, func(p Pattern) bool { return slices.ContainsFunc(values, p.Match) })
}

// Rules decide what an identity may see; nobody is allowed what no rule gives. The zero value allows nothing.
type Rules []Rule

// Validate names the keys of all mistakes, below prefix.
func (rs Rules) Validate(prefix string) error {
	var errs []error
	if len(rs) > maxRules {
		errs = append(errs, fmt.Errorf("%s: more than %d rules", prefix, maxRules))
	}
	for i := range rs {
		errs = append(errs, rs[i].validate(fmt.Sprintf("%s[%d]", prefix, i)))
	}
	return errors.Join(errs...)
}

// Decide returns the caller that an identity is. Rules that Validate refused may give less than they say, never more.
func (rs Rules) Decide(id Identity) *Caller {
	var grants []Grant
	for i := range rs {
		role, err := ParseRole(rs[i].Role)
		if err == nil && rs[i].matches(id) {
			grants = append(grants, Grant{Role: role, Projects: rs[i].Projects})
		}
	}
	return NewCaller(id.Subject, id.Method, id.Expires, grants)
}

// ParseRules reads a file of rules: YAML with the one key `rules`. Unknown keys are errors.
func ParseRules(content []byte) (Rules, error) {
	if len(content) > maxRulesFile {
		return nil, fmt.Errorf("rules: the file is larger than %d bytes", maxRulesFile)
	}
	var file struct {
		Rules Rules `yaml:"rules"`
	}
	d := yaml.NewDecoder(bytes.NewReader(content))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("rules: the file is empty; write `rules: []` to allow nobody")
		}
		return nil, fmt.Errorf("rules: %w", err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("rules: the file must hold one YAML document")
	}
	return file.Rules, file.Rules.Validate("rules")
}
