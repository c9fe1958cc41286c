// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package natsextension

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/collector/component"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/livetail/cluster"
)

// natsExtension makes links. It implements cluster.Bus.
type natsExtension struct {
	cfg    *Config
	id     component.ID
	logger *zap.Logger
	queue  int // messages that may wait for a live tail

	mu    sync.Mutex // guards what follows
	tls   *tls.Config
	links map[*link]struct{}
	down  bool
}

var _ cluster.Bus = (*natsExtension)(nil)

// Start reads certificates. A server that is away is no error, here or later.
func (n *natsExtension) Start(ctx context.Context, _ component.Host) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links = map[*link]struct{}{}
	if !n.cfg.TLS.HasValue() {
		return nil
	}
	var err error
	if n.tls, err = n.cfg.TLS.Get().LoadTLSConfig(ctx); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	return nil
}

// Shutdown closes what nobody has closed.
func (n *natsExtension) Shutdown(context.Context) error {
	n.mu.Lock()
	n.down = true
	var left []*link
	for l := range n.links {
		left = append(left, l)
	}
	n.mu.Unlock()
	for _, l := range left {
		l.Close()
	}
	return nil
}

var errDown = errors.New("the nats extension has been shut down")

// Join implements cluster.Bus.
func (n *natsExtension) Join(r cluster.Receiver) (cluster.Link, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down || n.links == nil {
		return nil, errDown
	}
	l, err := connect(n, r)
	if err != nil {
		return nil, err
	}
	n.links[l] = struct{}{}
	return l, nil
}

func (n *natsExtension) forget(l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.links, l)
}

// options of a connection, but for what it tells.
func (n *natsExtension) options() ([]nats.Option, error) {
	opts := []nats.Option{
		nats.Name("tailrace " + n.id.String()),
		nats.NoEcho(), // our own records are here already
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(500 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 250*time.Millisecond),
		nats.ReconnectBufSize(-1), // what waits is bounded and counted by who publishes
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.IgnoreAuthErrorAbort(), // credentials are rotated on the server too
	}
	if n.tls != nil {
		opts = append(opts, nats.Secure(n.tls.Clone()))
	}
	switch a := n.cfg.Auth; {
	case a.Username != "":
		opts = append(opts, nats.UserInfo(a.Username, string(a.Password)))
	case a.Token != "":
		opts = append(opts, nats.Token(string(a.Token)))
	case a.CredentialsFile != "":
		opts = append(opts, nats.UserCredentials(a.CredentialsFile))
	case a.NKeySeedFile != "":
		opt, err := nats.NkeyOptionFromSeed(a.NKeySeedFile)
		if err != nil {
			return nil, fmt.Errorf("auth.nkey_seed_file: %w", err)
		}
		opts = append(opts, opt)
	}
	return opts, nil
}
