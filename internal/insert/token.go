// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package insert is what those who send batches and those who insert them into ClickHouse agree on: the token under
// which a batch may be repeated, and what an error says about the batch. It does not import the collector.
package insert

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Names of the settings that make an insert repeatable.
const (
	SettingToken      = "insert_deduplication_token"
	SettingAsync      = "async_insert"
	SettingTokenViews = "deduplicate_blocks_in_dependent_materialized_views"
	// SettingForeground makes an insert into a Distributed table wait for its shards: without, the answer says nothing. It is
	// distributed_foreground_insert under the name that older servers know, too; other tables do not care.
	SettingForeground = "insert_distributed_sync"
)

type tokenKey struct{}

// NewContext makes the inserts that are done in the context repeatable: ClickHouse drops what came under the token
// before, in the table itself and in the views that depend on it. The token says one batch of one signal; each table
// remembers it for itself, per partition.
//
// It reaches every exporter that inserts in the context it is given: those that use clickhouse-go (contrib's
// `clickhouse`) find the settings where that client looks for them, others ask Token.
func NewContext(ctx context.Context, token string) context.Context {
	ctx = context.WithValue(ctx, tokenKey{}, token)
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		SettingToken: token, SettingAsync: 0, SettingTokenViews: 1, SettingForeground: 1,
	}))
}

// Token returns the token of NewContext; empty: none.
func Token(ctx context.Context) string {
	token, _ := ctx.Value(tokenKey{}).(string)
	return token
}
