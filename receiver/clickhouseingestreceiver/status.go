// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/tailrace/tailrace/internal/ingest"
	"github.com/tailrace/tailrace/internal/pipelinestatus"
	"github.com/tailrace/tailrace/internal/segment"
)

// countEvery is how often the failed/ folders are counted at most: there may be thousands of projects.
const countEvery = 10 * time.Second

// reporter is what this receiver needs of the console.
type reporter interface {
	ReportIngest(status func() pipelinestatus.Ingest) (forget func())
	ReportFailed(id string, files pipelinestatus.FailedFiles) (forget func())
}

func (r *ingestReceiver) findConsole(host component.Host) (reporter, error) {
	if r.cfg.Console == nil {
		return nil, nil
	}
	extension, ok := host.GetExtensions()[*r.cfg.Console]
	if !ok {
		return nil, fmt.Errorf("console: there is no extension %q: define it under extensions and list it in service::extensions", r.cfg.Console)
	}
	console, ok := extension.(reporter)
	if !ok {
		return nil, fmt.Errorf("console: the extension %q shows no status: name an extension of the type console", r.cfg.Console)
	}
	return console, nil
}

// status tells the console how loading does.
type status struct {
	r        *ingestReceiver
	engine   *ingest.Engine
	observer *observer

	mu      sync.Mutex // guards what follows
	counted time.Time
	failed  map[string][2]int64 // files and bytes by signal
}

func newStatus(r *ingestReceiver, engine *ingest.Engine, o *observer) *status {
	return &status{r: r, engine: engine, observer: o}
}

func (s *status) get() pipelinestatus.Ingest {
	failed := s.countFailed()
	out := pipelinestatus.Ingest{ID: s.r.set.ID.String(), Leader: s.engine.Active(), Settle: s.settle}
	if err := s.observer.worst(); err != nil {
		out.Error = err.Error()
	}
	for _, signal := range s.r.signals() {
		p := s.engine.Pending(signal)
		out.Signals = append(out.Signals, pipelinestatus.IngestSignal{
			Signal: signal, PendingFiles: p.Files, PendingBytes: p.Bytes, Oldest: p.Oldest, FailedFiles: failed[signal][0], FailedBytes: failed[signal][1],
		})
	}
	return out
}

func (s *status) settle(ctx context.Context) error {
	for _, signal := range s.r.signals() {
		if err := s.engine.Settle(ctx, signal); err != nil {
			return err
		}
	}
	return nil
}

func (s *status) countFailed() map[string][2]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.counted) < countEvery {
		return s.failed
	}
	counts := map[string][2]int64{}
	for _, source := range s.r.sources() {
		var sum [2]int64
		for _, t := range source.Types {
			files, bytes, err := segment.CountFailed(s.r.cfg.Path, t)
			if err != nil {
				continue // the engine tells of a folder that can't be read
			}
			sum[0], sum[1] = sum[0]+files, sum[1]+bytes
		}
		counts[source.Signal] = sum
	}
	s.failed, s.counted = counts, time.Now()
	return counts
}
