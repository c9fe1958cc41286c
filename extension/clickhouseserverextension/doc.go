// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package clickhouseserverextension runs a real ClickHouse beside the collector.
//
// Other components find it by the component.ID that the user configured, through an interface of their own
// with the methods they need of:
//
//	Endpoint() string // host:port of the native protocol, from the creation on
//	Ready() bool      // whether it answers now
package clickhouseserverextension
