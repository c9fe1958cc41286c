// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"sync"
	"time"
)

// deployments derive the status of each deployment from its servers and from the builds that start them: building
// while such a build runs; else running while a server runs; else pending while such a build waits; else failed when a server or such a build
// failed last; else stopped. A status is reported when it changes.
type deployments struct {
	out *outlet

	mu  sync.Mutex
	all map[deploymentKey]*deployment
}

type deploymentKey struct{ project, id string }

type deployment struct {
	queue   *queue
	servers map[string]string // status by server id
	builds  map[string]string // phase by build id
	status  string
}

func newDeployments(out *outlet) *deployments {
	return &deployments{out: out, all: map[deploymentKey]*deployment{}}
}

// of returns the deployment of a source, nil for one without. Needs mu.
func (d *deployments) of(source *Source) *deployment {
	key := deploymentKey{project: source.Project, id: source.Deployment}
	if key.id == "" {
		return nil
	}
	found := d.all[key]
	if found == nil {
		// A source of its own: the order of its records holds across the servers.
		own := &Source{Project: key.project, Deployment: key.id}
		found = &deployment{queue: d.out.newQueue(own), servers: map[string]string{}, builds: map[string]string{}}
		d.all[key] = found
	}
	return found
}

// remove forgets a server or a build.
func (d *deployments) remove(source *Source) {
	d.mu.Lock()
	defer d.mu.Unlock()
	deployment := d.all[deploymentKey{project: source.Project, id: source.Deployment}]
	if deployment == nil {
		return
	}
	delete(deployment.servers, source.Server)
	delete(deployment.builds, source.Build)
	if len(deployment.servers)+len(deployment.builds) == 0 {
		delete(d.all, deploymentKey{project: source.Project, id: source.Deployment})
		return
	}
	d.report(deployment, source, "")
}

// set takes the status of one server. The lock is held while the event is queued, so that changes by
// several servers keep their order.
func (d *deployments) set(source *Source, status string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if deployment := d.of(source); deployment != nil {
		deployment.servers[source.Server] = status
		d.report(deployment, source, "server "+source.Server+" failed")
	}
}

// setBuild takes the phase of one build that starts servers of its deployment.
func (d *deployments) setBuild(source *Source, phase string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if deployment := d.of(source); deployment != nil {
		deployment.builds[source.Build] = phase
		d.report(deployment, source, "build "+source.Build+" failed")
	}
}

// report needs mu.
func (d *deployments) report(deployment *deployment, source *Source, failure string) {
	status := deployment.derive()
	if status == deployment.status {
		return
	}
	deployment.status = status
	event := &Event{
		Kind: DeploymentStatus, State: status, Failure: status == DeploymentFailed,
		Text: "deployment " + source.Deployment + " is " + status,
	}
	if event.Failure {
		event.Text = "deployment " + source.Deployment + " has failed"
		event.Reason = failure
	}
	d.out.pushEvent(deployment.queue, Entry{Time: time.Now(), Line: event.Text, Event: event})
}

func (d *deployment) derive() string {
	derived := DeploymentStopped
	pending := false
	for _, phase := range d.builds {
		switch phase {
		case BuildBuilding, BuildDeploying:
			return DeploymentBuilding
		case BuildQueued:
			pending = true
		case BuildFailed:
			derived = DeploymentFailed
		}
	}
	for _, status := range d.servers {
		if status == DeploymentRunning {
			return DeploymentRunning
		}
		if status == DeploymentFailed {
			derived = DeploymentFailed
		}
	}
	if pending {
		return DeploymentPending
	}
	return derived
}
