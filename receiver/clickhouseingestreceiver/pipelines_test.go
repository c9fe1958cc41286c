// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	zapobserver "go.uber.org/zap/zaptest/observer"

	"github.com/tailrace/tailrace/receiver/clickhouseingestreceiver/internal/metadata"
)

const direct = `
exporters:
  clickhouse: {sending_queue: {enabled: false}, retry_on_failure: {enabled: false}}
service:
  pipelines:
    logs/store: {receivers: [clickhouse_ingest], exporters: [clickhouse]}
`

func conf(t *testing.T, yaml string) map[string]any {
	t.Helper()
	r, err := confmap.NewRetrievedFromYAML([]byte(yaml))
	require.NoError(t, err)
	c, err := r.AsConf()
	require.NoError(t, err)
	return c.ToStringMap()
}

func TestWhatWeakensTheGuaranteeIsFound(t *testing.T) {
	id := component.NewID(metadata.Type)
	for name, c := range map[string]struct {
		yaml string
		want []string
	}{
		"direct":       {direct, nil},
		"defaults":     {"exporters: {clickhouse: }\nservice: {pipelines: {logs: {receivers: [clickhouse_ingest], exporters: [clickhouse]}}}", []string{"exporters::clickhouse::retry_on_failure", "exporters::clickhouse::sending_queue"}},
		"a queue":      {strings.Replace(direct, "sending_queue: {enabled: false}", "sending_queue: {queue_size: 5}", 1), []string{"exporters::clickhouse::sending_queue"}},
		"batch":        {strings.Replace(direct, "exporters: [", "processors: [memory_limiter, batch/2], exporters: [", 1), []string{"service::pipelines::logs/store::processors: \"batch/2\""}},
		"not ours":     {strings.Replace(direct, "[clickhouse_ingest], exp", "[otlp], processors: [batch], exp", 1), nil},
		"another name": {strings.Replace(direct, "[clickhouse_ingest], exp", "[clickhouse_ingest/2], processors: [batch], exp", 1), nil},
		"other type":   {"exporters: {debug: }\nservice: {pipelines: {logs: {receivers: [clickhouse_ingest], exporters: [debug]}}}", nil},
		"behind a connector": {"connectors: {forward: }\n" + strings.Replace(direct, "logs/store: {receivers: [clickhouse_ingest], exporters: [clickhouse]}",
			"{a: {receivers: [clickhouse_ingest], exporters: [forward]}, b: {receivers: [forward], processors: [batch], exporters: [clickhouse, forward]}}", 1), []string{"service::pipelines::b::processors"}},
		"nonsense": {"service: {pipelines: {logs: 5}}\nexporters: 7", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "behind a connector" {
				c.yaml = strings.Replace(c.yaml, "pipelines:\n    {", "pipelines: {", 1)
			}
			got := weaknesses(conf(t, c.yaml), id)
			require.Len(t, got, len(c.want), "%v", got)
			for i := range got {
				assert.Contains(t, got[i], c.want[i])
			}
		})
	}
}

// The collector passes on what it marshals of its own types.
func TestTheCollectorsOwnFormIsUnderstood(t *testing.T) {
	type pipe struct {
		Receivers []component.ID `mapstructure:"receivers"`
		Exporters []component.ID `mapstructure:"exporters"`
	}
	type contrib struct {
		Queue configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue"`
		Retry struct {
			Enabled bool `mapstructure:"enabled"`
		} `mapstructure:"retry_on_failure"`
	}
	exporterID, id := component.MustNewIDWithName("clickhouse", "x"), component.NewID(metadata.Type)
	for want, queue := range []configoptional.Optional[exporterhelper.QueueBatchConfig]{
		configoptional.None[exporterhelper.QueueBatchConfig](), configoptional.Some(exporterhelper.QueueBatchConfig{QueueSize: 1000}),
	} {
		c := confmap.New()
		require.NoError(t, c.Marshal(map[string]any{
			"exporters": map[component.ID]component.Config{exporterID: &contrib{Queue: queue}},
			"service":   map[string]any{"pipelines": map[component.ID]*pipe{component.MustNewID("logs"): {Receivers: []component.ID{id}, Exporters: []component.ID{exporterID}}}},
		}))
		assert.Len(t, weaknesses(c.ToStringMap(), id), want, "%v", c.ToStringMap())
	}
}

type watching struct {
	*schemaTables
	conf map[string]any
}

func (w watching) CollectorConfig() map[string]any { return w.conf }

func TestAWeakenedGuaranteeIsToldAtTheStart(t *testing.T) {
	core, logs := zapobserver.New(zap.WarnLevel)
	set := receivertest.NewNopSettings(metadata.Type)
	set.Logger = zap.New(core)
	set.ID = component.NewID(metadata.Type)
	id := component.MustNewID("clickhouse_store")
	cfg := testConfig(t.TempDir())
	cfg.Store = &id
	r, err := NewFactory().CreateLogs(t.Context(), set, cfg, consumertest.NewNop())
	require.NoError(t, err)
	ext := watching{schemaTables: &schemaTables{ready: make(chan struct{})}, conf: conf(t, strings.Replace(direct, "sending_queue: {enabled: false}", "sending_queue: {enabled: true}", 1))}
	require.NoError(t, r.Start(t.Context(), extensions{id: ext}))
	require.NoError(t, r.Shutdown(context.Background()))
	require.Equal(t, 1, logs.FilterMessageSnippet("guarantee").Len())
	assert.Contains(t, logs.FilterMessageSnippet("guarantee").All()[0].ContextMap()["what"], "set sending_queue::enabled: false")
}
