// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package recordjson writes records of the live tail as JSON, for every level of the protocol. Whatever a sender sends, what
// it writes is valid JSON in valid UTF-8; docs/protocol/live-tail.md says what the members are. It has no state.
package recordjson
