// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"context"
	"reflect"
	"time"

	"go.uber.org/zap"
)

// HealthCheck says how the health of a running process is found out. All fields but StartPeriod and
// RestartUnhealthy are needed.
type HealthCheck struct {
	Probe Probe
	// StartInterval is the time between two probes until the health is known, Interval the one after that.
	StartInterval, Interval time.Duration
	// Timeout bounds one probe.
	Timeout time.Duration
	// StartPeriod is how long a starting process may fail its probes without consequence.
	StartPeriod time.Duration
	// HealthyThreshold and UnhealthyThreshold are the results in a row that change the state.
	HealthyThreshold, UnhealthyThreshold int
	// RestartUnhealthy ends a process that became unhealthy, as a failure in the sense of Restart.
	RestartUnhealthy bool
}

// health is the state of one run of a process: a machine without clock.
type health struct {
	check     *HealthCheck
	status    string
	successes int // in a row
	failures  int // in a row, those of the start period excepted
}

// observe takes the result of one probe, age after the start of the process, and says whether the
// status has changed.
func (h *health) observe(ok bool, age time.Duration) bool {
	before := h.status
	if ok {
		h.failures = 0
		if h.successes++; h.successes >= h.check.HealthyThreshold {
			h.status = HealthHealthy
		}
		return h.status != before
	}
	h.successes = 0
	if h.status == HealthStarting && age < h.check.StartPeriod {
		return false
	}
	if h.failures++; h.failures >= h.check.UnhealthyThreshold {
		h.status = HealthUnhealthy
	}
	return h.status != before
}

// wait is the time until the next probe.
func (h *health) wait() time.Duration {
	if h.status == HealthStarting {
		return h.check.StartInterval
	}
	return h.check.Interval
}

// ending says why a process is not watched any more.
type ending uint8

const (
	endedItself ending = iota
	endedByStop
	endedUnhealthy
)

type probeResult struct {
	text string
	err  error
}

// watch stays while the process runs: it probes its health and reports the changes, and from time to
// time what it uses. The string is the reason of endedUnhealthy. No probe runs any more when it returns.
func (s *server) watch(p *process) (ending, string) {
	var next <-chan time.Time
	var report reporter
	report.set(s.options().ReportInterval)
	defer report.stop()
	state := health{check: s.spec.Health, status: HealthHealthy}
	ctx, cancel := context.WithCancel(context.Background())
	results := make(chan probeResult)
	probing := false
	defer func() {
		cancel()
		if probing {
			<-results
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	if state.check != nil {
		state.status = HealthStarting
		next = timer.C
	}
	reason, refresh := "", false
	for {
		select {
		case <-p.exited:
			return endedItself, ""
		case <-s.stop:
			return endedByStop, ""
		case <-s.hot:
			report.set(s.options().ReportInterval)
			if probing {
				refresh = true // the probe reads what it was started with
			} else {
				next = s.rewatch(p, &state, timer)
			}
		case <-report.c:
			s.reportUsage(p, state.status, reason)
		case <-next:
			probing = true
			go func() { results <- s.probe(ctx) }()
		case result := <-results:
			probing = false
			select {
			case <-p.exited: // which explains any result
				return endedItself, ""
			default:
			}
			reason = result.text
			if result.err != nil {
				reason = result.err.Error()
			}
			if state.observe(result.err == nil, time.Since(p.started)) {
				s.healthChanged(p, state.status, reason)
				if state.status == HealthUnhealthy && state.check.RestartUnhealthy {
					return endedUnhealthy, reason
				}
			}
			timer.Reset(state.wait())
			if refresh {
				refresh = false
				next = s.rewatch(p, &state, timer)
			}
		}
	}
}

// rewatch takes over a changed definition while the process runs, and returns when the next probe is due. The
// health stays what it was until probes say something else.
func (s *server) rewatch(p *process, state *health, timer *time.Timer) <-chan time.Time {
	before := s.spec.Health
	s.refresh()
	if !reflect.DeepEqual(before, s.spec.Health) {
		state.check, state.successes, state.failures = s.spec.Health, 0, 0
		timer.Reset(0)
		if state.check == nil && state.status != HealthHealthy {
			state.status = HealthHealthy
			s.healthChanged(p, state.status, "it has no health check any more")
		}
	}
	if state.check == nil {
		timer.Stop()
		return nil
	}
	return timer.C
}

// reporter is a ticker whose interval can change; 0 is never.
type reporter struct {
	interval time.Duration
	ticker   *time.Ticker
	c        <-chan time.Time
}

func (r *reporter) set(interval time.Duration) {
	if interval == r.interval {
		return
	}
	r.stop()
	r.interval = interval
	if interval > 0 {
		r.ticker = time.NewTicker(interval)
		r.c = r.ticker.C
	}
}

func (r *reporter) stop() {
	if r.ticker != nil {
		r.ticker.Stop()
		r.ticker, r.c = nil, nil
	}
}

func (s *server) probe(ctx context.Context) probeResult {
	ctx, cancel := context.WithTimeout(ctx, s.spec.Health.Timeout)
	defer cancel()
	text, err := s.spec.Health.Probe.check(ctx, s)
	return probeResult{text: text, err: err}
}

// healthChanged reports a change that a probe found.
func (s *server) healthChanged(p *process, status, reason string) {
	event := Event{State: status, Text: "is " + status, Reason: reason, Failure: status == HealthUnhealthy}
	if event.Failure {
		event.Text += ": " + reason
		s.log().Warn("Server is unhealthy", zap.Int("pid", p.pid), zap.String("reason", reason))
		s.sup.failed(s.spec.Source, s.unhealthy(reason))
	} else {
		s.log().Info("Server is healthy", zap.Int("pid", p.pid))
		s.sup.failed(s.spec.Source, nil)
	}
	s.health(p, event)
}

// health emits an event of a running process, with what it uses, and keeps the status.
func (s *server) health(p *process, event Event) {
	// The event first: who waits for this health emits events of its own.
	s.emit(p.pid, s.measured(p, event))
	s.live.setHealth(event.State)
}

// reportUsage repeats the health with what the process uses now. It is no failure again, and what
// nobody takes is not kept: the next report says more.
func (s *server) reportUsage(p *process, status, reason string) {
	event := s.measured(p, Event{State: status, Text: "is " + status, Reason: reason})
	s.sup.outlet.offerEvent(s.queue, s.entry(p.pid, event))
}

func (s *server) measured(p *process, event Event) Event {
	event.Kind = Health
	event.Uptime = time.Since(p.started)
	usage, at, ok := s.sup.sampler.of(p.pid)
	if !ok {
		return event
	}
	// Over the time since the last sample; over the whole run at first.
	if since := at.Sub(s.lastSample.at); since > 0 {
		s.lastSample.percent = 100 * max(0, usage.CPU-s.lastSample.cpu).Seconds() / since.Seconds()
		s.lastSample.cpu, s.lastSample.at = usage.CPU, at
	}
	event.Usage, event.CPUPercent = &usage, s.lastSample.percent
	return event
}
