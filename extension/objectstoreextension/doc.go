// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package objectstoreextension carries complete JSONL segments through object storage: at the edge it uploads those of a
// folder, in the centre it downloads them into the folder that clickhouse_ingest loads, each into one folder only.
// docs/format/object-storage.md specifies what stands in the bucket, and reasons every crash point through.
package objectstoreextension

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml
