// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package sharedcomponent

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
)

type counting struct{ starts, stops int }

func (c *counting) Start(context.Context, component.Host) error { c.starts++; return errStart }
func (c *counting) Shutdown(context.Context) error              { c.stops++; return nil }

var errStart = errors.New("start")

func TestOneInstancePerKeyStartedOnceStoppedByTheLast(t *testing.T) {
	m := NewMap[string, *counting]()
	create := func() (*counting, error) { return &counting{}, nil }
	logs, err := m.GetOrCreate("a", create)
	require.NoError(t, err)
	traces, err := m.GetOrCreate("a", create)
	require.NoError(t, err)
	other, err := m.GetOrCreate("b", create)
	require.NoError(t, err)
	assert.Same(t, logs.Unwrap(), traces.Unwrap())
	assert.NotSame(t, logs.Unwrap(), other.Unwrap())

	require.ErrorIs(t, logs.Start(t.Context(), componenttest.NewNopHost()), errStart)
	require.ErrorIs(t, traces.Start(t.Context(), componenttest.NewNopHost()), errStart)
	assert.Equal(t, 1, logs.Unwrap().starts)

	require.NoError(t, logs.Shutdown(t.Context()))
	require.NoError(t, logs.Shutdown(t.Context()))
	assert.Zero(t, logs.Unwrap().stops, "another pipeline still uses it")
	require.NoError(t, traces.Shutdown(t.Context()))
	assert.Equal(t, 1, logs.Unwrap().stops)

	fresh, err := m.GetOrCreate("a", create)
	require.NoError(t, err)
	assert.NotSame(t, logs.Unwrap(), fresh.Unwrap(), "a stopped component must not be handed out again")
}

func TestFailedCreateLeavesNothing(t *testing.T) {
	m := NewMap[string, *counting]()
	_, err := m.GetOrCreate("a", func() (*counting, error) { return nil, errStart })
	require.ErrorIs(t, err, errStart)
	_, err = m.GetOrCreate("a", func() (*counting, error) { return &counting{}, nil })
	require.NoError(t, err)
}
