// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tailrace/tailrace/internal/livetail"
)

func TestAccessPerRecord(t *testing.T) {
	h := newHub(t, nil)
	both := func() { // one server id in two projects
		publish(h, lines("shop", "web-1", int(h.Stats().Seen), 1))
		publish(h, lines("bank", "web-1", int(h.Stats().Seen), 1))
	}
	both()
	r := newReader(t, h, viewer("shop"))
	var subs []uint32
	for _, name := range []string{"*", "server:web-1", "project:bank", "project:shop"} {
		subs = append(subs, r.subscribe(livetail.Request{Channel: channel(t, name), Backfill: 10}))
	}
	c := &client{tb: t, wake: make(chan struct{}, 1)}
	c.sub = h.NewSubscriber(viewer("shop"), notify(c.wake))
	t.Cleanup(c.sub.Close)
	c.subscribe("server:web-1", 10)
	c.subscribe("project:bank", 10)
	both()
	for i, n := range []int{2, 2, 0, 2} {
		r.upTo(subs[i], 4)
		got := r.records(subs[i])
		assert.Len(t, got, n)
		for _, s := range got {
			assert.Equal(t, "shop", s.Project)
		}
		_, _, filtered := r.counts(subs[i])
		assert.Zero(t, filtered, "foreign records are not even counted")
	}
	c.awaitRecords(2)

	// Another caller: from here on, and for what still waits.
	both()
	r.stream.SetCaller(viewer("bank"))
	c.sub.SetCaller(viewer("bank"))
	c.messages = nil
	both()
	r.upTo(subs[0], 8)
	for _, s := range r.records(subs[0])[2:] {
		assert.Equal(t, "bank", s.Project)
	}
	assert.Len(t, r.records(subs[0]), 4, "two of the old rights, two of the new ones")
	c.await(func() bool { return len(c.of("server:log")) > 0 })
	for _, m := range c.of("server:log", "log") {
		assert.Contains(t, []int{5, 7}, m.number(t), "only the other project's")
	}
	r.stream.SetCaller(nil)
	both()
	r.upTo(subs[0], 10)
	assert.Len(t, r.records(subs[0]), 4, "nobody sees nothing")
}

// Callers with different rights, and different filters, don't share; equal ones do.
func TestViewsAreShared(t *testing.T) {
	f := &counting{}
	h := newHub(t, func(o *livetail.Options) { o.AppendRecord = f.append })
	var readers []*reader
	for range 50 {
		r := newReader(t, h, viewer("shop"))
		r.subscribe(livetail.Request{Channel: channel(t, "*"), Filter: filter(t, `{"text":"line", "signals": ["logs"]}`)})
		readers = append(readers, r)
	}
	publish(h, lines("shop", "web-1", 0, 20))
	for _, r := range readers {
		r.await(func() bool { return len(r.records(1)) == 20 })
	}
	assert.Equal(t, 20, f.n, "encoded once for all")
}

type counting struct{ n int }

func (c *counting) append(dst []byte, _ livetail.Source, rec livetail.Record) []byte {
	c.n++
	return fmt.Appendf(dst, `{"seq":%d}`, rec.Seq())
}
