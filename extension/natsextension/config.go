// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package natsextension

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
)

// Config is the configuration of the nats extension.
type Config struct {
	// Endpoints are servers of one NATS cluster, such as nats://localhost:4222 or tls://nats.example.com:4222.
	Endpoints []string `mapstructure:"endpoints"`
	// SubjectPrefix is what all subjects begin with. Collectors with the same one see each other.
	SubjectPrefix string `mapstructure:"subject_prefix"`
	// Auth is how the collector shows who it is.
	Auth AuthConfig `mapstructure:"auth"`
	// TLS of the connection. Without the section, it is used when the server or the endpoint asks for it.
	TLS configoptional.Optional[configtls.ClientConfig] `mapstructure:"tls"`
	// Stream has JetStream keep records for a while, for collectors that come to want them.
	Stream configoptional.Optional[StreamConfig] `mapstructure:"stream"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// AuthConfig is a credential; at most one kind of it.
type AuthConfig struct {
	// Username and Password.
	Username string              `mapstructure:"username"`
	Password configopaque.String `mapstructure:"password"`
	// Token of a server with a token.
	Token configopaque.String `mapstructure:"token"`
	// CredentialsFile holds a JWT and its key.
	CredentialsFile string `mapstructure:"credentials_file"`
	// NKeySeedFile holds the seed of an NKey.
	NKeySeedFile string `mapstructure:"nkey_seed_file"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// StreamConfig is a stream of JetStream, which is made, or changed to this, when there is a connection.
type StreamConfig struct {
	// Name of the stream.
	Name string `mapstructure:"name"`
	// Storage is memory or file, on the NATS server.
	Storage string `mapstructure:"storage"`
	// MaxBytes and MaxAge bound what is kept.
	MaxBytes int64         `mapstructure:"max_bytes"`
	MaxAge   time.Duration `mapstructure:"max_age"`
	// Replicas in a NATS cluster.
	Replicas int `mapstructure:"replicas"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func defaultStream() StreamConfig {
	return StreamConfig{Name: "tailrace-live", Storage: "memory", MaxBytes: 256 << 20, MaxAge: 15 * time.Minute, Replicas: 1}
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	if len(c.Endpoints) == 0 {
		errs = append(errs, errors.New("endpoints: name at least one server, such as nats://localhost:4222"))
	}
	for i, e := range c.Endpoints {
		u, err := url.Parse(e)
		switch {
		case err != nil || u.Host == "":
			errs = append(errs, fmt.Errorf("endpoints[%d]: expected a URL such as nats://localhost:4222", i)) // it may hold a password
		case u.Scheme != "nats" && u.Scheme != "tls" && u.Scheme != "ws" && u.Scheme != "wss":
			errs = append(errs, fmt.Errorf("endpoints[%d]: the scheme %q must be nats, tls, ws or wss", i, u.Scheme))
		case u.User != nil:
			errs = append(errs, fmt.Errorf("endpoints[%d]: put credentials under auth, where they are not shown", i))
		}
	}
	if strings.ContainsAny(c.SubjectPrefix, " \t\r\n*>") || !validTokens(c.SubjectPrefix) {
		errs = append(errs, fmt.Errorf("subject_prefix: %q must be tokens joined by dots, without spaces, * and >, such as tailrace", c.SubjectPrefix))
	}
	errs = append(errs, c.Auth.validate())
	if c.Stream.HasValue() {
		errs = append(errs, c.Stream.Get().validate())
	}
	return errors.Join(errs...)
}

func validTokens(subject string) bool {
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" {
			return false
		}
	}
	return true
}

func (a *AuthConfig) validate() error {
	kinds := 0
	for _, set := range []bool{a.Username != "" || a.Password != "", a.Token != "", a.CredentialsFile != "", a.NKeySeedFile != ""} {
		if set {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		return errors.New("auth: set one of username and password, token, credentials_file, nkey_seed_file")
	case a.Password != "" && a.Username == "":
		return errors.New("auth.username: must not be empty when there is a password")
	}
	return nil
}

func (s *StreamConfig) validate() error {
	var errs []error
	if s.Name == "" || strings.ContainsAny(s.Name, " \t\r\n.*>/\\") {
		errs = append(errs, fmt.Errorf("stream.name: %q must be a name without spaces, dots, *, > and slashes", s.Name))
	}
	if s.Storage != "memory" && s.Storage != "file" {
		errs = append(errs, fmt.Errorf("stream.storage: %q must be memory or file", s.Storage))
	}
	if s.MaxBytes < 1<<20 {
		errs = append(errs, fmt.Errorf("stream.max_bytes: %d must be at least 1048576", s.MaxBytes))
	}
	if s.MaxAge < time.Second {
		errs = append(errs, fmt.Errorf("stream.max_age: %v must be at least 1s", s.MaxAge))
	}
	if s.Replicas < 1 || s.Replicas > 5 {
		errs = append(errs, fmt.Errorf("stream.replicas: %d must be from 1 to 5", s.Replicas))
	}
	return errors.Join(errs...)
}
