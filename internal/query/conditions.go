// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"strings"

	"github.com/tailrace/tailrace/internal/identity"
)

// columns says under which names a table has what filters look at; empty: it has not.
type columns struct {
	time       string
	name       string
	attributes string // a Map(LowCardinality(String), String)
	resource   string
	text       []string // searched by text
	regex      string
	trace      string
	// pairs is the array of the attributes that the store has an index for, as key=value.
	pairs string
}

// maxPair is how long a key=value is at most that is in the array of pairs.
const maxPair = 128

// belongsTo adds the conditions that every table has the columns for, except projects, which restrict knows.
func (f *Filter) belongsTo(s *statement) {
	for _, c := range []struct {
		column string
		values []string
	}{{"DeploymentId", f.Deployments}, {"ServerId", f.Servers}, {"BuildId", f.Builds}, {"ServiceName", f.Services}} {
		if len(c.values) > 0 {
			s.where(s.in(c.column, c.values))
		}
	}
}

// common adds the conditions that several tables have, except the range of time.
func (f *Filter) common(s *statement, c columns) {
	f.belongsTo(s)
	if len(f.Names) > 0 {
		s.where(s.in(c.name, f.Names))
	}
	if f.TraceID != "" {
		s.where(c.trace + " = " + s.str(f.TraceID))
	}
	for _, t := range f.Text {
		var any []string
		for _, column := range c.text {
			if column == "Body" && ascii(t) { // what the index on it needs
				any = append(any, "lower(Body) LIKE "+s.str("%"+likeEscaper.Replace(strings.ToLower(t))+"%"))
				continue
			}
			any = append(any, "positionCaseInsensitiveUTF8("+column+", "+s.str(t)+") > 0")
		}
		s.where(or(any))
	}
	if f.Regex != "" {
		s.where("match(" + c.regex + ", " + s.str(f.Regex) + ")")
	}
	for _, a := range f.Attributes {
		a.of(s, c.attributes)
		if pair := a.Key + "=" + a.Value; a.Equals && c.pairs != "" && len(pair) <= maxPair && a.Key != identity.AttrLogUID {
			s.where("has(" + c.pairs + ", " + s.str(pair) + ")") // this one knows the index, the other one where the key ends
		}
	}
	for _, a := range f.Resource {
		a.of(s, c.resource)
	}
}

// of adds the condition on a map.
func (a Attribute) of(s *statement, column string) {
	if !a.Equals || a.Value == "" { // a missing key reads as ''
		s.where("mapContains(" + column + ", " + s.str(a.Key) + ")")
	}
	if a.Equals {
		s.where(column + "[" + s.str(a.Key) + "] = " + s.str(a.Value))
	}
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// within adds the range of time, half open, for a column of type DateTime64(9).
func (f *Filter) within(s *statement, column string) {
	if !f.Start.IsZero() {
		s.where(column + " >= " + s.at(f.Start))
	}
	if !f.End.IsZero() {
		s.where(column + " < " + s.at(f.End))
	}
}

var spanColumns = columns{time: "Timestamp", name: "SpanName", attributes: "SpanAttributes", resource: "ResourceAttributes",
	text: []string{"SpanName", "StatusMessage"}, regex: "SpanName", trace: "TraceId", pairs: "AttributePairs"}

// spans adds the conditions on spans, except the range of time.
func (f *Filter) spans(s *statement) {
	f.common(s, spanColumns)
	f.spanKinds(s)
	if len(f.Statuses) > 0 {
		s.where(spanStatus(s, f.Statuses))
	}
	if f.HasMin {
		s.where("Duration >= " + s.num(int64(f.MinDuration)))
	}
	if f.HasMax {
		s.where("Duration <= " + s.num(int64(f.MaxDuration)))
	}
	if f.HasError != nil {
		if *f.HasError {
			s.where("StatusCode = 'Error'")
		} else {
			s.where("StatusCode != 'Error'")
		}
	}
	if f.RootOnly {
		s.where("ParentSpanId = ''")
	}
	if !f.EndsAfter.IsZero() {
		s.where("Timestamp + toIntervalNanosecond(Duration) >= " + s.at(f.EndsAfter))
	}
}

func (f *Filter) spanKinds(s *statement) {
	if len(f.Kinds) > 0 {
		titles := make([]string, len(f.Kinds))
		for i, k := range f.Kinds {
			titles[i] = title(k)
		}
		s.where(s.in("SpanKind", titles))
	}
}

func spanStatus(s *statement, statuses []string) string {
	titles := make([]string, len(statuses))
	for i, v := range statuses {
		titles[i] = title(v)
	}
	return s.in("StatusCode", titles)
}

// title is how contrib's exporter writes kinds and status.
func title(word string) string { return strings.ToUpper(word[:1]) + word[1:] }

var logColumns = columns{time: "Timestamp", attributes: "LogAttributes", resource: "ResourceAttributes", text: []string{"Body"}, regex: "Body", trace: "TraceId", pairs: "AttributePairs"}

// logs adds the conditions on log records, except the range of time.
func (f *Filter) logs(s *statement) {
	f.common(s, logColumns)
	if len(f.Levels) > 0 {
		s.where(logLevel(f.Levels))
	}
	if len(f.Events) > 0 {
		s.where(s.in("EventName", f.Events))
	}
	if f.HasError != nil {
		if *f.HasError {
			s.where("SeverityNumber >= 17")
		} else {
			s.where("SeverityNumber < 17")
		}
	}
}

// severities are the ranges of severity numbers of the levels, as OpenTelemetry numbers them.
var severities = map[string]string{
	"unset": "(SeverityNumber = 0 OR SeverityNumber > 24)", "trace": "SeverityNumber BETWEEN 1 AND 4", "debug": "SeverityNumber BETWEEN 5 AND 8",
	"info": "SeverityNumber BETWEEN 9 AND 12", "warn": "SeverityNumber BETWEEN 13 AND 16",
	"error": "SeverityNumber BETWEEN 17 AND 20", "fatal": "SeverityNumber BETWEEN 21 AND 24",
}

func logLevel(levels []string) string {
	var any []string
	for _, l := range levels {
		any = append(any, severities[l])
	}
	return or(any)
}

// Severity is the level of a severity number.
func severity(number uint8) string {
	if number == 0 || number > 24 {
		return "unset"
	}
	return levelNames[1+(number-1)/4]
}

const severityName = "multiIf(SeverityNumber = 0 OR SeverityNumber > 24, 'unset', SeverityNumber <= 4, 'trace', SeverityNumber <= 8, 'debug', " +
	"SeverityNumber <= 12, 'info', SeverityNumber <= 16, 'warn', SeverityNumber <= 20, 'error', 'fatal')"
