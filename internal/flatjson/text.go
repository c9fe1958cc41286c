// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package flatjson

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/tailrace/tailrace/internal/jsontext"
)

// AttrRepaired marks a record in which bytes that are no UTF-8 were replaced.
const AttrRepaired = "tailrace.repaired"

// timeLayout is understood by ClickHouse (best_effort, its default from 26 on), DuckDB, jq and humans, and sorts as text.
const timeLayout = "2006-01-02T15:04:05.000000000Z"

// row appends one line to buf. Keys are given with quotes and colon.
type row struct {
	buf []byte
	// damaged is set when bytes that are no UTF-8 were replaced.
	damaged bool
	sorted  []member // scratch of attributes
}

type member struct {
	key   string
	value pcommon.Value
}

// key starts a member. No value ends in '{', so that byte is there only right after the object was opened.
func (r *row) key(k string) {
	if r.buf[len(r.buf)-1] != '{' {
		r.buf = append(r.buf, ',')
	}
	r.buf = append(r.buf, k...)
}

func (r *row) elem() {
	if r.buf[len(r.buf)-1] != '[' {
		r.buf = append(r.buf, ',')
	}
}

// text appends a JSON string. Bytes that are no UTF-8 become U+FFFD each.
func (r *row) text(s string) {
	var whole bool
	r.buf, whole = jsontext.AppendString(r.buf, s)
	r.damaged = r.damaged || !whole
}

func (r *row) str(k, v string) {
	r.key(k)
	r.text(v)
}

func (r *row) uint(k string, v uint64) {
	r.key(k)
	r.buf = strconv.AppendUint(r.buf, v, 10)
}

func (r *row) int(k string, v int64) {
	r.key(k)
	r.buf = strconv.AppendInt(r.buf, v, 10)
}

func (r *row) float(k string, v float64) {
	r.key(k)
	r.number(v)
}

// number appends a number, or what JSON lacks as a string, which ClickHouse reads as well.
func (r *row) number(v float64) { r.buf = jsontext.AppendFloat(r.buf, v) }

func (r *row) time(k string, t pcommon.Timestamp) {
	r.key(k)
	r.moment(t)
}

// moment appends a time. Above 2262 it wraps to before 1970, as pdata's AsTime does, so that reading gives it back.
func (r *row) moment(t pcommon.Timestamp) {
	r.buf = append(r.buf, '"')
	r.buf = time.Unix(0, int64(t)).UTC().AppendFormat(r.buf, timeLayout)
	r.buf = append(r.buf, '"')
}

// traceID and spanID append hex, and nothing for an id that is not set.
func (r *row) traceID(id pcommon.TraceID) {
	r.buf = append(r.buf, '"')
	if !id.IsEmpty() {
		r.buf = hex.AppendEncode(r.buf, id[:])
	}
	r.buf = append(r.buf, '"')
}

func (r *row) spanID(id pcommon.SpanID) {
	r.buf = append(r.buf, '"')
	if !id.IsEmpty() {
		r.buf = hex.AppendEncode(r.buf, id[:])
	}
	r.buf = append(r.buf, '"')
}

// attributes appends an object of text values, and AttrRepaired if mark is set. The keys are sorted, as the exporter does: a
// Map in ClickHouse keeps their order, and what hashes or compares a whole one (the key of the metric tables) depends on it.
func (r *row) attributes(m pcommon.Map, mark bool) {
	r.sorted = r.sorted[:0]
	for k, v := range m.All() {
		r.sorted = append(r.sorted, member{k, v})
	}
	if mark {
		r.sorted = append(r.sorted, member{AttrRepaired, pcommon.NewValueBool(true)})
	}
	slices.SortStableFunc(r.sorted, func(a, b member) int { return strings.Compare(a.key, b.key) })
	r.buf = append(r.buf, '{')
	for i, m := range r.sorted {
		if i > 0 {
			r.buf = append(r.buf, ',')
		}
		r.text(m.key)
		r.buf = append(r.buf, ':')
		r.value(m.value)
	}
	r.buf = append(r.buf, '}')
}

// value appends a value as text. The common types are spared the string that AsString makes.
func (r *row) value(v pcommon.Value) {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		r.text(v.Str())
	case pcommon.ValueTypeInt:
		r.buf = append(strconv.AppendInt(append(r.buf, '"'), v.Int(), 10), '"')
	case pcommon.ValueTypeBool:
		r.buf = append(strconv.AppendBool(append(r.buf, '"'), v.Bool()), '"')
	default:
		r.text(v.AsString())
	}
}
