// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/tailrace/tailrace/internal/livetail/history"
	"github.com/tailrace/tailrace/internal/pipelinestatus"
	"github.com/tailrace/tailrace/internal/query"
)

// ingests is what a console knows of the receivers that load into the store.
type ingests interface {
	Ingests() []pipelinestatus.Ingest
}

// storeHistory is the history of a hub, which begins before the extensions are known.
type storeHistory struct{ *history.History }

// findStore looks for the store, and for who knows whether what came in has been stored.
func (t *liveTail) findStore(host component.Host) error {
	if t.cfg.Store == nil {
		return nil
	}
	extension, ok := host.GetExtensions()[*t.cfg.Store]
	if !ok {
		return fmt.Errorf("store: there is no extension %q: define it under extensions and list it in service::extensions", t.cfg.Store)
	}
	store, ok := extension.(query.Store)
	if !ok {
		return fmt.Errorf("store: the extension %q is no ClickHouse: name an extension of the type clickhouse_store", t.cfg.Store)
	}
	var settle func(context.Context) error
	if t.cfg.Console != nil {
		if known, ok := host.GetExtensions()[*t.cfg.Console].(ingests); ok {
			settle = func(ctx context.Context) error { return settleAll(ctx, known) }
		}
	}
	t.history.History = history.New(store, settle)
	return nil
}

// receiversStart is how long receivers may take to tell the console of themselves: they start after exporters.
const receiversStart = 3 * time.Second

var errNoIngest = errors.New("no clickhouse_ingest tells the console how far it is; give it the key console")

// settleAll waits until all that load have loaded what lies in their folders.
func settleAll(ctx context.Context, from ingests) error {
	all := from.Ingests()
	for end := time.Now().Add(receiversStart); len(all) == 0; all = from.Ingests() {
		if time.Now().After(end) {
			return errNoIngest
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	for _, one := range all {
		if one.Settle == nil {
			return errNoIngest
		}
		if err := one.Settle(ctx); err != nil {
			return fmt.Errorf("%s has not loaded everything: %w", one.ID, err)
		}
	}
	return nil
}
