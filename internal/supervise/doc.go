// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package supervise owns child processes: it starts them, turns what they print into whole lines,
// restarts them, and stops them without losing their last words. It knows nothing of the collector.
//
//	process ─pipe─▶ framer ─lines─▶ queue (one a source) ─▶ outlet ─batches─▶ Sink
//
// A queue is bounded. While a Sink is attached, a full queue stops the reading of the pipe, so that the
// child waits (back-pressure); without a Sink what no longer fits is dropped and counted, so that a child
// never waits for a reader that does not exist.
//
// On Linux processes are started by a guardian (package guardian), so that the whole tree of a process ends with it, and all of
// them with us, even when we are killed. Elsewhere they are our children, and only their process groups are ended.
//
// While a process runs, its server probes the health (health.go) and measures the process tree (usage.go);
// one goroutine emits all events of a server, so their order is the order of things. A server waits for
// others before its first start and, at the end of all, before it is stopped (depends.go).
//
// What is wanted of a server (manage.go) is said by Apply, which replaces all definitions (apply.go), and by the operations
// of control.go; they return at once, and the goroutine of the server makes it true: one life after the other. Between
// Suspend and Apply the processes outlive the owner of the supervisor, and their output waits. A build (build.go) is queued,
// runs its commands, and may start servers at its end (build_run.go).
//
// What was read from a pipe and not yet accepted by the Sink lives in memory only: it is lost when this
// process is killed.
package supervise
