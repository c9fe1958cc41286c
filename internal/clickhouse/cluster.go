// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Cluster turns the migrations, which are written for one server, into those of a cluster: every table T becomes a
// replicated T_local on each host and a Distributed T before them, under the name that the exporter and all readers use.
// What is inserted through T lands on the shard that its content says, so a repeated batch is cut as it was before and
// each shard finds it repeated; all spans of a trace are on one shard, and so are the repetitions of a log record, so
// the rollups, which are filled on each shard from its own rows, stay exact.
type Cluster struct {
	// Name as in remote_servers of the servers' configuration.
	Name string
	// Path of the tables in Keeper. {shard} and {database} and {table} in it are replaced: the first by each server's macro.
	Path string
	// Replica names a replica; with the server's macros.
	Replica string
	// WindowSeconds is how long Keeper remembers the inserts of a table.
	WindowSeconds int
}

// Defaults of a Cluster.
const (
	DefaultClusterPath    = "/clickhouse/tables/{shard}/{database}/{table}"
	DefaultClusterReplica = "{replica}"
	DefaultWindowSeconds  = 7 * 24 * 3600
)

var clusterName = regexp.MustCompile(`^[A-Za-z0-9_.{}-]{1,64}$`)

// Validate names the YAML key.
func (c Cluster) Validate() error {
	var errs error
	if !clusterName.MatchString(c.Name) {
		errs = errors.Join(errs, fmt.Errorf("cluster::name: %q is not allowed: up to 64 letters, digits, '_', '-' and '.', as in remote_servers of the servers", c.Name))
	}
	if !strings.HasPrefix(c.Path, "/") || !strings.Contains(c.Path, "{table}") || !strings.Contains(c.Path, "{shard}") || strings.ContainsAny(c.Path, "'\\\n") {
		errs = errors.Join(errs, fmt.Errorf("cluster::path: %q must begin with / and contain {shard} and {table}, as %s does", c.Path, DefaultClusterPath))
	}
	if c.Replica == "" || strings.ContainsAny(c.Replica, "'\\\n") {
		errs = errors.Join(errs, fmt.Errorf("cluster::replica: %q must differ on each server of a shard, as the macro %s does", c.Replica, DefaultClusterReplica))
	}
	if c.WindowSeconds <= 0 {
		errs = errors.Join(errs, errors.New("cluster::deduplication_window: must be positive: it is how long a batch may stay unanswered before it is sent again"))
	}
	return errs
}

var (
	createTable = regexp.MustCompile(`(?s)^CREATE TABLE IF NOT EXISTS \{\{database\}\}\.(\w+) \((.*)\n\) ENGINE = (\w*MergeTree)\n(.*)$`)
	createMV    = regexp.MustCompile(`(?s)^CREATE MATERIALIZED VIEW IF NOT EXISTS \{\{database\}\}\.(\w+)\nTO \{\{database\}\}\.(\w+)\n(.*)\nFROM \{\{database\}\}\.(\w+)(.*)$`)
	createView  = regexp.MustCompile(`^CREATE VIEW IF NOT EXISTS \{\{database\}\}\.(\w+) `)
	alterTable  = regexp.MustCompile(`^ALTER TABLE \{\{database\}\}\.(\w+) `)
	dropObject  = regexp.MustCompile(`^DROP (?:TABLE|VIEW) IF EXISTS \{\{database\}\}\.\w+$`)
)

// local is the table that holds the rows of a table on a cluster.
func local(table string) string { return table + "_local" }

// everywhere are small tables of which each host has all rows.
func everywhere(table string) bool {
	return table == "model_prices" || table == ledger || table == leases
}

// shardBy says on which shard a row goes. It must depend on nothing but what a repetition has in common with its original.
func shardBy(table string) string {
	switch {
	case table == "otel_traces" || table == "otel_traces_trace_id_ts" || table == "trace_states":
		return "cityHash64(TraceId)"
	case table == "otel_logs":
		return "cityHash64(LogAttributes['log.record.uid'], Timestamp)"
	case strings.HasPrefix(table, "otel_metrics_"):
		return "cityHash64(ServiceName, MetricName)"
	}
	return "cityHash64(ProjectId)"
}

// on names the cluster in a statement; nothing on a single server.
func (c *Cluster) on() string {
	if c == nil {
		return ""
	}
	return " ON CLUSTER " + quote(c.Name)
}

// engine of a replicated table.
func (c *Cluster) engine(kind, table string) string {
	path, replica := c.Path, c.Replica
	if everywhere(table) {
		path, replica = strings.ReplaceAll(path, "{shard}", "all"), "{shard}_"+replica
	}
	return fmt.Sprintf("Replicated%s('%s', '%s')", kind, strings.NewReplacer("{database}", "{{name}}", "{table}", table).Replace(path), replica)
}

func (c *Cluster) window(settings string) string {
	return strings.ReplaceAll(settings, "non_replicated_deduplication_window = 10000",
		fmt.Sprintf("replicated_deduplication_window = 10000,\n    replicated_deduplication_window_seconds = %d", c.WindowSeconds))
}

// render turns one statement of a migration into those of the cluster, with {{database}} and {{name}} left in.
func (c *Cluster) render(template string) []string {
	if c == nil {
		return []string{template}
	}
	if m := createTable.FindStringSubmatch(template); m != nil {
		table, columns, engine, rest := m[1], m[2], m[3], m[4]
		name := local(table)
		if everywhere(table) {
			name = table
		}
		out := []string{fmt.Sprintf("CREATE TABLE IF NOT EXISTS {{database}}.%s%s (%s\n) ENGINE = %s\n%s", name, c.on(), columns, c.engine(engine, table), c.window(rest))}
		if name != table {
			out = append(out, fmt.Sprintf("CREATE TABLE IF NOT EXISTS {{database}}.%s%s AS {{database}}.%s\nENGINE = Distributed('%s', '{{name}}', '%s', %s)",
				table, c.on(), name, c.Name, name, shardBy(table)))
		}
		return out
	}
	if m := createMV.FindStringSubmatch(template); m != nil {
		return []string{fmt.Sprintf("CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.%s%s\nTO {{database}}.%s\n%s\nFROM {{database}}.%s%s", m[1], c.on(), local(m[2]), m[3], local(m[4]), m[5])}
	}
	if m := createView.FindStringSubmatch(template); m != nil {
		return []string{strings.Replace(template, "."+m[1]+" ", "."+m[1]+c.on()+" ", 1)}
	}
	if m := alterTable.FindStringSubmatch(template); m != nil {
		out := []string{c.window(strings.Replace(template, "."+m[1]+" ", "."+local(m[1])+c.on()+" ", 1))}
		if !strings.Contains(template, "MODIFY SETTING") {
			out = append(out, strings.Replace(template, "."+m[1]+" ", "."+m[1]+c.on()+" ", 1))
		}
		return out
	}
	if dropObject.MatchString(template) {
		return []string{template + c.on() + " SYNC"}
	}
	return []string{template}
}
