// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package restapi

import (
	"context"

	"github.com/tailrace/tailrace/internal/access"
)

// PipelineSource knows how the pipeline of this collector does. Implementations are safe for concurrent use and answer
// quickly, from memory or a folder listing.
type PipelineSource interface {
	Pipeline(ctx context.Context) (Pipeline, error)
}

// Pipeline is how the way from the senders into the store does. Parts that this collector does not have are nil.
type Pipeline struct {
	Files      []FilesStatus     `json:"files"`
	Ingest     []IngestStatus    `json:"ingest"`
	LiveTail   []LiveTailStatus  `json:"liveTail"`
	ClickHouse *ClickHouseStatus `json:"clickHouse"`
}

// FilesStatus is one folder of JSONL segments and one signal in it.
type FilesStatus struct {
	// ID is that of the component, "jsonl/main".
	ID     string `json:"id"`
	Signal string `json:"signal"`
	// PendingFiles are written or closed, and not loaded yet; PendingBytes their size.
	PendingFiles int   `json:"pendingFiles"`
	PendingBytes int64 `json:"pendingBytes"`
	// OldestPendingSeconds is the age of the oldest of them; 0 without any.
	OldestPendingSeconds float64 `json:"oldestPendingSeconds"`
	// FailedFiles hold lines that could not be loaded.
	FailedFiles int   `json:"failedFiles"`
	FailedBytes int64 `json:"failedBytes"`
}

// IngestStatus is one clickhouse_ingest.
type IngestStatus struct {
	ID string `json:"id"`
	// LagSeconds is how far the last record that was loaded is behind the last one that was written; null when that is not known.
	LagSeconds *float64 `json:"lagSeconds"`
	// Leader is false while another collector reads the folder.
	Leader bool `json:"leader"`
	// Error is why loading stands still; "" when it does not.
	Error string `json:"error"`
}

// LiveTailStatus is one live_tail.
type LiveTailStatus struct {
	ID            string `json:"id"`
	Clients       int    `json:"clients"`
	Subscriptions int    `json:"subscriptions"`
	// Delivered and Dropped records, since the start.
	Delivered uint64 `json:"delivered"`
	Dropped   uint64 `json:"dropped"`
}

// ClickHouseStatus says whether the store can be asked.
type ClickHouseStatus struct {
	Ready bool   `json:"ready"`
	Error string `json:"error"`
}

func (a *api) pipeline(c *call) (any, error) {
	if len(c.caller.Readable()) == 0 {
		return nil, access.ErrForbidden
	}
	if a.Pipeline == nil {
		return nil, errNoPipeline
	}
	p, err := a.Pipeline.Pipeline(c.ctx)
	if err != nil {
		return nil, err
	}
	// Lists are never null.
	if p.Files == nil {
		p.Files = []FilesStatus{}
	}
	if p.Ingest == nil {
		p.Ingest = []IngestStatus{}
	}
	if p.LiveTail == nil {
		p.LiveTail = []LiveTailStatus{}
	}
	return item{p}, nil
}
