// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/config/configoptional"

	"github.com/tailrace/tailrace/internal/httpserver"
	"github.com/tailrace/tailrace/internal/webguard"
)

// Config is the YAML of console.
type Config struct {
	// HTTP is the server. Its write_timeout is how long a client may take nothing, and cuts no stream.
	HTTP httpserver.Config `mapstructure:"http"`
	// Store is the clickhouse_store extension that queries go to; without it the API answers 503.
	Store *component.ID `mapstructure:"store"`
	// AllowedHosts are names under which clients may call this server, beside loopback names and its own address.
	AllowedHosts []string `mapstructure:"allowed_hosts"`
	// AllowedOrigins are origins of pages that may call this server, beside its own. Those of http::cors are, too.
	AllowedOrigins []string `mapstructure:"allowed_origins"`
	// TrustedProxies are addresses, or networks as in 10.0.0.0/8, of proxies whose X-Forwarded-For is believed: limits and audit are by the
	// address that they name.
	TrustedProxies []string `mapstructure:"trusted_proxies"`
	// Auth decides who may see what. Without it everybody who reaches the server may do everything, and it only listens on loopback.
	Auth configoptional.Optional[AuthConfig] `mapstructure:"auth"`
	// Queries bound what one question to the store may cost.
	Queries QueriesConfig `mapstructure:"queries"`
	// Audit says where logins, refusals and exports are recorded.
	Audit AuditConfig `mapstructure:"audit"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// QueriesConfig bounds questions to the store.
type QueriesConfig struct {
	// MaxRows and MaxBytes (uncompressed) that a question may read.
	MaxRows  uint64 `mapstructure:"max_rows"`
	MaxBytes uint64 `mapstructure:"max_bytes"`
	// MaxMemory that it may use in ClickHouse, in bytes.
	MaxMemory uint64 `mapstructure:"max_memory"`
	// Timeout of a question; exports have none.
	Timeout time.Duration `mapstructure:"timeout"`
	// Concurrent questions, of all callers.
	Concurrent int `mapstructure:"concurrent"`
	// Exports at the same time.
	Exports int `mapstructure:"exports"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func (q *QueriesConfig) validate() error {
	var errs []error
	for _, n := range []struct {
		key       string
		value     uint64
		low, high uint64
	}{
		{"max_rows", q.MaxRows, 1, 1 << 50},
		{"max_bytes", q.MaxBytes, 1 << 20, 1 << 50},
		{"max_memory", q.MaxMemory, 16 << 20, 1 << 44},
		{"timeout (ns)", uint64(max(q.Timeout, 0)), uint64(100 * time.Millisecond), uint64(time.Hour)},
		{"concurrent", uint64(max(q.Concurrent, 0)), 1, 7},
		{"exports", uint64(max(q.Exports, 0)), 1, 7},
	} {
		if n.value < n.low || n.value > n.high {
			errs = append(errs, fmt.Errorf("queries::%s: %d must be from %d to %d", n.key, n.value, n.low, n.high))
		}
	}
	return errors.Join(errs...)
}

// AuditConfig says where the audit goes.
type AuditConfig struct {
	// Project is the project of the records, which a console_audit receiver takes into a pipeline.
	Project string `mapstructure:"project"`

	// prevent unkeyed literal initialization
	_ struct{}
}

var _ component.Config = (*Config)(nil)

// Validate implements xconfmap.Validator; errors name the key.
func (c *Config) Validate() error {
	var errs []error
	if c.HTTP.NetAddr.Endpoint == "" {
		errs = append(errs, errors.New("http::endpoint: must not be empty; expected host:port such as localhost:4400"))
	} else if !c.Auth.HasValue() && !c.onlyLocal() {
		errs = append(errs, fmt.Errorf("http::endpoint: %s can be reached from other machines, and everybody may see everything without auth: "+
			"configure auth, or listen on localhost", c.HTTP.NetAddr.Endpoint))
	}
	if c.HTTP.Auth.HasValue() {
		errs = append(errs, errors.New("http::auth: would ask for a credential on the login page, too; name the extension in auth::authenticators"))
	}
	if c.HTTP.WriteTimeout <= 0 {
		errs = append(errs, errors.New("http::write_timeout: must be above 0s: it is how long a client may take nothing, and cuts no stream that moves"))
	}
	_, err := c.guard()
	_, proxyErr := c.trusted()
	errs = append(errs, err, proxyErr, c.Queries.validate())
	if c.Audit.Project == "" {
		errs = append(errs, errors.New("audit::project: must not be empty"))
	}
	if c.Auth.HasValue() {
		errs = append(errs, c.Auth.Get().validate())
	}
	return errors.Join(errs...)
}

// onlyLocal says by its text alone whether an endpoint is on loopback; the listener's address is checked again.
func (c *Config) onlyLocal() bool {
	if c.HTTP.NetAddr.Transport == confignet.TransportTypeUnix {
		return true
	}
	host, _, err := net.SplitHostPort(c.HTTP.NetAddr.Endpoint)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// guard makes the guard of all requests.
func (c *Config) guard() (webguard.Guard, error) {
	var g webguard.Guard
	var errs []error
	add := func(to *[]string, key string, values []string, normalize func(string) (string, error)) {
		for i, v := range values {
			n, err := normalize(v)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s[%d]: %w", key, i, err))
				continue
			}
			*to = append(*to, n)
		}
	}
	add(&g.Hosts, "allowed_hosts", c.AllowedHosts, webguard.NormalizeHost)
	add(&g.Origins, "allowed_origins", c.AllowedOrigins, webguard.NormalizeOrigin)
	if cors := c.HTTP.CORS.Get(); cors != nil {
		add(&g.Origins, "http::cors::allowed_origins", cors.AllowedOrigins, webguard.NormalizeOrigin)
	}
	return g, errors.Join(errs...)
}

// secure reports whether cookies are only for TLS.
func (c *Config) secure() bool {
	return c.HTTP.TLS.HasValue() || (c.Auth.HasValue() && c.Auth.Get().Session.Secure)
}

// cookieName has a prefix under TLS that makes browsers refuse such a cookie from another host, or without TLS.
func (c *Config) cookieName() string {
	if c.secure() {
		return "__Host-tailrace_session"
	}
	return "tailrace_session"
}
