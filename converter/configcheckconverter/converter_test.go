// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package configcheckconverter

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/configcheck"
)

// provider reads a configuration as the collector's provider of the same scheme does.
type provider struct {
	scheme string
	read   func(rest string) ([]byte, error)
}

func (p provider) Retrieve(_ context.Context, uri string, _ confmap.WatcherFunc) (*confmap.Retrieved, error) {
	text, err := p.read(strings.TrimPrefix(uri, p.scheme+":"))
	if err != nil {
		return nil, err
	}
	return confmap.NewRetrievedFromYAML(text)
}

func (p provider) Scheme() string                 { return p.scheme }
func (p provider) Shutdown(context.Context) error { return nil }

func (p provider) factory() confmap.ProviderFactory {
	return confmap.NewProviderFactory(func(confmap.ProviderSettings) confmap.Provider { return p })
}

// resolve does what the collector does with its command line: merge, expand, convert.
func resolve(t testing.TB, uris ...string) (*confmap.Conf, error) {
	t.Helper()
	var args []string
	for _, uri := range uris {
		args = append(args, "--config", uri)
	}
	r, err := confmap.NewResolver(confmap.ResolverSettings{
		URIs: uris,
		ProviderFactories: []confmap.ProviderFactory{
			provider{"file", os.ReadFile}.factory(),
			provider{"yaml", func(text string) ([]byte, error) { return []byte(text), nil }}.factory(),
			provider{"env", func(rest string) ([]byte, error) {
				name, value, _ := strings.Cut(rest, ":-")
				if set, ok := os.LookupEnv(name); ok {
					value = set
				}
				return []byte(value), nil
			}}.factory(),
		},
		DefaultScheme: "env",
		ConverterFactories: []confmap.ConverterFactory{confmap.NewConverterFactory(func(set confmap.ConverterSettings) confmap.Converter {
			return newConverter(set.Logger, args)
		})},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Shutdown(context.Background()) })
	return r.Resolve(context.Background())
}

func TestShippedConfigurationsPass(t *testing.T) {
	t.Setenv("TAILRACE_CLICKHOUSE_PASSWORD", "0123") // as a number that would be another one
	files, err := filepath.Glob("../../config/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		_, err := resolve(t, file)
		assert.NoError(t, err)
	}
}

func TestMistakes(t *testing.T) {
	const file = "../../config/otlp-only.yaml"
	for name, c := range map[string]struct {
		overlay  string
		password string
		want     []string
	}{
		"unknown key": {"exporters: {jsonl: {pathh: /tmp}}", "secret", []string{
			`overlay.yaml:1: exporters::jsonl::pathh: unknown key; allowed: path, encoding, compression, sync, fsync_interval, max_line_bytes, rotation, max_open_files, max_disk_bytes, on_full (did you mean "path"?)`}},
		"unknown key of a server": {"exporters:\n  live_tail:\n    http: {enpoint: x}", "secret", []string{
			`overlay.yaml:3: exporters::live_tail::http::enpoint: unknown key; allowed: dialer, endpoint, `}},
		"unknown key of a section": {"exporters:\n  jsonl:\n    max_age: 3s", "secret", []string{
			`overlay.yaml:3: exporters::jsonl::max_age: unknown key; allowed: path, encoding, compression, sync, fsync_interval, max_line_bytes, rotation, max_open_files, max_disk_bytes, on_full (did you mean "rotation::max_age"?)`}},
		"wrong value": {"exporters:\n  jsonl:\n    sync: sometimes", "secret", []string{
			`overlay.yaml:3: exporters::jsonl::sync: "sometimes" is not known; allowed: write, batch`}},
		"wrong duration": {"receivers: {clickhouse_ingest: {poll_interval: soon}}", "secret", []string{
			`overlay.yaml:1: receivers::clickhouse_ingest::poll_interval: "soon" is not a duration; write one such as 10s or 250ms`}},
		"of the environment": {"receivers:\n  clickhouse_ingest:\n    poll_interval: ${env:TAILRACE_CLICKHOUSE_PASSWORD}", "later", []string{
			`overlay.yaml:3: receivers::clickhouse_ingest::poll_interval: "later" is not a duration`}},
		"no password": {"", "", []string{
			`otlp-only.yaml:13: extensions::clickhouse_server::password: is required`}},
		"several, in the order of their places": {"processors:\n  identity: {on_unknown_token: shrug, tokens: [{tokn: x}]}\nextensions:\n  clickhouse_server: {tcp_port: many, max_server_memory_usage: lots}", "secret", []string{
			`overlay.yaml:2: processors::identity::on_unknown_token: "shrug" is not allowed: refuse or ignore`,
			`overlay.yaml:2: processors::identity::tokens[0]::tokn: unknown key; allowed: token, project, deployment, server, build (did you mean "token"?)`,
			`overlay.yaml:4: extensions::clickhouse_server::max_server_memory_usage: "lots"`,
			`overlay.yaml:4: extensions::clickhouse_server::tcp_port: "many" is not a whole number`}},
		"not used, refused by the collector too": {"exporters:\n  jsonl/unused:\n    sync: never", "secret", []string{
			`overlay.yaml:3: exporters::jsonl/unused::sync: "never" is not known`}},
		"a server of the runner": {"extensions:\n  runner:\n    servers:\n      - id: web\n        comand: [node]", "secret", []string{
			`overlay.yaml:5: extensions::runner::servers[0]::comand: unknown key; allowed: id, project,`}},
		"an optional of another module": {"extensions:\n  clickhouse_store:\n    tls:\n      ca_fil: x", "secret", []string{
			`overlay.yaml:4: extensions::clickhouse_store::tls::ca_fil: unknown key; allowed: `}},
		"the server of another module": {"exporters:\n  live_tail:\n    http:\n      read_timeout: x\n    ring:\n      records: 0", "secret", []string{
			`overlay.yaml:4: exporters::live_tail::http::read_timeout: "x" is not a duration`,
			`overlay.yaml:6: exporters::live_tail::ring::records: 0 must be from 1 to 10000000`}},
		"a secret stays one": {"processors:\n  identity:\n    tokens:\n      - token: [hunter2]", "secret", []string{
			`overlay.yaml:4: processors::identity::tokens[0]::token: a list is not text`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TAILRACE_CLICKHOUSE_PASSWORD", c.password)
			overlay := filepath.Join(t.TempDir(), "overlay.yaml")
			require.NoError(t, os.WriteFile(overlay, []byte(c.overlay), 0o600))
			_, err := resolve(t, file, overlay)
			require.Error(t, err)
			lines := strings.Split(err.Error(), "\n")[1:]
			require.Len(t, lines, len(c.want), err.Error())
			for i, want := range c.want {
				assert.Contains(t, lines[i], want)
			}
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
}

// TestNoMoreThanTheCollectorRefuses: components of others are the collector's business.
func TestNoMoreThanTheCollectorRefuses(t *testing.T) {
	t.Setenv("TAILRACE_CLICKHOUSE_PASSWORD", "secret")
	_, err := resolve(t, "../../config/otlp-only.yaml", "yaml:exporters: {jsonll: {pathh: x}, debug: {nope: x}}")
	assert.NoError(t, err)
}

func TestFactory(t *testing.T) {
	c := NewFactory().Create(confmap.ConverterSettings{Logger: zap.NewNop()})
	conf := confmap.NewFromStringMap(map[string]any{"exporters": map[string]any{"jsonl": map[string]any{"path": "x"}, "debug": nil}})
	before := conf.ToStringMap()
	require.NoError(t, c.Convert(context.Background(), conf))
	assert.Equal(t, before, conf.ToStringMap())

	conf = confmap.NewFromStringMap(map[string]any{"exporters": map[string]any{"jsonl": map[string]any{"pathh": "x"}}})
	err := c.Convert(context.Background(), conf)
	require.ErrorContains(t, err, "\nexporters::jsonl::pathh: unknown key")
}

// broken panics when anything is asked of it.
type broken struct{ component.Factory }

func TestPanicStopsNoStart(t *testing.T) {
	c := newConverter(zap.NewNop(), nil)
	c.sections = []configcheck.Section{{Name: "exporters", Factories: []component.Factory{broken{}}}}
	assert.NoError(t, c.Convert(context.Background(), confmap.NewFromStringMap(map[string]any{"exporters": map[string]any{"jsonl": nil}})))
}

func BenchmarkConvert(b *testing.B) {
	b.Setenv("TAILRACE_CLICKHOUSE_PASSWORD", "secret")
	conf, err := resolve(b, "../../config/local.yaml")
	require.NoError(b, err)
	c := newConverter(zap.NewNop(), nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Convert(context.Background(), conf); err != nil {
			b.Fatal(err)
		}
	}
}
