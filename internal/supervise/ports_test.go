// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package supervise

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/freeport"
)

// freeRange is three ports in a row on which nobody listens, and a listener on the first one.
func freeRange(t *testing.T) (PortRange, net.Listener) {
	for range 100 {
		first := freeport.For(t)
		if portFree(first+1) && portFree(first+2) {
			listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(first)))
			require.NoError(t, err)
			t.Cleanup(func() { _ = listener.Close() })
			return PortRange{From: first, To: first + 2}, listener
		}
	}
	t.Fatal("no three free ports in a row")
	return PortRange{}, nil
}

func TestEachServerGetsAPortOfItsOwn(t *testing.T) {
	of, _ := freeRange(t)
	var servers []Server
	for _, id := range []string{"one", "two", "three"} {
		server := testServer(id, "serve")
		server.AssignPort = true
		server.EnvFile = filepath.Join(t.TempDir(), "env")
		require.NoError(t, os.WriteFile(server.EnvFile, []byte("PORT=1"), 0o600))
		server.Health = testCheck(HTTPProbe{Path: "/health"})
		servers = append(servers, server)
	}
	servers[1].Health.Probe = TCPProbe{}
	options := testOptions(servers...)
	options.Ports = of
	sink := &recorder{}
	s := start(t, options, sink)
	var healthy, failed []int
	require.Eventually(t, func() bool {
		healthy, failed = nil, nil
		for _, server := range servers {
			event := lastEvent(sink.of(server.Source), Health)
			if event != nil && event.State == HealthHealthy {
				port := 0
				for _, e := range sink.of(server.Source) {
					if e.Event != nil && e.Event.Kind == Lifecycle && e.Event.State == StateRunning {
						port = e.Event.Port
					}
				}
				healthy = append(healthy, port)
			}
			if event != nil && event.State == HealthUnhealthy {
				failed = append(failed, 0)
				assert.Contains(t, event.Reason, "ports: none from ")
			}
		}
		return len(healthy) == 2 && len(failed) == 1
	}, 20*time.Second, 5*time.Millisecond)
	assert.ElementsMatch(t, []int{of.From + 1, of.From + 2}, healthy, "on the first one listens somebody else")
	require.NoError(t, s.Stop(t.Context()))
}

func TestAServerKeepsItsPort(t *testing.T) {
	of, listener := freeRange(t)
	p := ports{of: of}
	one, two := &server{}, &server{}
	var err error
	one.port, err = p.assign(one)
	require.NoError(t, err)
	assert.Equal(t, of.From+1, one.port)
	require.NoError(t, listener.Close())
	for range 2 {
		port, err := p.assign(one)
		require.NoError(t, err)
		assert.Equal(t, of.From+1, port)
	}
	two.port, err = p.assign(two)
	require.NoError(t, err)
	assert.Equal(t, of.From, two.port)

	// Somebody else took it: another one is found, and the old one is left.
	other, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(one.port)))
	require.NoError(t, err)
	defer other.Close()
	one.port, err = p.assign(one)
	require.NoError(t, err)
	assert.Equal(t, of.From+2, one.port)
	assert.Nil(t, p.taken[of.From+1])
}
