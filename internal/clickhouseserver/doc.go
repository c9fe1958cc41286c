// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package clickhouseserver runs a ClickHouse process beside this one: it finds the program, writes its
// configuration, starts it, tells when it answers, restarts it with back-off when it dies, and stops it
// gracefully. It knows nothing of the collector.
//
// The process is `clickhouse local`, which can listen like a server since 26.5: either an installed
// `clickhouse`, or the program tailrace-clickhouse, which finds the whole engine in libchdb.so.
//
// Clients of the native protocol reach ClickHouse through a [guard.Guard], which listens at the configured port from
// the first start to Stop, also while ClickHouse is restarted. ClickHouse itself listens at another port at every start.
//
// Layout of the data folder, which belongs to one [Server] at a time:
//
//	collector.lock  flock held by the process that owns the folder; contains its pid
//	engine.lock     flock held by the ClickHouse process, for exactly as long as it lives; contains its pid
//	engine.json     which engine wrote the folder last ([record])
//	config.xml      ClickHouse's configuration, written at every start, mode 0600
//	users.xml       its users, with the password as SHA-256, written at every start, mode 0600
//	data/           ClickHouse's own files, mode 0700
//
// # Life line
//
// The last statement that ClickHouse is given reads its standard input, a pipe that only this process
// can write to. Closing it is a graceful stop; when this process dies the kernel closes it, so ClickHouse
// never outlives its parent for more than the seconds its shut-down takes.
package clickhouseserver
