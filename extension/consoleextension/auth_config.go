// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/tailrace/tailrace/internal/access"
)

// AuthConfig says who may see what: nobody anything that it does not name.
type AuthConfig struct {
	// Authenticators are auth extensions (basicauth, oidc), asked in this order about credentials that are no API tokens.
	Authenticators []component.ID `mapstructure:"authenticators"`
	// CredentialHeaders are the headers in which authenticators look.
	CredentialHeaders []string `mapstructure:"credential_headers"`
	// TokensFile keeps API tokens; `tailctl token` changes it.
	TokensFile string `mapstructure:"tokens_file"`
	// Rules map subjects, groups and claims to projects and roles.
	Rules access.Rules `mapstructure:"rules"`
	// RulesFile is a YAML file with more rules; changes count at once.
	RulesFile string `mapstructure:"rules_file"`
	// Session says how long browsers stay logged in.
	Session SessionConfig `mapstructure:"session"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// SessionConfig says how long browsers stay logged in.
type SessionConfig struct {
	// Lifetime is from the login on; use does not make it longer.
	Lifetime time.Duration `mapstructure:"lifetime"`
	// Max is the number of sessions; the one that ends first makes room.
	Max int `mapstructure:"max"`
	// Secure keeps the cookie to TLS when that ends at a proxy in front of this server. With http::tls it always is.
	Secure bool `mapstructure:"secure"`
	// File keeps the sessions over a restart of the collector, as hashes, readable for its owner only. Without it a restart ends them.
	File string `mapstructure:"file"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func (c *AuthConfig) validate() error {
	errs := []error{c.Rules.Validate("auth::rules")}
	if len(c.Authenticators) == 0 && c.TokensFile == "" {
		errs = append(errs, errors.New("auth: nobody could ever come in: name authenticators, such as basicauth or oidc, or a tokens_file"))
	}
	for i, id := range c.Authenticators {
		if slices.Contains(c.Authenticators[:i], id) {
			errs = append(errs, fmt.Errorf("auth::authenticators[%d]: %s is named twice", i, id))
		}
	}
	for i := range c.Rules {
		for _, name := range c.Rules[i].Authenticators {
			if !slices.ContainsFunc(c.Authenticators, func(id component.ID) bool { return id.String() == name }) {
				errs = append(errs, fmt.Errorf("auth::rules[%d]::authenticators: %q is not in auth::authenticators", i, name))
			}
		}
	}
	if len(c.CredentialHeaders) == 0 {
		errs = append(errs, errors.New("auth::credential_headers: must not be empty; the default is [Authorization]"))
	}
	for i, name := range c.CredentialHeaders {
		if name == "" || slices.ContainsFunc([]string{"cookie", "host", "origin"}, func(s string) bool { return strings.EqualFold(s, name) }) {
			errs = append(errs, fmt.Errorf("auth::credential_headers[%d]: %q can't hold a credential", i, name))
		}
	}
	if l := c.Session.Lifetime; l < time.Minute || l > 30*24*time.Hour {
		errs = append(errs, fmt.Errorf("auth::session::lifetime: %s must be from 1m to 720h", l))
	}
	if c.Session.Max < 1 || c.Session.Max > 1_000_000 {
		errs = append(errs, fmt.Errorf("auth::session::max: %d must be from 1 to 1000000", c.Session.Max))
	}
	return errors.Join(errs...)
}
