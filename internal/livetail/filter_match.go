// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"bytes"

	"github.com/tailrace/tailrace/internal/identity"
)

// Match reports whether the record passes. It does not allocate. The cheap conditions come first.
func (f *Filter) Match(src *Source, rec Record) bool {
	if f == nil {
		return true
	}
	signal := rec.Signal()
	if f.signals != 0 && f.signals&(1<<signal) == 0 {
		return false
	}
	if f.status != 0 && (signal != SignalSpan || rec.Has(FlagOpen) || rec.Status() != f.status) {
		return false
	}
	if f.timed && (signal != SignalSpan || rec.Has(FlagOpen) || rec.SecondUnixNano()-rec.UnixNano() < f.minDuration) {
		return false
	}
	if f.minSeverity > 0 && (signal != SignalLog && signal != SignalScore || rec.level() < f.minSeverity) {
		return false
	}
	if len(f.service)+len(f.name)+len(f.event) > 0 && !f.matchNames(rec, signal) {
		return false
	}
	if len(f.text) > 0 && !anyText(rec, func(s []byte) bool { return containsFold(s, f.text) }) {
		return false
	}
	for i := range f.attributes {
		if !f.attributes[i].match(src, rec) {
			return false
		}
	}
	if f.regex != nil && !anyText(rec, func(s []byte) bool { return f.regex.Match(s[:min(len(s), maxRegexText)]) }) {
		return false
	}
	return f.not == nil || !f.not.Match(src, rec)
}

func (f *Filter) matchNames(rec Record, signal Signal) bool {
	fields := rec.Fields()
	service := fields.String()
	if len(f.service) > 0 && !isOneOfBytes(service, f.service) {
		return false
	}
	if len(f.name)+len(f.event) == 0 {
		return true
	}
	second := fields.String()
	if len(f.event) > 0 && (signal != SignalLog && signal != SignalScore || !isOneOfBytes(second, f.event)) {
		return false
	}
	if len(f.name) == 0 {
		return true
	}
	switch signal {
	case SignalSpan, SignalMetric:
		return isOneOfBytes(second, f.name)
	case SignalScore:
		attributes := rec.attributes()
		name, ok := attributes.Attribute(AttrScoreName)
		return ok && isOneOfBytes(name.Str, f.name)
	default:
		return isOneOfBytes(second, f.name) // the name of a log is that of its event
	}
}

func isOneOfBytes(s []byte, all [][]byte) bool {
	for _, one := range all {
		if bytes.Equal(s, one) {
			return true
		}
	}
	return false
}

// level is the severity number, or that of the level which the severity text names, or 0.
func (r Record) level() int {
	if n := r.Severity(); n > 0 {
		return n
	}
	f := r.Fields()
	f.String()
	f.String()
	return levelOfText(f.String())
}

func levelOfText(text []byte) int {
	if len(text) < 4 || len(text) > 7 {
		return 0
	}
	for i, name := range levelTexts {
		if bytes.EqualFold(text, []byte(name)) {
			return levelTextNumbers[i]
		}
	}
	return 0
}

var (
	levelTexts       = [...]string{"info", "warn", "error", "debug", "warning", "fatal", "trace"}
	levelTextNumbers = [...]int{9, 13, 17, 5, 13, 21, 1}
)

// attributes stands before the attributes of the record.
func (r Record) attributes() Fields {
	f := r.Fields()
	f.String()
	f.String()
	f.String()
	switch r.Signal() {
	case SignalLog, SignalScore:
		f.Skip(f.Value())
	case SignalMetric:
		f.skipPoint(r.MetricType())
	}
	return f
}

// skipPoint passes over the point of a metric.
func (f *Fields) skipPoint(t MetricType) {
	if t == MetricGauge || t == MetricSum {
		f.Skip(f.Value())
		return
	}
	f.b = f.b[4*8:]
	switch t {
	case MetricExponentialHistogram:
		f.b = f.b[2*8:]
	default:
		f.b = f.b[8*f.Count():]
		f.b = f.b[8*f.Count():]
	}
}

func (c *attributeCondition) match(src *Source, rec Record) bool {
	f := rec.attributes()
	v, ok := f.Attribute(c.key)
	if !ok {
		if s := src.attribute(c.key); s != "" {
			return c.exists || c.anyString(s)
		}
		return c.absent
	}
	if c.exists || c.absent {
		return c.exists
	}
	for i := range c.values {
		if c.values[i].equal(v) {
			return true
		}
	}
	return false
}

func (c *attributeCondition) anyString(s string) bool {
	for i := range c.values {
		if c.values[i].kind == KindString && string(c.values[i].text) == s {
			return true
		}
	}
	return false
}

func (w *attributeValue) equal(v Value) bool {
	switch v.Kind {
	case KindString:
		return w.kind == KindString && bytes.Equal(v.Str, w.text)
	case KindBool:
		return w.kind == KindBool && v.Bool == w.yes
	case KindInt:
		return w.kind == KindDouble && float64(v.Int) == w.number
	case KindDouble:
		return w.kind == KindDouble && v.Double == w.number
	default:
		return false
	}
}

// attribute is an id of the source under the name of its resource attribute.
func (s *Source) attribute(key string) string {
	switch key {
	case identity.AttrProject:
		return s.Project
	case identity.AttrDeployment:
		return s.Deployment
	case identity.AttrServer:
		return s.Server
	case identity.AttrBuild:
		return s.Build
	default:
		return ""
	}
}

// anyText calls yes with the texts of a record until one is taken: the strings in the body of a log, the name and the
// message of a span, the name of a metric.
func anyText(rec Record, yes func([]byte) bool) bool {
	f := rec.Fields()
	f.String()
	second, third := f.String(), f.String()
	switch rec.Signal() {
	case SignalLog, SignalScore:
		return anyString(&f, f.Value(), yes)
	case SignalSpan:
		return yes(second) || len(third) > 0 && yes(third)
	default:
		return yes(second)
	}
}

func anyString(f *Fields, v Value, yes func([]byte) bool) bool {
	switch v.Kind {
	case KindString:
		return yes(v.Str)
	case KindMap, KindSlice:
		for range v.Len {
			if v.Kind == KindMap && yes(f.String()) {
				return true
			}
			if anyString(f, f.Value(), yes) {
				return true
			}
		}
	}
	return false
}

// containsFold reports whether s contains needle, the case of ASCII letters ignored.
func containsFold(s, needle []byte) bool {
	n := len(needle)
	if n > len(s) {
		return false
	}
	first := needle[0]
	other := swapCase(first)
	last := len(s) - n
	for i := 0; i <= last; i++ {
		rest := s[i : last+1]
		j := bytes.IndexByte(rest, first)
		if other != first {
			if k := bytes.IndexByte(rest[:orLen(j, len(rest))], other); k >= 0 {
				j = k
			}
		}
		if j < 0 {
			return false
		}
		i += j
		if equalFold(s[i:i+n], needle) {
			return true
		}
	}
	return false
}

func orLen(i, n int) int {
	if i < 0 {
		return n
	}
	return i
}

func swapCase(c byte) byte {
	switch {
	case 'a' <= c && c <= 'z':
		return c - 'a' + 'A'
	case 'A' <= c && c <= 'Z':
		return c - 'A' + 'a'
	default:
		return c
	}
}

func equalFold(a, b []byte) bool {
	for i := range a {
		if a[i] != b[i] && (swapCase(a[i]) != b[i]) {
			return false
		}
	}
	return true
}
