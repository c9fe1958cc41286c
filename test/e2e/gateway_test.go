// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A child of the agent, whose lines go the same way as OTLP.
const childOfTheAgent = "yaml:extensions::runner::servers: [{id: worker-1, project: load, command: [sh, -c, 'echo a line of a child; exec sleep 600']}]"

// startPair starts a gateway, and an agent that sends to it, with certificates of an authority that is made for them.
func startPair(t *testing.T) (agent, gateway *product, ca *authority) {
	t.Helper()
	ca, folder := newAuthority(t), t.TempDir()
	ca.write(folder, "agent", x509.ExtKeyUsageClientAuth)
	ca.write(folder, "gateway", x509.ExtKeyUsageServerAuth)
	t.Setenv("TAILRACE_TLS", folder)
	gateway = newProduct(t, "config/gateway.yaml")
	gateway.http = gateway.grpc // it has no OTLP over HTTP; processes are recognised by this address
	t.Setenv("TAILRACE_GATEWAY", gateway.grpc)
	gateway.start()
	gateway.waitReady()
	agent = newProduct(t, "config/agent.yaml", childOfTheAgent)
	agent.start()
	agent.await(30*time.Second, "healthy", agent.healthy)
	return agent, gateway, ca
}

// What an agent acknowledged is in the gateway's ClickHouse, though the gateway was killed under load and away for a while, and the
// agent was killed while it held what it could not send. A record may be there twice where the gateway had stored it and was killed before
// it answered; so distinct ones are counted.
func TestAgentAndGatewayLoseNothing(t *testing.T) {
	agent, gateway, _ := startPair(t)
	l := startLoad(agent, "load", 2, 5*time.Millisecond)
	more := func(n int) {
		t.Helper()
		from := map[string]int{}
		for signal := range stored {
			from[signal] = l.count(signal)
		}
		agent.await(60*time.Second, fmt.Sprintf("%d more acknowledged requests", n), func() error {
			for signal, before := range from {
				if got := l.count(signal) - before; got < n {
					return fmt.Errorf("%d of %s", got, signal)
				}
			}
			return nil
		})
	}
	more(100)
	for range 3 {
		gateway.kill()
		more(100) // taken while the gateway is away
		gateway.start()
		gateway.waitReady()
		more(50)
	}
	gateway.kill()
	more(100)
	l.stop()
	waiting, err := agent.metric("otelcol_exporter_queue_size")
	require.NoError(t, err)
	require.Positive(t, waiting, "nothing waits in the agent, so that its kill would show nothing")
	agent.kill()
	agent.awaitGone(20 * time.Second)
	agent.start()
	agent.await(30*time.Second, "healthy", agent.healthy)
	gateway.start()
	gateway.waitReady()

	assert.Zero(t, l.refused.Load(), "requests refused by the agent, which had room")
	for signal, at := range stored {
		want := uint64(l.count(signal) * recordsPerRequest)
		gateway.awaitCount(90*time.Second, want, fmt.Sprintf("SELECT uniqExact(%s) FROM %s WHERE ProjectId = 'load' AND ResourceAttributes['service.name'] = 'e2e'", at.key, at.table))
		rows, err := gateway.count(fmt.Sprintf("SELECT count() FROM %s WHERE ProjectId = 'load' AND ResourceAttributes['service.name'] = 'e2e'", at.table))
		require.NoError(t, err)
		t.Logf("%s: %d acknowledged, all there; %d came twice", signal, want, rows-want)
	}
	uids, err := gateway.count("SELECT uniqExact(LogAttributes['log.record.uid']) FROM tailrace.otel_logs WHERE ProjectId = 'load' AND ResourceAttributes['service.name'] = 'e2e'")
	require.NoError(t, err)
	assert.EqualValues(t, l.count("logs")*recordsPerRequest, uids, "a repeated record has the uid that the agent gave it")
	gateway.awaitCount(30*time.Second, 1, "SELECT uniqExact(ResourceAttributes['server.id']) FROM tailrace.otel_logs WHERE ProjectId = 'load' AND ResourceAttributes['server.id'] = 'worker-1' AND Body = 'a line of a child'")
	agent.stop()
	gateway.stop()
}

// Who has no certificate of the gateway's authority can't even say hello, and an agent does not talk to a stranger.
func TestGatewayAndAgentKnowEachOther(t *testing.T) {
	agent, gateway, ca := startPair(t)
	stranger := newAuthority(t)
	for name, c := range map[string]struct {
		config *tls.Config
		want   string
	}{
		"no certificate":              {&tls.Config{RootCAs: ca.pool()}, "certificate required"},
		"a certificate of another":    {&tls.Config{RootCAs: ca.pool(), Certificates: []tls.Certificate{stranger.issue("agent", x509.ExtKeyUsageClientAuth)}}, "unknown certificate authority"},
		"the certificate of a server": {&tls.Config{RootCAs: ca.pool(), Certificates: []tls.Certificate{ca.issue("gateway", x509.ExtKeyUsageServerAuth)}}, "bad certificate"},
		"old TLS":                     {&tls.Config{RootCAs: ca.pool(), MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{ca.issue("agent", x509.ExtKeyUsageClientAuth)}}, "protocol version not supported"},
		"a client that knows another": {&tls.Config{RootCAs: stranger.pool()}, "signed by unknown authority"},
		"an agent":                    {&tls.Config{RootCAs: ca.pool(), Certificates: []tls.Certificate{ca.issue("agent", x509.ExtKeyUsageClientAuth)}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.config.NextProtos = []string{"h2"}
			err := handshake(gateway.grpc, c.config)
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
		})
	}

	// A gateway with the certificate of another authority gets nothing.
	folder := t.TempDir()
	stranger.write(folder, "gateway", x509.ExtKeyUsageServerAuth)
	gateway.stop()
	require.NoError(t, agent.sendLogs(logs("load", "not for strangers", 1)))
	t.Setenv("TAILRACE_TLS", folder)
	gateway.start()
	gateway.waitReady()
	agent.await(30*time.Second, "a complaint about the certificate", func() error {
		if agent.logged("certificate signed by unknown authority") {
			return nil
		}
		return fmt.Errorf("not in the log")
	})
	n, err := gateway.count("SELECT count() FROM tailrace.otel_logs WHERE Body = 'not for strangers-0'")
	require.NoError(t, err)
	assert.Zero(t, n)
}

// handshake ends with an answer of the other side: with TLS 1.3 a client learns only then that it was refused.
func handshake(address string, config *tls.Config) error {
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = conn.Read(make([]byte, 1)) // HTTP/2 servers speak first
	return err
}
