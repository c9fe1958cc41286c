// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Cluster turns the migrations, which are written for one server, into those of a cluster: every table T becomes a
// replicated T_local on each host and a Distributed T before them, under the name that the exporter and all readers use.
// What is inserted through T lands on the shard that its content says, so a repeated batch is cut as it was before and
// each shard finds it repeated; all spans of a trace are on one shard, and so are the repetitions of a log record, so
// the rollups, which are filled on each shard from its own rows, stay exact.
//
// Statements are not run ON CLUSTER, which leaves out a host that joins later, but by the migrator on each host (hosts.go).
type Cluster struct {
	// Name as in remote_servers of the servers' configuration.
	Name string
	// Path of the tables in Keeper. {shard} and {database} and {table} in it are replaced: the first by each server's macro.
	Path string
	// Replica names a replica; with the server's macros.
	Replica string
	// WindowSeconds is how long Keeper remembers the inserts of a table, and WindowInserts how many of them on each shard.
	WindowSeconds, WindowInserts int
}

// scope says on which hosts of a cluster a statement is run.
type scope int

const (
	// onEach host: whatever is not replicated, and CREATE, by which a host joins.
	onEach scope = iota
	// onShard: on one host of each shard, the others get it from Keeper.
	onShard
	// onOne host: of a table that all hosts have in common.
	onOne
)

// scoped is a statement of a cluster, with {{database}} and {{name}} left in.
type scoped struct {
	text  string
	scope scope
}

// Defaults of a Cluster.
const (
	DefaultClusterPath    = "/clickhouse/tables/{shard}/{database}/{table}"
	DefaultClusterReplica = "{replica}"
	DefaultWindowSeconds  = 7 * 24 * 3600
	DefaultWindowInserts  = 10_000
)

var clusterName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

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
	if c.WindowInserts <= 0 {
		errs = errors.Join(errs, errors.New("cluster::deduplication_inserts: must be positive: it is how many inserts of others may come between a batch and its repetition"))
	}
	return errs
}

var (
	createTable = regexp.MustCompile(`(?s)^CREATE TABLE IF NOT EXISTS \{\{database\}\}\.(\w+) \((.*)\n\) ENGINE = (\w*MergeTree)\n(.*)$`)
	createMV    = regexp.MustCompile(`(?s)^CREATE MATERIALIZED VIEW IF NOT EXISTS \{\{database\}\}\.(\w+)\nTO \{\{database\}\}\.(\w+)\n(.*)\nFROM \{\{database\}\}\.(\w+)(.*)$`)
	createView  = regexp.MustCompile(`^CREATE VIEW IF NOT EXISTS \{\{database\}\}\.(\w+) `)
	alterTable  = regexp.MustCompile(`^ALTER TABLE \{\{database\}\}\.(\w+) `)
	dropObject  = regexp.MustCompile(`^DROP (TABLE|VIEW) IF EXISTS \{\{database\}\}\.(\w+)$`)
	mentions    = regexp.MustCompile(`\{\{database\}\}\.(\w+)`)
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
		fmt.Sprintf("replicated_deduplication_window = %d,\n    replicated_deduplication_window_seconds = %d", c.WindowInserts, c.WindowSeconds))
}

// render turns one statement of a migration into those of the cluster.
func (c *Cluster) render(template string) []scoped {
	if m := createTable.FindStringSubmatch(template); m != nil {
		table, columns, engine, rest := m[1], m[2], m[3], m[4]
		name := local(table)
		if everywhere(table) {
			name = table
		}
		out := []scoped{{text: fmt.Sprintf("CREATE TABLE IF NOT EXISTS {{database}}.%s (%s\n) ENGINE = %s\n%s", name, columns, c.engine(engine, table), c.window(rest))}}
		if name != table {
			out = append(out, scoped{text: fmt.Sprintf("CREATE TABLE IF NOT EXISTS {{database}}.%s AS {{database}}.%s\nENGINE = Distributed('%s', '{{name}}', '%s', %s)",
				table, name, c.Name, name, shardBy(table))})
		}
		return out
	}
	if m := createMV.FindStringSubmatch(template); m != nil {
		return []scoped{{text: fmt.Sprintf("CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.%s\nTO {{database}}.%s\n%s\nFROM {{database}}.%s%s", m[1], local(m[2]), m[3], local(m[4]), m[5])}}
	}
	if createView.MatchString(template) {
		// Of a distributed table in a distributed table ClickHouse wants to be told that it is asked once, by the initiator.
		return []scoped{{text: strings.ReplaceAll(template, " IN (SELECT ", " GLOBAL IN (SELECT ")}}
	}
	if m := alterTable.FindStringSubmatch(template); m != nil {
		if everywhere(m[1]) {
			return []scoped{{template, onOne}}
		}
		onLocal := c.window(strings.Replace(template, "."+m[1]+" ", "."+local(m[1])+" ", 1))
		if strings.Contains(template, modifySetting) {
			return []scoped{{onLocal, onEach}}
		}
		return []scoped{{onLocal, onShard}, {template, onEach}}
	}
	if m := dropObject.FindStringSubmatch(template); m != nil {
		out := []scoped{{text: template + " SYNC"}}
		if m[1] == "TABLE" && !everywhere(m[2]) {
			out = append(out, scoped{text: strings.Replace(template, "."+m[2], "."+local(m[2]), 1) + " SYNC"})
		}
		return out
	}
	return []scoped{{text: template}}
}

// modifySetting is not replicated, unlike other ALTERs.
const modifySetting = " MODIFY SETTING "

// statements are those of one of the migrations. What it says of a table that a later one makes anew (carry.go) is left out: no cluster
// has one of the first form, and under one path in Keeper there can't be two forms.
func (c *Cluster) statements(all []Migration, m Migration) []scoped {
	anew := map[string]bool{}
	for _, later := range all[m.Number:] {
		for _, template := range later.templates() {
			if d := directive.FindStringSubmatch(template); d != nil && d[1] == "aside" {
				anew[d[2]] = true
			}
		}
	}
	var out []scoped
	for _, template := range m.templates() {
		about := func(name []string) bool { return anew[name[1]] }
		if d := directive.FindStringSubmatch(template); d != nil && d[1] == "carry" || slices.ContainsFunc(mentions.FindAllStringSubmatch(template, -1), about) {
			continue
		} else if d != nil {
			out = append(out, scoped{text: template})
			continue
		}
		out = append(out, c.render(template)...)
	}
	return out
}

// Statements returns the SQL of a migration for a database on the cluster; what the migrator does itself is a comment in it.
func (c *Cluster) Statements(database string, all []Migration, m Migration) []string {
	var out []string
	for _, s := range c.statements(all, m) {
		if d := directive.FindStringSubmatch(s.text); d != nil {
			s.text = fmt.Sprintf("/* %s of a single server is refused */", d[2])
		}
		out = append(out, fill(s.text, database))
	}
	return out
}

// objects are those that every host has after the given migrations.
func (c *Cluster) objects(migrations []Migration) []string {
	names := []string{ledger, leases}
	for _, m := range migrations {
		for _, template := range m.templates() {
			if t := createTable.FindStringSubmatch(template); t != nil && !everywhere(t[1]) {
				names = append(names, local(t[1]))
			}
		}
	}
	kept := objects(migrations)
	names = slices.DeleteFunc(names, func(name string) bool {
		table, isLocal := strings.CutSuffix(name, local(""))
		return isLocal && !slices.Contains(kept, table)
	})
	names = append(names, kept...)
	slices.Sort(names)
	return slices.Compact(names)
}
