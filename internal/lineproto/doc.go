// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package lineproto is the protocol by which a program that runs a command hands its output to a collector
// (docs/protocol/runner-lines.md): NDJSON over a Unix socket, or over TCP on this machine with a token.
//
//	command ─pipe─▶ Client: framer ─▶ spool (files) ─▶ socket ─▶ Server: dedup, queue (one a run) ─▶ Deliver
//	                            ◀── ack ──────────────────────────── Ack, when the pipeline took it ◀──┘
//
// Every line and every change of state of a run has a number; numbers have no gaps but for what the client lost, so the
// server knows how much that is. What is not acknowledged stays in the spool of the client and is sent again after a
// reconnect; the server drops what it has seen, and UID gives a repeated line the same id also when the server has forgotten.
//
// The package knows nothing of the collector. Client and Server are safe for concurrent use as their methods say.
package lineproto
