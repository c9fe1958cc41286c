// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package clickhousecolumnarexporter inserts spans, logs and metrics into the tables of clickhouse_store, column by column.
package clickhousecolumnarexporter
