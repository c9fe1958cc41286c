// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserverextension

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"

	"github.com/tailrace/tailrace/internal/bytesize"
)

func load(t *testing.T, values map[string]any) (*Config, error) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	if err := confmap.NewFromStringMap(values).Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, cfg.Validate()
}

func TestDefaults(t *testing.T) {
	cfg, err := load(t, map[string]any{"password": "x"})
	require.NoError(t, err)
	assert.Equal(t, &Config{Path: "./data/clickhouse", TCPPort: 4490, HTTPPort: 4423, Database: "tailrace", Username: "tailrace", Password: "x",
		MaxServerMemoryUsage: 2 << 30, ShutdownTimeout: 30 * time.Second}, cfg)
}

func TestSizes(t *testing.T) {
	for text, want := range map[any]bytesize.Size{"512MiB": 512 << 20, 1 << 30: 1 << 30, "1073741824": 1 << 30} {
		cfg, err := load(t, map[string]any{"password": "x", "max_server_memory_usage": text})
		require.NoError(t, err, text)
		assert.Equal(t, want, cfg.MaxServerMemoryUsage, text)
	}
}

func TestWrongValuesNameKeyAndWhatIsAllowed(t *testing.T) {
	for _, c := range []struct {
		key   string
		value any
		want  string
	}{
		{"password", "", "export TAILRACE_CLICKHOUSE_PASSWORD=$(openssl rand -hex 16)"},
		{"path", "", "path: must be a folder"},
		{"tcp_port", 0, "tcp_port: is 0, must be a port from 1 to 65535"},
		{"http_port", 65536, "http_port: is 65536"},
		{"http_port", 4490, "http_port: is 4490 like tcp_port"},
		{"username", "default", `username: is "default"`},
		{"database", "a.b", `database: is "a.b"`},
		{"username", "a b", `username: is "a b"`},
		{"max_server_memory_usage", 1000, "max_server_memory_usage: is 1000 bytes, must be 256MiB or more"},
		{"max_server_memory_usage", "much", `max_server_memory_usage`},
		{"shutdown_timeout", "-1s", "shutdown_timeout: is -1s, must be more than 0"},
		{"tcp_prot", 1, "tcp_prot"},
	} {
		values := map[string]any{"password": "x"}
		values[c.key] = c.value
		_, err := load(t, values)
		assert.ErrorContains(t, err, c.want, c.key)
	}
	_, err := load(t, map[string]any{"path": "", "tcp_port": -1})
	for _, key := range []string{"path:", "password:", "tcp_port:"} {
		assert.ErrorContains(t, err, key, "all at once")
	}
}
