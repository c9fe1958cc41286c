// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
)

var errRefused = errors.New("refused for now")

// Checker is a consumer that compares every record with what the child of a Plan printed. It refuses some data for
// now, which has to come again.
type Checker struct {
	done chan struct{} // closed when both streams are complete or one is wrong

	mu      sync.Mutex
	streams map[string]*expected
	refuse  *rand.Rand
	err     error
	ended   bool
	// Records and Bytes were right. Exited says how the process ended.
	Records, Bytes int64
	Exited         string
}

// expected is a stream and how far it has come.
type expected struct {
	lines *Lines
	line  []byte // the rest of the current line
	part  int64  // parts of it that were there
	over  bool
	uid   string
	count int64
}

// NewChecker returns the checker for a plan.
func NewChecker(p Plan) *Checker {
	c := &Checker{done: make(chan struct{}), refuse: rand.New(rand.NewPCG(p.Seed, 200))}
	c.streams = map[string]*expected{
		"stdout": {lines: NewLines(p.Seed, Stdout, p.Lines, p.First)},
		"stderr": {lines: NewLines(p.Seed, Stderr, p.Lines, 0)},
	}
	for _, s := range c.streams {
		s.next()
	}
	return c
}

// Done is closed when both streams and the end of the process were seen, or something was wrong.
func (c *Checker) Done() <-chan struct{} { return c.done }

// Err tells what was wrong, or what is missing.
func (c *Checker) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	for name, s := range c.streams {
		if !s.over {
			return fmt.Errorf("%s: it ends after %d lines", name, s.count)
		}
	}
	return nil
}

// Capabilities implements consumer.Logs.
func (*Checker) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// ConsumeLogs implements consumer.Logs.
func (c *Checker) ConsumeLogs(_ context.Context, logs plog.Logs) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse.IntN(100) == 0 {
		return errRefused
	}
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				if c.err == nil {
					c.record(record)
				}
			}
		}
	}
	over := c.Exited != ""
	for _, s := range c.streams {
		over = over && s.over
	}
	if (over || c.err != nil) && !c.ended {
		c.ended = true
		close(c.done)
	}
	return nil
}

func (c *Checker) record(r plog.LogRecord) {
	attrs := r.Attributes()
	if r.EventName() != "" {
		if state, ok := attrs.Get("server.lifecycle.state"); ok && (state.Str() == "exited" || state.Str() == "failed") {
			c.Exited = r.Body().Str()
		}
		return
	}
	text := func(key string) string {
		if v, ok := attrs.Get(key); ok {
			return v.AsString()
		}
		return ""
	}
	name := text("log.iostream")
	s := c.streams[name]
	if s == nil {
		c.err = fmt.Errorf("a record of the stream %q", name)
		return
	}
	uid := text("log.record.uid")
	if uid <= s.uid {
		c.err = fmt.Errorf("%s, line %d: the uid %s follows %s", name, s.count, uid, s.uid)
		return
	}
	s.uid = uid
	var part int64
	if v, ok := attrs.Get("tailrace.line.part"); ok {
		part = v.Int()
	}
	joined := int64(1)
	if v, ok := attrs.Get("tailrace.line.count"); ok {
		joined = v.Int()
	}
	got, err := printed(r)
	if err == nil {
		err = s.match(got, part, text("tailrace.line.last_part") == "true", joined)
	}
	if err != nil {
		c.err = fmt.Errorf("%s, line %d: %w", name, s.count, err)
		return
	}
	c.Records++
	c.Bytes += int64(len(got))
}

// printed returns the bytes that a record stands for.
func printed(r plog.LogRecord) ([]byte, error) {
	shown := r.Body().Str()
	if v, ok := r.Attributes().Get("log.record.original"); ok {
		shown = v.Str()
	}
	v, ok := r.Attributes().Get("tailrace.line.bytes")
	if !ok {
		return []byte(shown), nil
	}
	raw := v.Bytes().AsRaw()
	for i, line := range bytes.Split(raw, []byte("\n")) {
		if want := strings.ToValidUTF8(string(line), "\uFFFD"); strings.Split(shown, "\n")[i] != want {
			return nil, fmt.Errorf("%q is shown as %q", raw, shown)
		}
	}
	return raw, nil
}

// match compares with what comes next: a part of a line, a line, or several lines that were joined.
func (s *expected) match(got []byte, part int64, last bool, joined int64) error {
	if s.over {
		return fmt.Errorf("%q behind the end", short(got))
	}
	if part > 0 {
		s.part++
		if part != s.part {
			return fmt.Errorf("part %d instead of %d", part, s.part)
		}
		rest, ok := bytes.CutPrefix(s.line, got)
		if !ok || last != (len(rest) == 0) {
			return fmt.Errorf("part %d (last: %t) is %q of %q", part, last, short(got), short(s.line))
		}
		if s.line = rest; last {
			s.next()
		}
		return nil
	}
	for i := range joined {
		line := got
		if i < joined-1 {
			var ok bool
			if line, got, ok = bytes.Cut(got, []byte("\n")); !ok {
				return fmt.Errorf("%d of %d joined lines", i, joined)
			}
		}
		if s.over || s.part > 0 || !bytes.Equal(line, s.line) {
			return fmt.Errorf("%q instead of %q", short(line), short(s.line))
		}
		s.next()
	}
	return nil
}

func (s *expected) next() {
	line, ok := s.lines.Next()
	s.line, s.over, s.part = line.Want(), !ok, 0
	if ok {
		s.count++
	}
}

func short(b []byte) []byte { return b[:min(len(b), 200)] }
