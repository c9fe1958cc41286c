// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package natsextension

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"

	"github.com/tailrace/tailrace/extension/natsextension/internal/natstest"
)

// certificate writes a certificate of 127.0.0.1, which is its own authority, and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nats"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	return cert, key
}

func exchange(t *testing.T, one, two *collector) {
	t.Helper()
	v := two.view("*", 0)
	one.print("shop", 0, 10)
	v.await(10)
	assert.Equal(t, numbers(0, 10), v.bodies)
}

func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	server := natstest.Start(t, "--tls", "--tlscert", cert, "--tlskey", key)
	one, two := pair(t, server.URL(), func(cfg *Config) {
		cfg.TLS = configoptional.Some(configtls.ClientConfig{Config: configtls.Config{CAFile: cert}})
	})
	exchange(t, one, two)

	// Who does not trust the server does not talk to it.
	stranger := start(t, server.URL(), func(cfg *Config) { cfg.TLS = configoptional.Some(configtls.NewDefaultClientConfig()) })
	v := stranger.view("*", 0)
	stranger.print("shop", 100, 10)
	v.await(10)
	assert.False(t, stranger.cluster.Stats().Connected)
}

func TestToken(t *testing.T) {
	one, two := pair(t, natstest.Start(t, "--auth", "s3cret").URL(), func(cfg *Config) { cfg.Auth.Token = "s3cret" })
	exchange(t, one, two)
}

func TestNKey(t *testing.T) {
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := user.PublicKey()
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	dir := t.TempDir()
	seedFile, config := filepath.Join(dir, "seed"), filepath.Join(dir, "nats.conf")
	require.NoError(t, os.WriteFile(seedFile, seed, 0o600))
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "authorization: {users: [{nkey: %s}]}\n", public), 0o600))
	one, two := pair(t, natstest.Start(t, "-c", config).URL(), func(cfg *Config) { cfg.Auth.NKeySeedFile = seedFile })
	exchange(t, one, two)
}
