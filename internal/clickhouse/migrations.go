// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Migration is one numbered file of SQL statements. Its text must never change once it was released: the ledger
// remembers its checksum.
//
// Every statement must be safe to run again on a database that already has its effect (IF NOT EXISTS, IF EXISTS,
// MODIFY to a fixed value): lost tables are brought back by running the applied migrations once more, in order.
type Migration struct {
	Number   int
	Name     string
	Checksum string // SHA-256 of the text, hex
	text     string
}

var (
	fileName  = regexp.MustCompile(`^(\d{4})_([a-z0-9_]+)\.sql$`)
	creates   = regexp.MustCompile(`(?i)^CREATE\s+(?:TABLE|MATERIALIZED\s+VIEW|VIEW|DICTIONARY)\s+IF\s+NOT\s+EXISTS\s+\{\{database\}\}\.(\w+)`)
	drops     = regexp.MustCompile(`(?i)^DROP\s+(?:TABLE|VIEW|DICTIONARY)\s+IF\s+EXISTS\s+\{\{database\}\}\.(\w+)`)
	commentRE = regexp.MustCompile(`(?m)^\s*--.*\n?`)
)

// Migrations returns the migrations that this binary knows, in order.
func Migrations() ([]Migration, error) {
	sub, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return nil, err
	}
	return loadMigrations(sub)
}

// loadMigrations reads NNNN_name.sql files, numbered from 1 without holes.
func loadMigrations(files fs.FS) ([]Migration, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var all []Migration
	for i, name := range names {
		m := fileName.FindStringSubmatch(path.Base(name))
		if m == nil {
			return nil, fmt.Errorf("migration %s: not named like 0001_what_it_does.sql", name)
		}
		number, err := strconv.Atoi(m[1])
		if err != nil || number != i+1 {
			return nil, fmt.Errorf("migration %s: expected number %04d", name, i+1)
		}
		raw, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		// A checkout with other line ends is the same migration.
		text := strings.ReplaceAll(string(raw), "\r\n", "\n")
		sum := sha256.Sum256([]byte(text))
		all = append(all, Migration{Number: number, Name: m[2], Checksum: hex.EncodeToString(sum[:]), text: text})
	}
	return all, nil
}

// templates returns the statements before the database name is filled in. A statement ends with a semicolon at the
// end of a line; comments stand on lines of their own.
func (m Migration) templates() []string {
	var out []string
	for part := range strings.SplitSeq(commentRE.ReplaceAllString(m.text, ""), ";\n") {
		if part = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(part), ";")); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// Statements returns the SQL to run for a database on one server; what the migrator does itself (carry.go) is a comment in it.
func (m Migration) Statements(database string) []string {
	var out []string
	for _, template := range m.templates() {
		if d := directive.FindStringSubmatch(template); d != nil {
			out = append(out, describeDirective(d[1], d[2]))
			continue
		}
		out = append(out, fill(template, database))
	}
	return out
}

// fill puts the database's name into a statement: as an identifier, and as it stands.
func fill(template, database string) string {
	return strings.NewReplacer("{{database}}", quote(database), "{{name}}", database).Replace(template)
}

func (m Migration) String() string { return fmt.Sprintf("%04d_%s", m.Number, m.Name) }

// objects returns the tables and views that exist after the given migrations, sorted.
func objects(migrations []Migration) []string {
	set := map[string]struct{}{}
	for _, m := range migrations {
		for _, statement := range m.templates() {
			if c := creates.FindStringSubmatch(statement); c != nil {
				set[c[1]] = struct{}{}
			}
			if d := drops.FindStringSubmatch(statement); d != nil {
				delete(set, d[1])
			}
		}
	}
	out := make([]string, 0, len(set))
	for name := range set {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// quote makes an identifier of a validated name.
func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
