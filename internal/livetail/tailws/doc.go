// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package tailws serves a livetail.Hub over WebSocket, in the classic protocol and in tailrace.v1, and as a stream of lines
// or server-sent events over plain HTTP.
//
// A WebSocket connection is one goroutine that reads requests; a second one exists only while there is something to
// write. Only it writes (gorilla's own answers to a broken protocol aside), several frames in one call. An idle connection
// holds neither queue nor buffer, and no timer of its own: one goroutine, the keeper, looks at all of them for pings,
// expired callers and missing authentication.
//
// Whoever may not connect is told before anything else is looked at: a Host that is not ours (403, DNS rebinding), an
// Origin that is not ours (403, a foreign page in the user's browser), then missing credentials and too many connections (by
// close code: browsers can read those, but not the status of a refused handshake). A client of tailrace.v1 may show its
// credential in its first message instead.
//
// # Compression
//
// Only from the server to the client, for batches of tailrace.v1. The records of a batch are compressed once for all its
// receivers, in deflate blocks of their own; what differs from receiver to receiver (the number of the subscription, the range)
// stands in stored blocks around them. So no connection has a compressor. What a client compresses is inflated up to
// the limit for messages, and no byte further.
package tailws
