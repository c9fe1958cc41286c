// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
	"go.opentelemetry.io/collector/consumer/consumererror"

	"github.com/tailrace/tailrace/internal/ingest"
)

// code is what is known of an error code of ClickHouse. The README has the same table in words; a test compares them.
type code struct {
	class ingest.Class
	name  string
}

// codes are ClickHouse's error codes that say clearly what is to be done. All others are doubtful.
var codes = map[int32]code{
	// The state of the server, its tables or the login: it heals, or somebody mends it.
	16:  {ingest.Heals, "a column is missing"},
	20:  {ingest.Heals, "a column is missing"},
	47:  {ingest.Heals, "a column is missing"},
	60:  {ingest.Heals, "a table is missing"},
	81:  {ingest.Heals, "the database is missing"},
	159: {ingest.Heals, "time-out"},
	160: {ingest.Heals, "time-out"},
	164: {ingest.Heals, "read-only"},
	192: {ingest.Heals, "login refused"},
	193: {ingest.Heals, "login refused"},
	194: {ingest.Heals, "login refused"},
	201: {ingest.Heals, "quota exceeded"},
	202: {ingest.Heals, "too many queries"},
	203: {ingest.Heals, "ClickHouse is busy"},
	209: {ingest.Heals, "time-out"},
	210: {ingest.Heals, "network"},
	218: {ingest.Heals, "a table is missing"},
	225: {ingest.Heals, "no keeper"},
	236: {ingest.Heals, "aborted"},
	241: {ingest.Heals, "memory limit"},
	242: {ingest.Heals, "read-only"},
	243: {ingest.Heals, "disk full"},
	244: {ingest.Heals, "no keeper"},
	252: {ingest.Heals, "too many parts"},
	279: {ingest.Heals, "network"},
	285: {ingest.Heals, "too few replicas"},
	286: {ingest.Heals, "too few replicas"},
	319: {ingest.Heals, "it is not known whether the insert was done"},
	394: {ingest.Heals, "aborted"},
	439: {ingest.Heals, "ClickHouse is busy"},
	497: {ingest.Heals, "access denied"},
	499: {ingest.Heals, "the storage behind ClickHouse fails"},
	516: {ingest.Heals, "login refused"},
	571: {ingest.Heals, "no keeper"},
	692: {ingest.Heals, "too many mutations"},
	735: {ingest.Heals, "aborted"},
	999: {ingest.Heals, "no keeper"},

	// A record of the block can't be taken as the table's columns and constraints are; that is found out before
	// anything of the block is written.
	6:   {ingest.Refused, "a value can't be parsed"},
	26:  {ingest.Refused, "a value can't be parsed"},
	27:  {ingest.Refused, "a value can't be parsed"},
	38:  {ingest.Refused, "a value can't be parsed"},
	41:  {ingest.Refused, "a value can't be parsed"},
	53:  {ingest.Refused, "a value has the wrong type"},
	70:  {ingest.Refused, "a value has the wrong type"},
	72:  {ingest.Refused, "a value can't be parsed"},
	321: {ingest.Refused, "a value is out of range"},
	349: {ingest.Refused, "a value is missing"},
	407: {ingest.Refused, "a value is out of range"},
	469: {ingest.Refused, "a constraint is violated"},
}

const (
	tooManyParts       = 252
	manyPartitions     = "partitions for single INSERT block"
	nameManyPartitions = "too many partitions in one insert"
	memoryLimit        = 241
	ofTheQuery         = "query memory limit"
	nameTooLarge       = "memory limit of the query (code 241)"
	whilePushing       = "while pushing to view"
	nameView           = "a view on the table refuses a record"
	nameAway           = "ClickHouse can't be reached"
)

// classify says what an error of the next consumer means: contrib's exporter passes ClickHouse's answer on in it,
// for metrics up to five of them. One that heals decides, since the others may follow from it.
func classify(err error) (ingest.Class, string) {
	if consumererror.IsPermanent(err) {
		return ingest.Permanent, ""
	}
	worst, name := ingest.Class(-1), ""
	walk(err, func(class ingest.Class, n string) {
		if worst < 0 || class == ingest.Heals || (class == ingest.Doubtful && worst == ingest.Refused) {
			worst, name = class, n
		}
	})
	if worst < 0 {
		return ingest.Heals, "" // not ClickHouse's, so it is for the consumer to say when it is permanent
	}
	return worst, name
}

// walk calls f for every error in the tree that is known to come from ClickHouse or its client. It unwraps by itself: errors.As
// finds only the first of several.
func walk(err error, f func(ingest.Class, string)) {
	switch e := any(err).(type) {
	case *proto.Exception:
		class, name := classifyException(e)
		f(class, name)
		return
	case *proto.BlockError, *column.ColumnConverterError, *column.Error:
		f(ingest.Refused, "a value can't be converted") // by the client, before the block is sent
		return
	case net.Error:
		f(ingest.Heals, nameAway)
		return
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded) && !wraps(err):
		f(ingest.Heals, "time-out")
	case (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) && !wraps(err):
		f(ingest.Heals, nameAway)
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

func classifyException(e *proto.Exception) (ingest.Class, string) {
	if strings.Contains(e.Message, whilePushing) {
		// The table itself holds the rows by now. Sent again under the same token they only go to the views that lack
		// them; in pieces, under other tokens, the table would have them twice.
		return ingest.Heals, nameView
	}
	if e.Code == tooManyParts && strings.Contains(e.Message, manyPartitions) {
		return ingest.Refused, nameManyPartitions
	}
	if e.Code == memoryLimit && strings.Contains(strings.ToLower(e.Message), ofTheQuery) {
		return ingest.Doubtful, nameTooLarge // in pieces it fits
	}
	if c, ok := codes[e.Code]; ok {
		return c.class, fmt.Sprintf("%s (code %d)", c.name, e.Code)
	}
	return ingest.Doubtful, fmt.Sprintf("code %d", e.Code)
}
