// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// What is special on a cluster:
//
//   - A migration, and a change of the policy, waits until every host answers: one that slept through it would go on
//     with views that are gone elsewhere.
//   - Once migrated, the schema is in place when every host that answers has all tables. A host that lacks some, because it is new or
//     was replaced, gets them as another host has them: the migrations themselves would make tables of another form than
//     Keeper has by now.

// inventory is what one host of a cluster has.
type inventory struct {
	host host
	state
	missing []string
}

// overview is what there is to be done on a cluster.
type overview struct {
	plan
	hosts  []inventory // those that answer
	absent []host
}

// runOnCluster is Run.
func (m *Migrator) runOnCluster(ctx context.Context) error {
	o, err := m.overview(ctx)
	if err != nil {
		return err
	}
	due, err := m.dueOnCluster(ctx, o)
	if err != nil || o.empty() && len(due) == 0 {
		return err
	}
	if m.DryRun {
		return m.say(o.plan, texts(due))
	}
	if len(o.pending) > 0 && len(o.absent) > 0 {
		return fmt.Errorf("migration %s waits until every host of cluster %s answers, and %s does not (%w): start it, or take it out of remote_servers",
			o.pending[0], m.Cluster.Name, o.absent[0], o.absent[0].err)
	}
	for _, h := range o.hosts {
		if err := m.found(ctx, h); err != nil {
			return err
		}
	}
	// All collectors ask the same host for the lock as long as it answers; when they do not, what each does is still safe to be done twice.
	first := o.hosts[0].host
	return newLease(first.conn, m.Database).do(ctx, func(ctx context.Context) error {
		// Another collector may have done it all while this one waited for the lock.
		o, err := m.overview(ctx)
		if err != nil {
			return err
		}
		if err := m.applyOnCluster(ctx, o); err != nil {
			return err
		}
		if o, err = m.overview(ctx); err != nil {
			return err
		}
		due, err := m.dueOnCluster(ctx, o)
		if err != nil {
			return err
		}
		for _, d := range due {
			if err := m.on(d.at).exec(ctx, d.text); err != nil {
				return fmt.Errorf("%q on %s: %w", firstLine(d.text), d.at, err)
			}
			if m.Adjusted != nil {
				m.Adjusted(d.text)
			}
		}
		return nil
	})
}

func (m *Migrator) overview(ctx context.Context) (overview, error) {
	var o overview
	all, err := m.Hosts.find(ctx, m.Conn)
	if err != nil {
		return o, err
	}
	var names []string
	for _, h := range all {
		if h.err != nil {
			o.absent = append(o.absent, h)
			names = append(names, h.String())
			continue
		}
		st, err := inspect(ctx, h.conn, m.Database)
		if err != nil {
			return o, fmt.Errorf("%s: %w", h, err)
		}
		o.hosts = append(o.hosts, inventory{host: h, state: st})
	}
	if m.Absent != nil {
		m.Absent(names)
	}
	if len(o.hosts) == 0 {
		return o, fmt.Errorf("no host of cluster %s answers at the address that remote_servers has, %s does not: %w", m.Cluster.Name, all[0], all[0].err)
	}
	// The ledger is replicated to all hosts, to some later than to others.
	merged := state{exists: true, objects: map[string]struct{}{}}
	for _, h := range o.hosts {
		merged.exists = merged.exists && h.exists
		for _, r := range h.applied {
			if !slices.ContainsFunc(merged.applied, func(known record) bool { return known.number == r.number && known.checksum == r.checksum }) {
				merged.applied = append(merged.applied, r)
			}
		}
	}
	for _, name := range objects(m.Migrations) {
		merged.objects[name] = struct{}{}
	}
	if o.plan, err = decide(m.Database, merged, m.Migrations); err != nil {
		return o, err
	}
	expected := m.Cluster.objects(m.Migrations[:len(m.Migrations)-len(o.pending)])
	for i, h := range o.hosts {
		for _, name := range expected {
			if _, ok := h.objects[name]; !ok {
				o.hosts[i].missing = append(o.hosts[i].missing, name)
				o.lost = append(o.lost, h.host.addr+" "+name)
			}
		}
	}
	return o, nil
}

// empty also looks for what single hosts lack.
func (o overview) empty() bool { return o.plan.empty() && len(o.lost) == 0 }

// found makes what a host must have to take part.
func (m *Migrator) found(ctx context.Context, h inventory) error {
	on := m.on(h.host)
	statements := []string{"CREATE DATABASE IF NOT EXISTS " + quote(m.Database)}
	for _, ddl := range []string{ledgerTable(), leaseTable()} {
		for _, s := range m.Cluster.render(ddl) {
			statements = append(statements, fill(s.text, m.Database))
		}
	}
	for _, statement := range statements {
		if err := on.exec(ctx, statement); err != nil {
			return fmt.Errorf("%q on %s: %w", firstLine(statement), h.host, err)
		}
	}
	return nil
}

func (m *Migrator) applyOnCluster(ctx context.Context, o overview) error {
	if len(o.pending) > 0 && len(o.absent) > 0 {
		return fmt.Errorf("migration %s: %s went away: %w", o.pending[0], o.absent[0], o.absent[0].err)
	}
	again, err := m.complete(ctx, o)
	if err != nil {
		return err
	}
	for _, migration := range m.Migrations {
		pending := slices.ContainsFunc(o.pending, func(p Migration) bool { return p.Number == migration.Number })
		if !pending && !again {
			continue
		}
		for _, s := range m.Cluster.statements(m.Migrations, migration) {
			if err := m.runScoped(ctx, o, s); err != nil {
				return fmt.Errorf("migration %s, %w", migration, err)
			}
		}
		if pending {
			if err := m.on(o.hosts[0].host).record(ctx, migration); err != nil {
				return err
			}
		}
	}
	if len(o.lost) > 0 && m.Recreated != nil {
		m.Recreated(o.lost)
	}
	return nil
}

// runScoped runs a statement on the hosts that it is meant for.
func (m *Migrator) runScoped(ctx context.Context, o overview, s scoped) error {
	done := map[uint32]bool{}
	for _, h := range o.hosts {
		if s.scope == onShard && done[h.host.shard] || s.scope == onOne && len(done) > 0 {
			continue
		}
		done[h.host.shard] = true
		if err := m.on(h.host).statement(ctx, s.text); err != nil {
			return fmt.Errorf("statement %q on %s: %w", firstLine(fill(s.text, m.Database)), h.host, err)
		}
	}
	return nil
}

// complete gives each host the tables and views that it lacks and another has. It reports whether there are some that no host has, so that
// the applied migrations have to be run again.
func (m *Migrator) complete(ctx context.Context, o overview) (again bool, err error) {
	for _, h := range o.hosts {
		missing := slices.DeleteFunc(slices.Clone(h.missing), func(name string) bool { return name == ledger || name == leases })
		for _, donor := range o.hosts {
			if len(missing) == 0 {
				break
			}
			has := func(name string) bool { _, ok := donor.objects[name]; return ok }
			wanted := slices.DeleteFunc(slices.Clone(missing), func(name string) bool { return !has(name) })
			if len(wanted) == 0 {
				continue
			}
			if err := m.copyTables(ctx, donor.host, h.host, wanted); err != nil {
				return false, err
			}
			missing = slices.DeleteFunc(missing, has)
		}
		again = again || len(missing) > 0
	}
	return again, nil
}

// copyTables makes tables and views as another host has them; those first that others need.
func (m *Migrator) copyTables(ctx context.Context, from, to host, names []string) error {
	var statements []string
	err := each(ctx, from.conn, func(rows driver.Rows) error {
		var statement string
		err := rows.Scan(&statement)
		statements = append(statements, statement)
		return err
	}, `SELECT create_table_query FROM system.tables WHERE database = ? AND name IN (?)
ORDER BY multiIf(startsWith(engine, 'Replicated'), 0, engine = 'Distributed', 1, engine = 'View', 2, 3), name`, m.Database, names)
	if err != nil {
		return fmt.Errorf("read how %s made its tables: %w", from, err)
	}
	for _, statement := range statements {
		for _, kind := range []string{"CREATE TABLE ", "CREATE VIEW ", "CREATE MATERIALIZED VIEW "} {
			if rest, ok := strings.CutPrefix(statement, kind); ok {
				statement = kind + "IF NOT EXISTS " + rest
				break
			}
		}
		if err := m.on(to).exec(ctx, statement); err != nil {
			return fmt.Errorf("make on %s what %s has, %q: %w", to, from, firstLine(statement), err)
		}
	}
	return nil
}

// dueStatement is one of the policy, and where it is run.
type dueStatement struct {
	at   host
	text string
}

func texts(due []dueStatement) []string {
	var out []string
	for _, d := range due {
		out = append(out, d.text)
	}
	return out
}

// dueOnCluster is due, once the schema is in place and every host answers.
func (m *Migrator) dueOnCluster(ctx context.Context, o overview) ([]dueStatement, error) {
	if !o.empty() || len(o.absent) > 0 {
		return nil, nil
	}
	var out []dueStatement
	var errs error
	for i, h := range o.hosts {
		if i > 0 && o.hosts[i-1].host.shard == h.host.shard {
			continue
		}
		stale, err := m.on(h.host).stale(ctx)
		errs = errors.Join(errs, err)
		for _, statement := range stale {
			for _, replica := range o.hosts {
				if replica.host.addr == h.host.addr || replica.host.shard == h.host.shard && strings.Contains(statement, modifySetting) {
					out = append(out, dueStatement{replica.host, statement})
				}
			}
		}
	}
	first := o.hosts[0].host
	repriced, err := m.on(first).repriced(ctx)
	errs = errors.Join(errs, err)
	for _, statement := range repriced {
		out = append(out, dueStatement{first, statement})
	}
	return out, errs
}

// on is the migrator of one host.
func (m *Migrator) on(h host) *Migrator {
	one := *m
	one.Conn = h.conn
	return &one
}
