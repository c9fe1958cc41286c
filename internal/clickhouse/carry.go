// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// A key can't be changed in place, so migration 2 makes its tables anew. Two statements of the migrator's own do what
// SQL alone can't do so that it can be interrupted at any point:
//
//	{{aside T}}  renames T to T_before_0002 when it is of the first form, which is seen by its lack of a ProjectId;
//	             an empty one is dropped.
//	{{carry T}}  inserts the rows of T_before_0002 into T, and drops it when none is left.
//
// From the rename on, whoever inserts by the exporter's columns fills the new table. Rows are carried part by part: an
// INSERT SELECT of one part in one thread is cut into the same blocks each time, so under the same token
// a repetition adds nothing, in the table or behind its views; then the part is dropped. That takes no more
// disk than one part, and parts are not merged meanwhile, so that names go on to mean the same rows.
var directive = regexp.MustCompile(`^\{\{(aside|carry) (\w+)\}\}$`)

// before is what tables of the first form are called while their rows are carried over.
func before(table string) string { return table + "_before_0002" }

func describeDirective(do, table string) string {
	if do == "aside" {
		return fmt.Sprintf("/* %s, if it is there without a column ProjectId, is renamed to %s */", table, before(table))
	}
	return fmt.Sprintf("/* the rows of %[2]s, if there is one, are inserted into %[1]s, part by part; then it is dropped */", table, before(table))
}

// column is one of a table.
type column struct{ name, typ, kind string }

// insertable columns take part in INSERT SELECT.
func (c column) insertable() bool { return c.kind == "" || c.kind == "DEFAULT" }

// columnsOf returns the columns in their order; none when there is no such table.
func (m *Migrator) columnsOf(ctx context.Context, table string) (map[string]column, []string, error) {
	set, order := map[string]column{}, []string(nil)
	err := each(ctx, m.Conn, func(rows driver.Rows) error {
		var c column
		if err := rows.Scan(&c.name, &c.typ, &c.kind); err != nil {
			return err
		}
		set[c.name] = c
		order = append(order, c.name)
		return nil
	}, "SELECT name, type, default_kind FROM system.columns WHERE database = ? AND table = ? ORDER BY position", m.Database, table)
	if err != nil {
		return nil, nil, fmt.Errorf("look at the columns of %s: %w", table, err)
	}
	return set, order, nil
}

func (m *Migrator) in(table string) string { return quote(m.Database) + "." + table }

func (m *Migrator) rows(ctx context.Context, table string) (n uint64, err error) {
	if err = m.Conn.QueryRow(ctx, "SELECT count() FROM "+m.in(table)).Scan(&n); err != nil {
		err = fmt.Errorf("count the rows of %s: %w", table, err)
	}
	return n, err
}

func (m *Migrator) aside(ctx context.Context, table string) error {
	set, _, err := m.columnsOf(ctx, table)
	if err != nil || len(set) == 0 {
		return err
	}
	if _, ok := set["ProjectId"]; ok {
		return nil
	}
	n, err := m.rows(ctx, table)
	if err != nil {
		return err
	}
	if n == 0 {
		return m.exec(ctx, "DROP TABLE IF EXISTS "+m.in(table)+" SYNC")
	}
	older, _, err := m.columnsOf(ctx, before(table))
	if err != nil {
		return err
	}
	if len(older) > 0 {
		return &RefusedError{fmt.Sprintf("database %s: both %s and %s hold rows of the first form, so something made %s again while they were carried over; insert the rows of one into the other by hand, and drop it",
			m.Database, table, before(table), table)}
	}
	return m.exec(ctx, "RENAME TABLE "+m.in(table)+" TO "+m.in(before(table)))
}

// asideOnCluster makes sure that a table of a single server is not taken for one of a cluster.
func (m *Migrator) asideOnCluster(ctx context.Context, table string) error {
	var engine string
	err := m.Conn.QueryRow(ctx, "SELECT any(engine) FROM system.tables WHERE database = ? AND name = ?", m.Database, table).Scan(&engine)
	if err != nil {
		return fmt.Errorf("look at %s: %w", table, err)
	}
	if engine == "" || engine == "Distributed" {
		return nil
	}
	return &RefusedError{fmt.Sprintf("database %s: %s (engine %s) was made for a single server and can't become a table of cluster %s; use another database, and INSERT SELECT the rows from this one, see docs/cluster.md",
		m.Database, table, engine, m.Cluster.Name)}
}

// stopMerges is kept with the table, unlike SYSTEM STOP MERGES, which a restart forgets.
const stopMerges = "max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1"

func (m *Migrator) carry(ctx context.Context, table string) error {
	from := before(table)
	old, order, err := m.columnsOf(ctx, from)
	if err != nil || len(old) == 0 {
		return err
	}
	if err := m.exec(ctx, "ALTER TABLE "+m.in(from)+" MODIFY SETTING "+stopMerges); err != nil {
		return fmt.Errorf("stop merges of %s: %w", from, err)
	}
	columns, err := m.shared(ctx, table, old, order)
	if err != nil {
		return err
	}
	for {
		parts, err := m.parts(ctx, from)
		if err != nil {
			return err
		}
		for _, part := range parts {
			if err := m.carryPart(ctx, from, table, columns, part); err != nil {
				return err
			}
		}
		if len(parts) > 0 {
			continue // an insert that began before the rename may have ended since
		}
		if err := m.exec(ctx, "DROP TABLE IF EMPTY "+m.in(from)+" SYNC"); err == nil {
			return nil
		} else if n, counted := m.rows(ctx, from); counted != nil || n == 0 {
			return fmt.Errorf("drop %s, all of whose rows were carried over: %w", from, errors.Join(err, counted))
		}
	}
}

// shared returns the list of columns to carry. Those that were added to the old table by hand are added to the new one.
func (m *Migrator) shared(ctx context.Context, table string, old map[string]column, order []string) (string, error) {
	have, _, err := m.columnsOf(ctx, table)
	if err != nil {
		return "", err
	}
	var names []string
	for _, name := range order {
		c, known := have[name]
		if !old[name].insertable() || known && !c.insertable() {
			continue
		}
		if !known {
			if err := m.exec(ctx, fmt.Sprintf("ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s %s", m.in(table), quote(name), old[name].typ)); err != nil {
				return "", fmt.Errorf("add column %s, which %s has, to %s: %w", name, before(table), table, err)
			}
		}
		names = append(names, quote(name))
	}
	return strings.Join(names, ", "), nil
}

// parts waits for merges that were running, then returns the names of the active parts, in order.
func (m *Migrator) parts(ctx context.Context, table string) ([]string, error) {
	for {
		var merges uint64
		if err := m.Conn.QueryRow(ctx, "SELECT count() FROM system.merges WHERE database = ? AND table = ?", m.Database, table).Scan(&merges); err != nil {
			return nil, fmt.Errorf("look for merges of %s: %w", table, err)
		}
		if merges == 0 {
			break
		}
		if sleep(ctx, time.Second); ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	set := map[string]struct{}{}
	err := each(ctx, m.Conn, func(rows driver.Rows) error {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		set[name] = struct{}{}
		return nil
	}, "SELECT name FROM system.parts WHERE database = ? AND table = ? AND active AND rows > 0", m.Database, table)
	if err != nil {
		return nil, fmt.Errorf("list the parts of %s: %w", table, err)
	}
	return slices.Sorted(maps.Keys(set)), nil
}

func (m *Migrator) carryPart(ctx context.Context, from, to, columns, part string) error {
	copying := clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"insert_deduplication_token": "carry " + from + " " + part, "async_insert": 0,
		"deduplicate_blocks_in_dependent_materialized_views": 1,
		// One thread and fixed sizes: the same blocks each time.
		"max_threads": 1, "max_insert_threads": 1, "max_block_size": 16384,
		"min_insert_block_size_rows": 131072, "min_insert_block_size_bytes": 134217728, "max_execution_time": 0,
	}))
	err := m.exec(copying, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s WHERE _part = ?", m.in(to), columns, columns, m.in(from)), part)
	if err != nil {
		return fmt.Errorf("carry part %s of %s over to %s: %w", part, from, to, err)
	}
	if m.carried != nil {
		m.carried(part)
	}
	if err := m.exec(ctx, fmt.Sprintf("ALTER TABLE %s DROP PART ?", m.in(from)), part); err != nil {
		return fmt.Errorf("drop part %s of %s, which was carried over: %w", part, from, err)
	}
	return nil
}
