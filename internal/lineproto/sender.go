// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package lineproto

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	firstRetry   = 50 * time.Millisecond
	longestRetry = 2 * time.Second
	// greetTimeout bounds the wait for a welcome.
	greetTimeout = 10 * time.Second
	sendBytes    = 64 << 10
)

// sender sends a spool, as often as it takes.
type sender struct {
	spool  *spool
	dial   func(context.Context) (net.Conn, error)
	hello  Hello
	token  string
	logger *zap.Logger

	mu      sync.Mutex
	first   chan struct{} // closed at the first welcome
	tried   chan struct{} // closed when the first try has ended
	changed chan struct{} // closed and replaced when a try or a connection ends, or something was acknowledged
	greeted bool
	last    Welcome
	up      bool
	tries   int  // that failed since the last welcome
	refused bool // for good: it makes no sense to try again soon
	hurry   chan struct{}
}

func newSender(s *spool, dial func(context.Context) (net.Conn, error), hello Hello, token string, logger *zap.Logger) *sender {
	return &sender{
		spool: s, dial: dial, hello: hello, token: token, logger: logger,
		first: make(chan struct{}), tried: make(chan struct{}), changed: make(chan struct{}), hurry: make(chan struct{}, 1),
	}
}

func (s *sender) setPID(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hello.PID = pid
}

// connected waits for the first welcome.
func (s *sender) connected(ctx context.Context) bool {
	select {
	case <-s.first:
		return true
	default:
	}
	select {
	case <-s.first:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *sender) welcome() Welcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// maxLine returns the limit of the server, 0 before it is known.
func (s *sender) maxLine() int { return min(s.welcome().MaxLineBytes, DefaultMaxLineBytes) }

// update changes the state under mu and wakes who waits for a change.
func (s *sender) update(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// drain waits until all is acknowledged, ctx ends, or there is no server.
func (s *sender) drain(ctx context.Context) {
	select {
	case s.hurry <- struct{}{}:
	default:
	}
	s.mu.Lock()
	tries := s.tries
	s.mu.Unlock()
	for s.spool.pending() {
		s.mu.Lock()
		changed, away := s.changed, !s.up && s.tries > tries || s.refused
		if s.up {
			tries = s.tries
		}
		s.mu.Unlock()
		if away || !s.spool.pending() {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// lostServer returns a channel that is closed at once when there is no connection, or when it ends.
func (s *sender) lostServer() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up {
		return s.changed
	}
	closed := make(chan struct{})
	close(closed)
	return closed
}

// run connects and sends until ctx ends.
func (s *sender) run(ctx context.Context) {
	wait := firstRetry
	var once sync.Once
	for ctx.Err() == nil {
		greeted, err := s.session(ctx)
		if ctx.Err() != nil {
			return
		}
		s.logger.Debug("No connection", zap.Error(err))
		var e *Error
		refused := errors.As(err, &e) && e.Fatal && (e.Code == CodeUnauthorized || e.Code == CodeVersion ||
			e.Code == CodeBadHello || e.Code == CodeIdentityChanged)
		s.update(func() {
			s.up, s.refused = false, refused
			s.tries++
		})
		once.Do(func() { close(s.tried) })
		if greeted {
			wait = firstRetry
		}
		if refused {
			wait = longestRetry
		}
		timer := time.NewTimer(wait/2 + rand.N(wait/2))
		select {
		case <-timer.C:
		case <-s.hurry:
		case <-ctx.Done():
		}
		timer.Stop()
		wait = min(2*wait, longestRetry)
	}
}

// session is one connection.
func (s *sender) session(ctx context.Context) (greeted bool, err error) {
	dialCtx, cancelDial := context.WithTimeout(ctx, greetTimeout)
	nc, err := s.dial(dialCtx)
	cancelDial()
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	defer nc.Close()
	defer stop()
	defer cancel(nil)

	s.mu.Lock()
	hello := s.hello
	s.mu.Unlock()
	hello.Token = s.token
	_, hello.Acked, _ = s.spool.state()
	_ = nc.SetDeadline(time.Now().Add(greetTimeout))
	if _, err := nc.Write(marshalLine(hello)); err != nil {
		return false, err
	}
	in := bufio.NewReader(nc)
	var w Welcome
	if err := readReply(in, func(kind string, b []byte) error {
		if kind != typeWelcome {
			return fmt.Errorf("a %s came instead of a welcome", kind)
		}
		return json.Unmarshal(b, &w)
	}); err != nil {
		return false, err
	}
	if w.Version != Version {
		return false, fmt.Errorf("the server speaks version %d of the protocol, not %d", w.Version, Version)
	}
	_ = nc.SetDeadline(time.Time{})
	s.spool.ack(w.Resume)
	s.update(func() {
		s.last, s.up, s.tries, s.refused = w, true, 0, false
		if !s.greeted {
			s.greeted = true
			close(s.first)
		}
	})
	keep := time.Duration(w.KeepAlive * float64(time.Second))
	if keep <= 0 {
		keep = 20 * time.Second
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		cancel(s.listen(nc, in, 4*keep)) // ends send, too
	}()
	err = s.send(ctx, nc, keep)
	cancel(err)
	_ = nc.Close()
	wg.Wait()
	// The reason that the server gave says more than a broken pipe.
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return true, err
}

// send writes what the spool holds, and signs of life.
func (s *sender) send(ctx context.Context, nc net.Conn, keep time.Duration) error {
	var at cursor
	_, acked, _ := s.spool.state()
	buf := make([]byte, sendBytes)
	alive := marshalLine(map[string]string{"type": typeAlive})
	timer := time.NewTimer(keep)
	defer timer.Stop()
	for {
		got, err := s.spool.read(&at, buf)
		if err != nil {
			s.logger.Warn("A part of the spool can't be read, and is given up", zap.Error(err))
			s.spool.skip(&at)
			continue
		}
		if len(got) > 0 {
			got = behind(got, acked)
			if _, err := nc.Write(got); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		timer.Reset(keep)
		select {
		case <-s.spool.more:
		case <-timer.C:
			if _, err := nc.Write(alive); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// behind cuts off the messages up to number acked. They stand at the beginning.
func behind(messages []byte, acked uint64) []byte {
	for len(messages) > 0 {
		seq, ok := readSeq(messages)
		if !ok || seq > acked {
			break
		}
		end := 0
		for messages[end] != '\n' {
			end++
		}
		messages = messages[end+1:]
	}
	return messages
}

// listen reads what the server says until the connection ends.
func (s *sender) listen(nc net.Conn, in *bufio.Reader, silence time.Duration) error {
	for {
		_ = nc.SetReadDeadline(time.Now().Add(silence))
		err := readReply(in, func(kind string, b []byte) error {
			if kind != typeAck {
				return nil
			}
			var m struct{ Seq uint64 }
			if err := json.Unmarshal(b, &m); err != nil {
				return err
			}
			s.spool.ack(m.Seq)
			s.update(func() {})
			return nil
		})
		var e *Error
		if errors.As(err, &e) && !e.Fatal {
			s.logger.Warn("The collector refused a message", zap.String("code", e.Code), zap.String("message", e.Message))
			continue
		}
		if err != nil {
			return err
		}
	}
}

// maxReplyBytes bounds a message of the server.
const maxReplyBytes = 1 << 20

// readReply reads a message of the server; an error message is the error.
func readReply(in *bufio.Reader, f func(kind string, b []byte) error) error {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				err = errors.New("the collector closed the connection")
			}
			return err
		}
		if len(line) > maxReplyBytes {
			return errors.New("the collector sent a message without an end")
		}
	}
	var m struct{ Type string }
	if err := json.Unmarshal(line, &m); err != nil {
		return fmt.Errorf("what the collector sent is no message: %w", err)
	}
	if m.Type == typeError {
		e := &Error{}
		if err := json.Unmarshal(line, e); err != nil {
			return err
		}
		return e
	}
	return f(m.Type, line)
}
