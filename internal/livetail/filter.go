// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// Bounds of a filter. A filter is evaluated for everybody who uses it by one goroutine, so what a client may ask for is
// bounded in what it costs: a regular expression by its length and its compiled size, and by how much text it looks at.
const (
	MaxFilterBytes = 16 << 10
	MaxRegexBytes  = 1 << 10
	maxRegexSize   = 2000 // instructions
	maxRegexText   = 16 << 10
	maxFilterDepth = 4
	maxConditions  = 64
)

// ErrInvalidFilter is what every error of ParseFilter wraps.
var ErrInvalidFilter = errors.New("invalid filter")

// filterSpec is a filter as a client writes it.
type filterSpec struct {
	Signals     []string                   `json:"signals,omitempty"`
	MinSeverity string                     `json:"min_severity,omitempty"`
	Text        string                     `json:"text,omitempty"`
	Regex       string                     `json:"regex,omitempty"`
	Attributes  map[string]json.RawMessage `json:"attributes,omitempty"`
	Service     oneOrMore                  `json:"service,omitempty"`
	Name        oneOrMore                  `json:"name,omitempty"`
	Status      string                     `json:"status,omitempty"`
	MinDuration *float64                   `json:"min_duration_ms,omitempty"`
	EventName   oneOrMore                  `json:"event_name,omitempty"`
	Not         *filterSpec                `json:"not,omitempty"`
}

// oneOrMore is a string, or a list of which one must be equal.
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	var more []string
	if err := json.Unmarshal(data, &more); err != nil {
		return errors.New("must be a string or a list of strings")
	}
	if len(more) == 0 {
		return errors.New("must not be an empty list")
	}
	*o = more
	return nil
}

// Filter is a compiled filter. All its conditions must hold; one that a record's signal does not know (the duration of a
// log) does not hold. Immutable and safe for concurrent use; nil matches everything.
type Filter struct {
	key         string
	signals     uint8 // a bit for each Signal
	minSeverity int   // OpenTelemetry's number of the level
	text        []byte
	regex       *regexp.Regexp
	service     [][]byte
	name        [][]byte
	event       [][]byte
	status      int // of OpenTelemetry; 0: any
	minDuration int64
	timed       bool // minDuration is set
	attributes  []attributeCondition
	not         *Filter
}

// attributeCondition holds when the attribute equals one of the values, or is there, or is not.
type attributeCondition struct {
	key    string
	exists bool // asked for presence only
	absent bool
	values []attributeValue
}

type attributeValue struct {
	text   []byte
	number float64
	kind   ValueKind // KindString, KindDouble for any number, KindBool
	yes    bool
}

// ParseFilter reads a filter in JSON; null and an empty object are no filter. Every error wraps ErrInvalidFilter and names
// the condition.
func ParseFilter(data []byte) (*Filter, error) {
	if len(bytes.TrimSpace(data)) == 0 || bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		return nil, nil
	}
	if len(data) > MaxFilterBytes {
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrInvalidFilter, len(data), MaxFilterBytes)
	}
	var spec filterSpec
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&spec); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrInvalidFilter, strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: there is something behind it", ErrInvalidFilter)
	}
	f, err := spec.compile(0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidFilter, err)
	}
	key, err := json.Marshal(spec) // members in one order, attributes sorted
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidFilter, err)
	}
	if string(key) == "{}" {
		return nil, nil
	}
	f.key = string(key)
	return f, nil
}

// Key is equal for filters that were written alike; empty for none.
func (f *Filter) Key() string {
	if f == nil {
		return ""
	}
	return f.key
}

var signalNames = [...]string{SignalLog: "logs", SignalSpan: "spans", SignalMetric: "metrics", SignalScore: "scores"}

// levelNumbers are the lowest severity numbers of the levels.
var levelNumbers = map[string]int{"trace": 1, "debug": 5, "info": 9, "warn": 13, "error": 17, "fatal": 21}

func (s *filterSpec) compile(depth int) (*Filter, error) {
	if depth > maxFilterDepth {
		return nil, fmt.Errorf("not: is nested more than %d deep", maxFilterDepth)
	}
	f := &Filter{text: []byte(s.Text), service: s.Service.bytes(), name: s.Name.bytes(), event: s.EventName.bytes()}
	for _, name := range s.Signals {
		i := slices.Index(signalNames[:], name)
		if i <= 0 {
			return nil, fmt.Errorf("signals: unknown %q; known are logs, spans, metrics and scores", short(name))
		}
		f.signals |= 1 << i
	}
	if s.MinSeverity != "" {
		if f.minSeverity = levelNumbers[strings.ToLower(s.MinSeverity)]; f.minSeverity == 0 {
			return nil, fmt.Errorf("min_severity: unknown %q; known are trace, debug, info, warn, error and fatal", short(s.MinSeverity))
		}
	}
	switch s.Status {
	case "":
	case "ok":
		f.status = 1
	case "error":
		f.status = 2
	default:
		return nil, fmt.Errorf("status: unknown %q; known are ok and error", short(s.Status))
	}
	if s.MinDuration != nil {
		ms := *s.MinDuration
		if !(ms >= 0 && ms < math.MaxInt64/1e6) {
			return nil, errors.New("min_duration_ms: must be 0 or more")
		}
		f.minDuration, f.timed = int64(ms*1e6), true
	}
	if len(s.Attributes)+len(s.Service)+len(s.Name)+len(s.EventName) > maxConditions {
		return nil, fmt.Errorf("more than %d values and attributes", maxConditions)
	}
	var err error
	if f.regex, err = compileRegex(s.Regex); err != nil {
		return nil, err
	}
	for _, key := range sortedKeys(s.Attributes) {
		c, err := compileAttribute(key, s.Attributes[key])
		if err != nil {
			return nil, fmt.Errorf("attributes: %q: %w", short(key), err)
		}
		f.attributes = append(f.attributes, c)
	}
	if s.Not != nil {
		if f.not, err = s.Not.compile(depth + 1); err != nil {
			return nil, fmt.Errorf("not: %w", err)
		}
	}
	return f, nil
}

func (o oneOrMore) bytes() (out [][]byte) {
	for _, s := range o {
		out = append(out, []byte(s))
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func short(s string) string { return cut(s, 64) }

func compileRegex(expr string) (*regexp.Regexp, error) {
	if expr == "" {
		return nil, nil
	}
	if len(expr) > MaxRegexBytes {
		return nil, fmt.Errorf("regex: has %d bytes, at most %d are allowed", len(expr), MaxRegexBytes)
	}
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("regex: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	if regexSize(tree) > maxRegexSize {
		return nil, errors.New("regex: is too costly; use fewer or smaller repetitions")
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("regex: %w", err)
	}
	return re, nil
}

// regexSize estimates the size of the compiled expression without expanding its repetitions.
func regexSize(re *syntax.Regexp) int {
	size := 1
	switch re.Op {
	case syntax.OpLiteral:
		size = len(re.Rune)
	case syntax.OpCharClass:
		size = 1 + len(re.Rune)/8
	}
	for _, sub := range re.Sub {
		size += regexSize(sub)
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min, re.Max, 1)
	}
	return min(size, 1<<30)
}

func compileAttribute(key string, raw json.RawMessage) (attributeCondition, error) {
	c := attributeCondition{key: key}
	var presence struct {
		Exists *bool `json:"exists"`
	}
	switch raw[0] {
	case '{':
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&presence); err != nil || presence.Exists == nil {
			return c, errors.New(`must be a value, a list of values, or {"exists": true|false}`)
		}
		c.exists, c.absent = *presence.Exists, !*presence.Exists
		return c, nil
	case '[':
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 || len(list) > maxConditions {
			return c, fmt.Errorf("must be a list of 1 to %d values", maxConditions)
		}
		for _, one := range list {
			v, err := compileValue(one)
			if err != nil {
				return c, err
			}
			c.values = append(c.values, v)
		}
		return c, nil
	default:
		v, err := compileValue(raw)
		c.values = []attributeValue{v}
		return c, err
	}
}

func compileValue(raw json.RawMessage) (v attributeValue, err error) {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return v, err
	}
	switch x := value.(type) {
	case string:
		return attributeValue{kind: KindString, text: []byte(x)}, nil
	case float64:
		return attributeValue{kind: KindDouble, number: x}, nil
	case bool:
		return attributeValue{kind: KindBool, yes: x}, nil
	default:
		return v, errors.New("values must be strings, numbers or booleans")
	}
}
