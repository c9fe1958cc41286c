// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const metricRows = `SELECT sum(n) FROM (
 SELECT count() AS n FROM tailrace.otel_metrics_gauge WHERE ResourceAttributes['project.id'] = $1
 UNION ALL SELECT count() FROM tailrace.otel_metrics_sum WHERE ResourceAttributes['project.id'] = $1
 UNION ALL SELECT count() FROM tailrace.otel_metrics_histogram WHERE ResourceAttributes['project.id'] = $1)`

// The shipped configuration with its example does the whole job: files appear, are ingested, rows of both projects
// are in ClickHouse, the live tail streams lines and spans, and Ctrl-C leaves nothing behind.
func TestLocalConfigWithExample(t *testing.T) {
	p := startProduct(t, "config/local.yaml")
	server := p.watch("server:shop-agent-1")
	project := p.watch("project:shop")

	atLeastOne := func(query string, args ...any) func() error {
		return func() error {
			n, err := p.count(query, args...)
			if err == nil && n == 0 {
				err = fmt.Errorf("no rows for %s %v", query, args)
			}
			return err
		}
	}
	for _, name := range []string{"shop", "support"} {
		p.await(20*time.Second, "spans of "+name, atLeastOne("SELECT count() FROM tailrace.otel_traces WHERE ResourceAttributes['project.id'] = $1 AND ResourceAttributes['server.id'] != ''", name))
		p.await(20*time.Second, "lines of "+name, atLeastOne("SELECT count() FROM tailrace.otel_logs WHERE ResourceAttributes['project.id'] = $1 AND LogAttributes['log.iostream'] = 'stdout'", name))
		p.await(20*time.Second, "metrics of "+name, atLeastOne(metricRows, name))
		p.await(30*time.Second, "memory of the process tree of "+name, atLeastOne("SELECT count() FROM tailrace.otel_metrics_sum WHERE ResourceAttributes['project.id'] = $1 AND MetricName = 'process.memory.usage' AND ServiceName != ''", name))
		p.await(20*time.Second, "scores of "+name, atLeastOne("SELECT count() FROM tailrace.otel_logs WHERE ResourceAttributes['project.id'] = $1 AND EventName = 'gen_ai.evaluation.result'", name))
	}
	line := server.await("a line of the server", ofType("server:log"))
	assert.Equal(t, "shop-agent-1", line.field("serverId"))
	assert.Contains(t, []string{"stdout", "stderr"}, line.field("stream"))
	health := server.await("a health report with details", func(m message) bool {
		return m.Type == "server:health" && m.field("status") == "healthy" && strings.Contains(string(m.Payload), "memoryUsageMb")
	})
	assert.Equal(t, "shop-agent-1", health.field("serverId"))
	span := project.await("a span of the project", ofType("span:ended"))
	assert.Equal(t, "shop", span.field("project"))
	p.await(20*time.Second, "processed files", func() error {
		for _, f := range p.files(".jsonl") {
			if strings.Contains(f, "/processed/") {
				return nil
			}
		}
		return fmt.Errorf("none in %v", p.files(".jsonl"))
	})
	t.Logf("collector: %.0f MiB resident", p.residentMiB())

	p.stop()
	p.awaitGone(5 * time.Second)
	assert.Empty(t, p.files(".jsonl.open"), "segments that were not published")
	assert.Empty(t, p.files(".failed"), "quarantined")

	// The children's last words, printed after SIGTERM, are in the files or already in ClickHouse.
	p.start()
	p.waitReady()
	p.await(10*time.Second, "last words", atLeastOne("SELECT count() FROM tailrace.otel_logs WHERE ResourceAttributes['server.id'] = 'shop-agent-1' AND Body ILIKE '%last words%'"))
	p.stop()
}

func TestOTLPOnlyConfig(t *testing.T) { fillWithoutChildren(t, "config/otlp-only.yaml") }

// The same with contrib's exporter.
func TestContribClickHouseConfig(t *testing.T) {
	fillWithoutChildren(t, "config/contrib-clickhouse.yaml")
}

func fillWithoutChildren(t *testing.T, config string) {
	t.Helper()
	p := startProduct(t, config)
	require.NoError(t, p.sendTraces(spans("solo", "s", 3)))
	require.NoError(t, p.sendLogs(logs("solo", "l", 4)))
	require.NoError(t, p.sendMetrics(gauges("solo", "g", 5)))
	p.awaitCount(10*time.Second, 3, "SELECT count() FROM tailrace.otel_traces")
	p.awaitCount(10*time.Second, 4, "SELECT count() FROM tailrace.otel_logs")
	p.awaitCount(10*time.Second, 5, "SELECT count() FROM tailrace.otel_metrics_gauge")
	p.stop()
}

func readConfig(t *testing.T, name string) map[string]any {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../../config", name))
	require.NoError(t, err)
	var config map[string]any
	require.NoError(t, yaml.Unmarshal(raw, &config))
	return config
}

func sub(m map[string]any, path ...string) map[string]any {
	for _, key := range path {
		m = m[key].(map[string]any)
	}
	return m
}

// The shipped configurations must not drift apart: this one differs by its exporter alone, and by smaller batches for it.
func TestContribClickHouseIsOTLPOnlyWithAnotherExporter(t *testing.T) {
	contrib, otlpOnly := readConfig(t, "contrib-clickhouse.yaml"), readConfig(t, "otlp-only.yaml")
	require.Contains(t, sub(otlpOnly, "exporters"), "clickhouse_columnar")
	sub(otlpOnly, "exporters")["clickhouse"] = sub(contrib, "exporters")["clickhouse"]
	delete(sub(otlpOnly, "exporters"), "clickhouse_columnar")
	sub(otlpOnly, "receivers", "clickhouse_ingest")["batch"] = map[string]any{"max_bytes": 16 << 20}
	for _, signal := range []string{"traces", "logs", "metrics"} {
		sub(otlpOnly, "service", "pipelines", signal+"/store")["exporters"] = []any{"clickhouse"}
	}
	assert.Equal(t, otlpOnly, contrib)
}

// One is the other without child processes.
func TestOTLPOnlyIsLocalWithoutChildren(t *testing.T) {
	local, otlpOnly := readConfig(t, "local.yaml"), readConfig(t, "otlp-only.yaml")
	delete(sub(local, "extensions"), "runner")
	delete(sub(local, "receivers"), "runner_log")
	sub(local, "processors")["identity"] = map[string]any{}
	sub(local, "service")["extensions"] = []any{"health_check", "clickhouse_server", "clickhouse_store", "console"}
	for _, signal := range []string{"logs", "metrics"} {
		sub(local, "service", "pipelines", signal)["receivers"] = []any{"otlp"}
	}
	assert.Equal(t, otlpOnly, local)
}

// The package's configuration is that without what shows files come and go.
func TestServiceConfigIsOTLPOnly(t *testing.T) {
	otlpOnly := readConfig(t, "otlp-only.yaml")
	delete(sub(otlpOnly, "exporters", "jsonl"), "rotation")
	assert.Equal(t, otlpOnly, readConfig(t, "service.yaml"))
}

// The gateway is the same with another door.
func TestGatewayIsOTLPOnlyWithCertificates(t *testing.T) {
	otlpOnly, gateway := readConfig(t, "otlp-only.yaml"), readConfig(t, "gateway.yaml")
	require.Contains(t, sub(gateway, "receivers", "otlp", "protocols", "grpc", "tls"), "client_ca_file")
	sub(otlpOnly, "receivers")["otlp"] = sub(gateway, "receivers")["otlp"]
	assert.Equal(t, otlpOnly, gateway)
}
