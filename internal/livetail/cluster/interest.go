// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"time"

	"github.com/tailrace/tailrace/internal/livetail"
)

// Want implements livetail.Peers.
func (c *Cluster) Want(topics []livetail.Topic) {
	c.mu.Lock()
	fresh := false
	for _, t := range topics {
		w := c.wants[t]
		if w == nil {
			w = &want{}
			c.wants[t] = w
			fresh = true
		}
		w.refs++
	}
	link := c.link
	if link == nil {
		c.promise(topics)
	}
	c.mu.Unlock()
	if link == nil {
		return // they are asked for as soon as there is a bus
	}
	ctx, cancel := context.WithTimeout(c.stopping, wantFor)
	defer cancel()
	if fresh && c.sync(link) {
		c.announce(announcement{Ask: true})
	}
	c.await(ctx, topics)
}

// Unwant implements livetail.Peers.
func (c *Cluster) Unwant(topics []livetail.Topic) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range topics {
		if w := c.wants[t]; w != nil {
			if w.refs--; w.refs == 0 {
				w.idle = time.Now()
			}
		}
	}
}

// await waits until all others know that the topics are wanted, and what is replayed is there.
func (c *Cluster) await(ctx context.Context, topics []livetail.Topic) {
	for {
		c.mu.Lock()
		ready := !c.connected || c.settled && c.ready(topics) || ctx.Err() != nil
		if ready {
			c.promise(topics)
		}
		changed := c.changed
		c.mu.Unlock()
		if ready {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// promise notes that subscribers rely on topics from now on. Called with mu held.
func (c *Cluster) promise(topics []livetail.Topic) {
	for _, t := range topics {
		if w := c.wants[t]; w != nil {
			w.promised = true
		}
		if s := c.covering(t); s != nil {
			s.promised = true
		}
	}
}

// ready is called with mu held.
func (c *Cluster) ready(topics []livetail.Topic) bool {
	for _, t := range topics {
		s := c.covering(t)
		if s == nil || s.replaying || !c.answered(s.serial) {
			return false
		}
	}
	return true
}

// covering is the subscription that brings a topic, the older one of two, nil: there is none. Called with mu held.
func (c *Cluster) covering(t livetail.Topic) *subscribed {
	all, one := c.subs[livetail.Topic{All: true, Signal: t.Signal}], c.subs[t]
	if all == nil || one != nil && one.since.Before(all.since) {
		return one
	}
	return all
}

// desired are the topics to subscribe to: one that is in another one is left out. Called with mu held.
func (c *Cluster) desired() map[livetail.Topic]bool {
	out := map[livetail.Topic]bool{}
	for t := range c.wants {
		if all := (livetail.Topic{All: true, Signal: t.Signal}); c.wants[all] != nil {
			t = all
		}
		out[t] = true
	}
	return out
}

// sync makes the subscriptions what is desired, and reports whether something has changed. New ones are there before old ones
// go, so that nothing is missed; what comes twice in between is told by its number.
func (c *Cluster) sync(link Link) (changed bool) {
	c.syncing.Lock()
	defer c.syncing.Unlock()
	if c.stopping.Err() != nil {
		return false
	}
	c.mu.Lock()
	desired := c.desired()
	var fresh, old []livetail.Topic
	for t := range desired {
		if c.subs[t] == nil {
			fresh = append(fresh, t)
		}
	}
	for t := range c.subs {
		if !desired[t] {
			old = append(old, t)
		}
	}
	if len(fresh)+len(old) == 0 {
		c.mu.Unlock()
		return false
	}
	c.serial++
	keeps := link.Keeps() && c.connected
	for _, t := range fresh {
		s := &subscribed{since: time.Now(), serial: c.serial, replaying: keeps}
		for wanted, w := range c.wants {
			s.promised = s.promised || w.promised && t.Covers(wanted)
		}
		c.subs[t] = s
	}
	c.mu.Unlock()
	for _, t := range fresh {
		_ = link.Subscribe(subjectOf(t))
	}
	if len(fresh) > 0 {
		ctx, cancel := context.WithTimeout(c.stopping, wantFor)
		_ = link.Flush(ctx)
		cancel()
	}
	for _, t := range old {
		_ = link.Unsubscribe(subjectOf(t))
	}
	c.mu.Lock()
	for _, t := range old {
		delete(c.subs, t)
	}
	c.inbox.unwatch(func(t livetail.Topic) bool { return c.covering(t) == nil })
	c.mu.Unlock()
	if keeps {
		for _, t := range fresh {
			c.done.Go(func() { c.replay(link, t, time.Now().Add(-c.opts.Backfill)) })
		}
	}
	return true
}

// replay takes in what the bus has kept of a topic, before what comes meanwhile.
func (c *Cluster) replay(link Link, t livetail.Topic, since time.Time) {
	c.mu.Lock()
	s := c.subs[t]
	c.mu.Unlock()
	if s == nil {
		return
	}
	var err error
	ctx, cancel := context.WithTimeout(c.stopping, replayFor)
	if link.Keeps() {
		err = link.Replay(ctx, subjectOf(t), since, func(subject string, data []byte) { c.take(subject, data, true) })
	}
	cancel()
	if err != nil && c.stopping.Err() == nil && c.opts.Problem != nil {
		c.opts.Problem(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.replaying = false
	waiting := s.parked
	s.parked, s.bytes = nil, 0
	for i := range waiting {
		_ = c.receive(&waiting[i], false) // what can't be read is counted with what is lost
	}
	c.wakeWaiting()
}
