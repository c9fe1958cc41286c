// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailws

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/tailv1"
)

// Tail is the HTTP endpoint of a door: GET with channel (several), filter, backfill, since, resume and max_rate streams
// records, one a line, or as server-sent events for Accept: text/event-stream.
func (s *Server) Tail(door Door) http.Handler {
	e := s.open(door)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serveTail(e, w, r) })
}

// maxTailChannels bounds the channels of one request.
const maxTailChannels = 32

func (s *Server) serveTail(door *entrance, w http.ResponseWriter, r *http.Request) {
	if !s.guarded(door, w, r) {
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		problem(w, http.StatusMethodNotAllowed, "only GET is understood")
		return
	}
	decided := door.changes.Load()
	caller, headers := s.identify(door, r, false)
	if caller == nil {
		s.stats.refusedAuth.Add(1)
		w.Header().Set("WWW-Authenticate", "Bearer")
		problem(w, http.StatusUnauthorized, "a credential is needed")
		return
	}
	requests, err := tailRequests(r, time.Now())
	if err != nil {
		s.stats.refusedMessage.Add(1)
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	for i := range requests {
		if project, ok := requests[i].Channel.Project(); ok && !caller.MayRead(project) || len(caller.Readable()) == 0 {
			s.stats.refusedForbidden.Add(1)
			problem(w, http.StatusForbidden, "the project may not be read")
			return
		}
	}
	if !s.enter() {
		problem(w, http.StatusServiceUnavailable, goingAway)
		return
	}
	defer s.done.Done()
	t := &tail{
		server: s, w: w, control: http.NewResponseController(w), wake: make(chan struct{}, 1), quit: make(chan struct{}),
		events: strings.Contains(r.Header.Get("Accept"), "text/event-stream"), active: time.Now(),
	}
	t.stream = s.opts.Hub.NewStream(caller, t.notify)
	defer t.stream.Close()
	t.who.server, t.who.door, t.who.end, t.who.apply = s, door, t.close, t.stream.SetCaller
	t.who.caller, t.who.headers, t.who.decided = caller, headers, decided
	t.who.arrived(r)
	switch s.add(t) {
	case 0:
	case CloseTooMany:
		s.stats.refusedTooMany.Add(1)
		problem(w, http.StatusTooManyRequests, "too many connections")
		return
	default:
		problem(w, http.StatusServiceUnavailable, goingAway)
		return
	}
	defer s.remove(t)
	t.who.began()
	defer t.who.left()
	t.run(r, requests)
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"about:blank","title":%q,"status":%d,"detail":%q}`+"\n", http.StatusText(status), status, detail)
}

func tailRequests(r *http.Request, now time.Time) ([]livetail.Request, error) {
	q := r.URL.Query()
	for key := range q {
		switch key {
		case "channel", "filter", "backfill", "since", "resume", "max_rate":
		default:
			return nil, fmt.Errorf("%s: unknown parameter; known are channel, filter, backfill, since, resume and max_rate", key)
		}
	}
	var common livetail.Request
	var err error
	if common.Filter, err = livetail.ParseFilter([]byte(q.Get("filter"))); err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	for key, to := range map[string]*int{"backfill": &common.Backfill, "max_rate": &common.MaxRate} {
		if v := q.Get(key); v != "" {
			if *to, err = strconv.Atoi(v); err != nil || *to < 0 || *to > 1_000_000 {
				return nil, fmt.Errorf("%s: must be a number from 0 to 1000000", key)
			}
		}
	}
	if v := q.Get("since"); v != "" {
		if common.Since, err = tailv1.ParseTime(v, now); err != nil {
			return nil, fmt.Errorf("since: %w", err)
		}
	}
	resume := q.Get("resume")
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		resume = last
	}
	if resume != "" {
		if common.Resume, err = parsePosition(resume); err != nil {
			return nil, err
		}
	}
	channels := q["channel"]
	if len(channels) == 0 || len(channels) > maxTailChannels {
		return nil, fmt.Errorf("channel: name 1 to %d, such as channel=project:shop", maxTailChannels)
	}
	out := make([]livetail.Request, len(channels))
	for i, name := range channels {
		out[i] = common
		if out[i].Channel, err = livetail.ParseChannel(name); err != nil {
			return nil, fmt.Errorf("channel: %w", err)
		}
	}
	return out, nil
}

// parsePosition reads epoch:seq, or epoch:seq:at.
func parsePosition(s string) (*livetail.Position, error) {
	parts := strings.Split(s, ":")
	if len(parts) == 2 || len(parts) == 3 {
		p := &livetail.Position{Epoch: parts[0]}
		n, err := strconv.ParseUint(parts[1], 10, 64)
		p.Seq = n
		if err == nil && len(parts) == 3 {
			var at int64
			at, err = strconv.ParseInt(parts[2], 10, 64)
			p.At = time.UnixMilli(at)
		}
		if err == nil {
			return p, nil
		}
	}
	return nil, errors.New("resume: must be epoch:seq or epoch:seq:at, the id of the last event")
}

// tail is one client of the HTTP endpoint.
type tail struct {
	server  *Server
	w       http.ResponseWriter
	control *http.ResponseController
	stream  *livetail.Stream
	who     session
	events  bool
	wake    chan struct{}
	quit    chan struct{}

	mu     sync.Mutex // guards what follows
	ended  bool
	code   int
	reason string
	active time.Time
	ping   bool
}

func (t *tail) session() *session { return &t.who }

func (t *tail) notify() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *tail) close(code int, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	t.ended, t.code, t.reason = true, code, reason
	close(t.quit)
	_ = t.control.SetWriteDeadline(time.Now().Add(closeTimeout))
}

// keep implements client.
func (t *tail) keep(now time.Time) {
	t.who.expire(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.active) >= t.server.opts.PingInterval {
		t.active, t.ping = now, true
		t.notify()
	}
}

func (t *tail) run(r *http.Request, requests []livetail.Request) {
	h := t.w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	if t.events {
		h.Set("Content-Type", "text/event-stream")
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Tailrace-Epoch", t.server.opts.Hub.Epoch())
	names := make([]string, 0, len(requests))
	for i := range requests {
		req := tailv1.Request{Type: tailv1.TypeSubscribe, Name: r.URL.Query()["channel"][i], Subscribe: requests[i]}
		t.who.requests.Lock()
		err := t.stream.Subscribe(requests[i], func(s livetail.Subscribed) []byte { return tailv1.Subscribed(&req, s) })
		t.who.requests.Unlock()
		if err != nil {
			problem(t.w, http.StatusServiceUnavailable, err.Error())
			return
		}
		names = append(names, req.Name)
	}
	h.Set("Tailrace-Channels", strings.Join(names, " "))
	t.w.WriteHeader(http.StatusOK)
	_ = t.control.Flush()
	for {
		closing := t.closing()
		more, ok := t.flush()
		if !ok {
			return
		}
		if more {
			continue
		}
		if closing {
			t.sayGoodbye()
			return
		}
		select {
		case <-t.wake:
		case <-t.quit:
		case <-r.Context().Done():
			return
		}
	}
}

func (t *tail) closing() bool {
	select {
	case <-t.quit:
		return true
	default:
		return false
	}
}

func (t *tail) flush() (more, ok bool) {
	taken := streamTaken.Get().(*livetail.StreamTaken)
	defer streamTaken.Put(taken)
	more = t.stream.Take(taken, flushBytes)
	var b []byte
	for i := range taken.Outputs {
		b = t.appendOutput(b, &taken.Outputs[i])
		taken.Outputs[i] = livetail.Output{}
	}
	t.mu.Lock()
	if t.ping && len(b) == 0 {
		if t.events {
			b = append(b, ": ping\n\n"...)
		} else {
			b = append(b, '\n')
		}
	}
	t.ping = false
	if len(b) > 0 {
		t.active = time.Now()
		if !t.ended {
			_ = t.control.SetWriteDeadline(time.Now().Add(t.server.opts.WriteTimeout))
		}
	}
	t.mu.Unlock()
	if len(b) == 0 {
		return more, true
	}
	n, err := t.w.Write(b)
	if err == nil {
		err = t.control.Flush()
	}
	t.server.stats.bytes.Add(uint64(n))
	if err != nil {
		t.server.stats.writeErrors.Add(1)
		t.stream.Lost(taken.Records)
		return false, false
	}
	t.stream.Sent(taken.Records)
	return more, true
}

func (t *tail) appendOutput(b []byte, out *livetail.Output) []byte {
	switch {
	case out.Control != nil:
		if t.events { // {"type":"subscribed","payload":{…}}
			b = append(b, "event: subscribed\ndata: "...)
			b = append(b, out.Control...)
			b = append(b, "\n\n"...)
		}
		return b
	case out.Filled != nil:
		if t.events {
			b = append(b, "event: filled\ndata: "...)
			b = tailv1.AppendFilledObject(b, out.Sub, out.Filled)
			return append(b, "\n\n"...)
		}
		b = append(b, "{\"filled\":"...)
		b = tailv1.AppendFilledObject(b, out.Sub, out.Filled)
		return append(b, "}\n"...)
	case out.Gap != nil:
		if t.events {
			b = append(b, "event: gap\n"...)
			b = t.appendID(b, out.Gap.Last, 0)
			b = append(b, "data: "...)
			b = tailv1.AppendGapObject(b, out.Sub, out.Channel, out.Gap)
			return append(b, "\n\n"...)
		}
		b = append(b, "{\"gap\":"...)
		b = tailv1.AppendGapObject(b, out.Sub, out.Channel, out.Gap)
		return append(b, "}\n"...)
	}
	n := out.Block.Records()
	for i := range n {
		if t.events {
			if !out.Stored {
				b = t.appendID(b, out.Block.Seq(i), out.At)
			}
			b = append(b, "data: "...)
		}
		b = append(b, out.Block.Record(i)...)
		b = append(b, '\n')
		if t.events {
			b = append(b, '\n')
		}
	}
	return b
}

// appendID writes what a client sends back in Last-Event-ID.
func (t *tail) appendID(b []byte, seq uint64, at int64) []byte {
	b = append(b, "id: "...)
	b = append(b, t.server.opts.Hub.Epoch()...)
	b = append(b, ':')
	b = strconv.AppendUint(b, seq, 10)
	if at > 0 {
		b = append(b, ':')
		b = strconv.AppendInt(b, at, 10)
	}
	return append(b, '\n')
}

// sayGoodbye tells a client of server-sent events why it is over; lines just end.
func (t *tail) sayGoodbye() {
	if !t.events {
		return
	}
	t.mu.Lock()
	code, reason := t.code, t.reason
	t.mu.Unlock()
	_, _ = fmt.Fprintf(t.w, "event: close\ndata: {\"code\":%d,\"reason\":%q}\n\n", code, reason)
	_ = t.control.Flush()
}
