// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
)

func load(t *testing.T, name string) (*Config, error) {
	t.Helper()
	conf, err := confmaptest.LoadConf(filepath.Join("testdata", name))
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	if err := conf.Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, confmap.Validate(cfg)
}

func TestDefaultConfig(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, confmap.Validate(cfg))
	assert.Equal(t, "localhost:4400", cfg.ownServer().NetAddr.Endpoint)
	assert.Equal(t, 10_000, cfg.Ring.Records)
	assert.Equal(t, 25*time.Second, cfg.PingInterval)
	assert.False(t, cfg.Classic.QueryToken)
}

func TestFullConfig(t *testing.T) {
	cfg, err := load(t, "full.yaml")
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1:5000", cfg.ownServer().NetAddr.Endpoint)
	assert.Equal(t, "/live", cfg.Path)
	assert.Equal(t, []string{"https://admin.example.com"}, cfg.AllowedOrigins)
	assert.Equal(t, []string{"tail.example.com"}, cfg.AllowedHosts)
	assert.Equal(t, RingConfig{Records: 500, Bytes: 1 << 20, TotalBytes: 8 << 20, MaxSources: 50, MaxRecordBytes: 65536}, cfg.Ring)
	assert.Equal(t, component.MustNewIDWithName("nats", "live"), *cfg.Cluster)
	assert.Equal(t, 1<<20, cfg.ClusterBufferBytes)
	assert.Equal(t, 131072, cfg.ClientBufferBytes)
	assert.Equal(t, 10, cfg.MaxClients)
	assert.Equal(t, 5, cfg.MaxSubscriptions)
	assert.Equal(t, 4096, cfg.MaxMessageBytes)
	assert.Equal(t, 10*time.Second, cfg.PingInterval)
	assert.Equal(t, 20*time.Second, cfg.WriteTimeout)
	assert.Equal(t, 1000, cfg.RecentRecords)
}

// Every bad value is named with its key and with what is allowed, all at once.
func TestInvalidConfig(t *testing.T) {
	_, err := load(t, "invalid.yaml")
	require.Error(t, err)
	for _, part := range []string{
		"http.endpoint: must not be empty",
		`path: "ws" must start with /`,
		`allowed_origins[0]: "*" is no origin`,
		`allowed_hosts[0]: "http://x" is no host`,
		"ring.records: 0 must be from 1 to",
		"ring.bytes: 134217728 must not be above ring.total_bytes",
		"ring.max_record_bytes: 1 must be from 4096",
		"client_buffer_bytes: 5 must be from 65536",
		"cluster_buffer_bytes: 1 must be from 262144",
		"max_clients: -1 must be from 1",
		"max_subscriptions: 0 must be",
		"max_message_bytes: 0 must be",
		"recent_records: 0 must be",
		"ping_interval: 1ms must be from 1s",
		"write_timeout: 0s must be from 1s",
		"classic.query_token: needs a console or http.auth",
	} {
		assert.ErrorContains(t, err, part)
	}
	_, err = load(t, "unknown.yaml")
	assert.ErrorContains(t, err, "ring_size")
}
