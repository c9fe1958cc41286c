// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package livetailexporter shows logs, spans, metrics and scores live over a WebSocket. It never returns an error to
// the pipeline and never waits for a client. The work is done by internal/livetail and its subpackages.
package livetailexporter
