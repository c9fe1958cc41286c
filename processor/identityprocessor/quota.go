// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package identityprocessor

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tailrace/tailrace/internal/bytesize"
)

// Quotas are what projects may send, so that one of them does not fill disk and memory of all.
type Quotas struct {
	// Default is of each project that is not named.
	Default Quota `mapstructure:"default"`
	// Projects are by their id.
	Projects map[string]Quota `mapstructure:"projects"`
}

// Quota is what a project may send over a longer time. 0 is unbounded.
type Quota struct {
	// BytesPerSecond counts OTLP protobuf without compression.
	BytesPerSecond bytesize.Size `mapstructure:"bytes_per_second"`
	// RecordsPerSecond counts spans, log records and data points.
	RecordsPerSecond int `mapstructure:"records_per_second"`
	// Burst is for how long a project that was silent may send at once what it may send in that time; 0 is 10s.
	Burst time.Duration `mapstructure:"burst"`
}

const (
	defaultBurst = 10 * time.Second
	// maxQuotaProjects is how many are remembered before those are forgotten that owe nothing: names of projects may come from outside.
	maxQuotaProjects = 10_000
)

func (q Quota) unbounded() bool { return q.BytesPerSecond == 0 && q.RecordsPerSecond == 0 }

func (q *Quotas) any() bool { return !q.Default.unbounded() || len(q.Projects) > 0 }

func (q Quotas) validate(refuse func(format string, args ...any)) {
	one := func(key string, q Quota) {
		if q.RecordsPerSecond < 0 {
			refuse("%s.records_per_second: %d is negative; allowed: 0 (unbounded) or more", key, q.RecordsPerSecond)
		}
		if q.Burst < 0 {
			refuse("%s.burst: %s is negative; allowed: 0 (%s) or more", key, q.Burst, defaultBurst)
		}
		if q.Burst > 0 && q.unbounded() {
			refuse("%s.burst: means nothing without bytes_per_second or records_per_second", key)
		}
	}
	one("quotas.default", q.Default)
	for project, of := range q.Projects {
		one("quotas.projects."+project, of)
	}
}

// limits is what projects have left of their quotas. The pipelines that name one identity share it. Safe for concurrent use.
type limits struct {
	mu       sync.Mutex
	projects map[string]*limit
}

type limit struct{ bytes, records *rate.Limiter }

func newLimit(q Quota) *limit {
	burst := q.Burst
	if burst == 0 {
		burst = defaultBurst
	}
	of := func(perSecond float64) *rate.Limiter {
		if perSecond == 0 {
			return rate.NewLimiter(rate.Inf, 0)
		}
		return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond*burst.Seconds())))
	}
	return &limit{bytes: of(float64(q.BytesPerSecond)), records: of(float64(q.RecordsPerSecond))}
}

// full reports whether a project has been silent for so long that nothing has to be remembered of it.
func (l *limit) full(now time.Time) bool {
	whole := func(r *rate.Limiter) bool { return r.Limit() == rate.Inf || r.TokensAt(now) >= float64(r.Burst()) }
	return whole(l.bytes) && whole(l.records)
}

// share is what one project has in a request.
type share struct {
	project        string
	records, bytes int
}

// take takes all shares from the quotas, or none, and then says which project has to wait for how long.
func (l *limits) take(q *Quotas, shares []share, now time.Time) (wait time.Duration, of string) {
	var taken []*rate.Reservation
	for _, s := range shares {
		limit := l.of(q, s.project, now)
		if limit == nil {
			continue
		}
		for r, n := range map[*rate.Limiter]int{limit.bytes: s.bytes, limit.records: s.records} {
			if r.Limit() == rate.Inf {
				continue
			}
			// A request above the burst would never fit: it takes all there is.
			reserved := r.ReserveN(now, min(n, r.Burst()))
			taken = append(taken, reserved)
			if d := reserved.DelayFrom(now); d > wait {
				wait, of = d, s.project
			}
		}
	}
	if wait > 0 {
		for _, r := range taken {
			r.CancelAt(now)
		}
	}
	return wait, of
}

// of is the limit of a project, nil: it has none.
func (l *limits) of(q *Quotas, project string, now time.Time) *limit {
	quota, named := q.Projects[project]
	if !named {
		quota = q.Default
	}
	if quota.unbounded() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.projects[project]; known != nil {
		return known
	}
	if len(l.projects) >= maxQuotaProjects {
		for name, of := range l.projects {
			if of.full(now) {
				delete(l.projects, name)
			}
		}
	}
	if l.projects == nil {
		l.projects = map[string]*limit{}
	}
	made := newLimit(quota)
	l.projects[project] = made
	return made
}

// overQuota is what a sender gets that has to wait: 429 over HTTP, RESOURCE_EXHAUSTED over gRPC, both with the time to wait. It is not
// permanent: the request is to be sent again as it is.
type overQuota struct {
	text string
	wait time.Duration
}

func (e *overQuota) Error() string { return e.text }

// GRPCStatus is what status.FromError looks for.
func (e *overQuota) GRPCStatus() *status.Status {
	s := status.New(quota.code(), e.text)
	if with, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(e.wait)}); err == nil {
		return with
	}
	return s
}

// admit asks for the quotas of the projects of a request, which has so many bytes.
func (r *request) admit(size func() int) error {
	records := 0
	for _, s := range r.shares {
		records += s.records
	}
	if records == 0 {
		return nil
	}
	bytes := size()
	for i := range r.shares { // those of one resource are not known without copying it
		r.shares[i].bytes = int(int64(bytes) * int64(r.shares[i].records) / int64(records))
	}
	wait, of := r.cfg.limits.take(&r.cfg.Quotas, r.shares, time.Now())
	if wait == 0 {
		return nil
	}
	others := ""
	if len(r.shares) > 1 {
		others = fmt.Sprintf("; nothing of the request was taken, with %d other projects in it", len(r.shares)-1)
	}
	wait = wait.Round(time.Millisecond) + time.Millisecond
	return &overQuota{wait: wait, text: fmt.Sprintf("project %q sends more than its quota (identity: quotas)%s; send it again in %s", of, others, wait)}
}
