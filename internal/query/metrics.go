// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tailrace/tailrace/internal/access"
)

// Metric is a metric that exists: a name with a type and a unit.
type Metric struct {
	Name        string   `json:"name"`
	Type        string   `json:"type"`
	Unit        string   `json:"unit,omitempty"`
	Description string   `json:"description,omitempty"`
	Projects    []string `json:"projects"`
	Services    []string `json:"services"`
	LastSeen    Time     `json:"lastSeen"`
	// Monotonic is of sums: a counter.
	Monotonic bool `json:"monotonic,omitempty"`
}

var metricColumns = columns{name: "MetricName", attributes: "Attributes", resource: "ResourceAttributes", text: []string{"MetricName", "MetricDescription"}}

// withinSeconds is within for a column of type DateTime.
func (f *Filter) withinSeconds(s *statement, column string) {
	if !f.Start.IsZero() {
		s.where(column + " >= fromUnixTimestamp(" + s.num(f.Start.Unix()) + ")")
	}
	if !f.End.IsZero() {
		s.where(column + " < fromUnixTimestamp(" + s.num(f.End.Add(time.Second-1).Unix()) + ")")
	}
}

// Metrics lists the metrics of a range, of the last day unless the filter says otherwise, by name.
func (q *Querier) Metrics(ctx context.Context, caller *access.Caller, req Request) (Page[Metric], error) {
	page := Page[Metric]{Data: []Metric{}}
	f := req.Filter
	if f.Start.IsZero() {
		f.Start = clampTime(req.now.Add(-defaultRange))
	}
	b := q.budget()
	for _, typ := range metricTypes {
		if len(f.Types) > 0 && !slices.Contains(f.Types, typ) {
			continue
		}
		s := newStatement()
		some, err := restrict(s, caller, f.Projects)
		if err != nil || !some {
			return page, err
		}
		f.withinSeconds(s, "TimeUnix")
		f.common(s, metricColumns)
		monotonic := "toUInt8(0)"
		if typ == "sum" {
			monotonic = "toUInt8(max(IsMonotonic))"
		}
		s.head = "SELECT MetricName, MetricUnit, any(MetricDescription), arraySort(groupUniqArray(ProjectId)), arraySort(groupUniqArray(ServiceName)), max(TimeUnix), " +
			monotonic + " FROM " + q.table("otel_metrics_"+typ)
		s.tail = "GROUP BY MetricName, MetricUnit ORDER BY MetricName, MetricUnit LIMIT 10000"
		if err := q.run(ctx, b, s, func(scan func(...any) error) error {
			m := Metric{Type: typ}
			var seen time.Time
			var mono uint8
			err := scan(&m.Name, &m.Unit, &m.Description, &m.Projects, &m.Services, &seen, &mono)
			m.LastSeen, m.Monotonic = Time{seen}, mono != 0
			page.Data = append(page.Data, m)
			return err
		}); err != nil {
			return page, err
		}
	}
	slices.SortStableFunc(page.Data, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	return page, nil
}

// attributeOf is the SQL of an attribute of a point, or of its resource.
func attributeOf(s *statement, name string) string {
	return "if(mapContains(Attributes, " + s.str(name) + "), Attributes[" + s.str(name) + "], ResourceAttributes[" + s.str(name) + "])"
}

// seriesID tells the series of a metric apart: what sends it, its attributes, and the start of its count, since a
// process that starts anew begins a new series of its own.
const seriesID = "cityHash64(ProjectId, ServiceName, mapSort(ResourceAttributes), ScopeName, mapSort(Attributes), StartTimeUnix)"

// MetricSeries aggregates one metric over time. What an aggregate means depends on the type:
//
//   - gauge, sum that may fall: of the points in a bucket.
//   - counter (monotonic sum): sum is the increase and rate the increase a second, also over resets, whatever the temporality; the
//     others are of the points.
//   - histograms: of the observations; percentiles are interpolated in the merged buckets.
//   - summary: count, sum, avg and rate of the observations; its percentiles can't be merged.
//
// A point that comes twice counts once.
func (q *Querier) MetricSeries(ctx context.Context, caller *access.Caller, req Request) (Chart[Point], Metric, error) {
	none := Chart[Point]{Data: []Series[Point]{}}
	if len(req.Filter.Names) != 1 {
		return none, Metric{}, wrong("name", "give the name of one metric")
	}
	if req.Aggregate == "" {
		req.Aggregate = "avg"
	}
	span, err := req.span()
	if err != nil {
		return none, Metric{}, err
	}
	m, err := q.metricOf(ctx, caller, req, span)
	if err != nil {
		return none, m, err
	}
	c := newChart(span, req.GroupBy, emptyPoint)
	b := q.budget()
	switch {
	case m.Name == "": // nothing in this range
	case m.Type == "gauge", m.Type == "sum":
		err = q.values(ctx, b, caller, req, span, m, c)
	default:
		err = q.distributions(ctx, b, caller, req, span, m.Type, c)
	}
	if err != nil {
		return none, m, err
	}
	chart, err := c.done()
	return chart, m, err
}

// metricOf finds out what kind of metric a name is.
func (q *Querier) metricOf(ctx context.Context, caller *access.Caller, req Request, span Range) (Metric, error) {
	names := req
	names.Filter.Start, names.Filter.End = span.Start.Time, span.End.Time
	page, err := q.Metrics(ctx, caller, names)
	if err != nil || len(page.Data) == 0 {
		return Metric{}, err
	}
	m := page.Data[0]
	for _, other := range page.Data[1:] {
		if other.Type != m.Type {
			return m, wrong("type", "%q is a %s and a %s here: say which", cutTo(m.Name, 100), m.Type, other.Type)
		}
		m.Monotonic = m.Monotonic && other.Monotonic
	}
	return m, nil
}

var ofPoints = map[string]string{
	"count": "toFloat64(count())", "sum": "sum(Value)", "avg": "avg(Value)", "min": "min(Value)", "max": "max(Value)",
	"p50": "quantileExactInclusive(0.5)(Value)", "p90": "quantileExactInclusive(0.9)(Value)", "p99": "quantileExactInclusive(0.99)(Value)",
}

// hasValue leaves out points that say that there is none (the flag NO_RECORDED_VALUE of OTLP), such as Prometheus' staleness markers: their
// zeros are no values, and would be resets of counters.
const hasValue = "bitAnd(Flags, 1) = 0"

// lookback is how long before its range a series is read, for the difference to the point before.
func (r Range) lookback() time.Duration { return max(r.step(), 15*time.Minute) }

// values aggregates gauges and sums.
func (q *Querier) values(ctx context.Context, b budget, caller *access.Caller, req Request, span Range, m Metric, c *chart[Point]) error {
	counter := m.Type == "sum" && m.Monotonic
	increase := counter && (req.Aggregate == "sum" || req.Aggregate == "rate")
	if req.Aggregate == "rate" && !counter {
		return wrong("aggregate", "rate is of counters and histograms; %q is none", cutTo(m.Name, 100))
	}
	s := newStatement()
	if _, err := restrict(s, caller, req.Filter.Projects); err != nil {
		return err
	}
	from := span.Start.Time
	if increase {
		from = from.Add(-span.lookback())
	}
	(&Filter{Start: from, End: span.End.Time}).withinSeconds(s, "TimeUnix")
	req.Filter.common(s, metricColumns)
	s.where(hasValue)
	g, err := groups(s, req.GroupBy, nil, attributeOf)
	if err != nil {
		return err
	}
	points := "SELECT DISTINCT " + seriesID + " AS series, " + g.selected() + " AS grouped, TimeUnix, StartTimeUnix, Value, %s\nFROM " + q.table("otel_metrics_"+m.Type) + s.filter("\nWHERE ")
	s.conditions = nil
	bucket := span.bucket(s, "TimeUnix")
	if increase {
		points = strings.Replace(points, "%s", "AggregationTemporality AS temporality", 1)
		// Temporality 1 is delta: the point is the increase. A cumulative series that began in sight counts from zero; of one that began
		// before, the first point only says where it stands.
		diff := "multiIf(temporality = 1, Value, nth > 1 AND Value >= before, Value - before, nth > 1, Value, toUnixTimestamp(StartTimeUnix) >= " + s.num(from.Unix()) + ", Value, 0)"
		s.head = "SELECT " + bucket + " AS bucket, grouped, sum(" + diff + ") AS value FROM (\n" +
			"SELECT *, lagInFrame(Value) OVER w AS before, row_number() OVER w AS nth FROM (" + points + ")\n" +
			"WINDOW w AS (PARTITION BY series ORDER BY TimeUnix, Value ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))"
	} else {
		points = strings.Replace(points, "%s", "0", 1)
		s.head = "SELECT " + bucket + " AS bucket, grouped, " + ofPoints[req.Aggregate] + " AS value FROM (" + points + ")"
	}
	s.tail = "GROUP BY bucket, grouped"
	return q.run(ctx, b, s, func(scan func(...any) error) error {
		var at int64
		var group []string
		var v float64
		if err := scan(&at, &group, &v); err != nil {
			return err
		}
		i := span.index(at)
		if i < 0 {
			return nil
		}
		if req.Aggregate == "rate" {
			v /= span.step().Seconds()
		}
		line, err := c.line(group)
		if err == nil {
			line.Points[i].Value = number(v)
		}
		return err
	})
}

// ScoreSeries aggregates evaluation scores over time; those without a value only count.
func (q *Querier) ScoreSeries(ctx context.Context, caller *access.Caller, req Request) (Chart[Point], error) {
	none := Chart[Point]{Data: []Series[Point]{}}
	span, err := req.span()
	if err != nil {
		return none, err
	}
	c := newChart(span, req.GroupBy, emptyPoint)
	s := newStatement()
	some, err := restrict(s, caller, req.Filter.Projects)
	if err != nil {
		return none, err
	}
	if !some {
		return c.done()
	}
	g, err := groups(s, req.GroupBy, map[string]string{"name": "Name", "label": "Label"}, nil)
	if err != nil {
		return none, err
	}
	(&Filter{Start: span.Start.Time, End: span.End.Time}).within(s, "Timestamp")
	req.Filter.scores(s)
	aggregate := ofPoints[req.Aggregate]
	switch req.Aggregate {
	case "": // the average, NULL where no score has a value
		aggregate = ofPoints["avg"]
	case "rate":
		aggregate = ofPoints["count"]
	}
	inner := "SELECT " + scoreHash + " AS hash, Uid, ProjectId, Timestamp, Value, " + g.selected() + " AS grouped FROM " + q.table("otel_scores") + s.filter("\nWHERE ") + "\nLIMIT 1 BY Timestamp, Uid, hash, ProjectId"
	s.conditions = nil
	s.head = "SELECT " + span.bucket(s, "Timestamp") + " AS bucket, grouped, CAST(" + aggregate + ", 'Nullable(Float64)') AS value FROM (" + inner + ")"
	s.tail = "GROUP BY bucket, grouped"
	err = q.run(ctx, q.budget(), s, func(scan func(...any) error) error {
		var at int64
		var group []string
		var v *float64
		if err := scan(&at, &group, &v); err != nil {
			return err
		}
		line, err := c.line(group)
		if i := span.index(at); err == nil && i >= 0 && v != nil {
			if req.Aggregate == "rate" {
				*v /= span.step().Seconds()
			}
			line.Points[i].Value = number(*v)
		}
		return err
	})
	if err != nil {
		return none, err
	}
	return c.done()
}
