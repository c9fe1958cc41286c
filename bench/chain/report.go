// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tailrace/tailrace/bench/agentdata"
)

// measure is one run of one way. What a stage does not measure is zero.
type measure struct {
	Seconds        float64 `json:"seconds"`
	RecordsPS      float64 `json:"records_per_second,omitempty"`
	MBPS           float64 `json:"megabytes_per_second,omitempty"` // of OTLP protobuf, the same for all ways
	Collector      float64 `json:"collector_cpu_seconds_per_million,omitempty"`
	ClickHouse     float64 `json:"clickhouse_cpu_seconds_per_million,omitempty"`
	Peak           float64 `json:"collector_peak_rss_mib,omitempty"`
	BytesOnDisk    float64 `json:"bytes_on_disk_per_record,omitempty"`
	BytesInTable   float64 `json:"bytes_in_table_per_record,omitempty"`            // with indexes and marks
	BytesOfColumns float64 `json:"bytes_of_columns_in_table_per_record,omitempty"` // compressed columns alone
	SpansP50       float64 `json:"spans_p50_ms,omitempty"`
	SpansP99       float64 `json:"spans_p99_ms,omitempty"`
	LogsP50        float64 `json:"logs_p50_ms,omitempty"`
	LogsP99        float64 `json:"logs_p99_ms,omitempty"`
	Lost           int64   `json:"lost"`
	Doubled        int64   `json:"doubled"`
}

func (m *measure) timed(took time.Duration, d agentdata.Data) {
	m.Seconds = took.Seconds()
	m.RecordsPS = float64(d.Records) / m.Seconds
	m.MBPS = float64(d.Bytes) / 1e6 / m.Seconds
}

func perMillion(seconds float64, records int) float64 { return seconds / float64(records) * 1e6 }

type entry struct {
	Way  string    `json:"way"`
	Peer bool      `json:"peer,omitempty"`
	Runs []measure `json:"runs"`
}

// contest is one table: ways that take turns on the same data.
type contest struct {
	Title   string   `json:"title"`
	Entries []*entry `json:"entries"`
	// Ratios are the medians of each way divided by the peer's: way → column → ratio.
	Ratios map[string]map[string]float64 `json:"ratios_to_peer,omitempty"`
}

func (c *contest) add(w string, isPeer bool, m measure) {
	i := slices.IndexFunc(c.Entries, func(e *entry) bool { return e.Way == w })
	if i < 0 {
		i = len(c.Entries)
		c.Entries = append(c.Entries, &entry{Way: w, Peer: isPeer})
	}
	c.Entries[i].Runs = append(c.Entries[i].Runs, m)
}

// column is what a table shows of a measure.
type column struct {
	title string
	of    func(measure) float64
	ratio bool
}

var columns = []column{
	{"records/s", func(m measure) float64 { return m.RecordsPS }, true},
	{"MB/s", func(m measure) float64 { return m.MBPS }, false},
	{"collector, CPU-s/million", func(m measure) float64 { return m.Collector }, true},
	{"ClickHouse, CPU-s/million", func(m measure) float64 { return m.ClickHouse }, true},
	{"spans p50, ms", func(m measure) float64 { return m.SpansP50 }, true},
	{"spans p99, ms", func(m measure) float64 { return m.SpansP99 }, true},
	{"logs p50, ms", func(m measure) float64 { return m.LogsP50 }, true},
	{"logs p99, ms", func(m measure) float64 { return m.LogsP99 }, true},
	{"peak MiB", func(m measure) float64 { return m.Peak }, true},
	{"B on disk", func(m measure) float64 { return m.BytesOnDisk }, true},
	{"B in table", func(m measure) float64 { return m.BytesInTable }, true},
	{"B of columns", func(m measure) float64 { return m.BytesOfColumns }, true},
}

// values are those of the runs that have measured it.
func (e *entry) values(c column) []float64 {
	var out []float64
	for _, m := range e.Runs {
		if v := c.of(m); v != 0 {
			out = append(out, v)
		}
	}
	return out
}

// finish works out the ratios.
func (c *contest) finish() {
	i := slices.IndexFunc(c.Entries, func(e *entry) bool { return e.Peer })
	if i < 0 {
		return
	}
	c.Ratios = map[string]map[string]float64{}
	for _, e := range c.Entries {
		for _, col := range columns {
			mine, theirs := e.values(col), c.Entries[i].values(col)
			if e.Peer || !col.ratio || len(mine) == 0 || len(theirs) == 0 {
				continue
			}
			if c.Ratios[e.Way] == nil {
				c.Ratios[e.Way] = map[string]float64{}
			}
			c.Ratios[e.Way][col.title] = quantile(mine, 0.5) / quantile(theirs, 0.5)
		}
	}
}

// print writes a Markdown table: median (min–max) × ratio to the peer.
func (c *contest) print(w io.Writer) {
	fmt.Fprintf(w, "\n### %s\n\n", c.Title)
	var shown []column
	for _, col := range columns {
		if slices.ContainsFunc(c.Entries, func(e *entry) bool { return len(e.values(col)) > 0 }) {
			shown = append(shown, col)
		}
	}
	head, rule := "| |", "|---|"
	for _, col := range shown {
		head, rule = head+" "+col.title+" |", rule+"---|"
	}
	fmt.Fprintf(w, "%s lost | doubled |\n%s---|---|\n", head, rule)
	for _, e := range c.Entries {
		fmt.Fprintf(w, "| %s |", e.Way)
		for _, col := range shown {
			fmt.Fprintf(w, " %s |", cell(e.values(col), c.Ratios[e.Way][col.title]))
		}
		var lost, doubled int64
		for _, m := range e.Runs {
			lost, doubled = lost+m.Lost, doubled+m.Doubled
		}
		fmt.Fprintf(w, " %d | %d |\n", lost, doubled)
	}
}

func cell(values []float64, ratio float64) string {
	if len(values) == 0 {
		return ""
	}
	out := "**" + number(quantile(values, 0.5)) + "**"
	if low, high := slices.Min(values), slices.Max(values); low != high {
		out += " (" + number(low) + "–" + number(high) + ")"
	}
	if ratio > 0 {
		out += fmt.Sprintf(" %.2f ×", ratio)
	}
	return out
}

// number writes three significant digits, and thousands with commas.
func number(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	s := fmt.Sprintf("%.0f", v)
	var parts []string
	for len(s) > 3 {
		parts, s = append(parts, s[len(s)-3:]), s[:len(s)-3]
	}
	slices.Reverse(parts)
	return strings.Join(append([]string{s}, parts...), ",")
}

// quantile returns the q-quantile by nearest rank, so always a value that was measured; the median of an even
// number is the mean of the middle two. NaN if there are none.
func quantile(values []float64, q float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	if q == 0.5 && n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[max(0, int(math.Ceil(q*float64(n)))-1)]
}
