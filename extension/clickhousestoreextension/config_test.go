// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhousestoreextension

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
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

func TestConfig(t *testing.T) {
	cfg, err := load(t, "clickhouse_store")
	require.NoError(t, err)
	assert.Equal(t, createDefaultConfig(), cfg)
	assert.False(t, cfg.TLS.HasValue())

	cfg, err = load(t, "clickhouse_store/all")
	require.NoError(t, err)
	assert.Equal(t, "tcp://ch-1:9440,ch-2:9440", cfg.Endpoint)
	assert.Equal(t, "agents", cfg.Database)
	assert.Equal(t, "writer", cfg.Username)
	assert.EqualValues(t, "secret", cfg.Password)
	assert.True(t, cfg.TLS.HasValue())
	assert.True(t, cfg.DryRun)
	assert.NotContains(t, fmt.Sprintf("%+v", *cfg), "secret")
	out := confmap.New()
	require.NoError(t, out.Marshal(cfg))
	assert.NotContains(t, fmt.Sprint(out.ToStringMap()), "secret")

	_, err = load(t, "clickhouse_store/wrong")
	require.ErrorContains(t, err, "endpoint: scheme \"udp\" is not known")
	require.ErrorContains(t, err, "database: \"no/slash\" is not allowed")
	require.ErrorContains(t, err, "username: must not be empty")
	_, err = load(t, "clickhouse_store/empty")
	require.ErrorContains(t, err, "endpoint: must not be empty")
	_, err = load(t, "clickhouse_store/unknown")
	require.ErrorContains(t, err, "passwort")
}

func TestServerStartsBeforeAndStopsAfter(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	assert.Empty(t, (&store{cfg: cfg}).Dependencies())
	id := component.MustNewID("clickhouse_server")
	cfg.Server = &id
	assert.Equal(t, []component.ID{id}, (&store{cfg: cfg}).Dependencies())
}
