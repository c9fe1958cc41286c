// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package clickhousestoreextension owns Tailrace's schema in ClickHouse: it creates and migrates the database as soon
// as ClickHouse answers, and brings back what was lost. Other components find it by its component.ID and use it
// as a clickhouse.Store.
package clickhousestoreextension

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml
