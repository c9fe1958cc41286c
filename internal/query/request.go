// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is a question that can be asked; each knows its parameters.
type Kind string

// Kinds of questions.
const (
	KindProjects     Kind = "projects"
	KindDeployments  Kind = "deployments"
	KindServers      Kind = "servers"
	KindBuilds       Kind = "builds"
	KindTraces       Kind = "traces"
	KindTrace        Kind = "trace"
	KindSpans        Kind = "spans"
	KindSpan         Kind = "span"
	KindLogs         Kind = "logs"
	KindLog          Kind = "log"
	KindLines        Kind = "lines" // of one server or build
	KindMetrics      Kind = "metrics"
	KindMetricSeries Kind = "metric series"
	KindScores       Kind = "scores"
	KindScoreSeries  Kind = "score series"
	KindTraceStats   Kind = "trace stats"
	KindErrorStats   Kind = "error stats"
	KindUsageStats   Kind = "usage stats"
	KindLogStats     Kind = "log stats"
	KindPipeline     Kind = "pipeline"
	KindFailed       Kind = "failed files"
)

var (
	belongs   = []string{"project", "deployment", "server", "build", "service", "start", "end"}
	ofSpans   = slices.Concat(belongs, []string{"name", "kind", "status", "min_duration", "max_duration", "has_error", "root_only", "trace_id", "text", "regex", "attribute", "resource"})
	ofLogs    = slices.Concat(belongs, []string{"level", "text", "regex", "attribute", "resource", "trace_id", "event_name", "has_error"})
	ofMetrics = slices.Concat(belongs, []string{"name", "type", "attribute", "resource", "text"})
	ofScores  = slices.Concat(belongs, []string{"name", "label", "trace_id", "text"})
	paging    = []string{"cursor", "limit"}
	exists    = []string{"project", "deployment", "start", "end"}
	series    = []string{"step", "group_by"}
)

// parameters says what each question understands. Whatever else is given is an error.
var parameters = map[Kind][]string{
	KindProjects:     {"project", "start", "end"},
	KindDeployments:  exists,
	KindServers:      slices.Concat(exists, []string{"server"}),
	KindBuilds:       slices.Concat(exists, []string{"build"}),
	KindTraces:       slices.Concat(ofSpans, paging),
	KindTrace:        {"detail", "start", "end"},
	KindSpans:        slices.Concat(ofSpans, paging, []string{"order", "detail"}),
	KindSpan:         {"start", "end"},
	KindLogs:         slices.Concat(ofLogs, paging, []string{"order", "before", "after", "around", "detail"}),
	KindLog:          {"start", "end"},
	KindLines:        {"project", "level", "text", "regex", "attribute", "resource", "event_name", "start", "end", "since", "tail", "cursor", "before", "after", "limit", "order", "detail"},
	KindMetrics:      ofMetrics,
	KindMetricSeries: slices.Concat(ofMetrics, series, []string{"aggregate"}),
	KindScores:       slices.Concat(ofScores, paging, []string{"order"}),
	KindScoreSeries:  slices.Concat(ofScores, series, []string{"aggregate"}),
	KindTraceStats:   slices.Concat(belongs, series, []string{"name"}),
	KindErrorStats:   slices.Concat(belongs, series, []string{"name"}),
	KindUsageStats:   slices.Concat(belongs, series, []string{"model"}),
	KindFailed:       slices.Concat([]string{"project", "signal"}, paging),
	KindLogStats:     slices.Concat(belongs, series, []string{"level"}),
}

// Parameters returns the names that a question understands, sorted.
func Parameters(kind Kind) []string {
	return slices.Sorted(slices.Values(parameters[kind]))
}

// Request is a question with its parameters read. It is a value; Parse makes it.
type Request struct {
	Kind   Kind
	Filter Filter
	// Limit is how many rows a page has at most.
	Limit int
	// Ascending gives the oldest rows first.
	Ascending bool
	// Full asks for whole attributes and bodies.
	Full bool
	// Around is the uid of the log record whose neighbours are wanted.
	Around string
	// Step is the width of a bucket of a series; 0: chosen by the range.
	Step time.Duration
	// GroupBy are the names of the dimensions of a series.
	GroupBy []string
	// Aggregate is the function of a series.
	Aggregate string
	// Models of usage.
	Models []string

	cursor string
	side   direction
	now    time.Time
	hash   [8]byte
}

// Parse reads the parameters of a question, as url.Values holds them. Its errors are *ParamError.
func Parse(kind Kind, values map[string][]string, now time.Time) (Request, error) {
	r := Request{Kind: kind, Limit: DefaultLimit, now: now}
	allowed := parameters[kind]
	for _, name := range slices.Sorted(maps.Keys(values)) { // sorted: of several mistakes it is always the same that is told
		given := values[name]
		if !slices.Contains(allowed, name) {
			return r, wrong(cutTo(name, 100), "unknown here; known are %s", strings.Join(Parameters(kind), ", "))
		}
		if len(given) > MaxValues {
			return r, wrong(name, "given more than %d times", MaxValues)
		}
		for _, v := range given {
			if err := checkValue(name, v); err != nil {
				return r, err
			}
		}
		if len(given) == 0 {
			continue
		}
		read := filters[name]
		if read == nil {
			read = func(_ *Filter, v []string, _ time.Time) error { return r.option(name, v) }
		}
		if err := read(&r.Filter, slices.Clone(given), now); err != nil {
			return r, wrong(name, "%s", err)
		}
	}
	if f := r.Filter; !f.Start.IsZero() && !f.End.IsZero() && !f.Start.Before(f.End) {
		return r, wrong("start", "must be before end")
	}
	if f := r.Filter; f.HasMin && f.HasMax && f.MinDuration > f.MaxDuration {
		return r, wrong("min_duration", "must not be above max_duration")
	}
	if r.Around != "" && r.cursor != "" {
		return r, wrong("around", "can't be combined with a cursor")
	}
	if r.side != onward && len(values["cursor"]) > 0 || len(values["before"]) > 0 && len(values["after"]) > 0 {
		return r, wrong("cursor", "give one of cursor, before and after")
	}
	r.hash = hashOf(kind, values)
	return r, nil
}

// direction is the side of a cursor on which rows are wanted.
type direction uint8

const (
	onward direction = iota // in the order of the list
	older
	newer
)

// Aggregates of series.
var aggregates = []string{"count", "sum", "avg", "min", "max", "p50", "p90", "p99", "rate"}

func (r *Request) option(name string, v []string) (err error) {
	if len(v) > 1 && name != "group_by" && name != "model" {
		return errOnce
	}
	switch name {
	case "limit", "tail":
		n, err := strconv.Atoi(v[0])
		if err != nil || n < 1 || n > MaxLimit {
			return errLimit
		}
		r.Limit = n
	case "cursor":
		r.cursor = v[0]
	case "before":
		r.cursor, r.side = v[0], older
	case "after":
		r.cursor, r.side = v[0], newer
	case "order":
		var order []string
		err = words(&order, v, []string{"desc", "asc"})
		r.Ascending = v[0] == "asc"
	case "detail":
		var detail []string
		err = words(&detail, v, []string{"light", "full"})
		r.Full = v[0] == "full"
	case "around":
		if v[0] == "" {
			return errEmpty
		}
		r.Around = v[0]
	case "step":
		r.Step, err = parseDuration(v[0])
		if err == nil && (r.Step < time.Second || r.Step > 366*24*time.Hour) {
			err = errStep
		}
		r.Step = r.Step.Truncate(time.Second)
	case "group_by":
		if err = texts(&r.GroupBy, v); err == nil && len(v) > 4 {
			err = errGroups
		}
	case "aggregate":
		var one []string
		err = words(&one, v, aggregates)
		r.Aggregate = v[0]
	case "model":
		err = texts(&r.Models, v)
	}
	return err
}

// hashOf is the same for the same question, whatever page of it is asked for.
func hashOf(kind Kind, values map[string][]string) (out [8]byte) {
	h := sha256.New()
	write := func(s string) {
		h.Write(strconv.AppendInt(nil, int64(len(s)), 10))
		h.Write([]byte{':'})
		h.Write([]byte(s))
	}
	write(string(kind))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch name {
		case "cursor", "before", "after", "limit", "tail", "detail", "around":
			continue
		}
		write(name)
		write(strconv.Itoa(len(values[name])))
		for _, v := range values[name] {
			write(v)
		}
	}
	copy(out[:], h.Sum(nil))
	return out
}

func cutTo(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
