// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Migrator brings one database to the schema of the binary.
type Migrator struct {
	Conn     driver.Conn // without a current database: ours may not exist yet
	Database string
	// Version of the binary, for the ledger.
	Version    string
	Migrations []Migration
	// DryRun only says what would be done.
	DryRun bool

	// Said is called with every statement that DryRun leaves undone. May be nil.
	Said func(statement string)
	// Applied is called after a migration was recorded for the first time. May be nil.
	Applied func(Migration)
	// Recreated is called after lost tables were brought back. May be nil.
	Recreated func(tables []string)
}

// PendingError is DryRun's answer when something would have to be done.
type PendingError struct{ What []string }

func (e *PendingError) Error() string {
	return "dry_run: the database is left as it is; missing: " + strings.Join(e.What, ", ") + "; set dry_run: false to apply"
}

// Run does nothing but read when the schema is in place, which is the normal case.
func (m *Migrator) Run(ctx context.Context) error {
	p, err := m.plan(ctx)
	if err != nil || p.empty() {
		return err
	}
	if m.DryRun {
		return m.say(p)
	}
	if p.createDatabase {
		if err := m.Conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quote(m.Database)); err != nil {
			return fmt.Errorf("create database %s: %w", m.Database, err)
		}
	}
	for _, ddl := range []string{ledgerTable(m.Database), leaseTable(m.Database)} {
		if err := m.Conn.Exec(ctx, ddl); err != nil {
			return fmt.Errorf("create the migration tables in %s: %w", m.Database, err)
		}
	}
	return newLease(m.Conn, m.Database).do(ctx, func(ctx context.Context) error {
		// Another collector may have done it all while this one waited for the lock.
		p, err := m.plan(ctx)
		if err != nil {
			return err
		}
		return m.apply(ctx, p)
	})
}

func (m *Migrator) plan(ctx context.Context) (plan, error) {
	st, err := inspect(ctx, m.Conn, m.Database)
	if err != nil {
		return plan{}, err
	}
	return decide(m.Database, st, m.Migrations)
}

func (m *Migrator) apply(ctx context.Context, p plan) error {
	pending := map[int]bool{}
	for _, migration := range p.pending {
		pending[migration.Number] = true
	}
	for _, migration := range p.run {
		for _, statement := range migration.Statements(m.Database) {
			if err := m.Conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("migration %s, statement %q: %w", migration, firstLine(statement), err)
			}
		}
		if !pending[migration.Number] {
			continue
		}
		err := m.Conn.Exec(ctx, "INSERT INTO "+quote(m.Database)+"."+ledger+" (number, name, checksum, version) SETTINGS async_insert = 0 VALUES (?, ?, ?, ?)",
			uint32(migration.Number), migration.Name, migration.Checksum, m.Version)
		if err != nil {
			return fmt.Errorf("record migration %s: %w", migration, err)
		}
		if m.Applied != nil {
			m.Applied(migration)
		}
	}
	if len(p.lost) > 0 && m.Recreated != nil {
		m.Recreated(p.lost)
	}
	return nil
}

func (m *Migrator) say(p plan) error {
	var what []string
	say := func(statement string) {
		if m.Said != nil {
			m.Said(statement)
		}
	}
	if p.createDatabase {
		what = append(what, "database "+m.Database)
		say("CREATE DATABASE IF NOT EXISTS " + quote(m.Database))
	}
	for _, migration := range p.run {
		for _, statement := range migration.Statements(m.Database) {
			say(statement)
		}
	}
	for _, migration := range p.pending {
		what = append(what, "migration "+migration.String())
	}
	for _, table := range p.lost {
		what = append(what, "table "+table)
	}
	return &PendingError{What: what}
}

func ledgerTable(database string) string {
	return "CREATE TABLE IF NOT EXISTS " + quote(database) + "." + ledger + ` (
    number UInt32, name String, checksum String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'), version String
) ENGINE = MergeTree ORDER BY number`
}

func firstLine(statement string) string {
	line, _, _ := strings.Cut(statement, "\n")
	return line
}
