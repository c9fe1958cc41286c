// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package operations holds docs/operations to the components: what alerts and dashboards ask for exists, and each alert has its entry in the
// runbook. What the alerts decide is tested by `make test-alerts`.
package operations

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const docs = "../../docs/operations"

type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

type rules struct {
	Groups []struct {
		Rules []rule `yaml:"rules"`
	} `yaml:"groups"`
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	return raw
}

// metrics are the names under which Prometheus gets what the components measure, with their attributes.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("../../*/*/metadata.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	all := map[string][]string{}
	for _, file := range files {
		var meta struct {
			Attributes map[string]struct {
				NameOverride string `yaml:"name_override"`
			} `yaml:"attributes"`
			Telemetry struct {
				Metrics map[string]struct {
					Attributes []string `yaml:"attributes"`
				} `yaml:"metrics"`
			} `yaml:"telemetry"`
		}
		require.NoError(t, yaml.Unmarshal(read(t, file), &meta), file)
		for name, m := range meta.Telemetry.Metrics {
			var attributes []string
			for _, a := range m.Attributes {
				if override := meta.Attributes[a].NameOverride; override != "" {
					a = override
				}
				attributes = append(attributes, strings.ReplaceAll(a, ".", "_"))
			}
			all["otelcol_"+strings.ReplaceAll(name, ".", "_")] = attributes
		}
	}
	return all
}

var (
	metricName = regexp.MustCompile(`otelcol_\w+`)
	byClause   = regexp.MustCompile(`(?:by|on) \(([^)]*)\)`)
)

func TestAlerts(t *testing.T) {
	var all rules
	require.NoError(t, yaml.Unmarshal(read(t, filepath.Join(docs, "alerts.yaml")), &all))
	runbook := string(read(t, filepath.Join(docs, "runbook.md")))
	known := metrics(t)
	seen := map[string]bool{}
	for _, group := range all.Groups {
		for _, rule := range group.Rules {
			seen[rule.Alert] = true
			names := metricName.FindAllString(rule.Expr, -1)
			var labels []string
			for _, name := range names {
				assert.Contains(t, known, name, rule.Alert)
				labels = append(labels, known[name]...)
			}
			for _, by := range byClause.FindAllStringSubmatch(rule.Expr, -1) {
				for label := range strings.SplitSeq(by[1], ",") {
					if label = strings.TrimSpace(label); label != "instance" {
						assert.Contains(t, labels, label, "%s groups by what its metrics do not have", rule.Alert)
					}
				}
			}
			assert.Contains(t, []string{"critical", "warning", "info"}, rule.Labels["severity"], rule.Alert)
			assert.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
			assert.Equal(t, "runbook.md#"+strings.ToLower(rule.Alert), rule.Annotations["runbook"])
			_, entry, found := strings.Cut(runbook, "\n## "+rule.Alert+"\n")
			require.True(t, found, "the runbook has an entry for %s", rule.Alert)
			entry, _, _ = strings.Cut(entry, "\n## ")
			for _, part := range []string{"**Symptom**", "**Cause**", "**Command**"} {
				assert.Contains(t, entry, part, rule.Alert)
			}
		}
	}
	for _, entry := range regexp.MustCompile(`(?m)^## (Tailrace\w+)$`).FindAllStringSubmatch(runbook, -1) {
		assert.True(t, seen[entry[1]], "the runbook's %s is an alert", entry[1])
	}
	for _, must := range []string{"ingest_lag", "ingest_failed", "live_tail_dropped", "jsonl_pending_bytes"} { // lag, failed files, drops, disk
		assert.True(t, slices.ContainsFunc(all.Groups[0].Rules, func(r rule) bool { return strings.Contains(r.Expr, must) }), must)
	}
}

func TestDashboard(t *testing.T) {
	var board struct {
		Panels []struct {
			Type, Title, Description string
			Targets                  []struct{ Expr, LegendFormat string }
		}
	}
	require.NoError(t, json.Unmarshal(read(t, filepath.Join(docs, "grafana-dashboard.json")), &board))
	known := metrics(t)
	drawn := map[string]bool{}
	for _, panel := range board.Panels {
		if panel.Type == "row" {
			continue
		}
		assert.NotEmpty(t, panel.Description, "%s says how to read it", panel.Title)
		assert.NotEmpty(t, panel.Targets, panel.Title)
		for _, target := range panel.Targets {
			for _, name := range metricName.FindAllString(target.Expr, -1) {
				name = strings.TrimSuffix(name, "_bucket")
				drawn[name] = true
				if !strings.HasPrefix(name, "otelcol_process_") && !strings.HasPrefix(name, "otelcol_receiver_") { // the collector's own
					assert.Contains(t, known, name, panel.Title)
				}
			}
		}
	}
	for _, name := range []string{"otelcol_clickhouse_ingest_lag", "otelcol_clickhouse_ingest_failed", "otelcol_live_tail_dropped", "otelcol_jsonl_pending_bytes"} {
		assert.True(t, drawn[name], name)
	}
}
