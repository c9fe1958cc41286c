// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package ingest loads JSONL segments (package segment) into a consumer that stores what comes under one
// token once: exactly once into ClickHouse. It knows files, batches and answers; what lines mean is up
// to a Source's codec, so it does not depend on the collector.
//
// A worker per signal does three things, each on its own part of the state:
//
//	watcher ──▶ catalog ──▶ builder ──▶ sender ──▶ Deliver
//	(what is    (files,     (lines →    (manifest,   (next consumer)
//	 on disk)    cursors)    batch)      answer, moves)
//
// The builder reads whole lines of many files, turn by turn over the projects and in name order within one,
// into a batch that grows while the batch before it is being sent. The sender freezes it in a manifest (which bytes
// of which segments, their hash, the token), syncs that, sends, records the answer, and moves
// away what is loaded completely. A batch is sent again from the files, never from memory, by the same
// code after an error and after a crash: the same bytes, the same records in the same order, the same token.
//
// # Crash points
//
// What a `kill -9` (or a power failure, where it says so) leaves, and why what follows is exact. The names are those of
// Point; each is tested with the real ClickHouse.
//
//	before the manifest       nothing was sent        the lines are cut anew, under a new token
//	while it is written       its tail is torn        as before: the batch was not sent, since sending waits for the sync
//	manifest                  durable, nothing sent   sent from the files, under its token
//	quarantined               bad lines in failed/    written again: same names, same content
//	(sending)                 sent, unanswered        sent again; the store drops what it knows by the token, block
//	                                                  by block, so also when only some partitions or tables had arrived
//	split                     parts, unsent           the parts are sent under their own tokens; what is known of them
//	                                                  is in the journal, the rest is found out again
//	answered                  stored, unrecorded      as before
//	recorded                  answer in the journal   the segment is moved after the start, since all of it is loaded
//	  power failure           answer may be lost      as "answered"
//	moved                     moved, still in the     the offset of a segment that is gone is forgotten at the start
//	                          journal
//	  power failure           the move may be undone  the journal was synced before the move, and keeps the offset
//	                                                  until the folders are synced: it is moved again
//
// # Files that are not what they were
//
// Only bytes up to the last newline are read, so a torn line that its writer cuts off was never seen. Beyond that:
//
//	renamed from .open to .jsonl     the same segment: its key has no state in it
//	a cut is gone or changed         at a repetition: its bytes as they are now go to failed/ (kind "changed"), the
//	                                 rest is sent under the same token, which is right whether it had arrived or not
//	shorter than what was read       left alone; when it is complete it goes to failed/ (kind "file")
//	vanished                         waited for; when it comes back it goes on where it was
//	.open and .jsonl of one name     the complete one counts, the other is told of
//	a name that is in processed/     not loaded again: to failed/
//	grows after it was complete      a complete file that was not seen while it was open counts as complete after
//	                                 resting for two seconds; a last line without newline is then a line
//
// # What is refused
//
// Classify says what an error means. What heals is repeated as it is, without limit. A unit that is refused, before
// anything of it was written, is taken apart (apart.go): first by table, since each knows tokens for itself, then in halves
// under tokens of their own, until the refused record is alone. When nothing shows whether a part of the unit was written all the
// same, that is only done when the store can be asked (Source.Missing), and each part is sent without what is there.
//
// # Limits
//
// The store must remember a token for as long as a repetition may take, and the repetition must reach the table that
// knows it: at most one batch per signal is unanswered at any time, so ClickHouse's window needs to hold the
// blocks of that batch (at most 96 a unit) besides those of other writers. A batch that is older than Limits.TokenWindow is only
// sent without what Source.Missing finds. Losing the state folder loads pending
// segments from their beginning.
package ingest
