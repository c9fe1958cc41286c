// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/freeport"
)

// unprivileged is the user that the collector runs as where the tests run as root, which may read everything.
const unprivileged = 65534

// asNobody makes a product run without privileges.
func (p *product) asNobody() {
	p.t.Helper()
	if os.Getuid() != 0 {
		return
	}
	require.NoError(p.t, os.MkdirAll(p.data, 0o750))
	require.NoError(p.t, os.Chown(p.data, unprivileged, unprivileged))
	for dir := filepath.Dir(p.data); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		require.NoError(p.t, os.Chmod(dir, 0o755))
	}
	p.wrap = func(cmd *exec.Cmd) {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: unprivileged, Gid: unprivileged, NoSetGroups: false}
		cmd.Env = append(cmd.Env, "HOME="+p.data)
	}
}

// A child of the same user looks through the environments of all processes that it may read, and into the memory of the collector, for what
// only the collector was given. The search without protection shows that it would find it.
func TestChildrenDoNotReadTheCollectorsEnvironment(t *testing.T) {
	const planted = "planted-for-the-collector-alone"
	const search = `for p in /proc/[0-9]*; do
  if tr "\0" "\n" < $p/environ 2> /dev/null | grep -q "^PLANTED="; then echo "found in ${p#/proc/}"; fi
done
if env | grep -q "^PLANTED="; then echo "found in my own"; fi
echo "searched as $(id -u)"
exec sleep 600`
	for name, c := range map[string]struct {
		hide  bool
		found bool
	}{"by default": {true, false}, "without protection": {false, true}} {
		t.Run(name, func(t *testing.T) {
			script := filepath.Join(t.TempDir(), "search.sh")
			require.NoError(t, os.WriteFile(script, []byte(search), 0o644))
			t.Setenv("PLANTED", planted)
			configs := []string{"config/local.yaml", "yaml:extensions::runner::servers: [{id: spy, project: security, command: [sh, " + script + "]}]"}
			if !c.hide {
				configs = append(configs, "yaml:extensions::runner::hide_collector: false")
			}
			p := newProduct(t, configs...)
			p.asNobody()
			require.NoError(t, os.Chmod(filepath.Dir(script), 0o755))
			require.NoError(t, os.Chmod(filepath.Dir(filepath.Dir(script)), 0o755))
			p.start()
			p.waitReady()
			who := os.Getuid()
			if who == 0 {
				who = unprivileged
			}
			p.awaitCount(20*time.Second, 1, "SELECT count() FROM tailrace.otel_logs WHERE ResourceAttributes['server.id'] = 'spy' AND Body = $1", fmt.Sprintf("searched as %d", who))
			found, err := p.count("SELECT count() FROM tailrace.otel_logs WHERE ResourceAttributes['server.id'] = 'spy' AND Body = $1", fmt.Sprintf("found in %d", p.cmd.Process.Pid))
			require.NoError(t, err)
			assert.Equal(t, c.found, found == 1)
			others, err := p.count("SELECT count() FROM tailrace.otel_logs WHERE ResourceAttributes['server.id'] = 'spy' AND Body LIKE 'found in%'")
			require.NoError(t, err)
			assert.Equal(t, found, others, "another process of Tailrace has the collector's environment")
			p.stop()
		})
	}
}

// Whatever is planted as a secret, the collector prints it nowhere: not in its log at the most talkative level, not in the pages for
// debugging, the metrics, the answers to wrong requests, the API, nor in the complaint about a configuration that is wrong.
func TestSecretsAreNotShown(t *testing.T) {
	secrets := map[string]string{
		"TAILRACE_CLICKHOUSE_PASSWORD": "secret-of-clickhouse",
		"PLANTED_IDENTITY_TOKEN":       "secret-of-a-sender",
		"PLANTED_CHILD":                "secret-of-a-child",
		"PLANTED_BEARER":               "secret-of-the-exporter",
	}
	for name, value := range secrets {
		t.Setenv(name, value)
	}
	zpages, pprof, unused := freeport.Address(t), freeport.Address(t), freeport.Address(t)
	const more = `yaml:
extensions:
  zpages: {endpoint: "%s", expvar: {enabled: true}}
  pprof: {endpoint: "%s"}
  bearertokenauth: {token: "${env:PLANTED_BEARER}"}
  runner: {servers: [{id: child, project: security, command: [sh, -c, "echo started; exec sleep 600"], env: {CHILD_SECRET: "${env:PLANTED_CHILD}"}}]}
processors:
  identity: {tokens: [{token: "${env:PLANTED_IDENTITY_TOKEN}", project: security}]}
exporters:
  otlp_http: {endpoint: "http://%s", auth: {authenticator: bearertokenauth}, retry_on_failure: {initial_interval: 100ms, max_interval: 200ms, max_elapsed_time: 1s}}
service:
  extensions: [health_check, clickhouse_server, clickhouse_store, console, runner, zpages, pprof, bearertokenauth]
  telemetry: {logs: {level: debug}}
  pipelines:
    logs: {exporters: [jsonl, live_tail, otlp_http]}
    traces: {exporters: [jsonl, live_tail, otlp_http]}
`
	config := filepath.Join(t.TempDir(), "more.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, strings.TrimPrefix(more, "yaml:\n"), zpages, pprof, unused), 0o600))
	p := newProduct(t, "config/local.yaml", config)
	p.secret = secrets["TAILRACE_CLICKHOUSE_PASSWORD"]
	require.NoError(t, p.conn.Close())
	p.connect()
	p.start()
	p.waitReady()

	var shown strings.Builder
	look := func(method, url, body string, header ...string) {
		t.Helper()
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		require.NoError(t, err)
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NotEmpty(t, raw, url)
		fmt.Fprintf(&shown, "%s %s: %s %v\n%s\n", method, url, resp.Status, resp.Header, raw)
	}
	// Things happen: with a right token, a wrong one, one of another project, and an exporter that fails.
	require.NoError(t, p.sendLogs(logs("security", "right", 2), "x-tailrace-token", secrets["PLANTED_IDENTITY_TOKEN"]))
	require.NoError(t, p.sendTraces(spans("security", "right", 2), "authorization", "Bearer "+secrets["PLANTED_IDENTITY_TOKEN"]))
	require.ErrorContains(t, p.sendLogs(logs("other", "contradiction", 2), "x-tailrace-token", secrets["PLANTED_IDENTITY_TOKEN"]), "403")
	require.ErrorContains(t, p.sendLogs(logs("security", "unknown", 2), "x-tailrace-token", secrets["PLANTED_IDENTITY_TOKEN"]+"x"), "401")
	look(http.MethodPost, "http://"+p.http+"/v1/logs", "{", "Content-Type", "application/json", "x-tailrace-token", secrets["PLANTED_IDENTITY_TOKEN"])
	look(http.MethodPost, "http://"+p.http+"/v1/logs", `{"resourceLogs":[{"resource":{"attributes":[{"key":"project.id","value":{"stringValue":"other"}}]},"scopeLogs":[{"logRecords":[{}]}]}]}`,
		"Content-Type", "application/json", "x-tailrace-token", secrets["PLANTED_IDENTITY_TOKEN"])
	p.awaitCount(20*time.Second, 2, "SELECT count() FROM tailrace.otel_logs WHERE ProjectId = 'security' AND Body LIKE 'right-%'")
	p.awaitCount(20*time.Second, 1, "SELECT count() FROM tailrace.otel_logs WHERE ProjectId = 'security' AND Body = 'started'")
	_, err := p.conn.Query(t.Context(), "SELECT nonsense")
	require.Error(t, err)
	p.await(20*time.Second, "the exporter's failure", func() error {
		if p.logged("otlp_http") && p.logged("connection refused") {
			return nil
		}
		return fmt.Errorf("not in the log")
	})

	for _, page := range []string{"servicez", "pipelinez", "extensionz", "featurez", "tracez", "expvarz"} {
		look(http.MethodGet, "http://"+zpages+"/debug/"+page, "")
	}
	for _, page := range []string{"cmdline", "goroutine?debug=2", "heap?debug=1"} {
		look(http.MethodGet, "http://"+pprof+"/debug/pprof/"+page, "")
	}
	look(http.MethodGet, fmt.Sprintf("http://localhost:%d/metrics", p.metrics), "")
	look(http.MethodGet, "http://"+p.health, "")
	for _, route := range []string{"/api/v1/pipeline", "/readyz", "/api/v1/servers", "/api/v1/logs?project=security", "/api/v1/logs?unknown=x", "/api/v1/openapi.json"} {
		look(http.MethodGet, "http://"+p.tail+route, "")
	}
	look(http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/", p.chHTTP), "SELECT nonsense", "X-ClickHouse-User", "tailrace", "X-ClickHouse-Key", secrets["TAILRACE_CLICKHOUSE_PASSWORD"])
	look(http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/", p.chHTTP), "SELECT name, value FROM system.settings", "X-ClickHouse-User", "tailrace", "X-ClickHouse-Key", secrets["TAILRACE_CLICKHOUSE_PASSWORD"])

	p.stop()
	raw, err := os.ReadFile(filepath.Join(p.data, "tailrace.log"))
	require.NoError(t, err)
	require.Contains(t, string(raw), "\tdebug\t", "the log is not as talkative as it can be")
	shown.Write(raw)

	// Configurations that are wrong, where a secret stands.
	for _, wrong := range []string{
		`yaml:extensions::clickhouse_store::password: {a: "${env:TAILRACE_CLICKHOUSE_PASSWORD}"}`,
		`yaml:extensions::clickhouse_server::password: ["${env:TAILRACE_CLICKHOUSE_PASSWORD}"]`,
		`yaml:processors::identity::tokens: [{token: "${env:PLANTED_IDENTITY_TOKEN}"}]`,
		`yaml:processors::identity::tokens: [{tokn: "${env:PLANTED_IDENTITY_TOKEN}", project: p}]`,
		`yaml:processors::identity::tokens: "${env:PLANTED_IDENTITY_TOKEN}"`,
		`yaml:extensions::runner::servers: [{id: child, command: [], env: {"A=B": "${env:PLANTED_CHILD}"}}]`,
	} {
		cmd := exec.Command(p.binary, "validate", "--config", "config/local.yaml", "--config", config, "--config", wrong)
		cmd.Dir, cmd.Env = p.root, append(os.Environ(), p.environ()...)
		out, err := cmd.CombinedOutput()
		require.Error(t, err, wrong)
		require.NotEmpty(t, out)
		fmt.Fprintf(&shown, "validate %s\n%s\n", wrong, out)
	}

	for _, told := range []string{"connection refused", "UNKNOWN_IDENTIFIER", "403 Forbidden", "400 Bad Request"} {
		require.Contains(t, shown.String(), told, "what was to go wrong is not in what was searched")
	}
	for name, value := range secrets {
		for line := range strings.Lines(shown.String()) {
			assert.NotContains(t, line, value, name)
		}
	}
	t.Logf("%d bytes of output searched for %d secrets", shown.Len(), len(secrets))
}

// What docs/security.md shows for use beyond this machine, as it stands there.
func TestTLSAndTokens(t *testing.T) {
	document, err := os.ReadFile("../../docs/security.md")
	require.NoError(t, err)
	_, block, found := strings.Cut(string(document), "```yaml\n")
	require.True(t, found)
	block, _, _ = strings.Cut(block, "```")
	beyond := filepath.Join(t.TempDir(), "beyond.yaml")
	require.NoError(t, os.WriteFile(beyond, []byte(block), 0o600))
	ca, folder := newAuthority(t), t.TempDir()
	ca.write(folder, "gateway", x509.ExtKeyUsageServerAuth)
	t.Setenv("TAILRACE_TLS", folder)
	t.Setenv("SHOP_TOKEN", "the-token-of-shop")
	tm := newTeam(t)
	tm.configs = append(tm.configs, beyond)
	tm.start()
	tm.waitReady()

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool()}}}
	defer client.CloseIdleConnections()
	ask := func(method, url, body string, header ...string) (int, string, http.Header) {
		t.Helper()
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(raw), resp.Header
	}
	record := func(project, body string) string {
		return `{"resourceLogs":[{"resource":{"attributes":[{"key":"project.id","value":{"stringValue":"` + project + `"}}]},"scopeLogs":[{"logRecords":[{"timeUnixNano":"` +
			strconv.FormatInt(time.Now().UnixNano(), 10) + `","body":{"stringValue":"` + body + `"}}]}]}]}`
	}
	for name, c := range map[string]struct {
		project string
		header  []string
		want    int
	}{
		"no token":        {"shop", nil, http.StatusUnauthorized},
		"a wrong token":   {"shop", []string{"Authorization", "Bearer wrong"}, http.StatusUnauthorized},
		"another project": {"support", []string{"Authorization", "Bearer the-token-of-shop"}, http.StatusForbidden},
		"its own project": {"shop", []string{"Authorization", "Bearer the-token-of-shop"}, http.StatusOK},
	} {
		code, answer, _ := ask(http.MethodPost, "https://"+tm.http+"/v1/logs", record(c.project, name), c.header...)
		assert.Equal(t, c.want, code, "%s: %s", name, answer)
	}
	tm.awaitCount(20*time.Second, 1, "SELECT count() FROM tailrace.otel_logs WHERE Body = 'its own project' AND ProjectId = 'shop'")
	tm.awaitCount(time.Second, 1, "SELECT count() FROM tailrace.otel_logs WHERE ProjectId IN ('shop', 'support', 'default')")

	code, _, _ := ask(http.MethodGet, "https://"+tm.tail+"/api/v1/logs?project=shop", "")
	assert.Equal(t, http.StatusUnauthorized, code)
	code, answer, _ := ask(http.MethodGet, "https://"+tm.tail+"/api/v1/logs?project=shop", "", basicOf("bob")...)
	assert.Equal(t, http.StatusOK, code)
	assert.Contains(t, answer, "its own project")
	code, answer, header := ask(http.MethodPost, "https://"+tm.tail+"/api/v1/login", `{"username":"bob","password":"pw-bob"}`)
	require.Equal(t, http.StatusOK, code, answer)
	assert.Regexp(t, "^__Host-.*; Secure", header.Get("Set-Cookie"))

	// Without TLS there is no answer but that there has to be TLS, and nothing is taken.
	for _, address := range []string{tm.http, tm.tail} {
		resp, err := http.Post("http://"+address+"/v1/logs", "application/json", strings.NewReader(record("shop", "in clear")))
		if err == nil {
			assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
			resp.Body.Close()
		}
	}
	n, err := tm.count("SELECT count() FROM tailrace.otel_logs WHERE Body = 'in clear'")
	require.NoError(t, err)
	assert.Zero(t, n)
	tm.stop()
}

// Addresses that are the same in all shipped configurations but for the gateway's one door.
func TestShippedConfigurationsListenOnLoopback(t *testing.T) {
	files, err := filepath.Glob("../../config/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	address := regexp.MustCompile(`(?:endpoint|host): (?:\$\{env:[A-Z_]+:-)?([^\s}]*)`)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		found := address.FindAllStringSubmatch(string(raw), -1)
		require.Greater(t, len(found), 3, file)
		for _, m := range found {
			host, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(m[1], "tcp://"), "http://"), ":")
			if filepath.Base(file) == "gateway.yaml" && m[1] == "0.0.0.0:4317" {
				continue
			}
			assert.Contains(t, []string{"localhost", "127.0.0.1", "${env"}, host, "%s: %s", file, m[0])
		}
	}
}
