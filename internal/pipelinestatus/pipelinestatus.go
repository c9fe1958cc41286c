// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package pipelinestatus is what components of a pipeline tell the console about how they do. They find the console by its component.ID,
// since it can't find them: a collector shows only its extensions.
package pipelinestatus

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// Ingest is how a clickhouse_ingest does.
type Ingest struct {
	// ID is its component.ID.
	ID string
	// Signals are what it reads.
	Signals []IngestSignal
	// Leader is false while another collector reads the folder.
	Leader bool
	// Error is why loading stands still; "" when it does not.
	Error string
	// Settle waits until everything that lay in the folder when it was called is stored, or until ctx ends. nil: it can't tell.
	Settle func(ctx context.Context) error
}

// IngestSignal is the part of one signal.
type IngestSignal struct {
	Signal       string
	PendingFiles int64
	PendingBytes int64         // not loaded
	Oldest       time.Duration // how long the oldest of them have been waiting; 0 without any
	FailedFiles  int64         // with lines that could not be loaded
	FailedBytes  int64
}

// LiveTail is how a live_tail does.
type LiveTail struct {
	// ID is its component.ID.
	ID            string
	Clients       int
	Subscriptions int
	Delivered     uint64 // records, since the start
	Dropped       uint64
}

// Reporter is what a console offers. The functions are called whenever somebody asks, by several at the same time, and return soon. forget may be
// called more than once.
type Reporter interface {
	ReportIngest(status func() Ingest) (forget func())
	ReportLiveTail(status func() LiveTail) (forget func())
	// ReportFailed is for who sets files aside; id is its component.ID.
	ReportFailed(id string, files FailedFiles) (forget func())
}

// Registry is a Reporter that can be asked. The zero value is ready; it is safe for concurrent use.
type Registry struct {
	mu       sync.Mutex
	next     int
	ingests  map[int]func() Ingest
	liveTail map[int]func() LiveTail
	failed   map[int]func() failedSource
}

var _ Reporter = (*Registry)(nil)

// ReportIngest implements Reporter.
func (r *Registry) ReportIngest(status func() Ingest) (forget func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return add(r, &r.ingests, status)
}

// ReportLiveTail implements Reporter.
func (r *Registry) ReportLiveTail(status func() LiveTail) (forget func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return add(r, &r.liveTail, status)
}

func add[T any](r *Registry, to *map[int]func() T, status func() T) (forget func()) {
	if *to == nil {
		*to = map[int]func() T{}
	}
	n := r.next
	r.next++
	(*to)[n] = status
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(*to, n)
	}
}

// Ingests asks all that load, in the order of their ids. The parts of one id, a receiver of each signal, are put together.
func (r *Registry) Ingests() []Ingest {
	var out []Ingest
	for _, one := range ask(r, &r.ingests) {
		i := slices.IndexFunc(out, func(o Ingest) bool { return o.ID == one.ID })
		if i < 0 {
			out = append(out, one)
			continue
		}
		out[i].Signals = append(out[i].Signals, one.Signals...)
		out[i].Leader = out[i].Leader && one.Leader
		out[i].Settle = both(out[i].Settle, one.Settle)
		if out[i].Error == "" {
			out[i].Error = one.Error
		}
	}
	for _, one := range out {
		slices.SortFunc(one.Signals, func(a, b IngestSignal) int { return strings.Compare(a.Signal, b.Signal) })
	}
	slices.SortFunc(out, func(a, b Ingest) int { return strings.Compare(a.ID, b.ID) })
	return out
}

func both(a, b func(context.Context) error) func(context.Context) error {
	if a == nil || b == nil {
		return nil
	}
	return func(ctx context.Context) error {
		if err := a(ctx); err != nil {
			return err
		}
		return b(ctx)
	}
}

// LiveTails asks all live tails, in the order of their ids.
func (r *Registry) LiveTails() []LiveTail {
	out := ask(r, &r.liveTail)
	slices.SortFunc(out, func(a, b LiveTail) int { return strings.Compare(a.ID, b.ID) })
	return out
}

func ask[T any](r *Registry, of *map[int]func() T) []T {
	r.mu.Lock()
	var all []func() T
	for _, f := range *of {
		all = append(all, f)
	}
	r.mu.Unlock()
	out := make([]T, len(all))
	for i, f := range all {
		out[i] = f()
	}
	return out
}
