// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhousecolumnarexporter

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
)

func load(yaml map[string]any) (*Config, error) {
	cfg := createDefaultConfig().(*Config)
	if err := confmap.NewFromStringMap(yaml).Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, cfg.Validate()
}

func TestDefaultsAreValidAndHoldNothingBack(t *testing.T) {
	cfg, err := load(nil)
	require.NoError(t, err)
	assert.False(t, cfg.Queue.HasValue())
	assert.False(t, cfg.Retry.Enabled)
	assert.False(t, cfg.TLS.HasValue())
}

func TestEndpoints(t *testing.T) {
	for endpoint, want := range map[string][]string{
		"tcp://localhost:9000":        {"localhost:9000"},
		"clickhouse://a:1,b:2/":       {"a:1", "b:2"},
		"tcp://[::1]:9000, host:9440": {"[::1]:9000", "host:9440"},
	} {
		cfg, err := load(map[string]any{"endpoint": endpoint})
		require.NoError(t, err, endpoint)
		hosts, err := cfg.hosts()
		require.NoError(t, err)
		assert.Equal(t, want, hosts)
	}
	for endpoint, says := range map[string]string{
		"localhost:9000":            "not a URL",
		"http://localhost:8123":     `scheme "http" is not known`,
		"tcp://localhost":           "not host:port",
		"tcp://":                    "not host:port",
		"tcp://a:1,b":               "not host:port",
		"tcp://u:secret@host:9000":  "username and password",
		"tcp://host:9000/db":        "key database",
		"tcp://host:9000?x=1":       "parameters",
		"tcp://a:1,u:secret@h:9000": "username and password",
	} {
		_, err := load(map[string]any{"endpoint": endpoint})
		require.ErrorContains(t, err, "endpoint: ", endpoint)
		require.ErrorContains(t, err, says, endpoint)
		assert.NotContains(t, err.Error(), "secret")
	}
}

func TestWrongConfigNamesEveryKeyAndWhatIsAllowed(t *testing.T) {
	_, err := load(map[string]any{"database": "", "compression": "rar", "connections": 0, "dial_timeout": "0s", "timeout": "0s"})
	for _, says := range []string{"database: ", "compression: \"rar\" is not known; allowed: none, lz4, zstd", "connections: 0; allowed: 1 or more", "dial_timeout: 0s", "timeout: 0s"} {
		assert.ErrorContains(t, err, says)
	}
	_, err = load(map[string]any{"create_schema": false})
	assert.ErrorContains(t, err, "create_schema")
}

func TestReadmeNamesEveryOption(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	typ := reflect.TypeFor[Config]()
	for i := range typ.NumField() {
		if key, _, _ := strings.Cut(typ.Field(i).Tag.Get("mapstructure"), ","); key != "" {
			assert.Contains(t, string(readme), "| `"+key+"` |", key)
		}
	}
}
