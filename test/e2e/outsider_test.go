// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Anyone can build a collector of their own from single components of this module.
func TestOutsiderBuildsWithTwoComponents(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	manifest := fmt.Sprintf(`
dist: {name: outsider, module: example.com/outsider, output_path: ./src}
receivers:
  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver v0.161.0
exporters:
  - gomod: github.com/tailrace/tailrace v0.0.0
    import: github.com/tailrace/tailrace/exporter/jsonlexporter
  - gomod: github.com/tailrace/tailrace v0.0.0
    import: github.com/tailrace/tailrace/exporter/livetailexporter
providers:
  - gomod: go.opentelemetry.io/collector/confmap/provider/envprovider v1.67.0
  - gomod: go.opentelemetry.io/collector/confmap/provider/fileprovider v1.67.0
replaces:
  - github.com/tailrace/tailrace => %s
`, root)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "manifest.yaml"), []byte(manifest), 0o600))
	run := func(dir, name string, args ...string) {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s %v: %s", name, args, out)
	}
	run(filepath.Join(root, "internal/tools"), "go", "build", "-o", filepath.Join(dir, "ocb"), "go.opentelemetry.io/collector/cmd/builder")
	run(dir, "./ocb", "--config", "manifest.yaml")

	p := newProduct(t)
	config := fmt.Sprintf(`
receivers: {otlp: {protocols: {http: {endpoint: %q}}}}
exporters:
  jsonl: {path: %q}
  live_tail: {http: {endpoint: %q}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    logs: {receivers: [otlp], exporters: [jsonl, live_tail]}
`, p.http, filepath.Join(p.data, "jsonl"), p.tail)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config), 0o600))
	p.binary, p.configs = filepath.Join(dir, "src", "outsider"), []string{filepath.Join(dir, "config.yaml")}
	p.start()
	p.await(20*time.Second, "a log accepted", func() error { return p.sendLogs(logs("out", "first", 1)) })
	v := p.watch("logs:out")
	require.NoError(t, p.sendLogs(logs("out", "second", 1)))
	v.await("the second log", ofType("log"))
	p.stop()
	require.NotEmpty(t, p.files(".jsonl"))
	require.Empty(t, p.files(".jsonl.open"))
}
