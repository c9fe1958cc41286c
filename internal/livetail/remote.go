// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"hash/maphash"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/access"
)

// Peers are other hubs that records come from and go to (package cluster). A hub alone has none.
type Peers interface {
	// Tap is shown the records that the hub takes in at first hand, in their order, without those that were seen before. It is called with
	// the hub's lock held: it copies what it needs and does not wait.
	Tap(src Source, recs []Record)
	// Want asks for the records of topics that somebody here looks at. It returns when they come, or when it has taken too long.
	// Every Want is followed by one Unwant.
	Want(topics []Topic)
	// Unwant takes a Want back. It does not wait.
	Unwant(topics []Topic)
}

// Topic is what a hub asks its peers for: the records of a project and a signal.
type Topic struct {
	Project string
	All     bool // of every project, and Project is empty
	Signal  Signal
}

// Covers reports whether everything of other is in the topic.
func (t Topic) Covers(other Topic) bool {
	return t.Signal == other.Signal && (t.All || !other.All && t.Project == other.Project)
}

// topics are what a subscription of a caller needs from other hubs.
func (h *Hub) topics(ch Channel, caller *access.Caller) []Topic {
	if h.opts.Peers == nil {
		return nil
	}
	var out []Topic
	add := func(t Topic) {
		for s := SignalLog; s <= SignalScore; s++ {
			if ch.has(Source{Project: ch.ID, Server: ch.ID, Build: ch.ID, Deployment: ch.ID, Signal: s}) {
				t.Signal = s
				out = append(out, t)
			}
		}
	}
	if project, ok := ch.Project(); ok {
		if caller.MayRead(project) {
			add(Topic{Project: project})
		}
		return out
	}
	readable := caller.Readable()
	for _, p := range readable {
		if !p.Literal() { // rights are decided record by record: too much does no harm
			add(Topic{All: true})
			return out
		}
	}
	for _, p := range readable {
		add(Topic{Project: string(p)})
	}
	return out
}

func (h *Hub) want(topics []Topic) {
	if len(topics) > 0 {
		h.opts.Peers.Want(topics)
	}
}

func (h *Hub) unwant(topics []Topic) {
	if len(topics) > 0 {
		h.opts.Peers.Unwant(topics)
	}
}

// SeverityClass is the place of a record in Severities.
func (r Record) SeverityClass() int { return r.severityClass() }

// Sum is the number of records.
func (s *Severities) Sum() uint64 { return s.sum() }

// NewRemoteBatch returns an empty batch for records of another hub.
func (h *Hub) NewRemoteBatch() *Batch {
	b := h.NewBatch()
	b.remote = true
	return b
}

// AddRecord copies a record of another hub, which CheckRecord has accepted.
func (b *Batch) AddRecord(src Source, rec Record) {
	if n := len(b.groups); n == 0 || b.groups[n-1].source != src {
		b.source(src)
	}
	b.begin(src.Signal)
	b.drop()
	b.buf = append(b.buf, rec...)
	b.end(rec.key(b.seed, src.Project))
}

// key is the one that the record would have had if its sender had come here; 0: it can't be told, as for metrics.
func (r Record) key(seed maphash.Seed, project string) uint64 {
	in := maphash.String(seed, project) | 1
	switch r.Signal() {
	case SignalLog, SignalScore:
		f := r.attributes()
		for range f.Count() {
			f.String()
			f.Skip(f.Value())
		}
		// One that was cut is not what the sender gave.
		if uid := f.String(); len(uid) > 0 && (len(uid) < maxUID-4 || !r.Has(FlagTruncated)) {
			return hash2(maphash.Bytes(seed, uid), in, 'l')
		}
	case SignalSpan:
		if r.Has(FlagOrphan) || r.TraceID() == [16]byte{} || r.SpanID() == [8]byte{} {
			return 0
		}
		state := byte('e')
		if r.Has(FlagOpen) {
			state = 'o'
		}
		return hash2(maphash.Comparable(seed, spanKey{
			trace: r.TraceID(), span: r.SpanID(), kind: ptrace.SpanKind(r.Kind()), start: uint64(r.UnixNano()),
		}), in, state)
	}
	return 0
}

// Lose tells the hub that records of a topic, which it should have had from another hub, are lost. They get one sequence number, as
// if a ring had held and lost them: whoever looks at the topic reads from the rings again, and is told there.
func (h *Hub) Lose(topic Topic, lost Severities) { h.lose(topic, lost, true) }

// LoseUnknown is Lose when it is not known how many they are.
func (h *Hub) LoseUnknown(topic Topic) { h.lose(topic, Severities{}, false) }

func (h *Hub) lose(topic Topic, lost Severities, counted bool) {
	src := Source{Project: topic.Project, Signal: topic.Signal, elsewhere: true}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	h.clock.note(h.seq, time.Now().UnixNano())
	h.seq++
	r := h.ring(src)
	r.lastSeq, r.evictedSeq = h.seq, h.seq
	if counted {
		r.remember(trail{first: h.seq, last: h.seq, classes: lost})
	} else {
		r.forgot = h.seq
	}
	told := map[*Subscriber]bool{}
	for _, ch := range h.channels {
		if !ch.has(src) {
			continue
		}
		for _, v := range ch.views {
			if !v.caller.MayRead(topic.Project) {
				continue
			}
			for _, sub := range v.streams {
				sub.stream.reread(sub)
			}
			for _, sub := range v.subs {
				if !told[sub.client] {
					told[sub.client] = true
					sub.client.lose(lost.sum(), counted && ch.counts(src))
				}
			}
		}
	}
}

// counts reports whether every record of src is in the channel, for a source elsewhere: of a server or a trace it is not known.
func (c Channel) counts(src Source) bool {
	switch c.Kind {
	case ChannelServer, ChannelBuild, ChannelDeployment, ChannelTrace:
		return !src.elsewhere
	default:
		return true
	}
}

// reread makes a live subscription read from the rings, which have lost something. Called with Hub.mu held.
func (s *Stream) reread(sub *streamSub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || sub.view == nil {
		return
	}
	if sub.stepping { // what it went live with is not out yet, and read again
		s.takeBack(sub)
	}
	s.again(sub)
	s.notify()
}

// lose tells a classic client of records that it did not get, at once: they would have come now. Called with Hub.mu held.
func (s *Subscriber) lose(n uint64, counted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if counted {
		s.hub.stats.matched.Add(n)
		s.hub.stats.lost.Add(n)
		s.dropped += n
	} else {
		s.unsure = true
	}
	s.notify()
}

// whole is since when everything came here: what other hubs took in, only since somebody asked for it.
func (h *Hub) whole() time.Time {
	if h.opts.Peers != nil {
		return time.Now()
	}
	return h.began
}
