// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/tailrace/tailrace/internal/livetail"
)

// peer is another collector.
type peer struct {
	heard   time.Time
	started time.Time // by our clock
	acked   uint64    // the newest of our announcements that it has answered
	here    bool      // it takes part
}

// announcement is what a collector says of itself: JSON on subjectInterest for all, or on the subject of answers for one.
type announcement struct {
	Version int    `json:"version"`
	Origin  string `json:"origin"`
	// Uptime says when the origin began without comparing clocks.
	Uptime int64 `json:"uptime_ms"`
	// Serial numbers the announcements of an origin.
	Serial uint64      `json:"serial"`
	Topics []topicJSON `json:"topics"`
	// Ask wants to be told how far the topics are, and then an answer.
	Ask bool `json:"ask,omitempty"`
	// Answers is the serial of the announcement that is answered.
	Answers uint64 `json:"answers,omitempty"`
	// Gone: the collector leaves.
	Gone bool `json:"gone,omitempty"`
}

type topicJSON struct {
	Project string `json:"project,omitempty"`
	All     bool   `json:"all,omitempty"`
	Signal  string `json:"signal"`
}

// maxTopics is how many topics are announced one by one; with more, everything is asked for.
const maxTopics = 2000

// announce tells all others what is wanted here.
func (c *Cluster) announce(a announcement) (serial uint64) {
	return c.announceTo(subjectInterest, a)
}

func (c *Cluster) announceTo(subject string, a announcement) uint64 {
	c.mu.Lock()
	link := c.link
	a.Version, a.Origin, a.Uptime, a.Serial = messageVersion, c.origin.String(), time.Since(c.began).Milliseconds(), c.serial
	a.Topics = []topicJSON{}
	if len(c.subs) > maxTopics {
		for name := range signals {
			a.Topics = append(a.Topics, topicJSON{All: true, Signal: name})
		}
	} else if !a.Gone {
		for t := range c.subs {
			a.Topics = append(a.Topics, topicJSON{t.Project, t.All, signalTokens[t.Signal]})
		}
	}
	c.mu.Unlock()
	data, err := json.Marshal(a)
	if err == nil && link != nil {
		_ = link.Publish(subject, data) // it is said again soon
	}
	return a.Serial
}

// hear takes what another collector says.
func (c *Cluster) hear(data []byte) {
	var a announcement
	if err := json.Unmarshal(data, &a); err != nil {
		c.malformed(fmt.Errorf("an announcement can't be read: %w", err))
		return
	}
	origin, err := ulid.ParseStrict(a.Origin)
	if err != nil {
		c.malformed(errors.New("an announcement has no origin"))
		return
	}
	if origin == c.origin {
		return
	}
	if a.Version != messageVersion {
		c.malformed(fmt.Errorf("collector %s: %w: run the same version everywhere", a.Origin, errVersion))
		return
	}
	topics := map[livetail.Topic]bool{}
	for _, t := range a.Topics {
		if s := signals[t.Signal]; s != 0 {
			topics[livetail.Topic{Project: t.Project, All: t.All, Signal: s}] = true
		}
	}
	now := time.Now()
	c.mu.Lock()
	p := c.peers[origin]
	if p == nil {
		p = &peer{started: now.Add(-time.Duration(a.Uptime) * time.Millisecond)}
		c.peers[origin] = p
	}
	p.heard, p.here = now, !a.Gone
	if a.Answers > p.acked {
		p.acked = a.Answers
	}
	if a.Answers > 0 || a.Gone {
		c.wakeWaiting()
	}
	c.mu.Unlock()
	if a.Gone {
		c.outbox.ask(a.Origin, nil, "", 0)
		return
	}
	answer := ""
	if a.Ask {
		answer = subjectAnswers + a.Origin
	}
	c.outbox.ask(a.Origin, topics, answer, a.Serial)
}

// expirePeers returns those that were not heard for too long. Called with mu held.
func (c *Cluster) expirePeers(now time.Time) (gone []string) {
	for origin, p := range c.peers {
		if quiet := now.Sub(p.heard); quiet > silence*time.Second && p.here {
			p.here = false
			gone = append(gone, origin.String())
		} else if quiet > forget {
			delete(c.peers, origin)
			c.inbox.forget(origin)
		}
	}
	if len(gone) > 0 {
		c.wakeWaiting()
	}
	return gone
}

// present is how many others take part. Called with mu held.
func (c *Cluster) present() (n int) {
	for _, p := range c.peers {
		if p.here {
			n++
		}
	}
	return n
}

// answered reports whether all others have answered an announcement. Called with mu held.
func (c *Cluster) answered(serial uint64) bool {
	for _, p := range c.peers {
		if p.here && p.acked < serial {
			return false
		}
	}
	return true
}
