// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/tailrace/tailrace/internal/livetail"
)

// Options of a Cluster.
type Options struct {
	// BufferBytes of records may wait to be published.
	BufferBytes int
	// Linger is how long a topic is kept that nobody looks at any more.
	Linger time.Duration
	// Backfill is how old records may be that a bus which keeps them returns for a new topic.
	Backfill time.Duration
	// Changed is told when the bus comes and goes, of every try that failed to come. It does not wait.
	Changed func(connected bool, err error)
	// Problem is told what is wrong with what others send; it is called seldom.
	Problem func(err error)
}

// DefaultOptions are the defaults of the live_tail exporter.
func DefaultOptions() Options {
	return Options{BufferBytes: 8 << 20, Linger: 30 * time.Second, Backfill: 15 * time.Minute}
}

const (
	heartbeat   = 5                       // seconds between two announcements
	silence     = 3 * heartbeat           // seconds after which a collector that was not heard is taken for gone
	forget      = 24 * time.Hour          // and after which nothing is known of it
	discovery   = 250 * time.Millisecond  // others answer in that time after we have come
	rejoin      = 1500 * time.Millisecond // and are there again in that time after the bus has come back
	wantFor     = time.Second             // how long a subscriber waits at most for others, without a replay
	replayFor   = 5 * time.Second         // and with one
	replaySlack = 2 * time.Second         // of clocks, here and there
	batchPause  = 2 * time.Millisecond
)

// Cluster connects a hub with those of other collectors. It implements livetail.Peers. Safe for concurrent use.
type Cluster struct {
	opts   Options
	outbox *outbox
	inbox  inbox
	hub    *livetail.Hub
	origin ulid.ULID
	began  time.Time

	// syncing is held while subscriptions at the bus are changed.
	syncing sync.Mutex

	mu        sync.Mutex // guards what follows, and the inbox. Never taken with the hub's lock held
	link      Link
	connected bool
	settled   bool      // who is there has had the time to say so
	away      time.Time // since when the bus is not there
	outage    bool      // it was away, for others perhaps too
	turn      int       // counts changes of the connection
	wants     map[livetail.Topic]*want
	subs      map[livetail.Topic]*subscribed
	serial    uint64 // of our announcements
	peers     map[ulid.ULID]*peer
	changed   chan struct{} // closed and replaced when a peer has answered, or the bus has changed

	events   chan event
	stop     chan struct{}
	stopping context.Context
	cancel   context.CancelFunc
	done     sync.WaitGroup

	stats struct {
		published, publishedBytes, received, receivedBytes, lost, malformed atomic.Uint64
	}
}

// event is a change of the connection.
type event struct {
	connected bool
	err       error
}

// want is a topic that somebody here looks at, or did until idle.
type want struct {
	refs     int
	promised bool // a subscriber relies on it
	idle     time.Time
}

// subscribed is a topic that we get from the bus.
type subscribed struct {
	since     time.Time
	serial    uint64 // of the first announcement that has it
	promised  bool   // a subscriber relies on it
	replaying bool
	parked    []message // what came during a replay, which is older
	bytes     int
}

// New returns a Cluster for the options of a hub. Start connects it.
func New(opts Options) *Cluster {
	c := &Cluster{
		opts: opts, outbox: newOutbox(opts.BufferBytes), began: time.Now(), away: time.Now(),
		wants: map[livetail.Topic]*want{}, subs: map[livetail.Topic]*subscribed{}, peers: map[ulid.ULID]*peer{},
		changed: make(chan struct{}), events: make(chan event, 16), stop: make(chan struct{}),
	}
	c.inbox.entries = map[entryKey]*entry{}
	c.stopping, c.cancel = context.WithCancel(context.Background())
	return c
}

// Start joins a bus. It does not wait for it.
func (c *Cluster) Start(hub *livetail.Hub, bus Bus) {
	c.hub, c.origin = hub, ulid.MustParse(hub.Epoch())
	c.done.Go(func() { c.run(bus) })
}

// Close leaves the bus, after it has published what the hub had. It is called after the hub's Close, and only after Start.
func (c *Cluster) Close() {
	c.cancel()
	close(c.stop)
	c.done.Wait()
}

// Tap implements livetail.Peers.
func (c *Cluster) Tap(src livetail.Source, recs []livetail.Record) { c.outbox.tap(src, recs) }

func (c *Cluster) run(bus Bus) {
	link, err := bus.Join(c)
	if err != nil {
		c.opts.Changed(false, err)
		<-c.stop
		return
	}
	c.mu.Lock()
	c.link = link
	c.mu.Unlock()
	_ = link.Subscribe(subjectInterest)
	_ = link.Subscribe(subjectAnswers + c.origin.String())
	publishing := make(chan struct{})
	c.done.Go(func() {
		defer close(publishing)
		c.publish(link)
	})
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for seconds := 1; ; seconds++ {
		select {
		case e := <-c.events:
			c.change(link, e)
			continue
		case <-tick.C:
			c.tick(seconds%heartbeat == 0)
			continue
		case <-c.stop:
		}
		break
	}
	<-publishing
	c.announce(announcement{Gone: true})
	link.Close()
}

// Connected implements Receiver.
func (c *Cluster) Connected() { c.event(event{connected: true}) }

// Disconnected implements Receiver.
func (c *Cluster) Disconnected(err error) { c.event(event{err: err}) }

func (c *Cluster) event(e event) {
	select {
	case c.events <- e:
	case <-c.stop:
	}
}

// change is what follows from a change of the connection.
func (c *Cluster) change(link Link, e event) {
	c.mu.Lock()
	before, away := c.connected, c.away
	c.connected, c.settled = e.connected, false
	if before && !e.connected {
		c.away = time.Now()
		for _, s := range c.subs { // what comes first when the bus is back waits for what was missed
			s.replaying = link.Keeps()
		}
	}
	pause := discovery
	if c.outage {
		pause = rejoin
	}
	c.outage = !e.connected
	c.turn++
	turn := c.turn
	c.wakeWaiting()
	c.mu.Unlock()
	if before != e.connected || e.err != nil {
		c.opts.Changed(e.connected, e.err)
	}
	if !e.connected {
		return
	}
	c.outbox.setLargest(link.MaxPayload())
	c.outbox.retell()
	c.outbox.wakeUp()
	c.done.Go(func() { c.arrive(link, turn, away, pause) })
}

// arrive makes the collector known, and gets what it wants, after the bus has come. What waits to be published waits for a pause, in which
// others come back.
func (c *Cluster) arrive(link Link, turn int, away time.Time, pause time.Duration) {
	again := map[livetail.Topic]time.Time{} // what is replayed from when
	c.mu.Lock()
	for t, s := range c.subs {
		s.replaying = s.replaying || link.Keeps()
		if again[t] = time.Now().Add(-c.opts.Backfill); s.since.Before(away) {
			again[t] = away.Add(-replaySlack)
		}
	}
	c.mu.Unlock()
	c.sync(link)
	c.announce(announcement{Ask: true})
	for t, since := range again {
		c.replay(link, t, since)
	}
	select {
	case <-c.stop:
		return
	case <-time.After(pause):
	}
	c.outbox.setAll(link.Keeps())
	c.mu.Lock()
	if c.turn == turn {
		c.settled = true
		c.wakeWaiting()
	}
	c.mu.Unlock()
}

// wakeWaiting wakes those who wait for peers. Called with mu held.
func (c *Cluster) wakeWaiting() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Cluster) tick(beat bool) {
	now := time.Now()
	c.mu.Lock()
	link, connected := c.link, c.connected
	expired := false
	for t, w := range c.wants {
		if w.refs == 0 && now.Sub(w.idle) > c.opts.Linger {
			delete(c.wants, t)
			expired = true
		}
	}
	var gone []string
	if connected && c.settled {
		gone = c.expirePeers(now)
	}
	c.mu.Unlock()
	for _, origin := range gone {
		c.outbox.ask(origin, nil, "", 0)
	}
	if !connected {
		return
	}
	c.outbox.tick()
	switch {
	case expired:
		c.done.Go(func() {
			if c.sync(link) {
				c.announce(announcement{})
			}
		})
	case beat:
		c.mu.Lock()
		ask := !c.answered(c.serial)
		c.mu.Unlock()
		c.announce(announcement{Ask: ask})
	}
}

// publish sends what is in the outbox while the bus is there.
func (c *Cluster) publish(link Link) {
	var buf, scratch []byte
	var last time.Time
	pause := time.NewTimer(0)
	defer pause.Stop()
	for stopping := false; ; {
		p := (*parcel)(nil)
		if ready, changed := c.state(stopping); ready {
			p = c.outbox.take()
		} else if !stopping {
			select {
			case <-changed:
				continue
			case <-c.stop:
				return
			}
		}
		switch {
		case p == nil && stopping:
			return
		case p == nil: // what comes together is sent together
			select {
			case <-c.outbox.wake:
				if time.Since(last) >= batchPause {
					continue
				}
				pause.Reset(batchPause)
				select {
				case <-pause.C:
				case <-c.stop:
					stopping = true
				}
			case <-c.stop:
				stopping = true
			}
			continue
		case p.answer != "":
			c.announceTo(p.answer, announcement{Answers: p.serial})
			continue
		}
		m := message{origin: c.origin, topic: p.outlet.topic, before: p.before, n: uint64(p.n), body: p.body}
		buf, scratch = appendMessage(buf[:0], &m, scratch)
		switch err := link.Publish(p.outlet.subject, buf); {
		case err == nil:
			c.stats.published.Add(uint64(p.n))
			c.stats.publishedBytes.Add(uint64(len(buf)))
			c.outbox.sent(p)
			last = time.Now()
		case stopping:
			c.outbox.lost(p)
		default:
			if ready, changed := c.state(true); ready { // the connection is about to be given up, or the message is refused
				select {
				case <-changed:
				case <-time.After(100 * time.Millisecond):
				case <-c.stop:
				}
				if p.tries++; p.tries >= 3 {
					c.outbox.lost(p)
					continue
				}
			}
			c.outbox.back(p)
		}
	}
}

// state reports whether records may be published now.
func (c *Cluster) state(hurry bool) (ready bool, changed chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connected && (c.settled || hurry), c.changed
}

// Stats is what a Cluster has done and sees.
type Stats struct {
	Connected                 bool
	Settled                   bool // and the others have had the time to say that they are there
	Peers                     int
	Topics, Wanted            int    // that come from others, and that others want
	Published, PublishedBytes uint64 // records, and what they took on the way
	Received, ReceivedBytes   uint64
	Dropped                   uint64 // wanted by others, and not sent
	Lost                      uint64 // wanted from others, and missing by their count
	Malformed                 uint64 // messages
	Waiting                   int    // bytes
}

// Stats returns the current numbers.
func (c *Cluster) Stats() Stats {
	c.mu.Lock()
	s := Stats{Connected: c.connected, Settled: c.settled, Peers: c.present(), Topics: len(c.subs)}
	c.mu.Unlock()
	s.Waiting, s.Wanted, s.Dropped = c.outbox.stats()
	s.Published, s.PublishedBytes = c.stats.published.Load(), c.stats.publishedBytes.Load()
	s.Received, s.ReceivedBytes = c.stats.received.Load(), c.stats.receivedBytes.Load()
	s.Lost, s.Malformed = c.stats.lost.Load(), c.stats.malformed.Load()
	return s
}
