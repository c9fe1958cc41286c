// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhousestoreextension

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/tailrace/tailrace/internal/clickhouse"
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
	assert.Nil(t, cfg.cluster())
	assert.Nil(t, cfg.policy().Prices)

	cfg, err = load(t, "clickhouse_store/all")
	require.NoError(t, err)
	assert.Equal(t, "tcp://ch-1:9440,ch-2:9440", cfg.Endpoint)
	assert.Equal(t, "agents", cfg.Database)
	assert.Equal(t, "writer", cfg.Username)
	assert.EqualValues(t, "secret", cfg.Password)
	assert.True(t, cfg.TLS.HasValue())
	assert.True(t, cfg.DryRun)
	week, month, ever := 168*time.Hour, 720*time.Hour, time.Duration(0)
	assert.Equal(t, &clickhouse.Retention{Spans: 90 * day, Logs: week, Metrics: 90 * day, Rollups: 90 * day,
		Projects: map[string]clickhouse.ProjectRetention{"shop": {Logs: &month, Spans: &ever}}}, cfg.policy().Retention)
	assert.Equal(t, []clickhouse.Price{
		{Model: "gpt-4o*", Provider: "openai", Since: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Input: 2.5, Output: 10, CacheRead: 1.25},
		{Model: "local"},
	}, cfg.policy().Prices)
	assert.Equal(t, &clickhouse.Cluster{Name: "prod", Path: clickhouse.DefaultClusterPath, Replica: "{replica}", WindowSeconds: 86400, WindowInserts: clickhouse.DefaultWindowInserts}, cfg.cluster())
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
	_, err = load(t, "clickhouse_store/policy")
	for _, want := range []string{
		"retention::logs: -1h0m0s is not allowed", "retention::projects::shop::spans: 1s is not allowed: whole seconds from 1h",
		"prices::0: model: must not be empty", `since: "yesterday" is not a day`, "input: -1 is not a price",
		`cluster::name: "" is not allowed`, `cluster::path: "here" must begin with /`,
	} {
		require.ErrorContains(t, err, want)
	}
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
