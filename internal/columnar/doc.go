// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package columnar turns pdata into blocks of ClickHouse's Native format, column by column, and inserts them into the
// tables of `clickhouse_store`. The rows are those of contrib's clickhouse exporter 0.161, column for column; a suite in
// bench/columnar compares the two.
//
// The columns here differ from those of ch-go in one point: strings are kept as they go over the wire, so that sending a
// column is handing over a slice, and dictionaries and maps know what the record before looked like. Traces, Logs and
// Metrics are the blocks, Client is the pool of connections that sends them.
package columnar
