// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// dialer makes the connections of one pool. It counts them, since a new connection means that the server may be
// another one than before, and can interrupt them: the driver's handshake does not listen to its context.
// The zero value is ready to use.
type dialer struct {
	mu          sync.Mutex
	count       int
	live        map[*trackedConn]struct{}
	interrupted bool
}

func (d *dialer) dial(ctx context.Context, addr string, timeout time.Duration, encrypt *tls.Config) (net.Conn, error) {
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	tracked, err := d.track(conn, err)
	if err != nil || encrypt == nil {
		return tracked, err
	}
	if encrypt.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, errors.Join(err, tracked.Close())
		}
		encrypt = encrypt.Clone()
		encrypt.ServerName = host
	}
	secure := tls.Client(tracked, encrypt)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, tracked.Close())
	}
	return secure, nil
}

func (d *dialer) track(conn net.Conn, err error) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count++
	if err != nil {
		return nil, err
	}
	if d.interrupted {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	if d.live == nil {
		d.live = map[*trackedConn]struct{}{}
	}
	// Not the bare interface: the driver finds a dead idle connection by its system call interface.
	tracked := &trackedConn{TCPConn: conn.(*net.TCPConn), dialer: d}
	d.live[tracked] = struct{}{}
	return tracked, nil
}

// dialled returns how many connections were tried so far.
func (d *dialer) dialled() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

// interrupt closes all connections, and every later one.
func (d *dialer) interrupt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.interrupted = true
	for c := range d.live {
		_ = c.TCPConn.Close()
	}
	clear(d.live)
}

type trackedConn struct {
	*net.TCPConn
	dialer *dialer
}

func (c *trackedConn) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.live, c)
	c.dialer.mu.Unlock()
	return c.TCPConn.Close()
}
