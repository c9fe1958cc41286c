// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"

	"github.com/tailrace/tailrace/internal/livetail"
)

const (
	parcelBytes = 128 << 10 // about what one message takes
	maxOutlets  = 1 << 16   // topics of an origin; of further ones nothing is sent
	// telling is after how many quiet seconds an origin tells how far it is.
	tellFirst, tellAgain, tellLast = 1, 5, 30
)

// outbox is what waits to be published, in the order of the hub.
type outbox struct {
	limit int // bytes

	mu       sync.Mutex // guards what follows. Taken with the hub's lock held, so nothing else is taken after it
	topics   map[livetail.Topic]*outlet
	last     *outlet
	queue    []*parcel
	bytes    int
	largest  int // record that fits into a message
	all      bool
	interest map[string]map[livetail.Topic]bool // by origin
	dropped  uint64                             // records that were wanted, and had no room
	untold   bool                               // what was to be told before an answer had no room
	spare    [][]byte
	wake     chan struct{}
}

// outlet is a topic that this hub has had records of.
type outlet struct {
	topic   livetail.Topic
	subject string
	count   livetail.Severities // of all records, sent or not
	wanted  bool
	quiet   int // seconds since the last message
}

// parcel becomes a message: records of a topic, or only word of how far it is, or with answer something else for that subject.
type parcel struct {
	outlet *outlet
	before livetail.Severities
	n      int
	source livetail.Source
	counts int // where the number of records of source stands in body
	run    uint32
	body   []byte
	closed bool

	answer string
	serial uint64 // of the announcement that is answered
	tries  int
}

func newOutbox(limit int) *outbox {
	return &outbox{
		limit: limit, topics: map[livetail.Topic]*outlet{}, interest: map[string]map[livetail.Topic]bool{},
		largest: 1<<20 - overhead, all: true, wake: make(chan struct{}, 1),
	}
}

// tap takes records of a source.
func (o *outbox) tap(src livetail.Source, recs []livetail.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := o.outlet(livetail.Topic{Project: src.Project, Signal: src.Signal})
	if out == nil {
		o.dropped += uint64(len(recs))
		return
	}
	for _, rec := range recs {
		switch {
		case !out.wanted:
		case len(rec) > o.largest:
			o.dropped++
		default:
			o.put(out, src, rec)
		}
		out.count[rec.SeverityClass()]++
	}
	if out.wanted {
		out.quiet = 0
		o.wakeUp()
	}
}

func (o *outbox) wakeUp() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) outlet(t livetail.Topic) *outlet {
	if o.last != nil && o.last.topic == t {
		return o.last
	}
	out := o.topics[t]
	if out == nil {
		if len(o.topics) >= maxOutlets {
			return nil
		}
		out = &outlet{topic: t, subject: subjectOf(t), quiet: tellLast}
		out.wanted = o.wants(t)
		o.topics[t] = out
	}
	o.last = out
	return out
}

// wants reports whether some other collector does.
func (o *outbox) wants(t livetail.Topic) bool {
	if o.all {
		return true
	}
	for _, topics := range o.interest {
		if topics[t] || topics[livetail.Topic{All: true, Signal: t.Signal}] {
			return true
		}
	}
	return false
}

// put appends a record to the last parcel, if that is one of its topic without a hole before it, or to a new one.
func (o *outbox) put(out *outlet, src livetail.Source, rec livetail.Record) {
	var p *parcel
	if n := len(o.queue); n > 0 {
		p = o.queue[n-1]
	}
	if p == nil || p.outlet != out || p.closed || p.n == 0 || len(p.body)+len(rec) > min(parcelBytes, o.largest, o.limit/4) {
		p = &parcel{outlet: out, before: out.count, body: o.memory()}
		o.queue = append(o.queue, p)
	}
	size := len(p.body)
	if p.n == 0 || p.source != src {
		p.source, p.run = src, 0
		p.body = appendString(p.body, src.Deployment)
		p.body = appendString(p.body, src.Server)
		p.body = appendString(p.body, src.Build)
		p.counts = len(p.body)
		p.body = append(p.body, 0, 0, 0, 0)
	}
	p.body = append(p.body, rec...)
	p.n++
	p.run++
	binary.LittleEndian.PutUint32(p.body[p.counts:], p.run)
	o.bytes += len(p.body) - size
	for o.bytes > o.limit && len(o.queue) > 1 {
		gone := o.pop()
		o.dropped += uint64(gone.n)
		o.untold = o.untold || gone.n == 0
		o.free(gone)
	}
}

const maxSpare = 8

func (o *outbox) memory() []byte {
	if n := len(o.spare); n > 0 {
		b := o.spare[n-1]
		o.spare[n-1], o.spare = nil, o.spare[:n-1]
		return b
	}
	return nil
}

// free takes the memory of a parcel back. Called with mu held.
func (o *outbox) free(p *parcel) {
	if cap(p.body) > 0 && cap(p.body) <= 2*parcelBytes && len(o.spare) < maxSpare {
		o.spare = append(o.spare, p.body[:0])
	}
	p.body = nil
}

// pop removes the oldest parcel, nil: there is none. Called with mu held.
func (o *outbox) pop() *parcel {
	if len(o.queue) == 0 {
		return nil
	}
	p := o.queue[0]
	o.queue[0] = nil
	if o.queue = o.queue[1:]; len(o.queue) == 0 {
		o.queue = nil
	}
	o.bytes -= len(p.body)
	p.closed = true
	return p
}

func (o *outbox) take() *parcel {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.pop()
	for p != nil && p.answer != "" && o.untold { // it would not be true; they ask again
		o.untold = false
		p = o.pop()
	}
	return p
}

// back puts a parcel that could not be sent where it was.
func (o *outbox) back(p *parcel) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = slices.Insert(o.queue, 0, p)
	o.bytes += len(p.body)
}

func (o *outbox) sent(p *parcel) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.free(p)
}

func (o *outbox) lost(p *parcel) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropped += uint64(p.n)
	o.free(p)
}

// tell has others told how far a topic is. Called with mu held.
func (o *outbox) tell(out *outlet) {
	o.queue = append(o.queue, &parcel{outlet: out, before: out.count, closed: true})
}

// tick tells of topics that have fallen silent; it is called every second.
func (o *outbox) tick() {
	o.mu.Lock()
	defer o.mu.Unlock()
	told := false
	for _, out := range o.topics {
		if !out.wanted || out.quiet >= tellLast {
			continue
		}
		if out.quiet++; out.quiet == tellFirst || out.quiet == tellAgain || out.quiet == tellLast {
			o.tell(out)
			told = true
		}
	}
	if told {
		o.wakeUp()
	}
}

// retell has everything told once more, since messages may have been lost.
func (o *outbox) retell() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, out := range o.topics {
		out.quiet = 0
	}
}

// ask notes what another collector wants. With answer it is told how far all of that is, and then gets the answer.
func (o *outbox) ask(origin string, topics map[livetail.Topic]bool, answer string, serial uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before, known := o.interest[origin]
	switch {
	case topics == nil && known:
		delete(o.interest, origin)
		o.recompute()
	case topics != nil && (!known || !maps.Equal(before, topics)): // heartbeats change nothing
		o.interest[origin] = topics
		o.recompute()
	}
	if answer == "" {
		return
	}
	for _, out := range o.topics {
		if topics[out.topic] || topics[livetail.Topic{All: true, Signal: out.topic.Signal}] {
			o.tell(out)
		}
	}
	o.queue = append(o.queue, &parcel{answer: answer, serial: serial, closed: true})
	o.wakeUp()
}

// setAll has everything sent, whoever wants it, or not.
func (o *outbox) setAll(all bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all != all {
		o.all = all
		o.recompute()
	}
}

func (o *outbox) recompute() {
	for _, out := range o.topics {
		out.wanted = o.wants(out.topic)
	}
}

func (o *outbox) setLargest(payload int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.largest = max(payload-overhead, 1<<10)
}

func (o *outbox) stats() (waiting, wanted int, dropped uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	topics := map[livetail.Topic]bool{}
	for _, of := range o.interest {
		maps.Copy(topics, of)
	}
	return o.bytes, len(topics), o.dropped
}
