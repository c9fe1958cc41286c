// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/tailrace/tailrace/internal/access"
)

func load(t *testing.T, name string) (*Config, error) {
	t.Helper()
	all, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	sub, err := all.Sub(name)
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	if err := sub.Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, confmap.Validate(cfg)
}

func TestDefaultConfig(t *testing.T) {
	cfg, err := load(t, "console")
	require.NoError(t, err)
	assert.Equal(t, "localhost:4400", cfg.HTTP.NetAddr.Endpoint)
	assert.False(t, cfg.Auth.HasValue())
	assert.Equal(t, "tailrace-audit", cfg.Audit.Project)
	assert.Equal(t, 30*time.Second, cfg.HTTP.WriteTimeout)
}

func TestFullConfig(t *testing.T) {
	cfg, err := load(t, "console/full")
	require.NoError(t, err)
	auth := cfg.Auth.Get()
	assert.Equal(t, []component.ID{component.MustNewID("basicauth"), component.MustNewIDWithName("oidc", "company")}, auth.Authenticators)
	assert.Equal(t, access.Rules{
		{Subjects: []access.Pattern{"*@example.com"}, Authenticators: []string{"oidc/company"}, Role: "viewer", Projects: []access.Pattern{"shop", "shop-*"}},
		{Groups: []access.Pattern{"admins"}, Claims: map[string][]access.Pattern{"department": {"sre"}}, Role: "operator", Projects: []access.Pattern{"*"}},
	}, auth.Rules)
	assert.Equal(t, SessionConfig{Lifetime: time.Hour, Max: 5, Secure: true}, auth.Session)
	assert.Equal(t, QueriesConfig{MaxRows: 1000, MaxBytes: 1 << 20, MaxMemory: 16 << 20, Timeout: time.Second, Concurrent: 2, Exports: 1}, cfg.Queries)
	guard, err := cfg.guard()
	require.NoError(t, err)
	assert.Equal(t, []string{"https://grafana.example.com", "https://admin.example.com"}, guard.Origins)
	assert.Equal(t, []string{"console.example.com"}, guard.Hosts)
	assert.Equal(t, "__Host-tailrace_session", cfg.cookieName())
	// What is not named keeps its default.
	cfg.Auth.GetOrInsertDefault()
	short := createDefaultConfig().(*Config)
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"auth": map[string]any{"tokens_file": "x"}}).Unmarshal(short))
	assert.Equal(t, 12*time.Hour, short.Auth.Get().Session.Lifetime)
	assert.Equal(t, []string{"Authorization"}, short.Auth.Get().CredentialHeaders)
}

// Every mistake is named with its key, all at once.
func TestWrongConfig(t *testing.T) {
	_, err := load(t, "console/wrong")
	for _, part := range []string{
		"http::endpoint: must not be empty", "http::auth: would ask for a credential on the login page", "http::write_timeout: must be above 0s",
		`allowed_hosts[0]: "http://x" is no host`, `allowed_origins[0]: "*" is no origin`, "auth::authenticators[1]: basicauth is named twice",
		`auth::credential_headers[0]: "Cookie" can't hold a credential`, `auth::rules[0]::role: must be viewer or operator, is "admin"`,
		`auth::rules[0]::authenticators: "oidc" is not in auth::authenticators`, "auth::session::lifetime: 1s must be from 1m to 720h",
		"auth::session::max: 0 must be from 1 to 1000000", "queries::max_rows: 0 must be", "queries::timeout", "queries::exports: 100 must be from 1 to 7",
		"audit::project: must not be empty",
	} {
		assert.ErrorContains(t, err, part)
	}
	_, err = load(t, "console/open")
	require.ErrorContains(t, err, "http::endpoint: 0.0.0.0:4400 can be reached from other machines, and everybody may see everything without auth")
	_, err = load(t, "console/nobody")
	require.ErrorContains(t, err, "auth: nobody could ever come in")
	_, err = load(t, "console/unknown")
	require.ErrorContains(t, err, "end_point")
	_, err = load(t, "console/unknown2")
	require.ErrorContains(t, err, "subject")
}

func TestOnlyLocalEndpointsWithoutAuth(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"localhost:4400": true, "127.0.0.1:4400": true, "127.9.9.9:1": true, "[::1]:4400": true, "[::ffff:127.0.0.1]:1": true,
		":4400": false, "0.0.0.0:4400": false, "[::]:4400": false, "192.168.1.5:4400": false, "localhost.example.com:4400": false,
		"example.com:4400": false, "127.0.0.1.example.com:1": false, "localhost": false,
	} {
		cfg := createDefaultConfig().(*Config)
		cfg.HTTP.NetAddr.Endpoint = endpoint
		assert.Equal(t, want, confmap.Validate(cfg) == nil, endpoint)
	}
	cfg := createDefaultConfig().(*Config)
	cfg.HTTP.NetAddr.Endpoint, cfg.HTTP.NetAddr.Transport = "/run/tailrace.sock", confignet.TransportTypeUnix
	require.NoError(t, confmap.Validate(cfg))
}
