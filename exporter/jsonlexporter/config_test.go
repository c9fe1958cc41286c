// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package jsonlexporter

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
)

func TestConfigDefaultsAreValid(t *testing.T) {
	require.NoError(t, createDefaultConfig().(*Config).Validate())
}

func TestConfigErrorsNameTheKeyAndWhatIsAllowed(t *testing.T) {
	for key, tc := range map[string]struct {
		value any
		want  string
	}{
		"path":                  {"", "path: must name a folder"},
		"encoding":              {"csv", `encoding: "csv" is not known; allowed: otlp_json, flat_json`},
		"compression":           {"gzip", `compression: "gzip" is not known; allowed: none, zstd`},
		"sync":                  {"never", `sync: "never" is not known; allowed: write, batch`},
		"fsync_interval":        {"-1s", "fsync_interval: -1s is negative"},
		"max_line_bytes":        {10, "max_line_bytes: 10 is too small; allowed: 1024 or more"},
		"rotation::max_bytes":   {0, "rotation::max_bytes: 0; allowed: 1 or more"},
		"rotation::max_records": {0, "rotation::max_records"},
		"rotation::max_age":     {"0s", "rotation::max_age"},
		"rotation::idle":        {"-5s", "rotation::idle: -5s"},
		"max_open_files":        {0, "max_open_files: 0"},
		"max_disk_bytes":        {100, "max_disk_bytes: 100 is less than one segment"},
		"on_full":               {"drop", `on_full: "drop" is not known; allowed: block, drop_oldest`},
	} {
		t.Run(key, func(t *testing.T) {
			cfg := createDefaultConfig().(*Config)
			require.NoError(t, confmap.NewFromStringMap(map[string]any{key: tc.value}).Unmarshal(cfg))
			assert.ErrorContains(t, cfg.Validate(), tc.want)
		})
	}
	both := createDefaultConfig().(*Config)
	both.Sync, both.Encoding = "x", "y"
	assert.ErrorContains(t, both.Validate(), "sync:")
	assert.ErrorContains(t, both.Validate(), "encoding:", "all errors at once")
	assert.Error(t, confmap.NewFromStringMap(map[string]any{"paht": "x"}).Unmarshal(createDefaultConfig()), "an unknown key")
}
