// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package pipelinestatus

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestRegistry(t *testing.T) {
	var r Registry
	assert.Empty(t, r.Ingests())
	ingest := func(id, signal string, leader bool, problem string) func() {
		return r.ReportIngest(func() Ingest {
			return Ingest{ID: id, Signals: []IngestSignal{{Signal: signal}}, Leader: leader, Error: problem}
		})
	}
	ingest("b", "logs", true, "")
	ingest("a", "traces", true, "")
	ingest("a", "logs", false, "stuck")
	forget := ingest("a", "metrics", true, "")
	forget()
	forget()
	assert.Equal(t, []Ingest{
		{ID: "a", Signals: []IngestSignal{{Signal: "logs"}, {Signal: "traces"}}, Error: "stuck"},
		{ID: "b", Signals: []IngestSignal{{Signal: "logs"}}, Leader: true},
	}, r.Ingests())
	for _, id := range []string{"y", "x"} {
		r.ReportLiveTail(func() LiveTail { return LiveTail{ID: id} })
	}
	assert.Equal(t, []LiveTail{{ID: "x"}, {ID: "y"}}, r.LiveTails())
}
