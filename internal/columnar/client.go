// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package columnar

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"

	"github.com/tailrace/tailrace/internal/insert"
)

// Options say how a Client reaches ClickHouse.
type Options struct {
	// Hosts are host:port of the native protocol, at least one. A connection is made to the first one that answers, in this order.
	Hosts []string
	// Database holds the tables; it needs not be there before the first insert.
	Database, Username, Password string
	Compression                  ch.Compression
	// TLS is nil for a connection in the clear.
	TLS *tls.Config
	// DialTimeout bounds a dial and the handshakes after it, for each host.
	DialTimeout time.Duration
	// Connections is how many leases there are at the same time, so how many batches are turned into columns and sent.
	Connections int
	// ClientName is shown in ClickHouse's query log.
	ClientName string
}

const (
	// A connection that was idle for so long is asked whether it is alive before an insert is sent on it.
	pingAfter = time.Second
	// A connection that was idle for so long is closed, before a balancer in between does so in silence.
	idleTimeout = time.Minute
)

// Client is a bounded pool of connections. It dials when something is to be inserted, never before, so it needs no
// ClickHouse to come into being. It is safe for concurrent use.
type Client struct {
	opts  Options
	slots chan struct{}

	mu     sync.Mutex
	idle   []*conn // the last one was used last
	open   int
	closed bool
}

type conn struct {
	*ch.Client
	used time.Time
}

// ErrClosed is what a closed Client answers.
var ErrClosed = errors.New("the exporter is shut down")

// NewClient returns a Client, to be closed by the caller.
func NewClient(opts Options) *Client {
	return &Client{opts: opts, slots: make(chan struct{}, opts.Connections)}
}

// Open is how many connections there are.
func (c *Client) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// Close closes what is idle; what is leased is closed with its release.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, k := range c.idle {
		_ = k.Close()
	}
	c.open -= len(c.idle)
	c.idle = nil
}

// Lease is the right to one connection; the connection itself is made when it is needed. It is not safe for concurrent use.
type Lease struct {
	client *Client
	conn   *conn
}

// Acquire waits until one of the Connections is free, and returns ctx's error when it ends before that.
func (c *Client) Acquire(ctx context.Context) (*Lease, error) {
	select {
	case c.slots <- struct{}{}:
		return &Lease{client: c}, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for one of %d connections: %w", cap(c.slots), ctx.Err())
	}
}

// Release gives the connection back.
func (l *Lease) Release() {
	if l.conn != nil {
		l.client.put(l.conn)
	}
	<-l.client.slots
}

// Insert sends the block as one INSERT of one block of the Native format, and returns when ClickHouse has answered. With a token the
// insert can be repeated with the same rows: ClickHouse drops what came under it before. An error says nothing about whether the
// rows are in the table, unless insert.Classify says so. A block without rows is not sent.
func (l *Lease) Insert(ctx context.Context, token string, b *Block) error {
	if b.Rows() == 0 {
		return nil
	}
	if l.conn == nil {
		k, err := l.client.get(ctx)
		if err != nil {
			return fmt.Errorf("insert into %s: %w", b.Table, err)
		}
		l.conn = k
	}
	// Blocks are large, so nothing is gained by the server's collecting small ones; and it would forget the token.
	settings := []ch.Setting{{Key: insert.SettingAsync, Value: "0", Important: true}, {Key: insert.SettingForeground, Value: "1", Important: true}}
	if token != "" {
		settings = append(settings, ch.Setting{Key: insert.SettingToken, Value: token, Important: true},
			ch.Setting{Key: insert.SettingTokenViews, Value: "1", Important: true})
	}
	err := l.conn.Do(ctx, ch.Query{
		Body:     "INSERT INTO " + quote(l.client.opts.Database) + "." + quote(b.Table) + " " + b.into + " FORMAT Native",
		Input:    b.input,
		Settings: settings,
	})
	if err != nil {
		// Part of the block may have been sent, so the connection can't be used for anything else.
		l.client.drop(l.conn)
		l.conn = nil
		return fmt.Errorf("insert into %s: %w", b.Table, err)
	}
	l.conn.used = time.Now()
	return nil
}

func quote(name string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
}

func (c *Client) get(ctx context.Context) (*conn, error) {
	for {
		k, err := c.pop()
		if err != nil {
			return nil, err
		}
		if k == nil {
			return c.dial(ctx)
		}
		switch idle := time.Since(k.used); {
		case idle < pingAfter:
			return k, nil
		case idle < idleTimeout && k.Ping(ctx) == nil:
			return k, nil
		}
		c.drop(k)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// pop returns nil when nothing is idle. What was idle for too long is closed on the way.
func (c *Client) pop() (*conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	for len(c.idle) > 0 && time.Since(c.idle[0].used) > idleTimeout {
		_ = c.idle[0].Close()
		c.idle = c.idle[1:]
		c.open--
	}
	n := len(c.idle)
	if n == 0 {
		return nil, nil
	}
	k := c.idle[n-1]
	c.idle = c.idle[:n-1]
	return k, nil
}

func (c *Client) put(k *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = k.Close()
		c.open--
		return
	}
	c.idle = append(c.idle, k)
}

func (c *Client) drop(k *conn) {
	_ = k.Close() // closed already when the query was cancelled
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
}

// dial connects to the first host that answers.
func (c *Client) dial(ctx context.Context) (*conn, error) {
	var errs []error
	for _, host := range c.opts.Hosts {
		client, err := c.connect(ctx, host)
		if err == nil {
			c.mu.Lock()
			c.open++
			c.mu.Unlock()
			return &conn{Client: client, used: time.Now()}, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", host, err))
	}
	return nil, errors.Join(errs...)
}

func (c *Client) connect(ctx context.Context, host string) (*ch.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.DialTimeout)
	defer cancel()
	var dialer interface {
		DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	} = &net.Dialer{}
	if c.opts.TLS != nil {
		dialer = &tls.Dialer{Config: c.opts.TLS}
	}
	wire, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	client, err := ch.ConnectWithBuffer(ctx, wire, ch.Options{
		User: c.opts.Username, Password: c.opts.Password, Compression: c.opts.Compression, ClientName: c.opts.ClientName,
		HandshakeTimeout: c.opts.DialTimeout,
	}, new(proto.Buffer))
	if err != nil {
		_ = wire.Close()
		return nil, err
	}
	return client, nil
}
