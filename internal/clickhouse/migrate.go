// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Migrator brings one database to the schema of the binary.
type Migrator struct {
	Conn     driver.Conn // without a current database: ours may not exist yet
	Database string
	// Version of the binary, for the ledger.
	Version    string
	Migrations []Migration
	// Policy is kept beside the schema.
	Policy Policy
	// Cluster, when set, renders the migrations for it; see Cluster. Hosts are needed then.
	Cluster *Cluster
	// Hosts finds the hosts of the cluster.
	Hosts *Hosts
	// DryRun only says what would be done.
	DryRun bool
	// Limit bounds each statement, and each part that is carried over; 0 does not.
	Limit time.Duration

	// Said is called with every statement that DryRun leaves undone. May be nil.
	Said func(statement string)
	// Applied is called after a migration was recorded for the first time. May be nil.
	Applied func(Migration)
	// Recreated is called after lost tables were brought back. May be nil.
	Recreated func(tables []string)

	// Absent is called at each look at a cluster, with the hosts that do not answer. May be nil.
	Absent func(hosts []string)

	// Adjusted is called after a statement of the policy was run. May be nil.
	Adjusted func(statement string)

	carried func(part string) // in tests, between the copy of a part and its end
}

// PendingError is DryRun's answer when something would have to be done.
type PendingError struct{ What []string }

func (e *PendingError) Error() string {
	return "dry_run: the database is left as it is; missing: " + strings.Join(e.What, ", ") + "; set dry_run: false to apply"
}

// Run does nothing but read when schema and policy are in place, which is the normal case.
func (m *Migrator) Run(ctx context.Context) error {
	if m.Cluster != nil {
		return m.runOnCluster(ctx)
	}
	p, due, err := m.look(ctx)
	if err != nil || p.empty() && len(due) == 0 {
		return err
	}
	if m.DryRun {
		return m.say(p, due)
	}
	if p.createDatabase {
		if err := m.exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quote(m.Database)); err != nil {
			return fmt.Errorf("create database %s: %w", m.Database, err)
		}
	}
	for _, ddl := range []string{ledgerTable(), leaseTable()} {
		if err := m.exec(ctx, fill(ddl, m.Database)); err != nil {
			return fmt.Errorf("create the migration tables in %s: %w", m.Database, err)
		}
	}
	return newLease(m.Conn, m.Database).do(ctx, func(ctx context.Context) error {
		// Another collector may have done it all while this one waited for the lock.
		p, err := m.plan(ctx)
		if err != nil {
			return err
		}
		if err := m.apply(ctx, p); err != nil {
			return err
		}
		due, err := m.due(ctx)
		if err != nil {
			return err
		}
		for _, statement := range due {
			if err := m.exec(ctx, statement); err != nil {
				return fmt.Errorf("%q: %w", firstLine(statement), err)
			}
			if m.Adjusted != nil {
				m.Adjusted(statement)
			}
		}
		return nil
	})
}

// look returns what is to be done: the plan, or, when the schema is in place, what the policy asks for.
func (m *Migrator) look(ctx context.Context) (plan, []string, error) {
	p, err := m.plan(ctx)
	if err != nil || !p.empty() {
		return p, nil, err
	}
	due, err := m.due(ctx)
	return p, due, err
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
		for _, template := range migration.templates() {
			if err := m.statement(ctx, template); err != nil {
				return fmt.Errorf("migration %s, statement %q: %w", migration, firstLine(fill(template, m.Database)), err)
			}
		}
		if !pending[migration.Number] {
			continue
		}
		if err := m.record(ctx, migration); err != nil {
			return err
		}
	}
	if len(p.lost) > 0 && m.Recreated != nil {
		m.Recreated(p.lost)
	}
	return nil
}

// record writes into the ledger that a migration was applied.
func (m *Migrator) record(ctx context.Context, migration Migration) error {
	err := m.exec(ctx, "INSERT INTO "+quote(m.Database)+"."+ledger+" (number, name, checksum, version) SETTINGS async_insert = 0 VALUES (?, ?, ?, ?)",
		uint32(migration.Number), migration.Name, migration.Checksum, m.Version)
	if err != nil {
		return fmt.Errorf("record migration %s: %w", migration, err)
	}
	if m.Applied != nil {
		m.Applied(migration)
	}
	return nil
}

func (m *Migrator) statement(ctx context.Context, template string) error {
	d := directive.FindStringSubmatch(template)
	switch {
	case d == nil:
		return m.exec(ctx, fill(template, m.Database))
	case m.Cluster != nil:
		return m.asideOnCluster(ctx, d[2])
	case d[1] == "aside":
		return m.aside(ctx, d[2])
	default:
		return m.carry(ctx, d[2])
	}
}

func (m *Migrator) exec(ctx context.Context, statement string, args ...any) error {
	if m.Limit > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, m.Limit)
		defer stop()
	}
	return m.Conn.Exec(ctx, statement, args...)
}

func (m *Migrator) say(p plan, due []string) error {
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
		statements := migration.Statements(m.Database)
		if m.Cluster != nil {
			statements = m.Cluster.Statements(m.Database, m.Migrations, migration)
		}
		for _, statement := range statements {
			say(statement)
		}
	}
	for _, migration := range p.pending {
		what = append(what, "migration "+migration.String())
	}
	for _, table := range p.lost {
		what = append(what, "table "+table)
	}
	for _, statement := range due {
		say(statement)
		what = append(what, firstLine(statement))
	}
	return &PendingError{What: what}
}

func ledgerTable() string {
	return "CREATE TABLE IF NOT EXISTS {{database}}." + ledger + ` (
    number UInt32, name String, checksum String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'), version String
) ENGINE = MergeTree
ORDER BY number`
}

func firstLine(statement string) string {
	line, _, _ := strings.Cut(statement, "\n")
	return line
}
