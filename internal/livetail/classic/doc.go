// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package classic is the classic level of the live tail protocol: one JSON message for each record, request or reply.
// docs/protocol/live-tail.md specifies it.
//
// It turns records of internal/livetail into messages (Format), reads requests (Parse) and writes replies. It has no
// state, does no I/O, and everything in it is safe for concurrent use.
package classic
