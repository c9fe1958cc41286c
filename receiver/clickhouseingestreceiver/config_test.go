// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
)

func TestConfigOfTheUser(t *testing.T) {
	conf, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	for name, want := range map[string]*Config{
		"clickhouse_ingest": createDefaultConfig().(*Config),
		"clickhouse_ingest/all": {
			Path: "/data/jsonl", StatePath: "/var/lib/ingest",
			Batch:        BatchConfig{MaxRecords: 50_000, MaxBytes: 1 << 24, MaxDelay: time.Second, MetricsMaxDelay: 2 * time.Second},
			PollInterval: 2 * time.Second, AfterIngest: "delete", MaxLineBytes: 1 << 20, ShutdownTimeout: 3 * time.Second,
			Retain: RetainConfig{MaxAge: 24 * time.Hour, MaxBytes: 1 << 30}, TokenWindow: 10 * time.Minute,
		},
	} {
		sub, err := conf.Sub(name)
		require.NoError(t, err)
		cfg := createDefaultConfig()
		require.NoError(t, sub.Unmarshal(cfg))
		require.NoError(t, confmap.Validate(cfg))
		assert.Equal(t, want, cfg)
	}
}

func TestWrongConfigNamesEveryKeyAndWhatIsAllowed(t *testing.T) {
	err := confmap.Validate(&Config{AfterIngest: "keep", ShutdownTimeout: -1, TokenWindow: -1, Retain: RetainConfig{MaxAge: -1, MaxBytes: -1}})
	for _, want := range []string{
		`path: "" is not allowed, it must be the folder of the segments`, "batch::max_records: 0 is not allowed, it must be between 1 and",
		"batch::max_bytes", "poll_interval", `after_ingest: "keep" is not allowed, it must be "move" or "delete"`, "max_line_bytes", "shutdown_timeout",
		"token_window", "retain::max_age", "retain::max_bytes",
	} {
		require.ErrorContains(t, err, want)
	}
}
