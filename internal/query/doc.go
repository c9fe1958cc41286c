// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package query answers questions about what is in ClickHouse. It is the one place that turns a filter, a caller, a
// cursor and a limit into SQL, and rows into typed results; it knows no HTTP.
//
// What holds for every answer:
//
//   - A caller gets rows of the projects that it may read and of no others: the restriction is part of each WHERE. A
//     caller that may read nothing (nil among them) is not even asked about.
//   - Values reach ClickHouse as bound parameters only, as hexadecimal digits, so that none can be mistaken for SQL,
//     whatever the protocol. Every query runs with readonly = 2.
//   - A span that a sender repeated counts once (by trace and span id), a log record too (by its uid).
//   - Rows, bytes, memory and time are limited for each query; a LimitError names the limit. A query ends in ClickHouse
//     when its context ends.
//   - Lists are light: of attributes longer than MaxLightValue bytes they have names and lengths only. One span, one log record
//     and the spans of one trace come in full.
//   - Lists page by keyset: a Cursor is a place in the order, so a page neither repeats nor skips rows while data arrives.
package query
