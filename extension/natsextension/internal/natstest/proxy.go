// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package natstest

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Proxy stands between a client and a server, and can be cut.
type Proxy struct {
	listener net.Listener

	mu    sync.Mutex // guards what follows
	to    string
	conns map[net.Conn]struct{}
	cut   bool
	done  sync.WaitGroup
}

// Between starts a proxy to an address, until the test ends.
func Between(tb testing.TB, to string) *Proxy {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	p := &Proxy{listener: listener, to: to, conns: map[net.Conn]struct{}{}}
	p.done.Go(p.accept)
	tb.Cleanup(func() {
		_ = listener.Close()
		p.Cut(true)
		p.done.Wait()
	})
	return p
}

// URL is where clients connect.
func (p *Proxy) URL() string { return "nats://" + p.Addr() }

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// To changes where connections go from now on.
func (p *Proxy) To(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = addr
}

// Cut breaks all connections and lets none through, or lets them through again.
func (p *Proxy) Cut(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if cut {
		for c := range p.conns {
			_ = c.Close()
		}
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		to := p.to
		p.mu.Unlock()
		server, err := net.Dial("tcp", to)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		if p.cut {
			_ = client.Close()
			_ = server.Close()
		} else {
			p.conns[client], p.conns[server] = struct{}{}, struct{}{}
			p.done.Go(func() { p.copy(client, server) })
			p.done.Go(func() { p.copy(server, client) })
		}
		p.mu.Unlock()
	}
}

func (p *Proxy) copy(dst, src net.Conn) {
	_, _ = io.Copy(dst, src)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range []net.Conn{dst, src} {
		_ = c.Close()
		delete(p.conns, c)
	}
}
