// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// mounts are the routes of the server: those that never change, and those of other components, which come when pipelines start. Safe for concurrent
// use.
type mounts struct {
	fixed map[string]http.Handler
	now   atomic.Pointer[http.ServeMux]

	mu      sync.Mutex // guards what follows
	mounted map[string]http.Handler
}

func newMounts(fixed map[string]http.Handler) *mounts {
	m := &mounts{fixed: fixed, mounted: map[string]http.Handler{}}
	mux, err := m.build()
	if err != nil {
		panic(err) // our own routes
	}
	m.now.Store(mux)
	return m
}

// ServeHTTP implements http.Handler.
func (m *mounts) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.now.Load().ServeHTTP(w, r) }

func (m *mounts) mount(pattern string, h http.Handler) (unmount func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.mounted[pattern]; taken {
		return nil, fmt.Errorf("%s is taken by another component", pattern)
	}
	m.mounted[pattern] = h
	mux, err := m.build()
	if err != nil {
		delete(m.mounted, pattern)
		return nil, err
	}
	m.now.Store(mux)
	return sync.OnceFunc(func() { m.unmount(pattern) }), nil
}

func (m *mounts) unmount(pattern string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mounted, pattern)
	if mux, err := m.build(); err == nil { // with less it can't fail
		m.now.Store(mux)
	}
}

// build makes a mux of all routes. m.mu is held. ServeMux tells mistakes in patterns by a panic.
func (m *mounts) build() (mux *http.ServeMux, err error) {
	pattern := ""
	defer func() {
		if r := recover(); r != nil {
			mux, err = nil, fmt.Errorf("%s can't be mounted: %v", pattern, r)
		}
	}()
	mux = http.NewServeMux()
	for _, pattern = range slices.Sorted(maps.Keys(m.fixed)) {
		if !m.replaced(pattern) {
			mux.Handle(pattern, m.fixed[pattern])
		}
	}
	for _, pattern = range slices.Sorted(maps.Keys(m.mounted)) {
		mux.Handle(pattern, m.mounted[pattern])
	}
	return mux, nil
}

// replaced reports whether a route that only says that nothing is there yet has to make room.
func (m *mounts) replaced(pattern string) bool {
	if !slices.Contains(awaited, pattern) {
		return false
	}
	for other := range m.mounted {
		if other == pattern || strings.HasSuffix(other, " "+pattern) {
			return true
		}
	}
	return false
}
