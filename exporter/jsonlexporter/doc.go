// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package jsonlexporter writes telemetry to durable JSONL segments and acknowledges only what would survive a `kill -9`.
package jsonlexporter
