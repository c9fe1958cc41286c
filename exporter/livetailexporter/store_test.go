// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter/exportertest"

	"github.com/tailrace/tailrace/exporter/livetailexporter/internal/metadata"
	"github.com/tailrace/tailrace/internal/pipelinestatus"
)

func TestStoreMustBeThere(t *testing.T) {
	storeID := component.MustNewID("clickhouse_store")
	for name, extensions := range map[string]host{"there is no extension": {}, "is no ClickHouse": {storeID: tokens{}}} {
		cfg := createDefaultConfig().(*Config)
		cfg.Store = &storeID
		cfg.HTTP.GetOrInsertDefault().NetAddr.Endpoint = "127.0.0.1:0"
		e, err := NewFactory().CreateLogs(context.Background(), exportertest.NewNopSettings(metadata.Type), cfg)
		require.NoError(t, err)
		require.ErrorContains(t, e.Start(context.Background(), extensions), name)
		require.NoError(t, e.Shutdown(context.Background()))
	}
}

func TestSettleAll(t *testing.T) {
	var registry pipelinestatus.Registry
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, settleAll(ctx, &registry), context.Canceled, "none has come yet")

	forget := registry.ReportIngest(func() pipelinestatus.Ingest { return pipelinestatus.Ingest{ID: "a"} })
	require.ErrorIs(t, settleAll(t.Context(), &registry), errNoIngest, "it can't tell")
	forget()
	settled := 0
	ingest := pipelinestatus.Ingest{ID: "b", Settle: func(context.Context) error { settled++; return nil }}
	defer registry.ReportIngest(func() pipelinestatus.Ingest { return ingest })()
	defer registry.ReportIngest(func() pipelinestatus.Ingest { return ingest })()
	require.NoError(t, settleAll(t.Context(), &registry))
	assert.Equal(t, 2, settled, "each signal of one id")
	ingest.Settle = func(context.Context) error { return errors.New("behind") }
	require.ErrorContains(t, settleAll(t.Context(), &registry), "b has not loaded everything: behind")
}
