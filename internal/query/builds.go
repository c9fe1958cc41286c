// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"strconv"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/identity"
)

// maxBuilds bounds the list, which is not paged.
const maxBuilds = 1000

// Build is a build of which a change of state was seen.
type Build struct {
	ID         string `json:"id"`
	Project    string `json:"project"`
	Deployment string `json:"deployment,omitempty"`
	Service    string `json:"service"`
	// Status is that of the last build.status event: queued, building, deploying, succeeded, failed, cancelled.
	Status string `json:"status"`
	// Run is the number of the last run of this build, from 1; 0 when it is not known.
	Run int `json:"run"`
	// Started is the first event of that run, Changed its last one.
	Started Time `json:"started"`
	Changed Time `json:"changed"`
	// DurationS is in seconds since it left the queue; null before.
	DurationS *float64 `json:"durationS"`
	// Message is what the last event says.
	Message string `json:"message"`
	// Reason is why it failed; "" otherwise.
	Reason string `json:"reason"`
}

// Builds lists the builds that changed their state within a week, or the range of the filter: the last run of each, the newest first.
func (q *Querier) Builds(ctx context.Context, caller *access.Caller, req Request) (Page[Build], error) {
	page := Page[Build]{Data: []Build{}}
	s, some, err := events(caller, req, identity.EventBuildStatus, "BuildId")
	if err != nil || !some {
		return page, err
	}
	const last = "(Timestamp, Uid)"
	s.head = "SELECT ProjectId, build, argMax(deployment, run), argMax(service, run), argMax(status, run), max(run) AS newest, argMax(started, run) AS began, argMax(changed, run), " +
		"argMax(took, run), argMax(message, run), argMax(reason, run)\n" +
		"FROM (SELECT ProjectId, toString(BuildId) AS build, toInt64OrZero(LogAttributes['build.run']) AS run, argMax(toString(DeploymentId), " + last + ") AS deployment, argMax(toString(ServiceName), " + last + ") AS service, " +
		"argMax(LogAttributes['build.status'], " + last + ") AS status, min(Timestamp) AS started, max(Timestamp) AS changed, argMax(LogAttributes['build.duration_s'], " + last + ") AS took, " +
		"argMax(leftUTF8(Body, 2048), " + last + ") AS message, argMax(LogAttributes['tailrace.reason'], " + last + ") AS reason\nFROM " + q.table("otel_logs")
	s.tail = "GROUP BY ProjectId, build, run)\nGROUP BY ProjectId, build ORDER BY began DESC, ProjectId, build LIMIT " + strconv.Itoa(maxBuilds)
	err = q.run(ctx, q.budget(), s, func(scan func(...any) error) error {
		var b Build
		var run int64
		var took string
		if err := scan(&b.Project, &b.ID, &b.Deployment, &b.Service, &b.Status, &run, &b.Started.Time, &b.Changed.Time, &took, &b.Message, &b.Reason); err != nil {
			return err
		}
		b.Run = int(run)
		if v, err := strconv.ParseFloat(took, 64); err == nil {
			b.DurationS = number(v)
		}
		page.Data = append(page.Data, b)
		return nil
	})
	return page, err
}
