// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package insert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// Class is what an error of an insert says about the batch.
type Class int

// The classes.
const (
	// Unknown is an error that is not ClickHouse's and not its client's.
	Unknown Class = iota
	// Heals may pass by itself, or somebody mends it: the batch is to be sent again as it is.
	Heals
	// Doubtful may be a record's fault, and parts of the batch may have been written all the same.
	Doubtful
	// Refused says that a record of the batch is to blame, and that nothing of the block was written to the table that
	// refuses it.
	Refused
)

// Code is what is known of an error code of ClickHouse.
type Code struct {
	Class Class
	Name  string
}

// Codes returns a copy of the table of error codes that say clearly what is to be done. All others are doubtful.
func Codes() map[int32]Code { return maps.Clone(codes) }

// ValueError is a value that a table's column can't hold, found out before anything was sent.
type ValueError struct {
	Column string
	Err    error
}

func (e *ValueError) Error() string { return fmt.Sprintf("column %s: %v", e.Column, e.Err) }

func (e *ValueError) Unwrap() error { return e.Err }

// codes are ClickHouse's error codes that say clearly what is to be done. All others are doubtful.
var codes = map[int32]Code{
	// The state of the server, its tables or the login: it heals, or somebody mends it.
	16:  {Heals, "a column is missing"},
	20:  {Heals, "a column is missing"},
	47:  {Heals, "a column is missing"},
	60:  {Heals, "a table is missing"},
	81:  {Heals, "the database is missing"},
	159: {Heals, "time-out"},
	160: {Heals, "time-out"},
	164: {Heals, "read-only"},
	192: {Heals, "login refused"},
	193: {Heals, "login refused"},
	194: {Heals, "login refused"},
	201: {Heals, "quota exceeded"},
	202: {Heals, "too many queries"},
	203: {Heals, "ClickHouse is busy"},
	209: {Heals, "time-out"},
	210: {Heals, "network"},
	218: {Heals, "a table is missing"},
	225: {Heals, "no keeper"},
	236: {Heals, "aborted"},
	241: {Heals, "memory limit"},
	242: {Heals, "read-only"},
	243: {Heals, "disk full"},
	244: {Heals, "no keeper"},
	252: {Heals, "too many parts"},
	279: {Heals, "network"},
	285: {Heals, "too few replicas"},
	286: {Heals, "too few replicas"},
	319: {Heals, "it is not known whether the insert was done"},
	394: {Heals, "aborted"},
	439: {Heals, "ClickHouse is busy"},
	497: {Heals, "access denied"},
	499: {Heals, "the storage behind ClickHouse fails"},
	516: {Heals, "login refused"},
	571: {Heals, "no keeper"},
	692: {Heals, "too many mutations"},
	735: {Heals, "aborted"},
	999: {Heals, "no keeper"},

	// A record of the block can't be taken as the table's columns and constraints are; that is found out before
	// anything of the block is written.
	6:   {Refused, "a value can't be parsed"},
	26:  {Refused, "a value can't be parsed"},
	27:  {Refused, "a value can't be parsed"},
	38:  {Refused, "a value can't be parsed"},
	41:  {Refused, "a value can't be parsed"},
	53:  {Refused, "a value has the wrong type"},
	70:  {Refused, "a value has the wrong type"},
	72:  {Refused, "a value can't be parsed"},
	321: {Refused, "a value is out of range"},
	349: {Refused, "a value is missing"},
	407: {Refused, "a value is out of range"},
	469: {Refused, "a constraint is violated"},
}

// TooManyParts is the code of two things that its message tells apart; the names are those of what has no code of its own.
const (
	TooManyParts       = 252
	manyPartitions     = "partitions for single INSERT block"
	NameManyPartitions = "too many partitions in one insert"
	memoryLimit        = 241
	ofTheQuery         = "query memory limit"
	NameTooLarge       = "memory limit of the query (code 241)"
	whilePushing       = "while pushing to view"
	NameView           = "a view on the table refuses a record"
	NameAway           = "ClickHouse can't be reached"
)

// Classify says what an error of an insert means: exporters pass ClickHouse's answer on in it, for metrics up to five of
// them, from clickhouse-go or from ch-go. One that heals decides, since the others may follow from it; then one that is doubtful.
// The name says in a few words what was the matter, for metrics and logs.
func Classify(err error) (Class, string) {
	worst, name := Unknown, ""
	walk(err, func(class Class, n string) {
		if worst == Unknown || class < worst {
			worst, name = class, n
		}
	})
	return worst, name
}

// walk calls f for every error in the tree that is known to come from ClickHouse or its client. It unwraps by itself: errors.As
// finds only the first of several.
func walk(err error, f func(Class, string)) {
	switch e := any(err).(type) {
	case *proto.Exception:
		f(classifyException(e.Code, e.Message))
		return
	case *ch.Exception:
		f(classifyException(int32(e.Code), e.Message))
		return
	case *proto.BlockError, *column.ColumnConverterError, *column.Error, *ValueError:
		f(Refused, "a value can't be converted") // by the client, before the block is sent
		return
	case net.Error:
		f(Heals, NameAway)
		return
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded) && !wraps(err):
		f(Heals, "time-out")
	case (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, ch.ErrClosed)) && !wraps(err):
		f(Heals, NameAway)
	}
	switch e := any(err).(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			walk(inner, f)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			walk(inner, f)
		}
	}
}

func wraps(err error) bool {
	switch any(err).(type) {
	case interface{ Unwrap() error }, interface{ Unwrap() []error }:
		return true
	}
	return false
}

func classifyException(number int32, message string) (Class, string) {
	if strings.Contains(message, whilePushing) {
		// The table itself holds the rows by now. Sent again under the same token they only go to the views that lack
		// them; in pieces, under other tokens, the table would have them twice.
		return Heals, NameView
	}
	if number == TooManyParts && strings.Contains(message, manyPartitions) {
		return Refused, NameManyPartitions
	}
	if number == memoryLimit && strings.Contains(strings.ToLower(message), ofTheQuery) {
		return Doubtful, NameTooLarge // in pieces it fits
	}
	if c, ok := codes[number]; ok {
		return c.Class, fmt.Sprintf("%s (code %d)", c.Name, number)
	}
	return Doubtful, fmt.Sprintf("code %d", number)
}
