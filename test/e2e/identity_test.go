// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/freeport"
)

// An app that builds its resource in code is known by the token that its exporter reads from the environment; one that
// takes no header either by the receiver that docs/identity.md gives it.
func TestAppsThatIgnoreTheEnvironmentAreIdentified(t *testing.T) {
	doc, err := os.ReadFile("../../docs/identity.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(doc), -1)
	require.Len(t, blocks, 2)
	legacy := filepath.Join(t.TempDir(), "legacy.yaml")
	require.NoError(t, os.WriteFile(legacy, []byte(blocks[1][1]), 0o600))

	own := freeport.Address(t)
	t.Setenv("LEGACY_OTLP", own)
	app := func(endpoint string) string {
		return fmt.Sprintf("[node, send.mjs, --endpoint, 'http://%s', --spans, '20']", endpoint)
	}
	config := withServers(t, `
      - {id: app-1, project: apps, deployment: app, command: `+app("${env:TAILRACE_OTLP_HTTP}")+`, dir: test/e2e/sdk}
      - {id: deaf-1, project: elsewhere, command: `+app(own)+`, dir: test/e2e/sdk, env: {OTEL_EXPORTER_OTLP_HEADERS: ""}}
`)
	p := startProduct(t, config, legacy)
	p.awaitCount(60*time.Second, 20, `SELECT count() FROM tailrace.otel_traces WHERE ResourceAttributes['project.id'] = 'apps'
 AND ResourceAttributes['deployment.id'] = 'app' AND ResourceAttributes['server.id'] = 'app-1' AND ServiceName = 'e2e-third-party-app'`)
	p.awaitCount(60*time.Second, 20, `SELECT count() FROM tailrace.otel_traces WHERE ResourceAttributes['project.id'] = 'legacy'
 AND ResourceAttributes['server.id'] = 'legacy-1' AND ServiceName = 'e2e-third-party-app'`)
	n, err := p.count("SELECT count() FROM tailrace.otel_traces")
	require.NoError(t, err)
	assert.EqualValues(t, 40, n)
	byToken, err := p.metric("otelcol_identity_records", `source="token"`, `traces`)
	require.NoError(t, err)
	assert.EqualValues(t, 20, byToken)
	p.stop()
}
