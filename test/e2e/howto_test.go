// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/docblocks"
)

// guide says what a page of docs/how-to needs to be run, and which of its commands are not run as they stand.
type guide struct {
	// start starts what the page takes for granted; nil: one Tailrace.
	start func(*reader)
	// instead is what the test does in the place of a block, by the beginning of the block.
	instead map[string]func(*reader)
	// notHere is why a block can't be run on this machine, by the beginning of the block.
	notHere map[string]string
}

const (
	noCluster = "needs a cluster and a registry of images; `make check-helm` renders the chart with the values of the page"
	noPyPI    = "needs packages of the Python Package Index, which the machines of the tests can't reach"
	asRoot    = "needs root and a systemd of its own: TestHowToSystemd of test/package runs it"
)

var guides = map[string]guide{
	"node.md": {}, "go.md": {},
	"python.md": {notHere: map[string]string{
		"python3 -m venv": noPyPI, "export OTEL_EXPORTER_OTLP_ENDPOINT": noPyPI, "tailctl tail --project shop --server jobs-1": noPyPI,
	}},
	"run-processes.md": {start: func(r *reader) { r.product = newProduct(r.t) }, instead: map[string]func(*reader){
		"tailrace --config config/otlp-only.yaml --config mine.yaml": func(r *reader) {
			r.run("config/otlp-only.yaml", r.path("mine.yaml"))
		},
	}},
	"systemd.md": {start: noProduct, notHere: map[string]string{
		"sudo apt-get install": asRoot, "echo 'TAILRACE_OTLP_HTTP": asRoot, "sudo install -d": asRoot, "systemctl is-active": asRoot,
	}},
	"kubernetes.md": {start: noProduct, notHere: map[string]string{
		"docker build": noCluster, "helm install": noCluster, "kubectl --namespace telemetry create secret": noCluster, "kubectl --namespace telemetry port-forward": noCluster,
	}},
	"agents-and-gateway.md": {start: func(r *reader) { r.product = newProduct(r.t) }, instead: map[string]func(*reader){
		"tailrace --config config/gateway.yaml": startGateway, "tailrace --config config/agent.yaml": startAgent,
	}},
	"users-and-tokens.md": {start: func(r *reader) { r.product = newProduct(r.t) }, instead: map[string]func(*reader){
		"tailrace --config config/team.yaml": func(r *reader) {
			r.t.Setenv("TAILRACE_HTPASSWD", r.path("data/htpasswd"))
			r.t.Setenv("TAILRACE_RULES", r.path("data/rules.yaml"))
			r.run("config/team.yaml")
		},
	}},
	"grafana.md": {}, "migrate-envelope-files.md": {},
	"contrib-tables.md": {start: startContrib, instead: map[string]func(*reader){
		"tailrace --config config/otlp-only.yaml --config store.yaml": startOnContrib,
	}},
}

func noProduct(*reader) {}

// TestHowTo runs the guides as a reader does, page by page, from their text alone.
func TestHowTo(t *testing.T) {
	pages, err := filepath.Glob("../../docs/how-to/*.md")
	require.NoError(t, err)
	names := slices.Sorted(maps.Keys(guides))
	var found []string
	for _, page := range pages {
		if name := filepath.Base(page); name != "README.md" {
			found = append(found, name)
		}
	}
	require.Equal(t, found, names, "guides and docs/how-to differ")
	for _, name := range names {
		t.Run(strings.TrimSuffix(name, ".md"), func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("../../docs/how-to", name))
			require.NoError(t, err)
			read(t, string(text), guides[name])
		})
	}
}

func read(t *testing.T, page string, g guide) {
	r := &reader{t: t}
	if g.start != nil {
		g.start(r)
	} else {
		r.product = newProduct(t)
		r.run("config/otlp-only.yaml")
	}
	if r.product != nil {
		r.shell = newShell(t, r.product)
	}
	used, ran := map[string]bool{}, 0
	for _, b := range docblocks.Read(page) {
		if start, why := of(g.notHere, b.Commands); start != "" {
			used[start] = true
			t.Logf("not run: %s: %s", start, why)
			continue
		}
		if start, do := of(g.instead, b.Commands); start != "" {
			used[start] = true
			do(r)
			continue
		}
		ran++
		r.shell.expect(b, r.addresses())
	}
	assert.Len(t, used, len(g.instead)+len(g.notHere), "an exception names a block that the page does not have")
	require.True(t, ran > 0 || len(g.notHere) > 0)
}

// of finds the entry whose key a block begins with.
func of[T any](entries map[string]T, commands string) (start string, value T) {
	for start, value := range entries {
		if strings.HasPrefix(commands, start) {
			return start, value
		}
	}
	return "", value
}

// reader is who follows a page.
type reader struct {
	t       *testing.T
	product *product // what the addresses of the page are of
	shell   *shell
	gateway *product // of agents-and-gateway.md
}

func (r *reader) run(configs ...string) {
	r.product.configs = configs
	r.product.start()
	r.product.waitReady()
}

// path is that of a file that the page made.
func (r *reader) path(name string) string { return filepath.Join(filepath.Dir(r.product.data), name) }

// addresses are the test's in the place of the default ones.
func (r *reader) addresses() *strings.Replacer {
	p := r.product
	console, clickhouse := p.tail, p.chHTTP
	grpc, tcp := p.grpc, p.chTCP
	if r.gateway != nil {
		console, grpc = r.gateway.tail, r.gateway.grpc
	}
	return strings.NewReplacer("localhost:4317", grpc, "localhost:4318", p.http, "localhost:4400", console,
		"localhost:4423", net.JoinHostPort("localhost", strconv.Itoa(clickhouse)), "localhost:4490", net.JoinHostPort("localhost", strconv.Itoa(tcp)),
		"localhost:8888", net.JoinHostPort("localhost", strconv.Itoa(p.metrics)))
}

// startGateway starts the gateway with the certificates of the page.
func startGateway(r *reader) {
	for name, use := range map[string]x509.ExtKeyUsage{"gateway": x509.ExtKeyUsageServerAuth, "agent": x509.ExtKeyUsageClientAuth} {
		cert := readCertificate(r.t, r.path("tls/"+name+".pem"))
		require.Equal(r.t, []x509.ExtKeyUsage{use}, cert.ExtKeyUsage, name)
	}
	r.t.Setenv("TAILRACE_TLS", r.path("tls"))
	r.gateway = newProduct(r.t, "config/gateway.yaml")
	r.gateway.http = r.gateway.grpc // as in startPair
	r.gateway.start()
	r.gateway.waitReady()
	r.shell.run(fmt.Sprintf("export TAILRACE_CONSOLE=%s", r.gateway.tail))
}

func readCertificate(t *testing.T, file string) *x509.Certificate {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	block, _ := pem.Decode(text)
	require.NotNil(t, block, file)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return cert
}

func startAgent(r *reader) {
	r.t.Setenv("TAILRACE_GATEWAY", strings.Replace(r.gateway.grpc, "127.0.0.1", "localhost", 1))
	r.product.configs = []string{"config/agent.yaml"}
	r.product.start()
	r.product.await(30*time.Second, "healthy", r.product.healthy)
}

// Of somebody who has contrib's exporter: a ClickHouse, and a collector that makes its tables in there.
const (
	someClickHouse = `
extensions:
  health_check: {endpoint: "${env:TAILRACE_HEALTH}"}
  clickhouse_server:
    path: ${env:TAILRACE_DATA}/clickhouse
    tcp_port: ${env:TAILRACE_CLICKHOUSE_TCP}
    http_port: ${env:TAILRACE_CLICKHOUSE_HTTP}
    password: ${env:TAILRACE_CLICKHOUSE_PASSWORD}
    database: otel
receivers: {otlp: {protocols: {http: {endpoint: "${env:TAILRACE_OTLP_HTTP}"}}}}
exporters: {debug: {}}
service:
  extensions: [health_check, clickhouse_server]
  telemetry: {metrics: {level: none}}
  pipelines: {logs: {receivers: [otlp], exporters: [debug]}}`
	contribCollector = `
extensions: {health_check: {endpoint: "${env:TAILRACE_HEALTH}"}}
receivers: {otlp: {protocols: {http: {endpoint: "${env:TAILRACE_OTLP_HTTP}"}}}}
exporters:
  clickhouse:
    endpoint: tcp://127.0.0.1:${env:TAILRACE_CLICKHOUSE_TCP}
    database: otel
    username: tailrace
    password: ${env:TAILRACE_CLICKHOUSE_PASSWORD}
    create_schema: true
    sending_queue: {enabled: false}
service:
  extensions: [health_check]
  telemetry: {metrics: {level: none}}
  pipelines:
    logs: {receivers: [otlp], exporters: [clickhouse]}
    traces: {receivers: [otlp], exporters: [clickhouse]}
    metrics: {receivers: [otlp], exporters: [clickhouse]}`
)

// startContrib makes a database with contrib's exporter, and a row in it. The ClickHouse goes on, the exporter has ended.
func startContrib(r *reader) {
	start := func(config string) *product {
		file := filepath.Join(r.t.TempDir(), "config.yaml")
		require.NoError(r.t, os.WriteFile(file, []byte(config), 0o600))
		p := newProduct(r.t, file)
		if r.product != nil {
			p.useClickHouseOf(r.product)
		}
		p.start()
		p.await(60*time.Second, "healthy", p.healthy)
		p.await(60*time.Second, "ClickHouse", func() error { return p.conn.Ping(r.t.Context()) })
		return p
	}
	r.product = start(someClickHouse)
	old := start(contribCollector)
	record := fmt.Sprintf(`{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "%d", "body": {"stringValue": "from contrib"}}]}]}]}`, time.Now().UnixNano())
	require.NoError(r.t, acknowledged(old.post("/v1/logs", "application/json", []byte(record))))
	old.awaitCount(30*time.Second, 1, "SELECT count() FROM otel.otel_logs")
	old.stop()

	p := newProduct(r.t, "config/otlp-only.yaml")
	p.useClickHouseOf(r.product)
	r.product = p
}

// useClickHouseOf makes another one's ClickHouse that of p.
func (p *product) useClickHouseOf(other *product) {
	_ = p.conn.Close()
	p.chTCP, p.chHTTP = other.chTCP, other.chHTTP
	p.connect()
}

// startOnContrib starts Tailrace on that database, and ends it again where that was only to see what would be done.
func startOnContrib(r *reader) {
	text, err := os.ReadFile(r.path("store.yaml"))
	require.NoError(r.t, err)
	p := r.product
	p.configs = []string{"config/otlp-only.yaml", r.path("store.yaml")}
	p.start()
	if strings.Contains(string(text), "dry_run") {
		p.await(30*time.Second, "a dry run", func() error {
			if !p.logged("dry_run: would run") || !p.logged("the database is left as it is") {
				return errors.New("no statements in the log")
			}
			return nil
		})
		p.kill() // the collector listens to signals only a moment after it says that it is ready
		n, err := p.count("SELECT count() FROM system.columns WHERE database = 'otel' AND name = 'ProjectId'")
		require.NoError(r.t, err)
		require.Zero(r.t, n, "a dry run changed something")
		return
	}
	p.awaitCount(60*time.Second, 1, "SELECT count() FROM otel.otel_logs WHERE ProjectId = '' OR ProjectId != ''")
}
