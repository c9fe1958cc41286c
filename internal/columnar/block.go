// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package columnar

import (
	"strings"

	"github.com/ClickHouse/ch-go/proto"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Block is the rows of one table that are inserted at once.
type Block struct {
	// Table is the name of the table, without database.
	Table string

	columns []column
	input   proto.Input
	into    string // (`a`, `b`, …)
}

// field is a column and its name.
type field struct {
	name string
	column
}

func newBlock(table string, fields ...field) Block {
	b := Block{Table: table}
	var names []string
	for _, f := range fields {
		b.columns = append(b.columns, f.column)
		b.input = append(b.input, proto.InputColumn{Name: f.name, Data: f.column})
		names = append(names, "`"+f.name+"`")
	}
	b.into = "(" + strings.Join(names, ", ") + ")"
	return b
}

// Rows is how many rows the block has.
func (b *Block) Rows() int { return b.columns[0].Rows() }

// Columns are the names of the columns, in the order of the INSERT.
func (b *Block) Columns() (names []string) {
	for _, c := range b.input {
		names = append(names, c.Name)
	}
	return names
}

// Reset removes all rows, and keeps the memory.
func (b *Block) Reset() {
	for _, c := range b.columns {
		c.Reset()
	}
}

// size is about how many bytes the block keeps.
func (b *Block) size() (n int) {
	for _, c := range b.columns {
		n += c.size()
	}
	return n
}

const attrServiceName = "service.name"

func serviceName(r pcommon.Resource) string {
	if v, ok := r.Attributes().Get(attrServiceName); ok {
		return v.AsString()
	}
	return ""
}

// once appends a row that is the same for all records of a resource or a scope: cheaply from the second on.
func (c *attrs) once(first *bool, m pcommon.Map) {
	if *first {
		*first = false
		c.append(m)
		return
	}
	c.repeat()
}
