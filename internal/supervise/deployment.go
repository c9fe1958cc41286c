// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"sync"
	"time"
)

// deployments derive the status of each deployment from its servers: running while one of them runs,
// else failed when one of them failed last, else stopped. A status is reported when it changes.
type deployments struct {
	out *outlet

	mu  sync.Mutex
	all map[deploymentKey]*deployment
}

type deploymentKey struct{ project, id string }

type deployment struct {
	queue   *queue
	servers map[string]string // status by server id
	status  string
}

func newDeployments(out *outlet, servers []Server) *deployments {
	d := &deployments{out: out, all: map[deploymentKey]*deployment{}}
	for _, s := range servers {
		key := deploymentKey{project: s.Source.Project, id: s.Source.Deployment}
		if key.id != "" && d.all[key] == nil {
			// A source of its own: the order of its records holds across the servers.
			source := &Source{Project: key.project, Deployment: key.id}
			d.all[key] = &deployment{queue: out.newQueue(source), servers: map[string]string{}}
		}
	}
	return d
}

// set takes the status of one server. The lock is held while the event is queued, so that changes by
// several servers keep their order.
func (d *deployments) set(source *Source, status string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	deployment := d.all[deploymentKey{project: source.Project, id: source.Deployment}]
	if deployment == nil {
		return
	}
	deployment.servers[source.Server] = status
	status = deployment.derive()
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
		event.Reason = "server " + source.Server + " failed"
	}
	d.out.pushEvent(deployment.queue, Entry{Time: time.Now(), Line: event.Text, Event: event})
}

func (d *deployment) derive() string {
	derived := DeploymentStopped
	for _, status := range d.servers {
		if status == DeploymentRunning {
			return DeploymentRunning
		}
		if status == DeploymentFailed {
			derived = DeploymentFailed
		}
	}
	return derived
}
