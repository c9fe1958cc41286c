// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/audit"
)

// slow writes a line, waits longer than the limit, and goes on.
func slow(limit time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		for i := range 4 {
			fmt.Fprintf(w, "{\"line\":%d}\n", i)
			if i < 3 {
				_ = http.NewResponseController(w).Flush()
				time.Sleep(limit * 3 / 2) // the time is what is tested
			}
		}
	})
}

// The time-out is for a client that takes nothing, not for a database that takes its time: over HTTP/1 and 2.
func TestSlowStreamsAreNotCut(t *testing.T) {
	certificate, key := certify(t)
	for name, yaml := range map[string]string{
		"HTTP/1.1": "http: {write_timeout: 200ms}",
		"HTTP/2.0": "http: {write_timeout: 200ms, tls: {cert_file: " + certificate + ", key_file: " + key + "}}",
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, yaml)
			c.api = slow(200 * time.Millisecond)
			if name == "HTTP/2.0" {
				c.url = strings.Replace(c.url, "http://", "https://", 1)
				c.http.Transport = &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			}
			for range 2 { // on the same connection
				resp := c.ask("GET", "/api/v1/logs", "")
				assert.Equal(t, name, resp.Proto)
				assert.Equal(t, 4, strings.Count(resp.body, "\n"))
			}
			e := c.audit.await(t, audit.Export, "")
			assert.Equal(t, audit.Success, e.Outcome)
			assert.EqualValues(t, 4*len("{\"line\":0}\n"), e.Bytes)
			assert.Greater(t, e.Duration, 500*time.Millisecond)
			assert.Equal(t, "/api/v1/logs", e.Path)
		})
	}
}

// A deadline of one request is none of a stream that follows on the same connection.
func TestAMountedStreamHasNoDeadline(t *testing.T) {
	c := start(t, "http: {write_timeout: 200ms}")
	_, err := c.Mount("/api/v1/tail", slow(300*time.Millisecond))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, c.ask("GET", "/api/v1/session", "").StatusCode)
	assert.Equal(t, 4, strings.Count(c.ask("GET", "/api/v1/tail", "").body, "\n"))
}

func TestAClientThatTakesNothingIsGone(t *testing.T) {
	c := start(t, "http: {write_timeout: 200ms}")
	ended := make(chan error, 1)
	c.api = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		line := []byte(strings.Repeat("x", 1<<16) + "\n")
		for {
			if _, err := w.Write(line); err != nil {
				ended <- err
				return
			}
		}
	})
	conn, err := net.Dial("tcp", c.address().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET /api/v1/logs HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, err)
	_, err = bufio.NewReaderSize(conn, 16).ReadString('\n')
	require.NoError(t, err)
	select {
	case err := <-ended:
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	case <-time.After(waitFor):
		t.Fatal("still written to")
	}
	e := c.audit.await(t, audit.Export, "")
	assert.Equal(t, audit.Failed, e.Outcome)
}

// What the API refuses itself is recorded, too.
func TestRefusalsOfTheAPIAreRecorded(t *testing.T) {
	c := start(t, authYAML)
	c.api = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	c.ask("GET", "/api/v1/logs?project=support", "", basic("bob")...)
	e := c.audit.await(t, audit.Refusal, reasonProject)
	assert.Equal(t, "bob", e.Subject)
	assert.Equal(t, "project=support", e.Query)
	assert.Equal(t, http.StatusForbidden, e.Status)
}

func TestRequestsThatRunMayEnd(t *testing.T) {
	c := start(t, "")
	entered, leave := make(chan struct{}), make(chan struct{})
	c.api = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		fmt.Fprint(w, "whole")
	})
	got := make(chan response, 1)
	go func() { got <- c.ask("GET", "/api/v1/logs", "") }()
	<-entered
	down := make(chan error, 1)
	go func() { down <- c.Shutdown(t.Context()) }()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	}, waitFor, tick)
	close(leave)
	assert.Equal(t, "whole", (<-got).body)
	require.NoError(t, <-down)
}

// certify makes a certificate for 127.0.0.1.
func certify(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	raw, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "EC PRIVATE KEY", raw)
}
