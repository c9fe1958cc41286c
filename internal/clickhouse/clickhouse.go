// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package clickhouse owns what Tailrace keeps in ClickHouse: the connection, and the schema by numbered
// migrations. It does not import the collector.
//
// A Keeper watches one database: it waits for a server that is not there yet, creates and migrates the schema,
// notices that a server was restarted or that tables were lost, and brings them back. Everything it does can be
// done by several collectors at once.
package clickhouse

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Store is what the `clickhouse_store` extension offers to other components, which find it by its component.ID.
// It is safe for concurrent use and valid from creation until the extension's Shutdown.
type Store interface {
	// WaitReady returns nil as soon as the schema is in place and ClickHouse answered last time it was asked; that
	// is at once in the normal case. Otherwise it returns when ctx ends, with the reason why ClickHouse is not ready.
	WaitReady(ctx context.Context) error
	// Conn is a connection pool, owned by the store: do not close it. It has no current database (a login that names
	// a missing one fails, and a schema may be lost at any time), so name tables in full: Database + ".otel_logs".
	// While ClickHouse is away its calls fail with the dial's error.
	Conn() driver.Conn
	// Database is the name of the database, as an identifier that needs quotes only when it holds a '-'.
	Database() string
}
