// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import "slices"

// shrink brings all rings under TotalBytes, with some slack so that it is not called again at once. The biggest ring
// pays first: a noisy source must not cost a quiet one its records.
func (h *Hub) shrink() {
	goal := h.opts.TotalBytes - h.opts.TotalBytes/64
	for h.ringBytes > goal {
		var biggest, second *ring
		for _, r := range h.rings {
			switch {
			case biggest == nil || r.bytes > biggest.bytes:
				biggest, second = r, biggest
			case second == nil || r.bytes > second.bytes:
				second = r
			}
		}
		if biggest == nil || biggest.bytes == 0 {
			return
		}
		floor := 0
		if second != nil {
			floor = second.bytes
		}
		for h.ringBytes > goal && biggest.bytes > 0 {
			records := biggest.records
			h.ringBytes -= biggest.dropChunk()
			biggest.freed = nil
			h.ringRecords += biggest.records - records
			if biggest.bytes < floor {
				break
			}
		}
	}
}

// forgetSilent drops the sixteenth of the rings that were silent for longest.
func (h *Hub) forgetSilent() {
	all := make([]*ring, 0, len(h.rings))
	for _, r := range h.rings {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *ring) int {
		switch {
		case a.lastSeq < b.lastSeq:
			return -1
		case a.lastSeq > b.lastSeq:
			return 1
		default:
			return 0
		}
	})
	for _, r := range all[:max(1, len(all)/16)] {
		h.ringBytes -= r.bytes
		h.ringRecords -= r.records
		for r.head != nil {
			r.dropChunk()
		}
		h.forgotten = max(h.forgotten, r.lastSeq)
		delete(h.rings, r.source)
	}
}
