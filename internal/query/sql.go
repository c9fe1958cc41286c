// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// statement is a SELECT in the making. Text of a user gets into it only by str, num, at and dateTime, which bind it.
//
// Strings are bound as hexadecimal digits and decoded by ClickHouse: how a parameter is escaped differs between the native
// protocol and HTTP, and digits need no escaping in either. ClickHouse folds unhex() of a parameter into a constant before it
// looks at keys and indexes (a test looks at the plan).
type statement struct {
	head       string // SELECT … FROM …
	conditions []string
	tail       string // GROUP BY …, ORDER BY …, LIMIT …
	params     clickhouse.Parameters
	n          int
}

func newStatement() *statement { return &statement{params: clickhouse.Parameters{}} }

func (s *statement) text() string {
	var b strings.Builder
	b.WriteString(s.head)
	b.WriteString(s.filter("\nWHERE "))
	b.WriteString("\n")
	b.WriteString(s.tail)
	return b.String()
}

// filter is all conditions behind a keyword, or nothing.
func (s *statement) filter(keyword string) string {
	if len(s.conditions) == 0 {
		return ""
	}
	return keyword + strings.Join(s.conditions, "\n  AND ")
}

func (s *statement) where(condition string) {
	if condition != "" {
		s.conditions = append(s.conditions, condition)
	}
}

func (s *statement) bind(value, typ string) string {
	s.n++
	name := "p" + strconv.Itoa(s.n)
	s.params[name] = value
	return "{" + name + ":" + typ + "}"
}

// str binds a string.
func (s *statement) str(v string) string {
	return "unhex(" + s.bind(hex.EncodeToString([]byte(v)), "String") + ")"
}

// num binds an integer.
func (s *statement) num(v int64) string { return s.bind(strconv.FormatInt(v, 10), "Int64") }

// at binds a time with nanoseconds.
func (s *statement) at(t time.Time) string {
	return "fromUnixTimestamp64Nano(" + s.num(t.UnixNano()) + ")"
}

// in is the condition that a column has one of the values. Not by an array: ClickHouse makes has() of that, which uses no index.
func (s *statement) in(column string, values []string) string {
	if len(values) == 1 {
		return column + " = " + s.str(values[0])
	}
	bound := make([]string, len(values))
	for i, v := range values {
		bound[i] = s.str(v)
	}
	return column + " IN (" + strings.Join(bound, ", ") + ")"
}

func or(conditions []string) string {
	switch len(conditions) {
	case 0:
		return "0"
	case 1:
		return conditions[0]
	}
	return "(" + strings.Join(conditions, " OR ") + ")"
}

func uitoa(n int) string { return strconv.Itoa(n) }

// table is the full name of a table.
func (q *Querier) table(name string) string {
	return "`" + strings.ReplaceAll(q.store.Database(), "`", "``") + "`." + name
}

// dateTime binds a time as the parameter of a view.
func (s *statement) dateTime(t time.Time) string {
	return s.bind(t.UTC().Format("2006-01-02 15:04:05.000000000"), "DateTime64(9, 'UTC')")
}

// fill puts what is selected in the place of the %s of a prepared head. It is SQL of this package, never a value.
func (s *statement) fill(selected string) { s.head = strings.Replace(s.head, "%s", selected, 1) }
