// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package identityprocessor

import (
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"

	"github.com/tailrace/tailrace/internal/identity"
)

// Values of on_unknown_token.
const (
	unknownRefuse = "refuse"
	unknownIgnore = "ignore"
)

// Config is the YAML of identity.
type Config struct {
	// TokenResolvers are extensions that know tokens, such as `runner`; they are asked in this order, after Tokens.
	TokenResolvers []component.ID `mapstructure:"token_resolvers"`
	// Tokens are tokens with a fixed meaning.
	Tokens []Token `mapstructure:"tokens"`
	// RequireToken refuses requests without a token that is known.
	RequireToken bool `mapstructure:"require_token"`
	// OnUnknownToken says what happens to an x-tailrace-token that nobody knows: refuse, or ignore. An unknown bearer token is
	// always ignored, since it may be meant for an auth extension.
	OnUnknownToken string `mapstructure:"on_unknown_token"`
	// AuthAttributes names the attributes of the receiver's auth extension that hold an id.
	AuthAttributes AuthAttributes `mapstructure:"auth_attributes"`
	// Aliases are resource attributes that stand in for a missing canonical one. A list that is given replaces its default.
	Aliases identity.Aliases `mapstructure:"aliases"`
	// DefaultProject takes what has no project; empty refuses it.
	DefaultProject string `mapstructure:"default_project"`
	// Quotas bound what projects may send; a sender above its quota is told to wait.
	Quotas Quotas `mapstructure:"quotas"`

	limits *limits // what is left of the quotas, of all pipelines that name this identity
}

// Token is one entry of the token table.
type Token struct {
	// Token as senders show it; keep it out of the file with ${env:…}.
	Token             configopaque.String `mapstructure:"token"`
	identity.Identity `mapstructure:",squash"`
}

// AuthAttributes maps each id to the name of an attribute of the auth data. Empty ones are not looked at.
type AuthAttributes struct {
	// Project, Deployment, Server and Build name the attribute that holds each of the ids.
	Project    string `mapstructure:"project"`
	Deployment string `mapstructure:"deployment"`
	Server     string `mapstructure:"server"`
	Build      string `mapstructure:"build"`
}

var _ component.Config = (*Config)(nil)

// Validate implements xconfmap.Validator; errors name the key and never show a token.
func (cfg *Config) Validate() error {
	var errs error
	refuse := func(format string, args ...any) { errs = errors.Join(errs, fmt.Errorf(format, args...)) }
	if cfg.OnUnknownToken != unknownRefuse && cfg.OnUnknownToken != unknownIgnore {
		refuse("on_unknown_token: %q is not allowed: %s or %s", cfg.OnUnknownToken, unknownRefuse, unknownIgnore)
	}
	table := identity.NewTokenTable()
	for i, t := range cfg.Tokens {
		switch {
		case t.Token == "":
			refuse("tokens[%d].token: must not be empty (an environment variable that is not set?)", i)
		case strings.TrimSpace(string(t.Token)) != string(t.Token):
			refuse("tokens[%d].token: has white space around it, which no request header can carry", i)
		case !table.Add(string(t.Token), t.Identity):
			refuse("tokens[%d].token: is the same as an earlier one", i)
		}
		if t.Identity == (identity.Identity{}) {
			refuse("tokens[%d]: says nothing: give at least one of project, deployment, server, build", i)
		}
		for _, f := range []struct{ key, id string }{{"project", t.Project}, {"deployment", t.Deployment}, {"server", t.Server}, {"build", t.Build}} {
			if clean, _ := identity.Clean(f.id); clean != f.id {
				refuse("tokens[%d].%s: at most %d bytes of visible text, without space around it", i, f.key, identity.MaxBytes)
			}
		}
	}
	seen := map[component.ID]bool{}
	for i, id := range cfg.TokenResolvers {
		if seen[id] {
			refuse("token_resolvers[%d]: %s is named twice", i, id)
		}
		seen[id] = true
	}
	if cfg.RequireToken && len(cfg.Tokens) == 0 && len(cfg.TokenResolvers) == 0 {
		refuse("require_token: true refuses everything without tokens or token_resolvers")
	}
	for _, a := range []struct {
		key  string
		list []string
	}{{"project", cfg.Aliases.Project}, {"deployment", cfg.Aliases.Deployment}, {"server", cfg.Aliases.Server}, {"build", cfg.Aliases.Build}} {
		for i, name := range a.list {
			if name == "" {
				refuse("aliases.%s[%d]: must not be empty", a.key, i)
			}
		}
	}
	cfg.Quotas.validate(refuse)
	if clean, _ := identity.Clean(cfg.DefaultProject); clean != cfg.DefaultProject {
		refuse("default_project: at most %d bytes of visible text, without space around it", identity.MaxBytes)
	}
	return errs
}
