// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package livetail is the engine of the live tail: it takes records in, keeps the newest of each source for backfill,
// and hands every record to the subscribers of its channels. It knows pdata, but neither the collector's components nor
// HTTP; how a record looks is decided by a Format (package classic), how it travels by a transport (package tailws).
//
// # The way of a record
//
//	pdata ─▶ Batch (copied flat, no lock) ─▶ Hub.Publish (dedup, sequence, ring; one lock a batch)
//	                                              │ only if somebody watches
//	                                              ▼
//	              dispatcher: match, encode once a form ─▶ queues of the subscribers ─▶ their writers
//
// One sequence numbers every record of a hub. Publishers never meet a subscriber: they append to a backlog, and one
// dispatcher goroutine takes it from there, 1024 records or 256 KiB at a time. A lonely record goes out at once; between
// two dispatches there is a pause that grows with the queues to be served, from 5 ms for a viewer to 50 ms for six hundred.
//
// # Views
//
// A channel as some callers see it, through a filter, is a view. Subscriptions with the same channel, filter and rights share one:
// records are matched, filtered and encoded once for all of them, and they get the same frames (classic level) or blocks
// (streams). Only subscriptions with a max_rate have a view of their own.
//
// # Streams
//
// A Subscriber is a connection of the classic level: one queue, one order over all its channels. A Stream is one of
// tailrace.v1: each subscription has a place of its own in the sequence, and gets ranges that join. A subscription is
// live (it gets the blocks of its view), or reads from the rings (after a backfill, resume, update, or a change of rights: the merge of
// the rings by sequence, until nothing is newer), or is paused and costs nothing. Every change comes down to reading again
// from the place that it had.
//
// # History
//
// With a History (package history: ClickHouse), a stream gets what the rings have lost, or an earlier epoch had, or a backfill wants beyond them.
// A fill reads it by pages, merges logs and spans by time, and leaves out what the rings of the channel hold; until it is done its
// subscription does not read from the rings, unless it asked for what is older to come after them. It takes one page at a time (1,000 rows or 256 KiB), two are read at the same time for all, and there
// are at most three in a row, so that a store that is slower than the sources ends in a gap that is told and not in a chase. Its records have no
// sequence number and are counted apart (Stats.Stored).
//
// # Why records are copied
//
// A ring could hold references into pdata for 30 ns a record. It does not, because one record would keep its whole batch
// alive (ten thousand quiet servers in batches of 4 MiB are 40 GiB that no budget would show), because the garbage
// collector would have to walk a dozen pointers for each record held, and because pooled pdata (feature gate
// pdata.useProtoPooling) is reused after ConsumeLogs has returned. The flat copy is a single run of bytes without
// pointers: what a ring costs is what its chunks take. Nothing is encoded for it. It is made once: a batch writes into pieces of the size of a chunk, and a
// piece that is full, of one source and new becomes a chunk as it is. BenchmarkPublish measures copy,
// deduplication and ring together, for lines of 200 bytes and five attributes; with nobody connected chunks are reused,
// so that there is no garbage.
//
// # Memory
//
//   - rings: RingRecords and RingBytes for each source (project, deployment, server, build and signal), TotalBytes and
//     MaxSources for all. Too many bytes: the biggest ring gives its oldest chunk. Too many sources: the silent go.
//     What they remember of records that they have lost comes on top: at most a sixteenth of a ring and 1 KiB.
//     Memory that came free is kept for the next: 1 MiB for the hub, and for each batch.
//   - recent records: see RecentRecords; at most 32 bytes for each.
//   - backlog: 32 MiB of flat records; above that the oldest are counted for their subscribers and not encoded, above
//     64 MiB the publishers help with that.
//   - a subscriber: ClientBytes of encoded frames, shared with others that wait for the same, plus what one cycle brought
//     (256 KiB of records). A stream drops whole blocks (64 KiB or 512 records); one block always stays. Whoever reads from the
//     rings holds a place in them and no records, which pins one chunk (64 KiB) of each ring at most.
//   - a fill: a page, and eight bytes for each record of its channel in the rings and from the history, until its subscription is live.
//   - open spans: 10,000 without their attributes.
//   - the clock: an hour of seconds, 16 bytes each.
//
// # What is counted
//
// Matched = delivered + dropped + waiting, exactly, for each subscriber and in Stats. A subscriber that is too slow loses
// its oldest frames, never the newest and never a reply, and is told how many; a stream is told by severity. What an
// overloaded hub does not compare with a filter counts as matched and dropped. What the rings lost before it was read can't be
// compared with anything. A ring remembers sequence number and severity of what it had (trail), so that it can be counted where
// all of it would have matched; elsewhere, and beyond what is remembered, it is told as a gap of unknown size.
//
// # Records that come again
//
// When one exporter refuses a batch, the sender repeats it, and this one sees it twice. Log records are told by their
// log.record.uid, spans by trace id, span id and state (with kind and start), data points by series and time. A sender
// that gives no uid gets a fresh one stamped on each try; so a whole batch of log records is also told by its content
// without the uids, if every record has a time of its own: single records that merely look alike are never taken for
// each other. One more limit: what is shown and then refused for good by everybody else has been shown all the same.
package livetail
