// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package guard stands between the clients of ClickHouse's native protocol and a ClickHouse that must not see
// how clients fail.
//
// `clickhouse local` ends its whole process when an exception leaves the handler of a native connection. Measured
// with release 26.7, one connection does that when
//
//   - it is refused: a wrong password, an unknown user, a database that does not exist, a chunked protocol;
//   - its first packet is no whole Hello: TLS, half a packet and then the end;
//   - it is reset while the server reads the next packet: a client that was killed, or that closed its socket with
//     unread data.
//
// It does not when the connection ends in an orderly way (FIN) at any byte after the Hello: between the Hello and
// its addendum, in the middle of a query packet or of an inserted block, while a result is being sent. So a [Guard]
//
//   - reads the Hello itself, checks it, answers what is refused as ClickHouse would, and forwards only a Hello that
//     ClickHouse will accept, and of the addendum only a whole one;
//   - turns every end of a client into FIN, and reads what ClickHouse still sends until ClickHouse closes: a socket
//     closed earlier would answer with a reset.
//
// After the handshake it looks at no byte: the kernel moves them from socket to socket.
package guard
