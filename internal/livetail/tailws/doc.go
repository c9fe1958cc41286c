// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package tailws serves a livetail.Hub over WebSocket, in the classic protocol.
//
// A connection is two goroutines: the one that net/http gave it reads requests, a second one writes. Only the writer
// writes (gorilla's own answers to a broken protocol aside), several frames in one call, from a buffer that it borrows
// while it has something to send. An idle connection holds neither queue nor buffer.
//
// Whoever may not connect is told before anything else is looked at: a Host that is not ours (403, DNS rebinding), an
// Origin that is not ours (403, a foreign page in the user's browser), then missing credentials (close 4001) and too
// many connections (close 4429); browsers can read close codes but not the status of a refused handshake.
package tailws
