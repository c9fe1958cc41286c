// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// session is one connection.
type session struct {
	client  *Client
	ws      *websocket.Conn
	handle  func(Event) error
	silence time.Duration // after which the connection counts as dead
	greeted bool
}

func (s *session) alive() { _ = s.ws.SetReadDeadline(time.Now().Add(s.silence)) }

func (s *session) run() error {
	pong := s.ws.PingHandler()
	s.ws.SetPingHandler(func(data string) error {
		s.alive()
		return pong(data)
	})
	for {
		s.alive()
		_, data, err := s.ws.ReadMessage()
		if err != nil {
			return err
		}
		var m message
		if err := json.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("a message that is no JSON: %w", err)
		}
		if err := s.message(&m); err != nil {
			return err
		}
	}
}

func (s *session) message(m *message) error {
	switch m.Type {
	case "hello":
		return s.hello(m)
	case "authenticated":
		return s.subscribe()
	case "subscribed":
		return s.subscribed(m)
	case "batch":
		return s.batch(m)
	case "gap":
		return s.gap(m)
	case "filled":
		return s.filled(m)
	case "error":
		var f failure
		if err := json.Unmarshal(m.Payload, &f); err != nil {
			return err
		}
		return &RequestError{f.Code, f.Message}
	case "notice":
		var f failure
		if err := json.Unmarshal(m.Payload, &f); err != nil {
			return err
		}
		return s.handle(Event{Subscription: -1, Notice: f.Message})
	default:
		return nil // a newer server
	}
}

func (s *session) hello(m *message) error {
	var h hello
	if err := json.Unmarshal(m.Payload, &h); err != nil {
		return err
	}
	s.greeted = true
	if h.PingInterval > 0 {
		s.silence = 2*time.Duration(h.PingInterval)*time.Millisecond + 10*time.Second
	}
	if err := s.handle(Event{Subscription: -1, Connected: true}); err != nil {
		return err
	}
	if !h.Authenticated || s.client.opts.Token != "" {
		if s.client.opts.Token == "" {
			return &RequestError{"NOT_AUTHENTICATED", "the server wants a token"}
		}
		return s.send("auth", map[string]any{"token": s.client.opts.Token}, -1)
	}
	return s.subscribe()
}

func (s *session) send(typ string, payload map[string]any, id int) error {
	m := map[string]any{"type": typ, "payload": payload}
	if id >= 0 {
		m["id"] = id
	}
	_ = s.ws.SetWriteDeadline(time.Now().Add(30 * time.Second))
	return s.ws.WriteJSON(m)
}

func (s *session) subscribe() error {
	for i, sub := range s.client.subs {
		if sub.fill { // cut off while the store was read: it is read again
			if sub.begun = sub.before != nil; sub.begun {
				sub.epoch, sub.last = sub.before.epoch, sub.before.seq
			}
		}
		if sub.older { // what it has is whole from its place on; the rest is not asked for again
			err := s.handle(Event{Subscription: i, Filled: &Filled{Older: true, Message: "the connection was lost meanwhile"}, After: sub.last, Last: sub.last})
			if err != nil {
				return err
			}
		}
		sub.id, sub.live, sub.fill, sub.older = 0, false, false, false
		p := map[string]any{"channel": sub.Channel}
		if len(sub.Filter) > 0 {
			p["filter"] = sub.Filter
		}
		if sub.MaxRate > 0 {
			p["max_rate"] = sub.MaxRate
		}
		switch {
		case sub.begun:
			p["resume"] = map[string]any{"epoch": sub.epoch, "seq": sub.last, "at": sub.at}
		case sub.Backfill > 0 || sub.Since != "":
			b := map[string]any{}
			if sub.Backfill > 0 {
				b["records"] = sub.Backfill
			}
			if sub.Since != "" {
				b["since"] = sub.Since
			}
			if sub.OlderAfter {
				b["older"] = "after"
			}
			p["backfill"] = b
		}
		if err := s.send("subscribe", p, i); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) subscribed(m *message) error {
	var r subscribed
	var i int
	if err := errors.Join(json.Unmarshal(m.Payload, &r), json.Unmarshal(m.ID, &i)); err != nil {
		return fmt.Errorf("subscribed: %w", err)
	}
	if i < 0 || i >= len(s.client.subs) {
		return errors.New("subscribed: an answer to nothing")
	}
	sub := s.client.subs[i]
	sub.older = r.Older
	if sub.fill = r.Fill && !r.Older; sub.fill {
		sub.before = nil
		if sub.begun {
			sub.before = &place{sub.epoch, sub.last}
		}
	} else {
		sub.at = max(sub.at, r.At)
	}
	sub.id, sub.epoch, sub.last, sub.head, sub.begun = r.Sub, r.Epoch, r.Seq, r.Head, true
	if r.Gap != nil {
		if err := s.handle(Event{Subscription: i, Gap: r.Gap}); err != nil {
			return err
		}
	}
	return s.reached(i, sub)
}

// reached tells once that a subscription has come to the present.
func (s *session) reached(i int, sub *state) error {
	if sub.live || sub.fill || sub.last < sub.head {
		return nil
	}
	sub.live = true
	return s.handle(Event{Subscription: i, Live: true, Last: sub.last})
}

func (s *session) find(id uint32) (int, *state) {
	for i, sub := range s.client.subs {
		if sub.id == id {
			return i, sub
		}
	}
	return -1, nil
}

func (s *session) batch(m *message) error {
	var b batch
	if err := json.Unmarshal(m.Payload, &b); err != nil {
		return fmt.Errorf("batch: %w", err)
	}
	i, sub := s.find(b.Sub)
	if sub == nil {
		return nil
	}
	if b.After != sub.last {
		return fmt.Errorf("the server left out what is between %d and %d", sub.last, b.After)
	}
	fresh := b.Records[:0]
	for _, r := range b.Records {
		if s.client.seen.add(i, &r) {
			fresh = append(fresh, r)
		}
	}
	sub.last = b.Last
	if !b.Stored {
		sub.at = max(sub.at, b.At)
	}
	if err := s.handle(Event{Subscription: i, Records: fresh, Stored: b.Stored, Older: b.Older, After: b.After, Last: b.Last, Filtered: b.Filtered}); err != nil {
		return err
	}
	return s.reached(i, sub)
}

func (s *session) filled(m *message) error {
	var f filled
	if err := json.Unmarshal(m.Payload, &f); err != nil {
		return fmt.Errorf("filled: %w", err)
	}
	i, sub := s.find(f.Sub)
	if sub == nil {
		return nil
	}
	sub.fill, sub.older, sub.before = false, false, nil
	if err := s.handle(Event{Subscription: i, Filled: &f.Filled, After: sub.last, Last: sub.last}); err != nil {
		return err
	}
	return s.reached(i, sub)
}

func (s *session) gap(m *message) error {
	var g gap
	if err := json.Unmarshal(m.Payload, &g); err != nil {
		return fmt.Errorf("gap: %w", err)
	}
	i, sub := s.find(g.Sub)
	if sub == nil {
		return nil
	}
	if g.After != sub.last {
		return fmt.Errorf("the server left out what is between %d and %d", sub.last, g.After)
	}
	sub.last = g.Last
	if err := s.handle(Event{Subscription: i, Gap: &g.Gap, After: g.After, Last: g.Last}); err != nil {
		return err
	}
	return s.reached(i, sub)
}

// seen knows the newest records by what identifies them wherever they come from: the uid of a log or score, the id and state
// of a span. It matters after a restart of the server, when a sender repeats what it had sent before.
type seen struct {
	seed       maphash.Seed
	young, old map[uint64]struct{}
}

// seenRecords is how many are known at least, with 64-bit hashes: a few MiB when so many come. What a server reads from its store
// begins ten seconds before the place where the client was.
const seenRecords = 1 << 16

// add reports whether the record is new.
func (s *seen) add(sub int, r *Record) bool {
	var key string
	switch {
	case r.UID != "":
		key = r.UID
	case r.Signal == "span" && strings.Trim(r.SpanID, "0") != "" && r.State == "ended":
		key = r.TraceID + r.SpanID
	default:
		return true
	}
	hash := maphash.Comparable(s.seed, [3]any{sub, r.Project, key})
	if _, ok := s.young[hash]; ok {
		return false
	}
	if _, ok := s.old[hash]; ok {
		return false
	}
	if s.young == nil || len(s.young) >= seenRecords {
		s.old, s.young = s.young, make(map[uint64]struct{})
	}
	s.young[hash] = struct{}{}
	return true
}
