// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerlogreceiver

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/oklog/ulid/v2"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/lineproto"
	"github.com/tailrace/tailrace/internal/supervise"
)

// listened is a run of a command that somebody else runs. It belongs to the goroutine that delivers but for taken.
type listened struct {
	run    *lineproto.Run
	source *supervise.Source
	pid    int
	taken  uint64 // guarded by runnerLog.mu
}

func identityOf(h *lineproto.Hello) identity.Identity {
	return identity.Identity{Project: h.Project, Deployment: h.Deployment, Server: h.Server, Build: h.Build}
}

func newListened(run *lineproto.Run) *listened {
	h := &run.Hello
	source := &supervise.Source{
		Project: h.Project, Deployment: h.Deployment, Server: h.Server, Build: h.Build,
		Service: cmp.Or(h.Service, h.Deployment, h.Server, h.Build),
	}
	if len(h.Command) > 0 {
		source.Executable = filepath.Base(h.Command[0])
	}
	for _, key := range slices.Sorted(maps.Keys(h.Labels)) {
		if !isReserved(key) {
			source.Labels = append(source.Labels, supervise.Label{Key: key, Value: h.Labels[key]})
		}
	}
	return &listened{run: run, source: source}
}

// convert turns items into the entries of a runner. The nth run is that of the nth group; a batch may have more groups:
// deployments have sources of their own.
func (l *listener) convert(groups []lineproto.Group) (supervise.Batch, []*listened) {
	batch := make(supervise.Batch, 0, len(groups))
	touched := make([]*listened, 0, len(groups))
	var more supervise.Batch
	for _, group := range groups {
		state, ok := group.Run.Data.(*listened)
		if !ok {
			state = newListened(group.Run)
			group.Run.Data = state
			state.pid = l.server.PID(group.Run)
		}
		touched = append(touched, state)
		entries := make([]supervise.Entry, 0, len(group.Items))
		for i := range group.Items {
			item := &group.Items[i]
			if item.Kind == lineproto.KindLine {
				entries = append(entries, supervise.Entry{
					Time: item.Time, UID: lineproto.UID(group.Run.Hello.Run, item.Seq, 0, item.Time), PID: state.pid,
					Stream: supervise.Stream(item.Stream), Line: item.Text, Part: item.Part, Last: item.Last, Repaired: item.Repaired,
				})
				continue
			}
			if item.Event.PID != 0 {
				state.pid = item.Event.PID
			}
			nth := 0
			for _, event := range l.events(state, item) {
				entries = append(entries, entryOf(group.Run, item, nth, state.pid, event))
				nth++
			}
			if changed, source := l.deployments.set(state, deploymentStatus(item)); changed != nil {
				more = append(more, supervise.Group{
					Source: source, Entries: []supervise.Entry{entryOf(group.Run, item, nth, 0, changed)},
				})
			}
		}
		batch = append(batch, supervise.Group{Source: state.source, Entries: entries})
	}
	return append(batch, more...), touched
}

// entryOf makes an entry of the nth event of an item.
func entryOf(run *lineproto.Run, item *lineproto.Item, nth, pid int, event *supervise.Event) supervise.Entry {
	uid := ulid.Make() // an item that the server made is made once
	if item.Seq > 0 {
		uid = lineproto.UID(run.Hello.Run, item.Seq, nth, item.Time)
	}
	return supervise.Entry{Time: item.Time, UID: uid, PID: pid, Line: event.Text, Event: event}
}

const reasonGone = "the connection to its runner is gone"

// events says what an item means, in the words of a runner. For a server that is a change of its life and of its health.
func (l *listener) events(state *listened, item *lineproto.Item) []*supervise.Event {
	if item.Kind == lineproto.KindGap {
		if item.Missing == 0 {
			return nil
		}
		l.receiver.telemetry.RunnerLogListenMissing.Add(context.Background(), int64(item.Missing))
		return []*supervise.Event{{
			Kind: supervise.OutputDropped, Failure: true, DroppedLines: int64(item.Missing),
			Text:   fmt.Sprintf("%s: %d lines are missing here", state.name(), item.Missing),
			Reason: "its runner could not keep them while they could not be sent, or sent what could not be read",
		}}
	}
	e := item.Event
	switch item.Kind {
	case lineproto.KindLost:
		e = lineproto.Event{Name: lineproto.EventLost, Reason: reasonGone}
	case lineproto.KindBack:
		e = lineproto.Event{Name: lineproto.EventRunning, Reason: "its runner is connected again"}
		if state.source.Build != "" {
			e.Name = lineproto.EventBuilding
		}
	}
	if state.source.Build != "" {
		return []*supervise.Event{buildEvent(state, e)}
	}
	return serverEvents(state, e)
}

func (s *listened) name() string {
	if s.source.Build != "" {
		return "build " + s.source.Build
	}
	return "server " + s.source.Server
}

// exit returns how the process ended, nil while that is not known.
func exit(e lineproto.Event) *supervise.Exit {
	switch e.Name {
	case lineproto.EventExited, lineproto.EventSucceeded, lineproto.EventFailed, lineproto.EventCancelled:
		if e.Reason != "" && e.Code == 0 && e.Signal == "" {
			return nil // it was never started
		}
		return &supervise.Exit{Code: e.Code, Signal: e.Signal}
	}
	return nil
}

func serverEvents(state *listened, e lineproto.Event) []*supervise.Event {
	event := supervise.Event{Kind: supervise.Lifecycle, Reason: e.Reason, Uptime: e.Uptime, Exit: exit(e)}
	health := supervise.Event{Kind: supervise.Health}
	switch e.Name {
	case lineproto.EventStarting, lineproto.EventBuilding:
		event.State, event.Text = supervise.StateStarting, "is starting"
		health.State = supervise.HealthStarting
	case lineproto.EventRunning, lineproto.EventDeploying:
		event.State, event.Text = supervise.StateRunning, "is running"
		health.State = supervise.HealthHealthy
	case lineproto.EventFailed:
		event.State, event.Text, event.Failure = supervise.StateFailed, "could not be started", true
		health.State = supervise.HealthUnhealthy
	case lineproto.EventLost:
		event.State, event.Text, event.Failure = stateUnknown, "is lost: nobody knows whether it runs", true
		event.Exit = nil
		health.State = supervise.HealthUnhealthy
	default:
		how := supervise.Exit{Code: e.Code, Signal: e.Signal}
		event.State, event.Text, event.Exit = supervise.StateExited, how.String(), &how
		health.State = supervise.HealthStopping
		if how.Code != 0 {
			event.Failure, health.State = true, supervise.HealthUnhealthy
			event.Reason = cmp.Or(event.Reason, how.String())
		}
	}
	event.Text = state.name() + " " + event.Text
	health.Text, health.Reason, health.Failure = event.Text, event.Reason, event.Failure
	health.Exit, health.Uptime = event.Exit, event.Uptime
	return []*supervise.Event{&event, &health}
}

// stateUnknown is the state of a server whose runner is gone.
const stateUnknown = "unknown"

func buildEvent(state *listened, e lineproto.Event) *supervise.Event {
	event := &supervise.Event{Kind: supervise.BuildStatus, Reason: e.Reason, Uptime: e.Uptime, Exit: exit(e)}
	switch e.Name {
	case lineproto.EventStarting:
		event.State, event.Text = supervise.BuildQueued, "is starting"
	case lineproto.EventRunning, lineproto.EventBuilding:
		event.State, event.Text = supervise.BuildBuilding, "is building"
	case lineproto.EventDeploying:
		event.State, event.Text = supervise.BuildDeploying, "is deploying"
	case lineproto.EventSucceeded:
		event.State, event.Text = supervise.BuildSucceeded, "succeeded"
	case lineproto.EventCancelled:
		event.State, event.Text = supervise.BuildCancelled, "was cancelled"
	case lineproto.EventLost:
		event.State, event.Text, event.Failure = supervise.BuildFailed, "is lost: nobody knows how it ended", true
	default:
		event.State, event.Text = supervise.BuildFailed, "failed"
		if e.Name == lineproto.EventExited && e.Code == 0 {
			event.State, event.Text = supervise.BuildSucceeded, "succeeded"
		}
		event.Failure = event.State == supervise.BuildFailed
	}
	if event.Exit != nil && event.Failure {
		event.Reason = cmp.Or(event.Reason, event.Exit.String())
	}
	event.Text = state.name() + " " + event.Text
	return event
}

// deploymentStatus says what an item means for the deployment of a server, empty: nothing.
func deploymentStatus(item *lineproto.Item) string {
	if item.Kind == lineproto.KindLost {
		return supervise.DeploymentFailed
	}
	if item.Kind == lineproto.KindBack {
		return supervise.DeploymentRunning
	}
	switch item.Event.Name {
	case lineproto.EventRunning:
		return supervise.DeploymentRunning
	case lineproto.EventFailed, lineproto.EventLost:
		return supervise.DeploymentFailed
	case lineproto.EventExited:
		if item.Event.Code != 0 {
			return supervise.DeploymentFailed
		}
		return supervise.DeploymentStopped
	}
	return ""
}

// deployments derive the status of a deployment from the servers of it that others run, as supervise does from those that it
// runs: running while one of them runs, else failed when one of them failed last, else stopped.
type deployments struct {
	mu  sync.Mutex
	all map[deploymentKey]*deployment
}

type deploymentKey struct{ project, id string }

type deployment struct {
	source *supervise.Source
	runs   map[string]deployed // by server
	status string
}

type deployed struct {
	by     *listened
	status string
}

func newDeployments() *deployments { return &deployments{all: map[deploymentKey]*deployment{}} }

// set takes the status of a server and returns the event of the deployment's change, nil without one.
func (d *deployments) set(state *listened, status string) (*supervise.Event, *supervise.Source) {
	s := state.source
	key := deploymentKey{s.Project, s.Deployment}
	if status == "" || key.id == "" || s.Server == "" {
		return nil, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	of := d.all[key]
	if of == nil {
		of = &deployment{source: &supervise.Source{Project: key.project, Deployment: key.id}, runs: map[string]deployed{}}
		d.all[key] = of
	}
	if last, ok := of.runs[s.Server]; ok && last.by != state && status != supervise.DeploymentRunning && last.status == supervise.DeploymentRunning {
		return nil, nil // a successor of this run has started already
	}
	of.runs[s.Server] = deployed{by: state, status: status}
	status = supervise.DeploymentStopped
	for _, run := range of.runs {
		if run.status == supervise.DeploymentRunning {
			status = run.status
			break
		}
		if run.status == supervise.DeploymentFailed {
			status = run.status
		}
	}
	if status == of.status {
		return nil, nil
	}
	of.status = status
	event := &supervise.Event{
		Kind: supervise.DeploymentStatus, State: status, Failure: status == supervise.DeploymentFailed,
		Text: "deployment " + key.id + " is " + status,
	}
	if event.Failure {
		event.Text = "deployment " + key.id + " has failed"
		event.Reason = "server " + s.Server + " failed"
	}
	return event, of.source
}

// forget drops the state of a run; a deployment without any is forgotten, too.
func (d *deployments) forget(state *listened) {
	key := deploymentKey{state.source.Project, state.source.Deployment}
	d.mu.Lock()
	defer d.mu.Unlock()
	of := d.all[key]
	if of == nil || of.runs[state.source.Server].by != state {
		return
	}
	delete(of.runs, state.source.Server)
	if len(of.runs) == 0 {
		delete(d.all, key)
	}
}
