// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package tailv1 is the level tailrace.v1 of the live tail protocol: requests, replies, records, batches and gaps as JSON.
// docs/protocol/live-tail.md specifies it, live-tail.asyncapi.yaml describes it to machines.
//
// It has no state, does no I/O, and everything in it is safe for concurrent use.
package tailv1
