// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of a request, so that none is an attack by its size.
const (
	// MaxValues is how often a parameter may be given.
	MaxValues = 100
	// MaxValueBytes bounds a value, MaxRegexBytes a regular expression.
	MaxValueBytes = 4096
	MaxRegexBytes = 1000
	// DefaultLimit and MaxLimit are of the rows of a page.
	DefaultLimit = 50
	MaxLimit     = 1000
)

// Filter is what rows have to match: all of its conditions, and of a condition with several values any one. The zero
// value matches everything.
type Filter struct {
	Projects, Deployments, Servers, Builds []string
	Services, Names, Events                []string
	Kinds, Statuses, Levels                []string // as they are in answers, lower case
	MinDuration, MaxDuration               time.Duration
	HasMin, HasMax                         bool
	HasError                               *bool
	RootOnly                               bool
	TraceID                                string // 32 hexadecimal digits, lower case
	Text                                   []string
	Regex                                  string
	Attributes                             []Attribute
	Resource                               []Attribute
	Types                                  []string // of metrics
	Labels                                 []string // of scores
	Signals                                []string // of files
	// Start is inclusive, End exclusive; zero: open.
	Start, End time.Time
	// EndsAfter is of spans: those that ended before it are left out. Zero: none are.
	EndsAfter time.Time
}

// Attribute is a condition on the attributes of a record, or of its resource: that there is one, or what it is.
type Attribute struct {
	Key, Value string
	Equals     bool
}

// Kinds of spans, their status and the levels of log records, as answers and filters name them.
var (
	spanKinds   = []string{"unspecified", "internal", "server", "client", "producer", "consumer"}
	statusNames = []string{"unset", "ok", "error"}
	levelNames  = []string{"unset", "trace", "debug", "info", "warn", "error", "fatal"}
	signalNames = []string{"traces", "logs", "metrics"}
	metricTypes = []string{"gauge", "sum", "histogram", "exponential_histogram", "summary"}
)

// filters reads each parameter that is a filter. now is what relative times refer to.
var filters = map[string]func(f *Filter, values []string, now time.Time) error{
	"project":      func(f *Filter, v []string, _ time.Time) error { return texts(&f.Projects, v) },
	"deployment":   func(f *Filter, v []string, _ time.Time) error { return texts(&f.Deployments, v) },
	"server":       func(f *Filter, v []string, _ time.Time) error { return texts(&f.Servers, v) },
	"build":        func(f *Filter, v []string, _ time.Time) error { return texts(&f.Builds, v) },
	"service":      func(f *Filter, v []string, _ time.Time) error { return texts(&f.Services, v) },
	"name":         func(f *Filter, v []string, _ time.Time) error { return texts(&f.Names, v) },
	"event_name":   func(f *Filter, v []string, _ time.Time) error { return texts(&f.Events, v) },
	"label":        func(f *Filter, v []string, _ time.Time) error { return texts(&f.Labels, v) },
	"kind":         func(f *Filter, v []string, _ time.Time) error { return words(&f.Kinds, v, spanKinds) },
	"status":       func(f *Filter, v []string, _ time.Time) error { return words(&f.Statuses, v, statusNames) },
	"level":        func(f *Filter, v []string, _ time.Time) error { return words(&f.Levels, v, levelNames) },
	"type":         func(f *Filter, v []string, _ time.Time) error { return words(&f.Types, v, metricTypes) },
	"signal":       func(f *Filter, v []string, _ time.Time) error { return words(&f.Signals, v, signalNames) },
	"min_duration": func(f *Filter, v []string, _ time.Time) error { f.HasMin = true; return duration(&f.MinDuration, v) },
	"max_duration": func(f *Filter, v []string, _ time.Time) error { f.HasMax = true; return duration(&f.MaxDuration, v) },
	"has_error": func(f *Filter, v []string, _ time.Time) error {
		var b bool
		f.HasError = &b
		return boolean(&b, v)
	},
	"root_only": func(f *Filter, v []string, _ time.Time) error { return boolean(&f.RootOnly, v) },
	"trace_id": func(f *Filter, v []string, _ time.Time) (err error) {
		if len(v) > 1 {
			return fmt.Errorf("give it once")
		}
		f.TraceID, err = ParseTraceID(v[0])
		return err
	},
	"text": func(f *Filter, v []string, _ time.Time) error { return texts(&f.Text, v) },
	"regex": func(f *Filter, v []string, _ time.Time) error {
		if len(v) > 1 || len(v[0]) > MaxRegexBytes || v[0] == "" {
			return fmt.Errorf("give one regular expression of at most %d bytes", MaxRegexBytes)
		}
		if _, err := syntax.Parse(v[0], syntax.Perl); err != nil {
			return fmt.Errorf("not a regular expression (RE2): %w", err)
		}
		f.Regex = v[0]
		return nil
	},
	"attribute": func(f *Filter, v []string, _ time.Time) error { return attributes(&f.Attributes, v) },
	"resource":  func(f *Filter, v []string, _ time.Time) error { return attributes(&f.Resource, v) },
	"start":     func(f *Filter, v []string, now time.Time) error { return instant(&f.Start, v, now) },
	"end":       func(f *Filter, v []string, now time.Time) error { return instant(&f.End, v, now) },
	"since":     func(f *Filter, v []string, now time.Time) error { return instant(&f.Start, v, now) },
}

func texts(to *[]string, values []string) error {
	if slices.Contains(values, "") {
		return fmt.Errorf("must not be empty")
	}
	*to = values
	return nil
}

func words(to *[]string, values, allowed []string) error {
	for _, v := range values {
		if !slices.Contains(allowed, v) {
			return fmt.Errorf("%q is none of %s", v, strings.Join(allowed, ", "))
		}
	}
	*to = values
	return nil
}

func attributes(to *[]Attribute, values []string) error {
	for _, text := range values {
		key, value, equals := strings.Cut(text, "=")
		if key == "" {
			return fmt.Errorf("write key=value, or key alone for what has that attribute")
		}
		*to = append(*to, Attribute{Key: key, Value: value, Equals: equals})
	}
	return nil
}

func boolean(to *bool, values []string) (err error) {
	if len(values) > 1 {
		return fmt.Errorf("give it once")
	}
	if values[0] == "" { // ?root_only
		values[0] = "true"
	}
	if *to, err = strconv.ParseBool(values[0]); err != nil {
		return fmt.Errorf("must be true or false")
	}
	return nil
}

func duration(to *time.Duration, values []string) (err error) {
	if len(values) > 1 {
		return fmt.Errorf("give it once")
	}
	*to, err = parseDuration(values[0])
	return err
}

func instant(to *time.Time, values []string, now time.Time) (err error) {
	if len(values) > 1 {
		return fmt.Errorf("give it once")
	}
	*to, err = parseTime(values[0], now)
	return err
}

// ParseTraceID takes 32 hexadecimal digits in any case, with or without dashes, and returns them in lower case without.
func ParseTraceID(text string) (string, error) {
	id := strings.ToLower(strings.ReplaceAll(text, "-", ""))
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return "", fmt.Errorf("a trace id has 32 hexadecimal digits, with or without dashes")
	}
	return id, nil
}

// ParseSpanID takes 16 hexadecimal digits in any case.
func ParseSpanID(text string) (string, error) {
	id := strings.ToLower(text)
	if len(id) != 16 || strings.Trim(id, "0123456789abcdef") != "" {
		return "", fmt.Errorf("a span id has 16 hexadecimal digits")
	}
	return id, nil
}

// checkValue holds for every value of every parameter.
func checkValue(param, value string) error {
	switch {
	case len(value) > MaxValueBytes:
		return wrong(param, "longer than %d bytes", MaxValueBytes)
	case !utf8.ValidString(value):
		return wrong(param, "not valid UTF-8")
	case strings.ContainsRune(value, 0):
		return wrong(param, "contains a NUL")
	}
	return nil
}
