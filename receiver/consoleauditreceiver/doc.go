// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package consoleauditreceiver takes the audit of a console extension into a pipeline: logins, refusals and exports as log records.
package consoleauditreceiver
