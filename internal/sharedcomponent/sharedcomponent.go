// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package sharedcomponent lets the factory of one component hand the same instance to several
// pipelines: the collector calls CreateLogs, CreateTraces and CreateMetrics separately for one
// component.ID, but a folder lock, a port or a hub must exist once.
package sharedcomponent

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/component"
)

// Map keeps one component per key. A factory owns one Map (in its closure, not in a package variable),
// so two factories, for example in two tests, never see each other's instances.
type Map[K comparable, C component.Component] struct {
	mu     sync.Mutex
	shared map[K]*core[C]
}

// core is the component behind all handles of one key. Fields are guarded by mu, except component.
type core[C component.Component] struct {
	component C
	remove    func()

	mu       sync.Mutex
	handles  int // handed out and not yet shut down
	started  bool
	startErr error
}

// NewMap returns an empty Map.
func NewMap[K comparable, C component.Component]() *Map[K, C] {
	return &Map[K, C]{shared: map[K]*core[C]{}}
}

// GetOrCreate returns a handle on the component of key, creating the component on first use. The
// component leaves the map with its last handle, so that a reloaded configuration gets a fresh one.
func (m *Map[K, C]) GetOrCreate(key K, create func() (C, error)) (*Handle[C], error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.shared[key]
	if !ok {
		component, err := create()
		if err != nil {
			return nil, err
		}
		c = &core[C]{component: component, remove: func() { m.remove(key) }}
		m.shared[key] = c
	}
	c.mu.Lock()
	c.handles++
	c.mu.Unlock()
	return &Handle[C]{core: c}, nil
}

func (m *Map[K, C]) remove(key K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.shared, key)
}

// Handle is one pipeline's use of a shared component. The component starts with the first Start and
// stops with the Shutdown of the last handle: the collector stops pipelines in no particular order,
// and the last one must still be served. Safe for concurrent use.
type Handle[C component.Component] struct {
	core *core[C]
	stop sync.Once
	err  error
}

// Unwrap returns the component itself.
func (h *Handle[C]) Unwrap() C { return h.core.component }

// Start implements component.Component; later calls return what the first one returned.
func (h *Handle[C]) Start(ctx context.Context, host component.Host) error {
	h.core.mu.Lock()
	defer h.core.mu.Unlock()
	if !h.core.started {
		h.core.started = true
		h.core.startErr = h.core.component.Start(ctx, host)
	}
	return h.core.startErr
}

// Shutdown implements component.Component. Calling it again does nothing.
func (h *Handle[C]) Shutdown(ctx context.Context) error {
	h.stop.Do(func() {
		h.core.mu.Lock()
		defer h.core.mu.Unlock()
		h.core.handles--
		if h.core.handles > 0 {
			return
		}
		h.core.remove()
		h.err = h.core.component.Shutdown(ctx)
	})
	return h.err
}
