// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Policy is what the configuration says about a database beyond its schema: it may change at any time, so it is no
// migration. The migrator compares it with what the database has and changes what differs.
type Policy struct {
	// Retention of each signal; the zero value of a field keeps its rows for ever. Nil leaves what the tables have.
	Retention *Retention
	// Prices of models; nil leaves what the database has.
	Prices []Price
}

// Retention says how long rows are kept, counted from their own time. 0 keeps them for ever.
type Retention struct {
	Spans, Logs, Metrics, Scores, Rollups time.Duration
	// Projects has what differs for a project; a nil field does not.
	Projects map[string]ProjectRetention
}

// ProjectRetention is what differs for one project.
type ProjectRetention struct{ Spans, Logs, Metrics, Scores, Rollups *time.Duration }

// maxRetention keeps sums of a time and a retention below the year 2106, where DateTime ends.
const maxRetention = 20 * 365 * 24 * time.Hour

// Validate names the YAML key.
func (r Retention) Validate() error {
	var errs error
	check := func(key string, d time.Duration) {
		if d < 0 || d > maxRetention || d%time.Second != 0 || d > 0 && d < time.Hour {
			errs = errors.Join(errs, fmt.Errorf("retention::%s: %v is not allowed: whole seconds from 1h to %v, or 0 to keep rows for ever", key, d, maxRetention))
		}
	}
	for _, s := range signals {
		check(s.key, *s.field(&r))
	}
	for _, project := range slices.Sorted(maps.Keys(r.Projects)) {
		if project == "" {
			errs = errors.Join(errs, errors.New("retention::projects: a project's name must not be empty"))
		}
		own := r.Projects[project]
		for _, s := range signals {
			if d := *s.own(&own); d != nil {
				check("projects::"+project+"::"+s.key, *d)
			}
		}
	}
	return errs
}

// signals are the keys of a Retention, the tables that each rules, and the time that counts in them.
var signals = []struct {
	key    string
	field  func(*Retention) *time.Duration
	own    func(*ProjectRetention) **time.Duration
	tables map[string]string
}{
	{"spans", func(r *Retention) *time.Duration { return &r.Spans }, func(p *ProjectRetention) **time.Duration { return &p.Spans },
		map[string]string{"otel_traces": "toDateTime(Timestamp)", "otel_traces_trace_id_ts": "End"}},
	{"logs", func(r *Retention) *time.Duration { return &r.Logs }, func(p *ProjectRetention) **time.Duration { return &p.Logs },
		map[string]string{"otel_logs": "toDateTime(Timestamp)"}},
	{"metrics", func(r *Retention) *time.Duration { return &r.Metrics }, func(p *ProjectRetention) **time.Duration { return &p.Metrics },
		map[string]string{"otel_metrics_gauge": "TimeUnix", "otel_metrics_sum": "TimeUnix", "otel_metrics_histogram": "TimeUnix",
			"otel_metrics_exponential_histogram": "TimeUnix", "otel_metrics_summary": "TimeUnix"}},
	{"scores", func(r *Retention) *time.Duration { return &r.Scores }, func(p *ProjectRetention) **time.Duration { return &p.Scores },
		map[string]string{"otel_scores": "toDateTime(Timestamp)"}},
	{"rollups", func(r *Retention) *time.Duration { return &r.Rollups }, func(p *ProjectRetention) **time.Duration { return &p.Rollups },
		map[string]string{"trace_states": "Hour", "log_states": "Bucket"}},
}

// ttls returns the TTL expression of every table, "" for none, as ClickHouse itself writes it, and whether it depends on the project.
func (r Retention) ttls() map[string]ttl {
	out := map[string]ttl{}
	for _, s := range signals {
		usual := *s.field(&r)
		differing := map[string]time.Duration{}
		for project, own := range r.Projects {
			if d := *s.own(&own); d != nil && *d != usual {
				differing[project] = *d
			}
		}
		for table, at := range s.tables {
			out[table] = ttl{expression(at, usual, differing), len(differing) > 0}
		}
	}
	return out
}

type ttl struct {
	expression string
	byProject  bool
}

// forever is the end of time in a column of type DateTime.
const forever = 4294967295

func expression(at string, usual time.Duration, differing map[string]time.Duration) string {
	if len(differing) == 0 {
		if usual == 0 {
			return ""
		}
		return fmt.Sprintf("%s + toIntervalSecond(%d)", at, int64(usual.Seconds()))
	}
	var names, seconds []string
	eternal := usual == 0
	for _, project := range slices.Sorted(maps.Keys(differing)) {
		names = append(names, literal(project))
		seconds = append(seconds, fmt.Sprint(int64(differing[project].Seconds())))
		eternal = eternal || differing[project] == 0
	}
	keep := fmt.Sprintf("transform(toString(ProjectId), [%s], [%s], %d)", strings.Join(names, ", "), strings.Join(seconds, ", "), int64(usual.Seconds()))
	if eternal {
		return fmt.Sprintf("if(%s = 0, toDateTime(%d), %s + toIntervalSecond(%s))", keep, forever, at, keep)
	}
	return fmt.Sprintf("%s + toIntervalSecond(%s)", at, keep)
}

func literal(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

var ttlOf = regexp.MustCompile(`(?s) TTL (.*?)(?: SETTINGS |$)`)

// stale returns the statements that bring the tables to the retention; none when they have it. Parts that are there are
// not rewritten: materialize_ttl_recalculate_only makes ClickHouse only note anew when each expires. A part whose rows have all expired is
// dropped as a whole; only where projects differ are the others' rows copied, part by part, as its turn comes.
func (m *Migrator) stale(ctx context.Context) ([]string, error) {
	if m.Policy.Retention == nil {
		return nil, nil
	}
	have := map[string]string{}
	err := each(ctx, m.Conn, func(rows driver.Rows) error {
		var name, engine string
		if err := rows.Scan(&name, &engine); err != nil {
			return err
		}
		have[name] = ""
		if f := ttlOf.FindStringSubmatch(engine); f != nil {
			have[name] = f[1]
		}
		return nil
	}, "SELECT name, engine_full FROM system.tables WHERE database = ?", m.Database)
	if err != nil {
		return nil, fmt.Errorf("look at the retention of the tables of %s: %w", m.Database, err)
	}
	var out []string
	want := m.Policy.Retention.ttls()
	for _, table := range slices.Sorted(maps.Keys(want)) {
		name := table
		if m.Cluster != nil {
			name = local(table)
		}
		have, exists := have[name]
		if !exists {
			continue // lost since the plan was made; the next look creates it
		}
		w := want[table]
		if have == w.expression {
			continue
		}
		alter := "ALTER TABLE " + m.in(name)
		if w.expression == "" {
			out = append(out, alter+" REMOVE TTL")
			continue
		}
		whole := 1
		if w.byProject {
			whole = 0
		}
		out = append(out,
			fmt.Sprintf("%s"+modifySetting+"materialize_ttl_recalculate_only = 1, ttl_only_drop_parts = %d", alter, whole),
			alter+" MODIFY TTL "+w.expression)
	}
	return out, nil
}

// Price of a model, for a million tokens, in whatever currency the owner counts in.
type Price struct {
	// Model is a name, or its beginning followed by *. The longest that fits wins.
	Model string
	// Provider narrows it to one provider; empty: any.
	Provider string
	// Since is when it began to hold; zero: ever.
	Since time.Time
	// Input, Output and CacheRead: tokens read from a cache are part of the input tokens and have a price of their own.
	Input, Output, CacheRead float64
}

func (p Price) row() string {
	since := max(p.Since.Unix(), 0)
	return fmt.Sprintf("(%s, %s, %d, %v, %v, %v)", literal(p.Provider), literal(p.Model), since, p.Input, p.Output, p.CacheRead)
}

// repriced returns the statement that writes the prices; none when the newest set is the configured one.
func (m *Migrator) repriced(ctx context.Context) ([]string, error) {
	if m.Policy.Prices == nil {
		return nil, nil
	}
	var want, have []string
	for _, p := range m.Policy.Prices {
		want = append(want, p.row())
	}
	var version uint64
	err := each(ctx, m.Conn, func(rows driver.Rows) error {
		var p Price
		if err := rows.Scan(&version, &p.Provider, &p.Model, &p.Since, &p.Input, &p.Output, &p.CacheRead); err != nil {
			return err
		}
		have = append(have, p.row())
		return nil
	}, fmt.Sprintf("SELECT Version, Provider, Model, Since, Input, Output, CacheRead FROM %[1]s WHERE Version = (SELECT max(Version) FROM %[1]s)", m.in("model_prices")))
	if err != nil {
		return nil, fmt.Errorf("read model_prices: %w", err)
	}
	slices.Sort(want)
	slices.Sort(have)
	if slices.Equal(want, have) {
		return nil, nil
	}
	for i := range want {
		want[i] = fmt.Sprintf("(%d, %s", version+1, want[i][1:])
	}
	if len(want) == 0 {
		return []string{"TRUNCATE TABLE " + m.in("model_prices")}, nil
	}
	return []string{"INSERT INTO " + m.in("model_prices") + " (Version, Provider, Model, Since, Input, Output, CacheRead) SETTINGS async_insert = 0 VALUES " + strings.Join(want, ", ")}, nil
}

// due returns what the policy still asks for. The tables must be there.
func (m *Migrator) due(ctx context.Context) ([]string, error) {
	stale, err := m.stale(ctx)
	if err != nil {
		return nil, err
	}
	repriced, err := m.repriced(ctx)
	return append(stale, repriced...), err
}
