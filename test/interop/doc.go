// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package interop tests the files of the jsonl exporter with what others make of them: the ClickHouse exporter of
// opentelemetry-collector-contrib and the otlp_json_file receiver, the real ClickHouse, DuckDB, jq and zstd. It is a
// module of its own, so that none of them is a dependency of Tailrace.
package interop
