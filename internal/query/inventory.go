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

// What exists is what was seen within a week, unless the filter says otherwise. Rates are of the last five minutes.
const (
	inventoryRange = 7 * 24 * time.Hour
	rateWindow     = 5 * time.Minute
)

// Activity is what was seen of something.
type Activity struct {
	// LastSeen is to the second within the last hours, else the end of its last hour.
	LastSeen Time `json:"lastSeen"`
	// Logs, Spans and Errors (spans that failed, log records from ERROR on) of the range.
	Logs   uint64 `json:"logs"`
	Spans  uint64 `json:"spans"`
	Errors uint64 `json:"errors"`
	// LogsPerSecond and SpansPerSecond are of the last five minutes.
	LogsPerSecond  float64 `json:"logsPerSecond"`
	SpansPerSecond float64 `json:"spansPerSecond"`
}

// Project is a project of which something was seen.
type Project struct {
	ID          string `json:"id"`
	Deployments int    `json:"deployments"`
	Servers     int    `json:"servers"`
	Activity
}

// Deployment is a deployment of which something was seen.
type Deployment struct {
	ID      string   `json:"id"`
	Project string   `json:"project"`
	Servers []string `json:"servers"`
	// Status is that of the last deployment.status event; "" without one.
	Status     string `json:"status"`
	StatusTime *Time  `json:"statusTime,omitempty"`
	Activity
}

// Server is a server of which something was seen.
type Server struct {
	ID         string `json:"id"`
	Project    string `json:"project"`
	Deployment string `json:"deployment,omitempty"`
	Service    string `json:"service"`
	// State is that of the last server.lifecycle event, Health that of the last server.health event; "" without one.
	State     string `json:"state"`
	StateTime *Time  `json:"stateTime,omitempty"`
	Health    string `json:"health"`
	// HealthTime and what follows are from that event; null when it does not say.
	HealthTime    *Time    `json:"healthTime,omitempty"`
	MemoryUsageMB *float64 `json:"memoryUsageMb"`
	CPUPercent    *float64 `json:"cpuPercent"`
	UptimeS       *float64 `json:"uptimeS"`
	Activity
}

// seen is the activity of one combination of ids.
type seen struct {
	project, deployment, server, service string
	Activity
}

// activity reads what was seen by project, deployment, server and service: whole hours from the rollups, the last ones
// from the rows for times and rates.
func (q *Querier) activity(ctx context.Context, b budget, caller *access.Caller, req Request) ([]seen, error) {
	f := req.Filter
	if f.Start.IsZero() {
		f.Start = req.now.Add(-inventoryRange)
	}
	if f.End.IsZero() {
		f.End = req.now.Add(24 * time.Hour) // clocks differ
	}
	all := map[[4]string]*seen{}
	for _, source := range []struct{ table, values, conditions string }{
		{"span_counts_hourly", "max(Hour) + 3599, toUInt64(0), sum(Spans), sumIf(Spans, StatusCode = 'Error'), 0., 0.", ""},
		{"log_counts_hourly", "max(Hour) + 3599, sum(Logs), toUInt64(0), sumIf(Logs, Level IN ('error', 'fatal')), 0., 0.", ""},
		{"otel_traces", "max(toDateTime(Timestamp)), toUInt64(0), toUInt64(0), toUInt64(0), 0., toFloat64(uniqExactIf(cityHash64(TraceId, SpanId), Timestamp >= %r))", "recent"},
		{"otel_logs", "max(toDateTime(Timestamp)), toUInt64(0), toUInt64(0), toUInt64(0), toFloat64(uniqExactIf(cityHash64(Uid), Uid != '' AND Timestamp >= %r) + countIf(Uid = '' AND Timestamp >= %r)), 0.", "recent"},
	} {
		s := newStatement()
		some, err := restrict(s, caller, f.Projects)
		if err != nil || !some {
			return nil, err
		}
		f.belongsTo(s)
		if source.conditions == "recent" {
			recent := Filter{Start: req.now.Add(-time.Hour).Truncate(time.Hour), End: f.End}
			if f.Start.After(recent.Start) {
				recent.Start = f.Start
			}
			recent.within(s, "Timestamp")
		} else {
			s.where("Hour >= fromUnixTimestamp(" + s.num(f.Start.Truncate(time.Hour).Unix()) + ") AND Hour < fromUnixTimestamp(" + s.num(f.End.Unix()) + ")")
		}
		values := strings.ReplaceAll(source.values, "%r", s.at(req.now.Add(-rateWindow)))
		s.head = "SELECT toString(ProjectId), toString(DeploymentId), toString(ServerId), toString(ServiceName), " + values + "\nFROM " + q.table(source.table)
		s.tail = "GROUP BY ProjectId, DeploymentId, ServerId, ServiceName LIMIT 100000"
		if err := q.run(ctx, b, s, func(scan func(...any) error) error {
			var r seen
			var last time.Time
			var logs, spans float64
			if err := scan(&r.project, &r.deployment, &r.server, &r.service, &last, &r.Logs, &r.Spans, &r.Errors, &logs, &spans); err != nil {
				return err
			}
			if source.conditions == "" && last.After(req.now) {
				last = last.Truncate(time.Hour) // this hour is not over; the rows say it better
			}
			r.LastSeen = Time{last}
			r.LogsPerSecond, r.SpansPerSecond = logs/rateWindow.Seconds(), spans/rateWindow.Seconds()
			key := [4]string{r.project, r.deployment, r.server, r.service}
			if all[key] == nil {
				all[key] = &seen{project: r.project, deployment: r.deployment, server: r.server, service: r.service}
			}
			all[key].merge(r.Activity)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	var out []seen
	for _, s := range all {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b seen) int {
		return strings.Compare(strings.Join([]string{a.project, a.deployment, a.server, a.service}, "\x00"), strings.Join([]string{b.project, b.deployment, b.server, b.service}, "\x00"))
	})
	return out, nil
}

func (a *Activity) merge(b Activity) {
	if b.LastSeen.After(a.LastSeen.Time) {
		a.LastSeen = b.LastSeen
	}
	a.Logs += b.Logs
	a.Spans += b.Spans
	a.Errors += b.Errors
	a.LogsPerSecond += b.LogsPerSecond
	a.SpansPerSecond += b.SpansPerSecond
}

// Projects lists the projects, by id.
func (q *Querier) Projects(ctx context.Context, caller *access.Caller, req Request) (Page[Project], error) {
	page := Page[Project]{Data: []Project{}}
	all, err := q.activity(ctx, q.budget(), caller, req)
	deployments, servers := map[string]bool{}, map[string]bool{}
	for _, s := range all {
		if n := len(page.Data); n == 0 || page.Data[n-1].ID != s.project {
			page.Data = append(page.Data, Project{ID: s.project})
			clear(deployments)
			clear(servers)
		}
		p := &page.Data[len(page.Data)-1]
		p.merge(s.Activity)
		if s.deployment != "" {
			deployments[s.deployment] = true
		}
		if s.server != "" {
			servers[s.server] = true
		}
		p.Deployments, p.Servers = len(deployments), len(servers)
	}
	return page, err
}

// Deployments lists the deployments, by project and id.
func (q *Querier) Deployments(ctx context.Context, caller *access.Caller, req Request) (Page[Deployment], error) {
	page := Page[Deployment]{Data: []Deployment{}}
	b := q.budget()
	all, err := q.activity(ctx, b, caller, req)
	if err != nil {
		return page, err
	}
	events, err := q.lastEvents(ctx, b, caller, req, "deployment.status", "DeploymentId")
	if err != nil {
		return page, err
	}
	for _, s := range all {
		if s.deployment == "" {
			continue
		}
		n := len(page.Data)
		if n == 0 || page.Data[n-1].ID != s.deployment || page.Data[n-1].Project != s.project {
			d := Deployment{ID: s.deployment, Project: s.project, Servers: []string{}}
			if e, ok := events[[2]string{s.project, s.deployment}]; ok {
				d.Status, d.StatusTime = e.attributes["deployment.status"], &Time{e.at}
			}
			page.Data = append(page.Data, d)
		}
		d := &page.Data[len(page.Data)-1]
		d.merge(s.Activity)
		if s.server != "" {
			d.Servers = add(d.Servers, s.server)
		}
	}
	return page, nil
}

// Servers lists the servers, by project and id.
func (q *Querier) Servers(ctx context.Context, caller *access.Caller, req Request) (Page[Server], error) {
	page := Page[Server]{Data: []Server{}}
	b := q.budget()
	all, err := q.activity(ctx, b, caller, req)
	if err != nil {
		return page, err
	}
	health, err := q.lastEvents(ctx, b, caller, req, "server.health", "ServerId")
	if err != nil {
		return page, err
	}
	states, err := q.lastEvents(ctx, b, caller, req, "server.lifecycle", "ServerId")
	if err != nil {
		return page, err
	}
	index := map[[2]string]int{}
	for _, s := range all {
		if s.server == "" {
			continue
		}
		key := [2]string{s.project, s.server}
		i, ok := index[key]
		if !ok {
			i = len(page.Data)
			index[key] = i
			r := Server{ID: s.server, Project: s.project, Deployment: s.deployment, Service: s.service}
			if e, ok := states[key]; ok {
				r.State, r.StateTime = e.attributes["server.lifecycle.state"], &Time{e.at}
			}
			if e, ok := health[key]; ok {
				r.Health, r.HealthTime = e.attributes["server.health.status"], &Time{e.at}
				r.MemoryUsageMB, r.CPUPercent, r.UptimeS = e.number("server.memory_usage_mb"), e.number("server.cpu_percent"), e.number("server.uptime_s")
			}
			page.Data = append(page.Data, r)
		} else if later := s.LastSeen.After(page.Data[i].LastSeen.Time); later && s.deployment != "" {
			page.Data[i].Deployment = s.deployment // it was deployed anew
		}
		page.Data[i].merge(s.Activity)
	}
	slices.SortFunc(page.Data, func(a, b Server) int { return strings.Compare(a.Project+"\x00"+a.ID, b.Project+"\x00"+b.ID) })
	return page, nil
}
