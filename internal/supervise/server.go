// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
)

// server runs one Server: starting, waiting, restarting. A life of it begins when it is asked to run, and ends when
// it is asked to stop or its restart policy says so. At most one goroutine, see manage, lives them; the fields above mu are its own.
type server struct {
	id       string
	spec     Server // of the present or last life
	sup      *Supervisor
	queue    *queue
	stop     chan struct{} // of the present life; closed by ask
	restarts int
	env      []string // of the present process, as is account
	account  account
	port     int // 0: none was assigned
	live     live
	// lastSample is what the present process had used at the last event of health.
	lastSample struct {
		at      time.Time
		cpu     time.Duration
		percent float64
	}
	hot chan struct{} // something may have changed that a running process need not be ended for

	mu      sync.Mutex // after Supervisor.mu
	want    wanted
	lived   int    // the turn of the present or last life
	managed bool   // a goroutine manages it
	active  bool   // a life is on
	ending  bool   // stop is closed
	why     string // stop was closed
}

// outcome says how one run of a process ended.
type outcome struct {
	failure error         // nil: it ended well
	reason  string        // the failure without the name of the server
	ran     time.Duration // 0: it could not be started
	stopped bool          // because we asked for it
}

// run is one life.
func (s *server) run() {
	if !s.await() {
		return
	}
	failures := 0
	var limit limiter
	for {
		if s.isStopping() {
			s.stopped("was stopped before it was started")
			return
		}
		end := s.once()
		if end.stopped {
			return
		}
		s.refresh()
		if s.spec.Restart == RestartNever || s.spec.Restart == RestartOnFailure && end.failure == nil {
			return
		}
		if limit.reached(s.options().RestartLimit, time.Now()) {
			s.giveUp(end.reason)
			return
		}
		backoff := s.options().Backoff
		if end.ran >= backoff.Reset {
			failures = 0
		}
		delay := backoff.delay(failures)
		failures++
		s.log().Info("Server starts again", zap.Duration("after", delay), zap.Int("restarts", s.restarts+1))
		s.live.setState(StateBackoff)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-s.stop:
			timer.Stop()
			s.stopped("was stopped while it waited for a restart")
			return
		}
		s.refresh()
		s.restarts++
		s.sup.restarts.Add(1)
	}
}

// stopped reports the end of a life without a process.
func (s *server) stopped(text string) {
	s.emit(0, Event{Kind: Lifecycle, State: StateStopped, Text: text, Reason: s.reason()})
	s.live.setHealth(HealthStopping)
	s.sup.failed(s.spec.Source, nil)
	s.status(DeploymentStopped)
}

// once starts the process and stays until it has ended and its output is read.
func (s *server) once() outcome {
	s.emit(0, Event{Kind: Lifecycle, State: StateStarting, Text: "is starting"})
	s.live.setHealth(HealthStarting)
	s.emit(0, Event{Kind: Health, State: HealthStarting, Text: "is starting"})
	p, err := s.start()
	if err != nil {
		reason := err.Error()
		err = fmt.Errorf("%s: %w", s.spec.Name, err)
		s.couldNotStart(err)
		return outcome{failure: err, reason: "could not be started: " + reason}
	}
	s.sup.running.Add(1)
	defer s.sup.running.Add(-1)

	why, reason := s.watch(p)
	if why == endedByStop {
		if reason = s.reason(); reason == whyStops {
			s.awaitDependents(p.exited)
		}
	}
	if why != endedItself {
		s.live.setState(StateStopping)
		s.health(p, Event{State: HealthStopping, Text: "is stopping", Reason: reason})
	}
	// Also when it has ended by itself.
	if err = p.stop(s.options().endOf(s.spec)); err != nil {
		s.log().Warn("Not all processes of the server could be ended", zap.Int("pid", p.pid), zap.Error(err))
	}
	ran := time.Since(p.started)
	if p.finish() {
		s.log().Warn("A process that could not be ended kept the output of the server open; what it prints from now on is lost",
			zap.Int("pid", p.pid))
	}
	end := s.ended(p, ran, why, reason)
	// After the events: who waits for this end emits events of its own.
	s.live.ended(p, why == endedItself && end.failure == nil)
	return end
}

func (s *server) couldNotStart(err error) {
	s.failed("could not be started", err)
	s.log().Warn("Server could not be started", zap.Error(err))
}

// giveUp ends the restarts. reason is why the last run failed, empty when it did not.
func (s *server) giveUp(reason string) {
	limit := s.options().RestartLimit
	err := fmt.Errorf("%s: started again %d times within %s (restart_limit), and is given up", s.spec.Name, limit.Count, limit.Window)
	if reason != "" {
		err = fmt.Errorf("%w; the last time it %s", err, reason)
	}
	s.failed("is given up", err)
	s.log().Error("Server is given up", zap.Error(err))
}

// failed reports the failure of a server without a process.
func (s *server) failed(text string, err error) {
	s.emit(0, Event{Kind: Lifecycle, State: StateFailed, Text: text, Reason: err.Error(), Failure: true})
	s.live.setHealth(HealthUnhealthy)
	s.emit(0, Event{Kind: Health, State: HealthUnhealthy, Text: text, Reason: err.Error(), Failure: true})
	s.status(DeploymentFailed)
	s.sup.failed(s.spec.Source, err)
}

func (s *server) start() (*process, error) {
	as, err := s.spec.Rights.account()
	if err != nil {
		return nil, err
	}
	env, err := s.spec.environ(as.variables)
	if err != nil {
		return nil, err
	}
	if s.spec.AssignPort {
		if s.port, err = s.sup.ports.assign(s); err != nil {
			return nil, err
		}
		s.live.setPort(s.port)
		env = Environ(env, []string{"*"}, map[string]string{"PORT": strconv.Itoa(s.port)}, nil)
	}
	s.env, s.account = env, as
	path, err := s.spec.check(env)
	if err != nil {
		return nil, err
	}
	p, pipes, err := startProcess(s.spec, path, env, as, s.options(), s.sup.starter)
	if err != nil {
		return nil, err
	}
	// Before the first line, so that the order of the records is the order of things.
	s.emit(p.pid, Event{Kind: Lifecycle, State: StateRunning, Text: "is running", Port: s.port})
	s.live.running(p)
	s.lastSample.at, s.lastSample.cpu, s.lastSample.percent = p.started, 0, 0
	if s.spec.Health == nil {
		s.emit(p.pid, Event{Kind: Health, State: HealthHealthy, Text: "is running"})
		s.live.setHealth(HealthHealthy)
		s.sup.failed(s.spec.Source, nil)
	}
	s.status(DeploymentRunning)
	s.log().Info("Server is running", zap.Int("pid", p.pid))
	p.read([2]*reader{s.reader(pipes[0], Stdout, p.pid), s.reader(pipes[1], Stderr, p.pid)})
	return p, nil
}

func (s *server) reader(pipe *os.File, stream Stream, pid int) *reader {
	return newReader(pipe, stream, pid, s.options().MaxLineBytes, s.sup.outlet, s.queue, &s.sup.streams[stream-1])
}

// ended reports the end of the process, after its last words.
func (s *server) ended(p *process, ran time.Duration, why ending, reason string) outcome {
	status := p.tree.status()
	exit := status.exit
	how := status.String()
	event := Event{Kind: Lifecycle, State: StateExited, Text: how, Exit: &exit, Uptime: ran}
	end := outcome{ran: ran, stopped: why == endedByStop}
	switch {
	case why == endedByStop:
		event.State = StateStopped
		event.Text = "was stopped and " + how
		event.Reason = reason
	case why == endedUnhealthy:
		event.State = StateStopped
		event.Text = "was stopped because it was unhealthy, and " + how
		event.Failure, event.Reason = true, "unhealthy: "+reason
		end.reason = "was unhealthy: " + reason
		end.failure = s.unhealthy(reason)
	case exit.Code != 0:
		event.Failure, event.Reason = true, how
		end.reason = how
		end.failure = fmt.Errorf("%s: %s", s.spec.Name, how)
	}
	s.log().Info("Server "+event.Text, zap.Int("pid", p.pid), zap.Duration("uptime", ran))
	s.emit(p.pid, event)
	if end.failure != nil {
		s.sup.failed(s.spec.Source, end.failure)
	} else if why == endedByStop {
		s.sup.failed(s.spec.Source, nil) // it was unhealthy, perhaps
	}
	if why == endedItself {
		// Nobody may go on believing that it is healthy.
		state := HealthStopping
		if end.failure != nil {
			state = HealthUnhealthy
		}
		s.live.setHealth(state)
		s.emit(p.pid, Event{Kind: Health, State: state, Text: how, Reason: how, Failure: event.Failure, Exit: &exit, Uptime: ran})
	}
	if end.failure != nil {
		s.status(DeploymentFailed)
	} else {
		s.status(DeploymentStopped)
	}
	return end
}

func (s *server) unhealthy(reason string) error {
	return fmt.Errorf("%s: unhealthy: %s", s.spec.Name, reason)
}

func (s *server) emit(pid int, event Event) {
	entry := s.entry(pid, event)
	s.sup.outlet.pushEvent(s.queue, entry)
	if event.Kind == Lifecycle {
		s.live.tell(entry.Event)
	}
}

func (s *server) entry(pid int, event Event) Entry {
	event.Text = "server " + s.id + " " + event.Text
	event.Restarts = s.restarts
	return Entry{Time: time.Now(), PID: pid, Line: event.Text, Event: &event}
}

func (s *server) status(status string) {
	s.sup.deployments.set(s.spec.Source, status)
}
