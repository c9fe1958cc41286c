// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package runnerlogreceiver turns the output and the changes of state of the servers of a runner
// extension into log records.
package runnerlogreceiver
