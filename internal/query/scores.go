// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"time"

	"github.com/tailrace/tailrace/internal/access"
)

// Score is one evaluation result.
type Score struct {
	Time       Time   `json:"time"`
	Project    string `json:"project"`
	Deployment string `json:"deployment,omitempty"`
	Server     string `json:"server,omitempty"`
	Build      string `json:"build,omitempty"`
	Service    string `json:"service"`
	Name       string `json:"name"`
	// Value is null when the evaluation gave none; zero is zero.
	Value       *float64          `json:"value"`
	Label       string            `json:"label,omitempty"`
	Explanation string            `json:"explanation,omitempty"`
	TraceID     string            `json:"traceId,omitempty"`
	SpanID      string            `json:"spanId,omitempty"`
	UID         string            `json:"uid,omitempty"`
	Attributes  map[string]string `json:"attributes"`
	Omitted     map[string]uint64 `json:"omitted,omitempty"`
}

const scoreHash = "if(Uid = '', hex(sipHash64(TraceId, SpanId, Name, Value, Label, Explanation, ServiceName)), '')"

var scoreSource = source[Score]{
	table: "otel_scores",
	time:  "Timestamp",
	keys:  []string{"Uid", scoreHash, "ProjectId"},
	columns: func(s *statement, full bool) string {
		return identityColumns + ", Timestamp, Name, Value, Label, substringUTF8(Explanation, 1, 4000), TraceId, SpanId, Uid, " + scoreHash + ", " + light(s, "Attributes", full)
	},
	where: func(s *statement, f *Filter) { f.scores(s) },
	scan: func(scan func(...any) error, _ bool) (Score, position, int, error) {
		var r Score
		var t time.Time
		var hash string
		if err := scan(&r.Project, &r.Deployment, &r.Server, &r.Build, &r.Service, &t, &r.Name, &r.Value, &r.Label, &r.Explanation,
			&r.TraceID, &r.SpanID, &r.UID, &hash, &r.Attributes, &r.Omitted); err != nil {
			return r, position{}, 0, err
		}
		r.Time = Time{t}
		return r, position{t.UnixNano(), []string{r.UID, hash, r.Project}}, sizeOf(r.Attributes) + len(r.Explanation), nil
	},
}

func (f *Filter) scores(s *statement) {
	f.common(s, columns{name: "Name", attributes: "Attributes", text: []string{"Explanation", "Label"}, trace: "TraceId"})
	if len(f.Labels) > 0 {
		s.where(s.in("Label", f.Labels))
	}
}

// Scores lists evaluation scores, the newest first.
func (q *Querier) Scores(ctx context.Context, caller *access.Caller, req Request) (Page[Score], error) {
	return list(ctx, q, scoreSource, caller, req)
}

// ExportScores calls each for every score that matches.
func (q *Querier) ExportScores(ctx context.Context, caller *access.Caller, req Request, each func(Score) error) error {
	return export(ctx, q, scoreSource, caller, req, each)
}
