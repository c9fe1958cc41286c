// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// ledger is the table that records which migrations a database has had.
const ledger = "tailrace_migrations"

// RefusedError says that a database must not be touched by this binary. Waiting does not help: someone has to act.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// record is one row of the ledger.
type record struct {
	number   int
	name     string
	checksum string
	version  string
	at       time.Time
}

// state is what a database looks like now.
type state struct {
	exists  bool
	objects map[string]struct{}
	applied []record
}

// inspect reads the state of the database. It changes nothing and needs no more rights than reading.
func inspect(ctx context.Context, conn driver.Conn, database string) (state, error) {
	st := state{objects: map[string]struct{}{}}
	var n uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM system.databases WHERE name = ?", database).Scan(&n); err != nil {
		return st, fmt.Errorf("look for database %s: %w", database, err)
	}
	if st.exists = n > 0; !st.exists {
		return st, nil
	}
	err := each(ctx, conn, func(rows driver.Rows) error {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		st.objects[name] = struct{}{}
		return nil
	}, "SELECT name FROM system.tables WHERE database = ?", database)
	if err != nil {
		return st, fmt.Errorf("list the tables of %s: %w", database, err)
	}
	if _, ok := st.objects[ledger]; !ok {
		return st, nil
	}
	err = each(ctx, conn, func(rows driver.Rows) error {
		var r record
		var number uint32
		if err := rows.Scan(&number, &r.name, &r.checksum, &r.version, &r.at); err != nil {
			return err
		}
		r.number = int(number)
		st.applied = append(st.applied, r)
		return nil
	}, "SELECT number, name, checksum, version, applied_at FROM "+quote(database)+"."+ledger+" ORDER BY number, applied_at")
	if err != nil {
		return st, fmt.Errorf("read %s.%s: %w", database, ledger, err)
	}
	return st, nil
}

func each(ctx context.Context, conn driver.Conn, scan func(driver.Rows) error, query string, args ...any) error {
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := scan(rows); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// plan is what has to be done to bring a database to the binary's schema.
type plan struct {
	createDatabase bool
	pending        []Migration // never applied here
	lost           []string    // tables that applied migrations had created and that are gone
	run            []Migration // what to run, in order: the pending ones, after the applied ones when something is lost
}

func (p plan) empty() bool { return !p.createDatabase && len(p.run) == 0 }

// decide compares a state with the migrations that the binary knows.
func decide(database string, st state, migrations []Migration) (plan, error) {
	p := plan{createDatabase: !st.exists}
	have := map[int]bool{}
	var errs error
	for _, r := range st.applied {
		if r.number > len(migrations) {
			errs = errors.Join(errs, &RefusedError{fmt.Sprintf(
				"database %s is newer than this binary: it has migration %04d_%s, written by version %q on %s, and this binary knows %d; run a version at least as new, or use another database",
				database, r.number, r.name, r.version, r.at.UTC().Format(time.DateOnly), len(migrations))})
			continue
		}
		if m := migrations[r.number-1]; r.checksum != m.Checksum {
			errs = errors.Join(errs, &RefusedError{fmt.Sprintf(
				"database %s has another migration %s than this binary: checksum %.12s there (version %q, %s), %.12s here; run the release that made it, or use another database",
				database, m, r.checksum, r.version, r.at.UTC().Format(time.DateOnly), m.Checksum)})
		}
		have[r.number] = true
	}
	if errs != nil {
		return plan{}, errs
	}
	var applied []Migration
	for _, m := range migrations {
		if have[m.Number] {
			applied = append(applied, m)
		} else {
			p.pending = append(p.pending, m)
		}
	}
	if len(p.pending) > 0 && len(applied) > 0 && p.pending[0].Number < applied[len(applied)-1].Number {
		return plan{}, &RefusedError{fmt.Sprintf("database %s: %s has no row for migration %s but one for a later migration %s; it was changed by hand: restore the row, or use another database",
			database, ledger, p.pending[0], applied[len(applied)-1])}
	}
	for _, name := range objects(applied) {
		if _, ok := st.objects[name]; !ok {
			p.lost = append(p.lost, name)
		}
	}
	if len(p.lost) > 0 {
		p.run = append(p.run, applied...)
	}
	p.run = append(p.run, p.pending...)
	return p, nil
}
