// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTokenLife(t *testing.T) {
	f := NewTokenFile(filepath.Join(t.TempDir(), "data", "tokens.json"))
	all, err := f.List()
	require.NoError(t, err)
	require.Empty(t, all)

	token, secret, err := f.Create("ci", "viewer", []Pattern{"shop-*"}, time.Time{})
	require.NoError(t, err)
	require.True(t, IsToken(secret))
	_, _, err = f.Create("ci", "viewer", []Pattern{"shop"}, time.Time{})
	require.ErrorContains(t, err, `there is a token "ci" already`)
	short, shortSecret, err := f.Create("short", "operator", []Pattern{All}, time.Now().Add(time.Hour))
	require.NoError(t, err)

	content, err := os.ReadFile(f.Path())
	require.NoError(t, err)
	for _, s := range []string{secret, shortSecret} {
		require.NotContains(t, string(content), s[strings.LastIndexByte(s, '_')+1:], "the secret is in the file")
	}
	info, err := os.Stat(f.Path())
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())

	tokens, err := f.Load()
	require.NoError(t, err)
	require.Equal(t, 2, tokens.Len())
	got, err := tokens.Lookup(secret, time.Now())
	require.NoError(t, err)
	require.Equal(t, token, got)
	c := got.Caller()
	assert.Equal(t, "token:ci", c.Subject())
	assert.True(t, c.MayRead("shop-eu"))
	assert.False(t, c.MayRead("support"))
	assert.False(t, c.MayOperate("shop-eu"))

	_, err = tokens.Lookup(shortSecret, time.Now().Add(2*time.Hour))
	require.ErrorIs(t, err, ErrUnauthenticated)
	require.ErrorContains(t, err, "expired")
	assert.Equal(t, short.Expires, short.Caller().Expires())

	for _, wrong := range []string{
		"", "tlr_", "tlr__", secret[:len(secret)-1], secret + "x", strings.TrimPrefix(secret, TokenPrefix),
		TokenPrefix + token.ID, TokenPrefix + token.ID + "_", TokenPrefix + short.ID + secret[len(TokenPrefix)+16:],
		TokenPrefix + token.ID + "_" + token.Hash,
	} {
		_, err = tokens.Lookup(wrong, time.Now())
		require.ErrorIs(t, err, ErrUnauthenticated, wrong)
		require.NotContains(t, err.Error(), "expired")
	}
	_, err = (*Tokens)(nil).Lookup(secret, time.Now())
	require.ErrorIs(t, err, ErrUnauthenticated)

	revoked, err := f.Revoke("ci")
	require.NoError(t, err)
	require.Equal(t, token.ID, revoked.ID)
	_, err = f.Revoke(short.ID)
	require.NoError(t, err)
	_, err = f.Revoke("ci")
	require.ErrorContains(t, err, `no token with the id or name "ci"`)
}

func TestTokensAreRefused(t *testing.T) {
	f := NewTokenFile(filepath.Join(t.TempDir(), "tokens.json"))
	for name, create := range map[string]func() error{
		"role":              func() error { _, _, err := f.Create("a", "admin", []Pattern{All}, time.Time{}); return err },
		"projects":          func() error { _, _, err := f.Create("a", "viewer", nil, time.Time{}); return err },
		"must not be empty": func() error { _, _, err := f.Create("", "viewer", []Pattern{All}, time.Time{}); return err },
		"printable":         func() error { _, _, err := f.Create("a\nb", "viewer", []Pattern{All}, time.Time{}); return err },
		"is over": func() error {
			_, _, err := f.Create("a", "viewer", []Pattern{All}, time.Now().Add(-time.Second))
			return err
		},
	} {
		require.ErrorContains(t, create(), name)
	}
	_, err := os.Stat(f.Path())
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestATokenFileThatOthersCanReadIsRefused(t *testing.T) {
	f := NewTokenFile(filepath.Join(t.TempDir(), "tokens.json"))
	_, _, err := f.Create("ci", "viewer", []Pattern{All}, time.Time{})
	require.NoError(t, err)
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602} {
		require.NoError(t, os.Chmod(f.Path(), mode))
		_, err = f.Load()
		require.ErrorContains(t, err, "chmod 600")
		_, err = f.Revoke("ci")
		require.ErrorContains(t, err, "chmod 600")
	}
}

func TestManyWritersLoseNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_, err := NewTokenFile(path).Load() // never half a file
				assert.NoError(t, err)
			}
		}
	})
	for w := range 4 {
		writers.Go(func() {
			for i := range 10 {
				_, _, err := NewTokenFile(path).Create(fmt.Sprint(w, "-", i), "viewer", []Pattern{All}, time.Time{})
				assert.NoError(t, err)
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	all, err := NewTokenFile(path).List()
	require.NoError(t, err)
	require.Len(t, all, 40)
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 2, "the file and its lock")
}

func FuzzParseTokens(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte(`{"version":1,"tokens":[{"id":"0011223344556677","name":"ci","hash":"` + strings.Repeat("ab", 32) +
		`","role":"viewer","projects":["shop"],"created":"2026-01-01T00:00:00Z"}]}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"tokens":[{"id":"","hash":"","role":"operator","projects":["*"]}]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		all, err := parseTokens(content)
		if err != nil {
			return
		}
		tokens := indexTokens(all)
		if tokens.Len() != len(all) {
			t.Fatal("two tokens have one id")
		}
		// A file can't be made so that a credential without a secret passes.
		for _, token := range all {
			for _, guess := range []string{"", TokenPrefix, TokenPrefix + token.ID, TokenPrefix + token.ID + "_", TokenPrefix + token.ID + "_" + token.Hash} {
				if _, err := tokens.Lookup(guess, time.Unix(0, 0)); err == nil {
					t.Fatalf("%q passes", guess)
				}
			}
		}
	})
}
