// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// gate stops who comes by until it is opened.
type gate struct {
	reached, open chan struct{}
	once          sync.Once
}

func newGate() *gate { return &gate{reached: make(chan struct{}), open: make(chan struct{})} }

func (g *gate) pass() {
	g.once.Do(func() { close(g.reached) })
	<-g.open
}

// The builder may read more of a growing segment than the watcher has seen: then the watcher's look is old, and the segment not short.
func TestALookThatIsOlderThanWhatWasReadIsNoDamage(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	var mu sync.Mutex
	var atOpen, atLook *gate // nil: passed by
	o := options(dir, s)
	o.Fault = func(op, path string) error {
		mu.Lock()
		var g *gate
		switch {
		case op == "open" && strings.HasSuffix(path, "1.jsonl.open"):
			g = atOpen
		case op == "stat" && strings.HasSuffix(path, "1.jsonl.zst.open"): // the last look of refresh: the size is known by now
			g = atLook
		}
		mu.Unlock()
		if g != nil {
			g.pass()
		}
		return nil
	}
	reach := func(g *gate, what string) {
		t.Helper()
		select {
		case <-g.reached:
		case <-time.After(30 * time.Second):
			t.Fatal(what)
		}
	}
	set := func(at **gate, g *gate) {
		mu.Lock()
		defer mu.Unlock()
		*at = g
	}
	start(t, o)
	reading, looking := newGate(), newGate()
	set(&atOpen, reading)
	path := put(t, dir, "logs/p/1.jsonl.open", line("a"))
	reach(reading, "the builder does not open the segment")
	set(&atLook, looking)
	put(t, dir, "logs/p/1.jsonl.open", line("b"))
	reach(looking, "the watcher does not look again")
	put(t, dir, "logs/p/1.jsonl.open", line("c"))
	set(&atOpen, nil)
	close(reading.open)
	loaded(t, s, "a", "b", "c")
	set(&atLook, nil)
	close(looking.open)

	put(t, dir, "logs/p/1.jsonl.open", line("d"))
	loaded(t, s, "a", "b", "c", "d")
	assert.NoError(t, os.Rename(path, strings.TrimSuffix(path, ".open")))
	eventually(t, func() bool { _, err := os.Lstat(dir + "/logs/p/processed/1.jsonl"); return err == nil }, "it is moved to processed/")
	s.mu.Lock()
	defer s.mu.Unlock()
	assert.Empty(t, s.trouble)
}
