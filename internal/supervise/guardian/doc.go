// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package guardian starts processes through a process of its own, so that none of them, and nothing that they
// started, outlives us: however we end. It needs Linux; elsewhere the package is empty.
//
//	we ──socket──▶ guardian ──▶ process ──▶ …
//
// The guardian is the program that imports this package, run a second time: an init function recognises that by the
// name tailrace-guardian as the first argument, works as the guardian and never comes to main. In any other process it does
// nothing. The guardian lives in a session of its own, ignores the signals that ask a process to end, and is a child
// subreaper: whatever loses its parent below it becomes its child, and is waited for. When the socket closes, because we are done
// or dead, it asks everything below it to end, kills what is left after a short time, and ends itself. When it is killed
// itself, the kernel kills its direct children (parent-death signal), and we end the rest.
//
// # Which process belongs to which tree
//
// A tree is a process that Start started with all that it started in turn. Leaving the process group, the session, the parent
// or the environment is not leaving the tree, because a tree is known by a tag that processes inherit and can't get rid of by accident: the
// resource limit RLIMIT_LOCKS, which has had no effect since Linux 2.4.25. Its hard limit says which guardian (30 bits of the name of
// the owner, 16 bits of the guardian), its soft limit which tree (16 bits). Everybody may read it in /proc/<pid>/limits.
// Where the tag can't be set (our own hard limit is lower already: a guardian below a guardian, without root), the
// variable TAILRACE_RUN=<name>-<guardian>-<tree> in the environment and the process group decide. A process that has neither
// belongs to the tree of its parent; what belongs to none is ended with the guardian.
//
// # Orphans
//
// A process whose tag or variable names a guardian that does not live any more is an orphan: its guardian was killed, and
// perhaps its owner, too. EndOrphans ends those of one name. It can't hit a process of a living guardian, whatever the name.
package guardian
