// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/tailrace/tailrace/internal/clickhouse"
)

// layout is a schema to compare. All of them are inserted into as the exporter does it.
type layout struct {
	name string
	// about says what it is, for the report.
	about string
	// make creates the database of that name and its tables.
	make func(ctx context.Context, s *server, database string) error
	// ours has ProjectId and the other columns of Tailrace.
	ours bool
	// bucket stands before Timestamp in the key, and so in ORDER BY; "" for none.
	bucket string
}

const contribFile = "../internal/clickhouse/testdata/contrib-0.161.0-tables.sql"

var (
	comments = regexp.MustCompile(`(?m)^\s*--.*\n?`)
	created  = regexp.MustCompile(`^CREATE (?:TABLE|MATERIALIZED VIEW) IF NOT EXISTS "otel"\."(\w+)"`)
	indexes  = regexp.MustCompile(`(?m),?\n\s*INDEX .*$`)
	orderBy  = regexp.MustCompile(`ORDER BY \([^\n]*\)\n`)
)

// contribTables are the statements of contrib's exporter for a database, by table.
func contribTables(database string) (map[string]string, error) {
	raw, err := os.ReadFile(contribFile)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for statement := range strings.SplitSeq(comments.ReplaceAllString(string(raw), ""), ";\n") {
		if m := created.FindStringSubmatch(strings.TrimSpace(statement)); m != nil {
			statement = strings.ReplaceAll(strings.TrimSpace(statement), `"otel"`, `"`+database+`"`)
			// The data is from the past: a TTL would drop it. Views want their source by this name too.
			out[m[1]] = regexp.MustCompile(`(?m)^\s*TTL .*\n`).ReplaceAllString(statement, "")
		}
	}
	return out, nil
}

// plain is a table without indexes, ordered by time.
func plain(ddl string) string {
	ddl = indexes.ReplaceAllString(ddl, "")
	return orderBy.ReplaceAllString(regexp.MustCompile(`PARTITION BY .*\n`).ReplaceAllString(ddl, ""), "ORDER BY Timestamp\n")
}

func execAll(ctx context.Context, s *server, statements ...string) error {
	for _, statement := range statements {
		if err := s.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%.80q: %w", statement, err)
		}
	}
	return nil
}

func makeContrib(ctx context.Context, s *server, database string) error {
	tables, err := contribTables(database)
	if err != nil {
		return err
	}
	return execAll(ctx, s, "CREATE DATABASE "+database, tables["otel_traces"], tables["otel_traces_trace_id_ts"], tables["otel_traces_trace_id_ts_mv"], tables["otel_logs"])
}

func makeOurs(ctx context.Context, s *server, database string) error {
	all, err := clickhouse.Migrations()
	if err != nil {
		return err
	}
	return (&clickhouse.Migrator{Conn: s.conn, Database: database, Version: "bench", Migrations: all}).Run(ctx)
}

// variant is our schema without its views, each statement of a table changed.
func variant(change func(ddl string) string) func(context.Context, *server, string) error {
	return func(ctx context.Context, s *server, database string) error {
		all, err := clickhouse.Migrations()
		if err != nil {
			return err
		}
		if err := execAll(ctx, s, "CREATE DATABASE "+database); err != nil {
			return err
		}
		for _, statement := range all[1].Statements(database) {
			if strings.HasPrefix(statement, "CREATE TABLE") && (strings.Contains(statement, ".otel_traces (") || strings.Contains(statement, ".otel_logs (")) {
				if err := execAll(ctx, s, change(statement)); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

const bucket5 = "toStartOfFiveMinutes(Timestamp)"

func ordered(key string) func(string) string {
	return func(ddl string) string {
		return strings.Replace(ddl, "ORDER BY (ProjectId, Timestamp)", "ORDER BY "+key, 1)
	}
}

func layouts() []layout {
	return []layout{
		{name: "contrib", about: "what contrib's exporter 0.161 creates on this server", make: makeContrib},
		{name: "tailrace", about: "the migrations: (ProjectId, Timestamp), rollups and scores", make: makeOurs, ours: true},
		{name: "raw_only", about: "the same without any view", make: variant(func(s string) string { return s }), ours: true},
		{name: "by_name", about: "(ProjectId, 5 minutes, ServiceName, Timestamp)", make: variant(ordered("(ProjectId, " + bucket5 + ", ServiceName, Timestamp)")), ours: true, bucket: bucket5},
		{name: "by_trace", about: "(ProjectId, 5 minutes, TraceId, Timestamp)", make: variant(ordered("(ProjectId, " + bucket5 + ", TraceId, Timestamp)")), ours: true, bucket: bucket5},
		{name: "time_first", about: "(hour, ProjectId, Timestamp)", make: variant(ordered("(toStartOfHour(Timestamp), ProjectId, Timestamp)")), ours: true, bucket: "toStartOfHour(Timestamp)"},
		{name: "text", about: "(ProjectId, Timestamp), text index on the body instead of token filters", make: variant(func(s string) string {
			return strings.Replace(s, "tokenbf_v1(16384, 2, 0) GRANULARITY 1", "text(tokenizer = 'splitByNonAlpha')", 1)
		}), ours: true},
	}
}

// perInsert is how many rows an insert has: a batch of clickhouse_ingest.
const perInsert = 20000

// fill inserts the same rows into each layout, in blocks as they come from clickhouse_ingest, then merges.
func (s *server) fill(ctx context.Context, ls []layout, out *report) error {
	columns := map[string]string{}
	for src := range tables {
		var list string
		if err := s.conn.QueryRow(ctx, "SELECT arrayStringConcat(groupArray('`' || name || '`'), ', ') FROM system.columns WHERE database = 'src' AND table = ? AND default_kind != 'MATERIALIZED'", src).Scan(&list); err != nil {
			return err
		}
		columns[src] = list
	}
	inserting := set{"max_threads": 1, "max_insert_threads": 1, "max_block_size": perInsert, "min_insert_block_size_rows": perInsert, "min_insert_block_size_bytes": 0, "optimize_read_in_order": 1}
	for _, src := range []string{"spans", "logs"} {
		var read cost
		if err := s.conn.Exec(with(ctx, set{"max_threads": 1}, &read), fmt.Sprintf("INSERT INTO FUNCTION null('x UInt64') SELECT cityHash64(%s) FROM src.%s", columns[src], src)); err != nil {
			return err
		}
		out.linef("\n### Inserting %s\n\n| layout | CPU s a million (insert) | × contrib | CPU s a million (insert and merge) | bytes a row | × contrib | of it indexes | of it rollups |\n|---|---|---|---|---|---|---|---|", src)
		var base [3]float64
		for _, l := range ls {
			target := l.name + "." + tables[src]
			rows := s.count(ctx, "src."+src)
			var ins cost
			var merge time.Duration
			if s.count(ctx, target) != rows {
				if err := s.empty(ctx, l, target); err != nil {
					return err
				}
				began := s.processCPU()
				if err := s.conn.Exec(with(ctx, inserting, &ins), fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM src.%s ORDER BY Timestamp", target, columns[src], columns[src], src)); err != nil {
					return err
				}
				for table := range s.tablesOf(ctx, l.name) {
					if err := s.conn.Exec(ctx, "OPTIMIZE TABLE "+l.name+"."+table+" FINAL"); err != nil {
						return err
					}
				}
				merge = s.processCPU() - began
			}
			raw, index, rollups := s.bytes(ctx, l.name, src)
			million := float64(rows) / 1e6
			figures := [3]float64{ins.cpu.Seconds() / million, merge.Seconds() / million, float64(raw+rollups) / float64(rows)}
			if l.name == "contrib" {
				base = figures
			}
			out.linef("| %s | %.2f | %s | %.2f | %.1f | %s | %.1f | %.1f |", l.name, figures[0], ratio(figures[0], base[0]), figures[1], figures[2], ratio(figures[2], base[2]),
				float64(index)/float64(rows), float64(rollups)/float64(rows))
		}
		out.linef("\nOf the insert's CPU about %.2f s a million are reading the source, in each layout.", read.cpu.Seconds()/(float64(s.count(ctx, "src."+src))/1e6))
	}
	return nil
}

// tables that the sources are inserted into.
var tables = map[string]string{"spans": "otel_traces", "logs": "otel_logs"}

// rollupOf are what our views and contrib's fill from a source.
var rollupOf = map[string]string{"otel_traces_trace_id_ts": "spans", "trace_states": "spans", "log_states": "logs", "otel_scores": "logs", "otel_traces": "spans", "otel_logs": "logs"}

func (s *server) tablesOf(ctx context.Context, database string) map[string]struct{} {
	out := map[string]struct{}{}
	rows, err := s.conn.Query(ctx, "SELECT DISTINCT table FROM system.parts WHERE database = ? AND active AND table NOT LIKE 'tailrace%'", database)
	if err != nil {
		return out
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if rows.Scan(&name) == nil {
			out[name] = struct{}{}
		}
	}
	return out
}

func (s *server) bytes(ctx context.Context, database, src string) (raw, index, rollups uint64) {
	for table := range s.tablesOf(ctx, database) {
		if rollupOf[table] != src {
			continue
		}
		var all, idx uint64
		_ = s.conn.QueryRow(ctx, "SELECT sum(bytes_on_disk), sum(secondary_indices_compressed_bytes) FROM system.parts WHERE active AND database = ? AND table = ?", database, table).Scan(&all, &idx)
		index += idx
		if table == tables[src] {
			raw += all
		} else {
			rollups += all
		}
	}
	return raw, index, rollups
}

// empty makes the layout's tables, or empties the one to be filled.
func (s *server) empty(ctx context.Context, l layout, target string) error {
	var n uint64
	if err := s.conn.QueryRow(ctx, "SELECT count() FROM system.databases WHERE name = ?", l.name).Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return l.make(ctx, s, l.name)
	}
	for table := range s.tablesOf(ctx, l.name) {
		if rollupOf[table] == rollupOf[strings.TrimPrefix(target, l.name+".")] {
			if err := execAll(ctx, s, "TRUNCATE TABLE "+l.name+"."+table); err != nil {
				return err
			}
		}
	}
	return nil
}

type set = map[string]any
