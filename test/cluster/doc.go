// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package cluster tests clickhouse_store::cluster on two shards of two replicas: four processes of the ClickHouse that Tailrace
// embeds, and Debian's ZooKeeper. `make test-cluster` runs it.
//
// That ClickHouse is built as `clickhouse local`, which has everything of a cluster but three parts of a server's start. What
// stands in for them, and nothing else, is made here:
//
//   - the address that a replica writes into ZooKeeper, which a server reads from interserver_http_port: three getters that find nothing
//     are overwritten in the process's memory (address_test.go), and say what such a configuration would have said;
//   - the port at which other replicas fetch parts: parts_test.go sends the files of a part as a server does, by the
//     same protocol, whose receiving end, with its checksums, is ClickHouse's own;
//   - the worker of ON CLUSTER: there is none, and the store needs none.
//
// Replicated tables, their log and their deduplication in ZooKeeper, fetches, merges, Distributed tables and inserts, and
// recovery after a kill are ClickHouse's own code.
package cluster
