// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/tailrace/tailrace/internal/livetail/cluster"
)

// bus is a cluster.Bus in memory that loses what it is told to lose.
type bus struct {
	mu    sync.Mutex
	links map[*link]bool
	keeps bool
	kept  []kept
	// lose decides about a message to one link; nil: nothing is lost.
	lose func(subject string, data []byte) bool
	// sent counts messages with records or word of them, by subject.
	sent map[string]int
}

type kept struct {
	subject string
	data    []byte
	at      time.Time
}

func newBus() *bus { return &bus{links: map[*link]bool{}, sent: map[string]int{}} }

type link struct {
	bus *bus
	to  cluster.Receiver

	// guarded by bus.mu
	cut      bool
	subjects map[string]bool
	closed   bool

	queue chan kept
	done  chan struct{}
}

func (b *bus) Join(r cluster.Receiver) (cluster.Link, error) {
	l := &link{bus: b, to: r, subjects: map[string]bool{}, queue: make(chan kept, 100_000), done: make(chan struct{})}
	b.mu.Lock()
	b.links[l] = true
	b.mu.Unlock()
	go func() {
		defer close(l.done)
		for m := range l.queue {
			r.Message(m.subject, m.data)
		}
	}()
	r.Connected()
	return l, nil
}

var errCut = errors.New("the bus is away")

func matches(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	if len(p) != len(s) {
		return false
	}
	for i := range p {
		if p[i] != "*" && p[i] != s[i] {
			return false
		}
	}
	return true
}

func (l *link) Publish(subject string, data []byte) error {
	b := l.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.cut || l.closed {
		return errCut
	}
	m := kept{subject, append([]byte(nil), data...), time.Now()}
	if strings.HasPrefix(subject, "records.") {
		b.sent[subject]++
		if b.keeps {
			b.kept = append(b.kept, m)
		}
	}
	for to := range b.links {
		if to.cut || to.closed || b.lose != nil && to != l && b.lose(subject, data) {
			continue
		}
		for pattern := range to.subjects { // one copy for each subscription, as NATS does
			if matches(pattern, subject) {
				to.queue <- m
			}
		}
	}
	return nil
}

func (l *link) Subscribe(subject string) error {
	l.bus.mu.Lock()
	defer l.bus.mu.Unlock()
	l.subjects[subject] = true
	return nil
}

func (l *link) Unsubscribe(subject string) error {
	l.bus.mu.Lock()
	defer l.bus.mu.Unlock()
	delete(l.subjects, subject)
	return nil
}

func (l *link) Flush(context.Context) error { return nil }
func (l *link) MaxPayload() int             { return 1 << 20 }
func (l *link) Keeps() bool                 { return l.bus.keeps }

func (l *link) Replay(_ context.Context, subject string, since time.Time, do func(string, []byte)) error {
	l.bus.mu.Lock()
	var all []kept
	for _, m := range l.bus.kept {
		if matches(subject, m.subject) && !m.at.Before(since) {
			all = append(all, m)
		}
	}
	l.bus.mu.Unlock()
	for _, m := range all {
		do(m.subject, m.data)
	}
	return nil
}

func (l *link) Close() {
	l.bus.mu.Lock()
	delete(l.bus.links, l)
	l.closed = true
	l.bus.mu.Unlock()
	close(l.queue)
	<-l.done
}

// setLose changes what is lost.
func (b *bus) setLose(lose func(subject string, data []byte) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lose = lose
}

func (b *bus) count(subject string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent[subject]
}

// down takes the bus away from everybody, or brings it back.
func (b *bus) down(cut bool) { b.cut(nil, cut) }

// cut does so for one, or for all.
func (b *bus) cut(one cluster.Receiver, cut bool) {
	b.mu.Lock()
	var all []*link
	for l := range b.links {
		if one == nil || l.to == one {
			l.cut = cut
			all = append(all, l)
		}
	}
	b.mu.Unlock()
	for _, l := range all {
		if cut {
			l.to.Disconnected(errCut)
		} else {
			l.to.Connected()
		}
	}
}
