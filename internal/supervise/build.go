// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"reflect"
	"slices"
	"time"
)

// Build describes something that runs to its end: a command, then perhaps a second one, then the start of servers.
type Build struct {
	Source *Source // with the id of the build
	// Name is how messages call the build, such as "builds[1] (shop-web)".
	Name string
	// Command, Dir, Env, EnvFile, EnvFixed, EnvFileSum and Rights are as those of a Server.
	Command    []string
	Dir        string
	Env        []string
	EnvFile    string
	EnvFixed   []string
	EnvFileSum string
	Rights     Rights
	// Deploy is a second command, after the first has succeeded; it may be empty.
	Deploy []string
	// Deploys are the ids of servers of the same supervisor. They are started, or stopped and started again, at the
	// end, and the build has succeeded when all of them are running.
	Deploys []string
	// Timeout bounds a run, from the end of its waiting; 0 is no limit.
	Timeout time.Duration
	// OnStart runs the build at Start, and when Apply brings it or changes what it does.
	OnStart bool
}

// build runs one Build again and again, when asked to. Guarded by Supervisor.mu where nothing else is said.
type build struct {
	id    string
	sup   *Supervisor
	queue *queue // of spec.Source
	spec  Build  // never changed while it runs or waits
	next  *Build // what it becomes when it has ended

	phase   string // empty before it was asked for
	reason  string
	exit    *Exit
	pid     int
	runs    int
	since   time.Time // of the phase
	started time.Time // it left the queue
	took    time.Duration
	ready   bool          // the commands of the last run have succeeded
	stop    chan struct{} // of the present run; closed by cancel
	why     string        // stop was closed
	again   bool          // it runs again when it has ended
	removed bool
	holds   bool          // one of the places of MaxBuilds
	changed chan struct{} // nil while nobody waits
}

// ended says that no run is on. It is true before the first one.
func (b *build) ended() bool {
	switch b.phase {
	case BuildQueued, BuildBuilding, BuildDeploying:
		return false
	}
	return true
}

// wait returns what is closed at the next change.
func (b *build) wait() <-chan struct{} {
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

// defineBuilds needs mu.
func (s *Supervisor) defineBuilds(specs []Build) {
	var all []*build
	for _, spec := range specs {
		b := s.build(spec.Source.Build)
		if b == nil {
			b = &build{id: spec.Source.Build, sup: s, spec: spec, queue: s.outlet.newQueue(spec.Source)}
			all = append(all, b)
			if spec.OnStart {
				b.enqueue()
			}
			continue
		}
		all = append(all, b)
		b.redefine(spec)
	}
	for _, known := range s.builds {
		if slices.Contains(all, known) {
			continue
		}
		known.removed, known.again = true, false
		if known.ended() {
			known.leave()
			continue
		}
		all = append(all, known) // until it has ended
		known.cancel(whyRemoved)
	}
	s.builds = slices.DeleteFunc(all, func(b *build) bool { return b.removed && b.ended() })
	s.dispatch()
}

func (b *build) redefine(spec Build) {
	current := b.spec
	if b.next != nil {
		current = *b.next
	}
	if reflect.DeepEqual(current.Source, spec.Source) {
		spec.Source = current.Source
	}
	same, back := current.does(spec), b.removed
	b.removed = false
	if b.ended() {
		b.become(spec)
	} else {
		b.next = &spec
	}
	if same && !back {
		return
	}
	switch {
	case b.phase == BuildQueued:
		b.again = true
		b.cancel(whyChanged)
	case !b.ended():
		// A run that was asked for goes on as what it was.
		if spec.OnStart {
			b.again = true
			b.cancel(whyChanged)
		}
	case spec.OnStart:
		b.enqueue()
	default:
		b.ready = false
	}
}

// does says whether two definitions do the same.
func (b Build) does(other Build) bool {
	b.Name, other.Name, b.OnStart, other.OnStart = "", "", false, false
	b.Timeout, other.Timeout = 0, 0
	fixed := sameSet(b.EnvFixed, other.EnvFixed)
	b.EnvFixed, other.EnvFixed = nil, nil
	return fixed && reflect.DeepEqual(b, other)
}

func (b *build) become(spec Build) {
	if spec.Source != b.spec.Source {
		b.leave()
		b.queue = b.sup.outlet.newQueue(spec.Source)
	}
	b.spec, b.next = spec, nil
}

// leave takes the build, as it was, out of what is derived from it.
func (b *build) leave() {
	if len(b.spec.Deploys) > 0 {
		b.sup.deployments.remove(b.spec.Source)
	}
}

// enqueue begins a run of a build that has ended.
func (b *build) enqueue() {
	b.runs++
	b.stop, b.why = make(chan struct{}), ""
	b.reason, b.exit, b.took, b.started, b.ready = "", nil, 0, time.Time{}, false
	b.enter(BuildQueued, "is queued", "")
	b.sup.waiting = append(b.sup.waiting, b)
}

// cancel ends the present run, if there is one; it does not wait.
func (b *build) cancel(why string) {
	if b.ended() || b.why != "" {
		return
	}
	b.why = why
	close(b.stop)
	if i := slices.Index(b.sup.waiting, b); i >= 0 {
		b.sup.waiting = slices.Delete(b.sup.waiting, i, i+1)
		b.finish(outcomeOfBuild{phase: BuildCancelled, reason: why})
	}
}

// enter reports a phase.
func (b *build) enter(phase, text, reason string) {
	b.phase, b.since, b.reason = phase, time.Now(), reason
	event := &Event{
		Kind: BuildStatus, State: phase, Text: "build " + b.id + " " + text, Reason: reason,
		Failure: phase == BuildFailed, Restarts: b.runs - 1, Uptime: b.took,
	}
	if b.ended() {
		event.Exit = b.exit
	}
	b.sup.outlet.pushEvent(b.queue, Entry{Time: b.since, PID: b.pid, Line: event.Text, Event: event})
	if len(b.spec.Deploys) > 0 {
		b.sup.deployments.setBuild(b.spec.Source, phase)
	}
	b.notify()
}

func (b *build) notify() {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

// finish ends a run, and begins the next one where one was asked for.
func (b *build) finish(end outcomeOfBuild) {
	if !b.started.IsZero() {
		b.took = time.Since(b.started)
	}
	b.exit, b.pid = end.exit, 0
	switch end.phase {
	case BuildSucceeded:
		b.enter(end.phase, "has succeeded", "")
	case BuildCancelled:
		b.enter(end.phase, "was cancelled: "+end.reason, end.reason)
	default:
		b.enter(end.phase, "has failed: "+end.reason, end.reason)
	}
	if b.removed {
		b.leave()
		b.sup.builds = slices.DeleteFunc(slices.Clone(b.sup.builds), func(other *build) bool { return other == b })
		return
	}
	if b.next != nil {
		b.become(*b.next)
	}
	if b.again && !b.sup.stopping {
		b.again = false
		b.enqueue()
	}
}

// dispatch starts what may run. Needs mu.
func (s *Supervisor) dispatch() {
	for s.started && !s.stopping && len(s.waiting) > 0 && s.building < max(1, s.opts.Load().MaxBuilds) {
		b := s.waiting[0]
		s.waiting = slices.Delete(s.waiting, 0, 1)
		s.building++
		b.holds = true
		b.started = time.Now()
		s.servers.Add(1)
		go b.run()
	}
}

// build needs mu.
func (s *Supervisor) build(id string) *build {
	for _, b := range s.builds {
		if b.id == id {
			return b
		}
	}
	return nil
}

// BuildStats are of one build, now.
type BuildStats struct {
	Source *Source
	Phase  string    // empty before it was asked for
	Since  time.Time // of the phase
	Reason string
	PID    int   // 0: no process
	Exit   *Exit // of the command that decided the last run
	Runs   int   // that were asked for
	// Duration is how long the last run took, or the present one takes, from the end of its waiting.
	Duration time.Duration
	Queue    int // its place in the queue, from 1; 0: it does not wait
	Settled  bool
}

// Builds tells about all builds, in the order of Options.
func (s *Supervisor) Builds() []BuildStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]BuildStats, 0, len(s.builds))
	for _, b := range s.builds {
		all = append(all, b.stats())
	}
	return all
}

func (b *build) stats() BuildStats {
	stats := BuildStats{
		Source: b.spec.Source, Phase: b.phase, Since: b.since, Reason: b.reason, PID: b.pid, Exit: b.exit, Runs: b.runs,
		Duration: b.took, Queue: slices.Index(b.sup.waiting, b) + 1, Settled: b.ended(),
	}
	if !b.ended() && !b.started.IsZero() {
		stats.Duration = time.Since(b.started)
	}
	return stats
}
