// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/websocket"
)

// Options of a Client.
type Options struct {
	// URL of the server: http(s)://host:port, or ws(s)://host:port/path.
	URL string
	// Token is sent in the first message, not in the URL.
	Token string
	// Header is sent with the request that opens the connection.
	Header http.Header
	// TLS for https, nil: the default.
	TLS *tls.Config
	// Once: a lost connection ends Run.
	Once bool
	// MinBackoff and MaxBackoff bound the pause before the next try; 0: 250 ms and 30 s.
	MinBackoff, MaxBackoff time.Duration
	// MaxMessageBytes bounds one message of the server; 0: 64 MiB.
	MaxMessageBytes int64
}

// Client follows a live tail. Run is called once.
type Client struct {
	opts Options
	subs []*state
	seen seen
}

// state is where a subscription is.
type state struct {
	Subscription
	id    uint32
	epoch string
	last  uint64
	begun bool  // it has a place to go on from
	at    int64 // the server's time of last, Unix milliseconds
	head  uint64
	fill  bool // records of the store come first
	older bool // records of the store come after
	live  bool

	before *place // where it was before fill; nil: it had not begun
}

type place struct {
	epoch string
	seq   uint64
}

// New returns a client.
func New(opts Options) *Client {
	if opts.MinBackoff <= 0 {
		opts.MinBackoff = 250 * time.Millisecond
	}
	if opts.MaxBackoff < opts.MinBackoff {
		opts.MaxBackoff = max(30*time.Second, opts.MinBackoff)
	}
	if opts.MaxMessageBytes <= 0 {
		opts.MaxMessageBytes = 64 << 20
	}
	return &Client{opts: opts, seen: seen{seed: maphash.MakeSeed()}}
}

// CloseError says that the server has ended the connection.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("the server ended the connection: %s (%d)", e.Reason, e.Code)
}

// Final reports whether connecting again can't help.
func (e *CloseError) Final() bool {
	switch e.Code {
	case 4400, 4401, 4403, 4408, 4413, websocket.CloseProtocolError, websocket.ClosePolicyViolation:
		return true
	default:
		return false
	}
}

// RequestError says that the server refused a request.
type RequestError struct{ Code, Message string }

func (e *RequestError) Error() string { return e.Message + " (" + e.Code + ")" }

// Run connects, subscribes and calls handle for whatever happens, until the context ends, handle returns an error, or the
// server says that it is of no use to try again; the error says which. handle is called by one goroutine.
func (c *Client) Run(ctx context.Context, subs []Subscription, handle func(Event) error) error {
	for _, s := range subs {
		c.subs = append(c.subs, &state{Subscription: s})
	}
	pause := c.opts.MinBackoff
	for {
		connected, err := c.connection(ctx, handle)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case isFinal(err), c.opts.Once:
			return err
		}
		if connected {
			pause = c.opts.MinBackoff
		}
		if err := handle(Event{Subscription: -1, Disconnected: err}); err != nil {
			return err
		}
		// With some chance in it, so that not all clients of a server come back at once.
		wait := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		case <-wait.C:
		}
		pause = min(2*pause, c.opts.MaxBackoff)
	}
}

// handlerError is an error of the user's function.
type handlerError struct{ error }

func (e handlerError) Unwrap() error { return e.error }

func isFinal(err error) bool {
	var closed *CloseError
	var refused *RequestError
	var handler handlerError
	var request *url.Error
	switch {
	case errors.As(err, &closed):
		return closed.Final()
	case errors.As(err, &refused), errors.As(err, &handler), errors.Is(err, errRefused):
		return true
	case errors.As(err, &request):
		return request.Op == "parse"
	default:
		return false
	}
}

var errRefused = errors.New("the server refused the connection")

func (c *Client) address() (string, error) {
	u, err := url.Parse(c.opts.URL)
	if err != nil {
		return "", err
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	case "ws", "wss":
	default:
		return "", &url.Error{Op: "parse", URL: c.opts.URL, Err: errors.New("expected http://host:port")}
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/ws"
	}
	return u.String(), nil
}

func (c *Client) dial(ctx context.Context) (*websocket.Conn, error) {
	address, err := c.address()
	if err != nil {
		return nil, err
	}
	d := websocket.Dialer{
		Proxy: http.ProxyFromEnvironment, HandshakeTimeout: 15 * time.Second, TLSClientConfig: c.opts.TLS,
		Subprotocols: []string{"tailrace.v1"}, EnableCompression: true,
	}
	ws, resp, err := d.DialContext(ctx, address, c.opts.Header)
	if resp != nil && resp.Body != nil {
		defer resp.Body.Close()
	}
	if err != nil {
		if resp != nil && resp.StatusCode >= 400 && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
			return nil, fmt.Errorf("%w: %s", errRefused, resp.Status)
		}
		return nil, err
	}
	if ws.Subprotocol() != "tailrace.v1" {
		_ = ws.Close()
		return nil, fmt.Errorf("%w: it does not speak tailrace.v1", errRefused)
	}
	ws.SetReadLimit(c.opts.MaxMessageBytes)
	return ws, nil
}

// connection serves one connection until it ends.
func (c *Client) connection(ctx context.Context, handle func(Event) error) (connected bool, err error) {
	ws, err := c.dial(ctx)
	if err != nil {
		return false, err
	}
	defer ws.Close()
	stop := context.AfterFunc(ctx, func() {
		_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
		_ = ws.Close()
	})
	defer stop()
	s := &session{client: c, ws: ws, silence: time.Minute, handle: func(e Event) error {
		if err := handle(e); err != nil {
			return handlerError{err}
		}
		return nil
	}}
	err = s.run()
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		err = &CloseError{closed.Code, closed.Text}
	}
	return s.greeted, err
}
