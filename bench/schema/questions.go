// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// question is asked of every layout in its own best way, as docs/schema.md tells to.
type question struct {
	name string
	sql  func(l layout) string
}

const spanColumns = "Timestamp, TraceId, SpanId, ParentSpanId, SpanName, ServiceName, StatusCode, Duration"

// who restricts to a project.
func (l layout) who(n int) string {
	if l.ours {
		return fmt.Sprintf("ProjectId = 'project-%d'", n)
	}
	return fmt.Sprintf("ResourceAttributes['project.id'] = 'project-%d'", n)
}

func (l layout) newest() string {
	if l.bucket != "" {
		return "ORDER BY " + l.bucket + " DESC, Timestamp DESC"
	}
	return "ORDER BY Timestamp DESC"
}

const (
	fourHours = "Timestamp >= toDateTime(1764000000 + 3 * 86400) AND Timestamp < toDateTime(1764000000 + 3 * 86400 + 14400)"
	week      = "Timestamp >= toDateTime(1764000000) AND Timestamp < toDateTime(1764000000 + 7 * 86400)"
)

func questions(traces, uids []string) []question {
	spans := func(where string, window string) func(layout) string {
		return func(l layout) string {
			return fmt.Sprintf("SELECT %s FROM %s.otel_traces WHERE %s AND %s%s %s LIMIT 50", spanColumns, l.name, l.who(3), window, where, l.newest())
		}
	}
	logs := func(where, window string) func(layout) string {
		return func(l layout) string {
			return fmt.Sprintf("SELECT Timestamp, SeverityText, ServiceName, Body, LogAttributes FROM %s.otel_logs WHERE %s AND %s%s %s LIMIT 50", l.name, l.who(3), window, where, l.newest())
		}
	}
	turn := 0
	next := func(from []string) string { turn++; return from[turn%len(from)] }
	return []question{
		{"getTrace, by the table of times", func(l layout) string {
			if l.ours && l.name != "tailrace" {
				return "" // needs the view's table
			}
			trace := next(traces)
			from := l.name + ".otel_traces_trace_id_ts WHERE TraceId = '" + trace + "'"
			in := ""
			if l.ours {
				in = "ProjectId IN (SELECT ProjectId FROM " + from + ") AND "
			}
			return "WITH (SELECT (min(Start), max(End) + 1) FROM " + from + ") AS t SELECT * FROM " + l.name + ".otel_traces WHERE " + in + "TraceId = '" + trace + "' AND Timestamp >= t.1 AND Timestamp <= t.2 ORDER BY Timestamp"
		}},
		{"getTrace, by the id alone", func(l layout) string {
			return "SELECT * FROM " + l.name + ".otel_traces WHERE TraceId = '" + next(traces) + "' ORDER BY Timestamp"
		}},
		{"spans: project, 4 h", spans("", fourHours)},
		{"spans: project, a week", spans("", week)},
		{"spans: + service, a week", spans(" AND ServiceName = 'svc-3-1'", week)},
		{"spans: + service + name, a week", spans(" AND ServiceName = 'svc-3-1' AND SpanName = 'execute_tool refund'", week)},
		{"spans: + attribute, a week", func(l layout) string {
			pair := ""
			if l.ours {
				pair = " AND has(AttributePairs, 'user.id=user-77')"
			}
			return spans(pair+" AND SpanAttributes['user.id'] = 'user-77'", week)(l)
		}},
		{"spans: errors, a week", spans(" AND StatusCode = 'Error'", week)},
		{"spans: slowest, a week", func(l layout) string {
			return strings.Replace(spans("", week)(l), l.newest(), "ORDER BY Duration DESC", 1)
		}},
		{"spans: every project, 4 h", func(l layout) string { return strings.Replace(spans("", fourHours)(l), l.who(3)+" AND ", "", 1) }},
		{"spans: count, errors, p90 by 5 minutes, 4 h", func(l layout) string {
			return fmt.Sprintf("SELECT toStartOfFiveMinutes(Timestamp) AS t, count(), countIf(StatusCode = 'Error'), quantile(0.9)(Duration) FROM %s.otel_traces WHERE %s AND %s GROUP BY t ORDER BY t", l.name, l.who(3), fourHours)
		}},
		{"spans: count and errors by hour, a week", func(l layout) string {
			if l.name == "tailrace" {
				return "SELECT Hour, sum(Spans), sumIf(Spans, StatusCode = 'Error') FROM tailrace.span_counts_hourly WHERE ProjectId = 'project-3' GROUP BY Hour ORDER BY Hour"
			}
			if l.ours {
				return ""
			}
			return fmt.Sprintf("SELECT toStartOfHour(Timestamp) AS t, uniqExact(TraceId, SpanId), uniqExactIf((TraceId, SpanId), StatusCode = 'Error') FROM %s.otel_traces WHERE %s AND %s GROUP BY t ORDER BY t", l.name, l.who(3), week)
		}},
		{"tokens by model, a week", func(l layout) string {
			if l.name == "tailrace" {
				return "SELECT Model, sum(InputTokens), sum(OutputTokens) FROM tailrace.usage_hourly WHERE ProjectId = 'project-3' GROUP BY Model"
			}
			if l.ours {
				return ""
			}
			return fmt.Sprintf(`SELECT m, sum(i), sum(o) FROM (SELECT any(SpanAttributes['gen_ai.request.model']) AS m, any(toUInt64OrZero(SpanAttributes['gen_ai.usage.input_tokens'])) AS i,
 any(toUInt64OrZero(SpanAttributes['gen_ai.usage.output_tokens'])) AS o FROM %s.otel_traces WHERE %s AND %s AND SpanAttributes['gen_ai.operation.name'] = 'chat' GROUP BY TraceId, SpanId) GROUP BY m`, l.name, l.who(3), week)
		}},
		{"traces: newest 50 of 4 h, summaries", func(l layout) string {
			if l.name == "tailrace" {
				return "SELECT * FROM tailrace.trace_summaries_between(since = '2025-11-27 16:00:00', until = '2025-11-27 20:00:00') WHERE ProjectId = 'project-3' ORDER BY Start DESC LIMIT 50"
			}
			if l.ours {
				return ""
			}
			return fmt.Sprintf("SELECT TraceId, min(Timestamp) AS s, max(Timestamp), uniqExact(SpanId), countIf(StatusCode = 'Error'), groupUniqArray(ServiceName) FROM %s.otel_traces WHERE %s AND %s GROUP BY TraceId ORDER BY s DESC LIMIT 50", l.name, l.who(3), fourHours)
		}},
		{"logs: project, a week", logs("", week)},
		{"logs: errors of a server, a week", func(l layout) string {
			if l.ours {
				return logs(" AND ServerId = 'server-3-1-2' AND SeverityNumber >= 17", week)(l)
			}
			return logs(" AND ResourceAttributes['server.id'] = 'server-3-1-2' AND SeverityNumber >= 17", week)(l)
		}},
		{"logs: a frequent word, a week", logs(" AND hasToken(lower(Body), 'hit')", week)},
		{"logs: a rare word, a week", logs(" AND hasToken(lower(Body), '857141')", week)},
		{"logs: 50 lines around a uid", func(l layout) string {
			uid := next(uids)
			id := "LogAttributes['log.record.uid'] = '" + uid + "'"
			if l.ours {
				id = "Uid = '" + uid + "'"
			} else {
				id = "mapContainsValue(LogAttributes, '" + uid + "') AND " + id
			}
			who := l.who(3)
			return fmt.Sprintf("WITH (SELECT Timestamp FROM %[1]s.otel_logs WHERE %[2]s AND %[3]s LIMIT 1) AS at SELECT Timestamp, Body FROM %[1]s.otel_logs WHERE %[2]s AND Timestamp <= at AND Timestamp > at - INTERVAL 1 HOUR %[4]s LIMIT 50",
				l.name, who, id, l.newest())
		}},
		{"logs: levels by 5 minutes, 4 h", func(l layout) string {
			return fmt.Sprintf("SELECT toStartOfFiveMinutes(Timestamp) AS t, SeverityText, count() FROM %s.otel_logs WHERE %s AND %s GROUP BY t, SeverityText ORDER BY t", l.name, l.who(3), fourHours)
		}},
		{"logs: levels by hour, a week", func(l layout) string {
			if l.name == "tailrace" {
				return "SELECT Hour, Level, sum(Logs) FROM tailrace.log_counts_hourly WHERE ProjectId = 'project-3' GROUP BY ALL ORDER BY Hour"
			}
			if l.ours {
				return ""
			}
			return fmt.Sprintf("SELECT toStartOfHour(Timestamp) AS t, SeverityText, uniqExact(LogAttributes['log.record.uid']) FROM %s.otel_logs WHERE %s AND %s GROUP BY t, SeverityText ORDER BY t", l.name, l.who(3), week)
		}},
	}
}

// ask puts every question to every layout in turns, and reports medians. The first round warms the caches and does not count.
func (s *server) ask(ctx context.Context, ls []layout, runs int, out *report) error {
	samples := func(query string) (list []string, err error) {
		rows, err := s.conn.Query(ctx, query)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var v string
			if err := rows.Scan(&v); err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, rows.Err()
	}
	traces, err := samples("SELECT DISTINCT TraceId FROM src.spans WHERE ResourceAttributes['project.id'] = 'project-3' AND cityHash64(TraceId) % 500 = 1 LIMIT 20")
	if err != nil {
		return err
	}
	uids, err := samples("SELECT LogAttributes['log.record.uid'] FROM src.logs WHERE ResourceAttributes['project.id'] = 'project-3' AND cityHash64(Timestamp) % 5000 = 1 LIMIT 20")
	if err != nil {
		return err
	}
	if len(traces) == 0 || len(uids) == 0 {
		return errors.New("too few rows to ask about: use at least -spans 200000 -logs 400000")
	}
	head, rule := "| warm medians: ms wall / ms CPU / rows read |", "|---|"
	for _, l := range ls {
		head, rule = head+" "+l.name+" |", rule+"---|"
	}
	out.linef("\n### Questions\n\n%s\n%s", head, rule)
	for _, q := range questions(traces, uids) {
		took := make([][]cost, len(ls))
		for round := range runs + 1 {
			for i, l := range ls {
				query := q.sql(l)
				if query == "" {
					continue
				}
				var c cost
				began := time.Now()
				if err := s.conn.Exec(with(ctx, set{"use_query_condition_cache": 0}, &c), query+" FORMAT Null"); err != nil {
					return fmt.Errorf("%s of %s: %w", q.name, l.name, err)
				}
				if c.wall = time.Since(began); round > 0 {
					took[i] = append(took[i], c)
				}
			}
		}
		line := "| " + q.name + " |"
		for i := range ls {
			if len(took[i]) == 0 {
				line += " |"
				continue
			}
			line += fmt.Sprintf(" %.0f / %.0f / %s |", median(took[i], func(c cost) float64 { return c.wall.Seconds() * 1e3 }), median(took[i], func(c cost) float64 { return c.cpu.Seconds() * 1e3 }),
				short(median(took[i], func(c cost) float64 { return float64(c.rows) })))
		}
		out.linef("%s", line)
	}
	return nil
}

func median(list []cost, of func(cost) float64) float64 {
	values := make([]float64, len(list))
	for i, c := range list {
		values[i] = of(c)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func short(n float64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.1fM", n/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.0fk", n/1e3)
	}
	return fmt.Sprintf("%.0f", n)
}

func ratio(a, b float64) string {
	if b == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", a/b)
}

// processCPU is what the server has used so far: inserts, views and merges.
func (s *server) processCPU() time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	var user, system int64
	if len(fields) > 12 {
		_, _ = fmt.Sscan(fields[11], &user)
		_, _ = fmt.Sscan(fields[12], &system)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

type report struct{ text strings.Builder }

func (r *report) linef(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	fmt.Println(line)
	r.text.WriteString(line + "\n")
}
