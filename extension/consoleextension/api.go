// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.yaml.in/yaml/v3"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/query"
	"github.com/tailrace/tailrace/internal/restapi"
)

//go:embed openapi.yaml
var openapiYAML []byte

// newAPI makes the handler of /api/v1.
func (c *console) newAPI() (http.Handler, error) {
	var paths map[string]any
	if err := yaml.Unmarshal(openapiYAML, &paths); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	var store query.Store = noStore{}
	if c.store != nil {
		store = c.store
	}
	q := c.cfg.Queries
	return restapi.New(restapi.Options{
		Store: store, Logger: c.logger, Pipeline: c, Failed: c, WasPutBack: c.wasPutBack, ExtraPaths: paths, WriteTimeout: c.cfg.HTTP.WriteTimeout, Exports: q.Exports,
		Limits: query.Limits{Rows: q.MaxRows, Bytes: q.MaxBytes, Memory: q.MaxMemory, Time: q.Timeout, Concurrent: q.Concurrent},
	}), nil
}

// Pipeline implements restapi.PipelineSource, from what the components told.
func (c *console) Pipeline(ctx context.Context) (restapi.Pipeline, error) {
	var p restapi.Pipeline
	// Why something stands still may name addresses, users and files.
	tellsAll := slices.Contains(access.FromContext(ctx).Operable(), access.All)
	for _, in := range c.Ingests() {
		status := restapi.IngestStatus{ID: in.ID, Leader: in.Leader, Error: in.Error}
		if in.Error != "" && !tellsAll {
			status.Error = "loading stands still; operators of all projects are told why"
		}
		lag := 0.0
		for _, s := range in.Signals {
			lag = max(lag, s.Oldest.Seconds())
			p.Files = append(p.Files, restapi.FilesStatus{
				ID: in.ID, Signal: s.Signal, PendingFiles: int(s.PendingFiles), PendingBytes: s.PendingBytes,
				OldestPendingSeconds: s.Oldest.Seconds(), FailedFiles: int(s.FailedFiles), FailedBytes: s.FailedBytes,
			})
		}
		if in.Leader { // another collector knows it
			status.LagSeconds = &lag
		}
		p.Ingest = append(p.Ingest, status)
	}
	for _, t := range c.LiveTails() {
		p.LiveTail = append(p.LiveTail, restapi.LiveTailStatus{
			ID: t.ID, Clients: t.Clients, Subscriptions: t.Subscriptions, Delivered: t.Delivered, Dropped: t.Dropped,
		})
	}
	if c.store != nil {
		p.ClickHouse = &restapi.ClickHouseStatus{Ready: true}
		if err := c.storeReady(ctx); err != nil {
			p.ClickHouse = &restapi.ClickHouseStatus{Error: "ClickHouse does not answer, or its schema is not ready"}
			if tellsAll {
				p.ClickHouse.Error = err.Error()
			}
		}
	}
	return p, nil
}

// noStore stands for the store where none is configured.
type noStore struct{}

var errNoStore = errors.New("this console has no store: name a clickhouse_store extension in its key store")

func (noStore) WaitReady(context.Context) error { return errNoStore }
func (noStore) Conn() driver.Conn               { return nil }
func (noStore) Database() string                { return "" }
