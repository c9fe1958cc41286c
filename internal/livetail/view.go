// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tailrace/tailrace/internal/access"
)

// viewKey is what subscriptions must have in common to share what is made for them: records are matched, filtered and
// encoded once a view.
type viewKey struct {
	ch      Channel
	stream  bool   // batches of the streams, or frames of the classic level
	access  string // of accessKey
	filter  string // canonical; empty: none
	private uint64 // not 0: of this subscription alone (a sampled one)
}

// view is a channel as some callers see it, through a filter.
type view struct {
	key    viewKey
	caller *access.Caller
	filter *Filter
	// subs and streams are replaced, never changed in place: the dispatcher reads them without the lock. Guarded by
	// Hub.mu.
	subs    []*subscription
	streams []*streamSub
	// fresh are those of streams that no cycle has brought anything yet. Guarded by Hub.mu.
	fresh []*streamSub

	// What follows belongs to the dispatcher.
	project    string // the one that was asked about last, and the answer
	readable   bool
	asked      bool
	filtered   uint64 // records of the channel that the filter left out, ever
	before     uint64 // filtered, at the begin of the cycle
	misses     []uint64
	snap       []*subscription
	snapStream []*streamSub
	snapFresh  []*streamSub
	frames     []Frame
	bytes      int
	built      bool
	blocks     []*Block
	shed       shedding
	sample     *sampler
}

// shedding counts matched records that were not encoded.
type shedding struct {
	records  uint64
	severity Severities
}

// accessKey tells callers apart by what they may read: two with the same answer share views.
func accessKey(c *access.Caller) string {
	var b strings.Builder
	for _, p := range c.Readable() {
		b.WriteString(strconv.Itoa(len(p)))
		b.WriteByte(':')
		b.WriteString(string(p))
	}
	return b.String()
}

// mayRead reports whether records of a project may be shown. Records come in runs of one project.
func (v *view) mayRead(project string) bool {
	if !v.asked || v.project != project {
		v.project, v.asked, v.readable = project, true, v.caller.MayRead(project)
	}
	return v.readable
}

// view returns the view of a key, and makes it if need be. Called with Hub.mu held.
func (h *Hub) view(key viewKey, caller *access.Caller, filter *Filter) *view {
	c := h.channels[key.ch]
	if c == nil {
		c = &channel{Channel: key.ch}
		h.channels[key.ch] = c
		h.generation++
		if key.ch.Kind == ChannelTrace {
			h.traces++
		}
	}
	for _, v := range c.views {
		if v.key == key {
			return v
		}
	}
	v := &view{key: key, caller: caller, filter: filter}
	c.views = append(slices.Clip(c.views), v)
	return v
}

// dropView removes a view that nobody is in any more, and its channel with the last one. Called with Hub.mu held.
func (h *Hub) dropView(v *view) {
	if len(v.subs) > 0 || len(v.streams) > 0 {
		return
	}
	c := h.channels[v.key.ch]
	c.views = without(c.views, v)
	if len(c.views) > 0 {
		return
	}
	delete(h.channels, v.key.ch)
	h.generation++
	if v.key.ch.Kind == ChannelTrace {
		h.traces--
	}
}

// without returns a copy of all that lacks one.
func without[T comparable](all []T, one T) []T {
	rest := make([]T, 0, len(all))
	for _, x := range all {
		if x != one {
			rest = append(rest, x)
		}
	}
	return rest
}
