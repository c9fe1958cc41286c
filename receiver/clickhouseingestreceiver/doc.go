// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package clickhouseingestreceiver is the `clickhouse_ingest` receiver: it loads JSONL segments into the next
// consumer, exactly once into ClickHouse. The work is done by internal/ingest.
package clickhouseingestreceiver
