// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package objectstoreextension

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
)

func loadConfig(t *testing.T, name string) (*Config, error) {
	t.Helper()
	all, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	sub, err := all.Sub(name)
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, sub.Unmarshal(cfg))
	return cfg, confmap.Validate(cfg)
}

func TestConfig(t *testing.T) {
	cfg, err := loadConfig(t, "object_store/edge")
	require.NoError(t, err)
	assert.Equal(t, 8, cfg.Concurrency)
	assert.Equal(t, &UploadConfig{PollInterval: time.Second, AfterUpload: "move", ShutdownTimeout: 10 * time.Second}, cfg.Upload.Get())
	assert.False(t, cfg.Download.HasValue())

	cfg, err = loadConfig(t, "object_store/centre")
	require.NoError(t, err)
	assert.Equal(t, &DownloadConfig{PollInterval: 10 * time.Second, AfterLoad: "move", MaxPendingBytes: 1 << 30}, cfg.Download.Get())
	assert.False(t, cfg.Upload.HasValue())
}

func TestConfigErrorsNameTheKey(t *testing.T) {
	for name, want := range map[string][]string{
		"nothing":  {"bucket: must be the bucket's URL", "upload, download: give exactly one"},
		"both":     {"upload, download: give exactly one"},
		"password": {"bucket: the URL holds a user or a password", "upload::poll_interval", "upload::after_upload", "upload::shutdown_timeout"},
		"nameless": {"names no bucket"},
		"wrong": {
			`bucket: the scheme "ftp" is not known`, "prefix:", "path:", "concurrency:", "timeout:", "retry_max_interval:",
			"download::poll_interval", "download::after_load", "download::max_pending_bytes",
		},
	} {
		_, err := loadConfig(t, "object_store/"+name)
		for _, w := range want {
			require.ErrorContains(t, err, w, name)
		}
		assert.NotContains(t, err.Error(), "user:password")
	}
}
