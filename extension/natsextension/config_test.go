// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package natsextension

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/tailrace/tailrace/extension/natsextension/internal/metadata"
)

func load(t *testing.T, file string) (*Config, error) {
	t.Helper()
	conf, err := confmaptest.LoadConf(filepath.Join("testdata", file))
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	if err := conf.Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, cfg.Validate()
}

func TestDefaultConfig(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, cfg.Validate())
	assert.False(t, cfg.Stream.HasValue(), "nothing is kept unless it is asked for")
	assert.False(t, cfg.TLS.HasValue())
}

func TestFullConfig(t *testing.T) {
	cfg, err := load(t, "full.yaml")
	require.NoError(t, err)
	assert.Len(t, cfg.Endpoints, 2)
	assert.Equal(t, "prod.tailrace", cfg.SubjectPrefix)
	assert.Equal(t, AuthConfig{Username: "tailrace", Password: "secret"}, cfg.Auth)
	assert.Equal(t, "/etc/nats/ca.pem", cfg.TLS.Get().CAFile)
	assert.Equal(t, StreamConfig{Name: "live", Storage: "file", MaxBytes: 1 << 30, MaxAge: time.Hour, Replicas: 3}, *cfg.Stream.Get())
}

// Every bad value is named with its key and with what is allowed, all at once, and no secret with it.
func TestInvalidConfig(t *testing.T) {
	_, err := load(t, "invalid.yaml")
	require.Error(t, err)
	for _, part := range []string{
		"endpoints[0]: expected a URL such as nats://localhost:4222",
		`endpoints[1]: the scheme "http" must be nats, tls, ws or wss`,
		"endpoints[2]: put credentials under auth",
		`subject_prefix: "tail race.>" must be`,
		"auth: set one of",
		`stream.name: "a.b" must be`,
		`stream.storage: "disk" must be memory or file`,
		"stream.max_bytes: 1 must be at least",
		"stream.max_age: 1ms must be at least",
		"stream.replicas: 9 must be from 1 to 5",
	} {
		assert.ErrorContains(t, err, part)
	}
	assert.NotContains(t, err.Error(), "pass@")
}

func TestFilesThatAreMissingAreNamed(t *testing.T) {
	cfg, err := load(t, "full.yaml")
	require.NoError(t, err)
	ext, err := create(context.Background(), extensiontest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	err = ext.Start(context.Background(), componenttest.NewNopHost())
	assert.ErrorContains(t, err, "tls: ")
	assert.ErrorContains(t, err, "/etc/nats/ca.pem")
	require.NoError(t, ext.Shutdown(context.Background()))

	cfg = createDefaultConfig().(*Config)
	cfg.Auth.NKeySeedFile = "/nowhere/seed"
	n := &natsExtension{cfg: cfg}
	_, err = n.options()
	assert.ErrorContains(t, err, "auth.nkey_seed_file: ")
}
