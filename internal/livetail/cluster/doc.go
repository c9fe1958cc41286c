// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package cluster makes one live tail of the hubs of several collectors: a subscriber on any of them sees the records of all.
// It knows nothing of what carries its messages; a Bus does that (extension nats).
//
//	hub ─▶ outbox (Tap: counted; copied if a peer wants it) ─▶ Link ─▶ … ─▶ inbox ─▶ hub of another collector
//
// # Topics
//
// Records travel by topic: a project and a signal. A collector subscribes to the topics that its clients look at, and tells the others
// (announcements), so that nothing is copied, encoded or sent that nobody wants. It keeps a topic for a while after the
// last client has left.
//
// # What is lost
//
// A bus may lose messages. Each origin, which is one run of one hub, counts the records of each topic by severity, those that it does
// not send too; each message says how many there were before it. So whoever gets the next message knows exactly how many records are
// missing, and the hub makes a gap of them. When nothing follows, a message without records says how far the origin is: after a second, and
// after 5 and 30 again, and whenever a collector announces that it wants the topic. What comes twice is told by the same numbers.
//
// # Order
//
// The records of an origin are sent and published in the order in which its hub took them in. Nothing is promised about the order between
// origins.
//
// # When the bus is away
//
// Up to BufferBytes wait in the outbox; then the oldest go, counted as everything that is lost. Publishers into a hub only ever copy, and
// never wait for the bus.
package cluster
