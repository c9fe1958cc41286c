// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/tailrace/tailrace/internal/pipelinestatus"
	"github.com/tailrace/tailrace/internal/segment"
	"github.com/tailrace/tailrace/receiver/clickhouseingestreceiver/internal/metadata"
)

// fakeConsole stands for the extension.
type fakeConsole struct {
	component.StartFunc
	component.ShutdownFunc
	pipelinestatus.Registry
}

type extensionsHost struct {
	statusHost
	extensions map[component.ID]component.Component
}

func (h extensionsHost) GetExtensions() map[component.ID]component.Component { return h.extensions }

func TestTheConsoleIsToldHowLoadingDoes(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, segment.Logs, "log")
	failed := filepath.Join(segment.Dir(dir, segment.Scores, "p"), segment.DirFailed)
	require.NoError(t, os.MkdirAll(failed, 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(failed, "x+0.jsonl"), []byte("{}\n"), 0o600))
	refuse := make(chan error, 1)
	refuse <- errors.New("the store is away")
	next, err := consumer.NewLogs(func(context.Context, plog.Logs) error {
		e := <-refuse
		if e != nil {
			refuse <- e
		}
		return e
	})
	require.NoError(t, err)
	cfg := testConfig(dir)
	id := component.MustNewID("console")
	cfg.Console = &id
	console := &fakeConsole{}
	host := extensionsHost{newHost(), map[component.ID]component.Component{id: console}}
	r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg, next)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), host))
	require.Eventually(t, func() bool { s := console.Ingests(); return len(s) == 1 && s[0].Error != "" }, 10*time.Second, time.Millisecond)
	got := console.Ingests()[0]
	assert.True(t, got.Leader)
	assert.Contains(t, got.Error, "the store is away")
	require.Len(t, got.Signals, 1)
	signal := got.Signals[0]
	assert.Equal(t, "logs", signal.Signal)
	assert.EqualValues(t, 1, signal.PendingFiles)
	assert.Positive(t, signal.PendingBytes)
	assert.Positive(t, signal.Oldest)
	assert.EqualValues(t, 1, signal.FailedFiles)
	assert.EqualValues(t, 3, signal.FailedBytes)

	<-refuse
	close(refuse)
	require.Eventually(t, func() bool { s := console.Ingests()[0]; return s.Error == "" && s.Signals[0].PendingBytes == 0 }, 10*time.Second, time.Millisecond)
	require.NoError(t, r.Shutdown(context.Background()))
	assert.Empty(t, console.Ingests())
}

func TestAConsoleThatIsNone(t *testing.T) {
	id := component.MustNewID("console")
	other := struct {
		component.StartFunc
		component.ShutdownFunc
	}{}
	for want, extensions := range map[string]map[component.ID]component.Component{
		`console: there is no extension "console"`:         nil,
		`console: the extension "console" shows no status`: {id: other},
	} {
		cfg := testConfig(t.TempDir())
		cfg.Console = &id
		r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
		require.NoError(t, err)
		require.ErrorContains(t, r.Start(t.Context(), extensionsHost{newHost(), extensions}), want)
		require.NoError(t, r.Shutdown(context.Background()))
	}
}
