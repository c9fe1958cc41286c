// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
)

// watchesConfig is what the clickhouse_store extension offers to look at the collector's configuration.
type watchesConfig interface {
	// CollectorConfig is the effective configuration; nil when it is not known. It must not be changed.
	CollectorConfig() map[string]any
}

// Processors that hold data back, so that their answer is not the store's.
var holdsBack = []string{"batch", "groupbytrace", "tail_sampling", "interval", "cumulativetodelta"}

// weaknesses lists what stands between the receiver and the store that answers before the store did, or cuts
// batches anew: the guarantee of exactly once ends there. Each names the key and the way out.
func weaknesses(conf map[string]any, receiver component.ID) (found []string) {
	pipelines := child(child(conf, "service"), "pipelines")
	seen := map[string]bool{}
	var follow func(source string)
	follow = func(source string) {
		for _, name := range sortedKeys(pipelines) {
			p := child(pipelines, name)
			if seen[name] || !slices.Contains(list(p["receivers"]), source) {
				continue
			}
			seen[name] = true
			for _, id := range list(p["processors"]) {
				if typ := typeOf(id); slices.Contains(holdsBack, typ) {
					found = append(found, fmt.Sprintf("service::pipelines::%s::processors: %q answers before the data is stored and cuts batches anew; "+
						"remove it, the receiver makes large batches itself", name, id))
				}
			}
			for _, id := range list(p["exporters"]) {
				if _, ok := child(conf, "connectors")[id]; ok {
					follow(id)
					continue
				}
				found = append(found, exporterWeaknesses(child(child(conf, "exporters"), id), id)...)
			}
		}
	}
	follow(receiver.String())
	slices.Sort(found)
	return slices.Compact(found)
}

func exporterWeaknesses(conf map[string]any, id string) (found []string) {
	// contrib's exporter has both when nothing is said about them.
	byDefault := typeOf(id) == "clickhouse"
	if enabled(conf, "sending_queue", byDefault) {
		found = append(found, fmt.Sprintf("exporters::%s::sending_queue: the queue answers before the data is stored, and loses it when the process is killed; "+
			"set sending_queue::enabled: false", id))
	}
	if enabled(conf, "retry_on_failure", byDefault) {
		found = append(found, fmt.Sprintf("exporters::%s::retry_on_failure: the exporter's repetitions hide what ClickHouse answers for minutes; "+
			"set retry_on_failure::enabled: false, the receiver repeats without limit", id))
	}
	return found
}

// enabled reads {key}::enabled. The effective configuration holds every section: an empty one is switched off.
func enabled(conf map[string]any, key string, byDefault bool) bool {
	section, ok := conf[key]
	if !ok {
		return byDefault
	}
	m, ok := section.(map[string]any)
	if !ok {
		return false
	}
	on, ok := m["enabled"].(bool)
	return on || !ok
}

func child(m map[string]any, key string) map[string]any {
	c, _ := m[key].(map[string]any)
	return c
}

func list(v any) (ids []string) {
	switch all := v.(type) {
	case []any:
		for _, id := range all {
			ids = append(ids, fmt.Sprint(id))
		}
	case []string:
		ids = all
	}
	return ids
}

func typeOf(id string) string {
	typ, _, _ := strings.Cut(id, "/")
	return typ
}

func sortedKeys(m map[string]any) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
