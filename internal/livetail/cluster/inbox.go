// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/tailrace/tailrace/internal/livetail"
)

// inbox knows how far others are. Guarded by Cluster.mu.
type inbox struct {
	entries  map[entryKey]*entry
	reported time.Time
}

type entryKey struct {
	origin ulid.ULID
	topic  livetail.Topic
}

// entry is what is known of a topic of an origin.
type entry struct {
	count   livetail.Severities // of all that was taken in, or told to be lost
	watched bool                // nothing was missed on purpose since the last message
}

// maxParked is how much may come during a replay; more is lost, and told by its number.
const maxParked = 64 << 20

// Message implements Receiver.
func (c *Cluster) Message(subject string, data []byte) {
	if !strings.HasPrefix(subject, subjectRecords) {
		c.hear(data)
		return
	}
	c.stats.receivedBytes.Add(uint64(len(data)))
	c.take(subject, data, false)
}

func (c *Cluster) malformed(err error) {
	c.stats.malformed.Add(1)
	c.mu.Lock()
	tell := time.Since(c.inbox.reported) > time.Minute
	if tell {
		c.inbox.reported = time.Now()
	}
	c.mu.Unlock()
	if tell && c.opts.Problem != nil {
		c.opts.Problem(err)
	}
}

func (c *Cluster) take(subject string, data []byte, replayed bool) {
	m, err := readMessage(data)
	if err == nil && subject != subjectOf(m.topic) {
		err = errForm // who may publish for one project must not do so for others
	}
	if err == nil {
		c.mu.Lock()
		err = c.receive(&m, replayed)
		c.mu.Unlock()
	}
	if err != nil {
		c.malformed(err)
	}
}

// receive takes a message with records. Called with mu held: the order of messages is that of publishing.
func (c *Cluster) receive(m *message, replayed bool) error {
	if m.origin == c.origin {
		return nil // our own
	}
	s := c.covering(m.topic)
	if s == nil {
		return nil // not wanted any more
	}
	if !replayed {
		for _, s := range []*subscribed{c.subs[m.topic], c.subs[livetail.Topic{All: true, Signal: m.topic.Signal}]} {
			if s == nil || !s.replaying {
				continue
			}
			if s.bytes += len(m.body); s.bytes <= maxParked {
				s.parked = append(s.parked, *m)
			}
			return nil
		}
	}
	e := c.entry(m, s, replayed)
	lost, skip := e.missing(m)
	if n := lost.Sum(); n > 0 {
		if e.watched {
			c.stats.lost.Add(n)
		}
		c.hub.Lose(m.topic, lost)
		e.count = m.before
	}
	e.watched = true
	if m.n == 0 || skip >= m.n {
		return nil
	}
	b := c.hub.NewRemoteBatch()
	err := m.each(skip, func(src livetail.Source, rec livetail.Record) {
		e.count[rec.SeverityClass()]++
		b.AddRecord(src, rec)
	})
	c.stats.received.Add(uint64(b.Len()))
	c.hub.Publish(b)
	if err != nil {
		return fmt.Errorf("records of collector %s: %w", m.origin, err)
	}
	return nil
}

// entry returns what is known of a message's topic. Of one that is new, everything that the origin had before is none of ours; but if the
// origin has begun later than we listened, or has told us of all that it had, we should have had all of it. When a subscriber was let in
// before we had heard of it, it is not known how much that one has missed.
func (c *Cluster) entry(m *message, s *subscribed, replayed bool) *entry {
	key := entryKey{m.origin, m.topic}
	if e := c.inbox.entries[key]; e != nil {
		return e
	}
	e := &entry{count: m.before, watched: true}
	c.inbox.entries[key] = e
	p := c.peers[m.origin]
	switch {
	case replayed:
	case p != nil && (p.started.After(s.since) || p.acked >= s.serial):
		e.count = livetail.Severities{}
	case s.promised && m.before.Sum() > 0:
		c.hub.LoseUnknown(m.topic)
	}
	return e
}

// missing tells which records before those of a message have not come, and how many of the message's own have come before.
func (e *entry) missing(m *message) (lost livetail.Severities, skip uint64) {
	have, before := e.count.Sum(), m.before.Sum()
	if have > before {
		return lost, have - before
	}
	for i := range lost {
		if m.before[i] > e.count[i] {
			lost[i] = m.before[i] - e.count[i]
		}
	}
	return lost, 0
}

func (in *inbox) forget(origin ulid.ULID) {
	for k := range in.entries {
		if k.origin == origin {
			delete(in.entries, k)
		}
	}
}

// unwatch notes of which topics nothing comes any more.
func (in *inbox) unwatch(gone func(livetail.Topic) bool) {
	for k, e := range in.entries {
		if e.watched && gone(k.topic) {
			e.watched = false
		}
	}
}
