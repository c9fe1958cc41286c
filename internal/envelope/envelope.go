// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/tailrace/tailrace/internal/foreignid"
	"github.com/tailrace/tailrace/internal/identity"
)

// Kinds of records.
const (
	KindTrace  = "trace"
	KindSpan   = "span"
	KindLog    = "log"
	KindMetric = "metric"
	KindScore  = "score"
)

// Attributes that are made here.
const (
	// AttrRecord is "trace" on the span that a trace record becomes.
	AttrRecord = "tailrace.record"
	// AttrUnfinished is true on spans and traces that had no end; they end when they begin.
	AttrUnfinished = "tailrace.unfinished"
	// prefixOriginal is before the names of members that have no place of their own.
	prefixOriginal = "tailrace.original."
	prefixMetadata = "metadata."
)

// ErrKind is returned for a record of another signal than was asked for.
var ErrKind = errors.New("a record of another kind")

// Hint says what a file's folder tells about its lines. Both may be empty.
type Hint struct {
	// Kind is that of lines without an envelope, singular or plural. Without it the members decide.
	Kind string
	// Project is the project of records that don't name one.
	Project string
}

// record is the data of a line. get marks what was used, rest is what was not.
type record struct {
	kind string
	data map[string]any
	used map[string]bool
	hint Hint
}

func parse(line []byte, hint Hint, allowed ...string) (*record, error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	var top map[string]any
	if err := dec.Decode(&top); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	if top == nil {
		return nil, errors.New("null, not an object")
	}
	r := &record{data: top, used: map[string]bool{}, hint: hint}
	data, isObject := top["data"].(map[string]any)
	kind, isText := top["type"].(string)
	if isObject && isText {
		r.kind, r.data = singular(kind), data
		if r.kind == "" {
			return nil, fmt.Errorf("type %q; known are trace, span, log, metric, score", kind)
		}
	} else if r.kind = r.guess(); r.kind == "" {
		return nil, errors.New("neither an envelope with type and data, nor the data of a known record")
	}
	if !slices.Contains(allowed, r.kind) {
		return nil, fmt.Errorf("%w: %s", ErrKind, r.kind)
	}
	return r, nil
}

// Kind returns the kind of a line's record, "" if it is none.
func Kind(line []byte, hint Hint) string {
	r, err := parse(line, hint, KindTrace, KindSpan, KindLog, KindMetric, KindScore)
	if err != nil {
		return ""
	}
	return r.kind
}

func singular(kind string) string {
	for _, k := range []string{KindTrace, KindSpan, KindLog, KindMetric, KindScore} {
		if kind == k || kind == k+"s" {
			return k
		}
	}
	return ""
}

// guess tells the kind of a record without an envelope: by its own members first, since folders were mixed up.
func (r *record) guess() string {
	has := func(keys ...string) bool {
		return !slices.ContainsFunc(keys, func(k string) bool { _, ok := r.data[k]; return !ok })
	}
	switch {
	case has("level", "message"):
		return KindLog
	case has("type", "value", "name"):
		return KindMetric
	case has("spanId", "startTime"):
		return KindSpan
	case has("value", "name"):
		return KindScore
	case has("traceId", "startTime"):
		return KindTrace
	}
	return singular(r.hint.Kind)
}

// get returns a member; ok is false for null too.
func (r *record) get(key string) (any, bool) {
	r.used[key] = true
	v, ok := r.data[key]
	return v, ok && v != nil
}

func (r *record) text(key string) string {
	v, ok := r.get(key)
	if !ok {
		return ""
	}
	if s, ok := v.(string); ok {
		return s
	}
	raw, _ := json.Marshal(v) // it came from JSON
	return string(raw)
}

func (r *record) number(key string) (v float64, ok bool, err error) {
	raw, ok := r.get(key)
	if !ok {
		return 0, false, nil
	}
	text := ""
	switch x := raw.(type) {
	case json.Number:
		text = x.String()
	case string:
		text = x
	default:
		return 0, false, fmt.Errorf("%s: %T is no number", key, raw)
	}
	if v, err = strconv.ParseFloat(text, 64); err != nil && !math.IsInf(v, 0) {
		return 0, false, fmt.Errorf("%s: %q is no number", key, text)
	}
	return v, true, nil
}

// time reads an ISO string, or milliseconds since 1970.
func (r *record) time(key string) (at pcommon.Timestamp, ok bool, err error) {
	raw, ok := r.get(key)
	if !ok {
		return 0, false, nil
	}
	at, err = parseTime(raw)
	if err != nil {
		return 0, false, fmt.Errorf("%s: %w", key, err)
	}
	return at, true, nil
}

func parseTime(raw any) (pcommon.Timestamp, error) {
	switch v := raw.(type) {
	case string:
		t, err := time.Parse(time.RFC3339Nano, v)
		if err != nil || t.Before(time.Unix(0, 0)) || t.Year() > 2261 {
			return 0, fmt.Errorf("%q is no time like 2006-01-02T15:04:05.000Z after 1970", v)
		}
		return pcommon.NewTimestampFromTime(t), nil
	case json.Number:
		ms, err := v.Float64()
		if err != nil || ms < 0 || ms > 9e12 {
			return 0, fmt.Errorf("%s are no milliseconds since 1970", v)
		}
		return pcommon.Timestamp(math.Round(ms*1000)) * 1000, nil
	default:
		return 0, fmt.Errorf("%T is no time", raw)
	}
}

// needTime is time for a member that has to be there.
func (r *record) needTime(key string) (pcommon.Timestamp, error) {
	at, ok, err := r.time(key)
	if err == nil && !ok {
		err = fmt.Errorf("%s: missing", key)
	}
	return at, err
}

func (r *record) resource(attrs pcommon.Map) {
	project := r.text("projectId")
	if project == "" {
		project = r.hint.Project
	}
	identity.Identity{Project: project, Deployment: r.text("deploymentId")}.PutResource(attrs)
}

func (r *record) traceID(attrs pcommon.Map) pcommon.TraceID {
	text := r.text("traceId")
	id, exact := foreignid.Trace(text)
	if !exact {
		attrs.PutStr(foreignid.AttrTraceID, text)
	}
	return id
}

func (r *record) spanID(key, original string, attrs pcommon.Map) pcommon.SpanID {
	text := r.text(key)
	id, exact := foreignid.Span(text)
	if !exact {
		attrs.PutStr(original, text)
	}
	return id
}

// attributes puts the members of an object into m. What is not an object is kept under the member's own name.
func (r *record) attributes(key, prefix string, m pcommon.Map) {
	v, ok := r.get(key)
	if !ok {
		return
	}
	object, ok := v.(map[string]any)
	if !ok {
		value(v, m.PutEmpty(prefixOriginal+key))
		return
	}
	for _, k := range sortedKeys(object) {
		value(object[k], m.PutEmpty(prefix+k))
	}
}

// rest keeps the members that nobody asked for.
func (r *record) rest(m pcommon.Map) {
	for _, k := range sortedKeys(r.data) {
		if !r.used[k] && r.data[k] != nil {
			value(r.data[k], m.PutEmpty(prefixOriginal+k))
		}
	}
}

// sortedKeys makes the order of attributes the same each time a line is read: a batch that is sent again must be the same.
func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// value sets a JSON value: whole numbers are integers as long as they fit.
func value(v any, to pcommon.Value) {
	switch x := v.(type) {
	case string:
		to.SetStr(x)
	case bool:
		to.SetBool(x)
	case json.Number:
		if i, err := strconv.ParseInt(x.String(), 10, 64); err == nil {
			to.SetInt(i)
		} else if f, err := x.Float64(); err == nil {
			to.SetDouble(f)
		} else {
			to.SetStr(x.String())
		}
	case []any:
		s := to.SetEmptySlice()
		for _, e := range x {
			value(e, s.AppendEmpty())
		}
	case map[string]any:
		m := to.SetEmptyMap()
		for _, k := range sortedKeys(x) {
			value(x[k], m.PutEmpty(k))
		}
	}
}
