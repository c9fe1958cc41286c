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
// dispatcher goroutine takes it from there, 1024 records or 256 KiB at a time. All subscribers of a channel get the same
// slice of frames; only one with several matching channels gets a merged one. A lonely record goes out at once, a stream
// of them every 5 ms.
//
// # Why records are copied
//
// A ring could hold references into pdata for 30 ns a record. It does not, because one record would keep its whole batch
// alive (ten thousand quiet servers in batches of 4 MiB are 40 GiB that no budget would show), because the garbage
// collector would have to walk a dozen pointers for each record held, and because pooled pdata (feature gate
// pdata.useProtoPooling) is reused after ConsumeLogs has returned. The flat copy is a single run of bytes without
// pointers: what a ring costs is what its chunks take. Nothing is encoded for it. BenchmarkPublish measures copy,
// deduplication and ring together, for lines of 200 bytes and five attributes; with nobody connected chunks are reused,
// so that there is no garbage.
//
// # Memory
//
//   - rings: RingRecords and RingBytes for each source (project, deployment, server, build and signal), TotalBytes and
//     MaxSources for all. Too many bytes: the biggest ring gives its oldest chunk. Too many sources: the silent go.
//   - recent records: see RecentRecords; at most 32 bytes for each.
//   - backlog: 32 MiB of flat records; above that the oldest are counted for their subscribers and not encoded, above
//     64 MiB the publishers help with that.
//   - a subscriber: ClientBytes of encoded frames, shared with others that wait for the same, plus what one cycle brought
//     (256 KiB of records). A backfill holds its place in the rings and no records.
//
// # What is counted
//
// Matched = delivered + dropped + waiting, exactly, for each subscriber and in Stats. A subscriber that is too slow loses
// its oldest frames, never the newest and never a reply, and is told how many.
//
// # Records that come again
//
// When one exporter refuses a batch, the sender repeats it, and this one sees it twice. Log records are told by their
// log.record.uid, spans by trace id, span id and state (with kind and start), data points by series and time. A sender
// that gives no uid gets a fresh one stamped on each try; so a whole batch of log records is also told by its content
// without the uids, if every record has a time of its own: single records that merely look alike are never taken for
// each other. One more limit: what is shown and then refused for good by everybody else has been shown all the same.
package livetail
