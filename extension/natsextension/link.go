// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package natsextension

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/livetail/cluster"
)

// queueLength is how many messages may wait for the live tail. What is above is lost, and counted by it.
const queueLength = 64 << 10

// link is one connection. All its subscriptions share one queue, so that messages stay in the order of their publisher.
type link struct {
	ext    *natsExtension
	conn   *nats.Conn
	to     cluster.Receiver
	prefix string
	queue  chan *nats.Msg
	stream *stream // nil: nothing is kept

	mu   sync.Mutex // guards subs
	subs map[string]*nats.Subscription

	closing sync.Once
	quit    chan struct{}
	done    sync.WaitGroup
	slow    atomic.Int64 // when a slow consumer was last reported
}

func connect(n *natsExtension, r cluster.Receiver) (*link, error) {
	opts, err := n.options()
	if err != nil {
		return nil, err
	}
	l := &link{
		ext: n, to: r, prefix: n.cfg.SubjectPrefix + ".", queue: make(chan *nats.Msg, n.queue), subs: map[string]*nats.Subscription{},
		quit: make(chan struct{}),
	}
	if n.cfg.Stream.HasValue() {
		l.stream = &stream{cfg: n.cfg.Stream.Get(), prefix: l.prefix}
	}
	opts = append(opts,
		nats.ConnectHandler(func(c *nats.Conn) { l.connected(c) }),
		nats.ReconnectHandler(func(c *nats.Conn) { l.connected(c) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { l.disconnected(err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { l.disconnected(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.problem(err) }),
	)
	if l.conn, err = nats.Connect(strings.Join(n.cfg.Endpoints, ","), opts...); err != nil {
		return nil, err
	}
	l.done.Go(l.read)
	if !l.conn.IsConnected() {
		l.disconnected(l.conn.LastError())
	}
	return l, nil
}

// connected makes the stream before anything is published, so that it keeps all of it.
func (l *link) connected(c *nats.Conn) {
	if l.stream != nil {
		if err := l.stream.ensure(c); err != nil {
			l.ext.logger.Warn("The stream can't be made: nothing is kept for collectors that come later", zap.Error(err))
		}
	}
	select {
	case <-l.quit:
	default:
		l.to.Connected()
	}
}

func (l *link) disconnected(err error) {
	select {
	case <-l.quit:
	default:
		l.to.Disconnected(err)
	}
}

func (l *link) problem(err error) {
	if errors.Is(err, nats.ErrSlowConsumer) { // one for every message that is dropped would be too many
		now := time.Now().Unix()
		if last := l.slow.Swap(now); now-last < 60 {
			return
		}
	}
	l.ext.logger.Warn("NATS reports a problem", zap.Error(err))
}

func (l *link) read() {
	for {
		select {
		case m := <-l.queue:
			l.to.Message(strings.TrimPrefix(m.Subject, l.prefix), m.Data)
		case <-l.quit:
			return
		}
	}
}

// Publish implements cluster.Link.
func (l *link) Publish(subject string, data []byte) error {
	return l.conn.Publish(l.prefix+subject, data)
}

// Subscribe implements cluster.Link.
func (l *link) Subscribe(subject string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.subs[subject] != nil {
		return nil
	}
	s, err := l.conn.ChanSubscribe(l.prefix+subject, l.queue)
	if err == nil {
		l.subs[subject] = s
	}
	return err
}

// Unsubscribe implements cluster.Link.
func (l *link) Unsubscribe(subject string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.subs[subject]
	if s == nil {
		return nil
	}
	delete(l.subs, subject)
	return s.Unsubscribe()
}

// Flush implements cluster.Link.
func (l *link) Flush(ctx context.Context) error { return l.conn.FlushWithContext(ctx) }

// MaxPayload implements cluster.Link.
func (l *link) MaxPayload() int { return int(l.conn.MaxPayload()) }

// Keeps implements cluster.Link.
func (l *link) Keeps() bool { return l.stream != nil && l.stream.made.Load() }

// Replay implements cluster.Link.
func (l *link) Replay(ctx context.Context, subject string, since time.Time, do func(subject string, data []byte)) error {
	return l.stream.replay(ctx, l.conn, subject, since, do)
}

// Close implements cluster.Link.
func (l *link) Close() {
	l.closing.Do(func() {
		if l.conn.IsConnected() {
			_ = l.conn.FlushTimeout(time.Second)
		}
		close(l.quit)
		l.conn.Close()
		l.done.Wait()
		l.ext.forget(l)
	})
}
