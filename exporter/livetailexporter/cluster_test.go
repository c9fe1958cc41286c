// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter/exportertest"

	"github.com/tailrace/tailrace/exporter/livetailexporter/internal/metadata"
	"github.com/tailrace/tailrace/internal/livetail/cluster"
)

// bus is an extension that connects with nobody.
type bus struct {
	component.StartFunc
	component.ShutdownFunc

	joined chan cluster.Receiver
}

func newBus() *bus { return &bus{joined: make(chan cluster.Receiver, 1)} }

func (b *bus) Join(r cluster.Receiver) (cluster.Link, error) {
	b.joined <- r
	return b, nil
}

func (*bus) Publish(string, []byte) error { return nil }
func (*bus) Subscribe(string) error       { return nil }
func (*bus) Unsubscribe(string) error     { return nil }
func (*bus) Flush(context.Context) error  { return nil }
func (*bus) MaxPayload() int              { return 1 << 20 }
func (*bus) Keeps() bool                  { return false }
func (*bus) Close()                       {}

func (*bus) Replay(context.Context, string, time.Time, func(string, []byte)) error { return nil }

var busID = component.MustNewID("nats")

func inCluster(cfg *Config) { cfg.Cluster = &busID }

func helloV1(t *testing.T, url string) *client {
	t.Helper()
	c := connectV1(t, url, nil)
	require.Equal(t, "hello", c.next().Type)
	return c
}

func (c *client) noticed(code string) {
	c.t.Helper()
	m := c.next()
	require.Equal(c.t, "notice", m.Type)
	require.Equal(c.t, code, m.Payload["code"])
}

func TestClientsAreToldWhenOtherCollectorsAreAway(t *testing.T) {
	b := newBus()
	tl := start(t, inCluster, host{busID: b})
	r := <-b.joined
	r.Connected()
	before := helloV1(t, tl.url)
	classic := connect(t, tl.url)
	r.Disconnected(errors.New("gone"))
	before.noticed("PEERS_AWAY")
	r.Disconnected(errors.New("still gone"))
	helloV1(t, tl.url).noticed("PEERS_AWAY")

	before.say(`{"type":"subscribe","payload":{"channel":"project:shop"},"id":1}`)
	require.Equal(t, "subscribed", before.next().Type)
	tl.print(t, "web-1", 0, 1, 5)
	require.Equal(t, "batch", before.next().Type, "what comes in here is shown")

	r.Connected()
	before.noticed("PEERS_BACK")
	after := helloV1(t, tl.url)
	after.say(`{"type":"ping","payload":{}}`)
	assert.Equal(t, "pong", after.next().Type)
	classic.ask(`{"type":"ping","payload":{},"id":7}`, `{"type":"pong","payload":{},"id":7}`)
}

func TestClusterNeedsAnExtensionThatConnects(t *testing.T) {
	for id, extension := range map[string]component.Component{"": nil, "health_check": &struct {
		component.StartFunc
		component.ShutdownFunc
	}{}} {
		cfg := createDefaultConfig().(*Config)
		ownServer(cfg).NetAddr.Endpoint = "127.0.0.1:0"
		inCluster(cfg)
		tl, err := newLiveTail(exportertest.NewNopSettings(metadata.Type), cfg)
		require.NoError(t, err)
		extensions := host{}
		if id != "" {
			extensions[busID] = extension
		}
		err = tl.Start(context.Background(), extensions)
		require.ErrorContains(t, err, `cluster: `)
		require.ErrorContains(t, err, `extension "nats"`)
		require.NoError(t, tl.Shutdown(context.Background()))
	}
}
