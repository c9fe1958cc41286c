// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSessionsOutliveARestartAndLogoutsToo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "sessions.json")
	now := time.Now()
	clock := func() time.Time { return now }
	begin := func() *sessions {
		s := newSessions(time.Hour, 3, clock)
		require.NoError(t, s.keepIn(path, func(err error) { t.Error(err) }))
		return s
	}
	s := begin()
	ada := Identity{Subject: "ada", Method: "oidc", Authenticator: "oidc", Groups: []string{"ops"}, Claims: map[string][]string{"dept": {"a", "b"}}, Expires: now.Add(30 * time.Minute).UTC()}
	cookie, session := s.create(ada, "")
	gone, _ := s.create(Identity{Subject: "bob"}, "tok1")
	kept, _ := s.create(Identity{Subject: "eve", Method: "token"}, "tok2")
	require.True(t, s.remove(gone))

	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, secret := range []string{cookie, gone, kept} {
		assert.NotContains(t, string(text), secret)
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	s = begin()
	got, ok := s.get(cookie)
	require.True(t, ok)
	assert.Equal(t, session.CSRF, got.CSRF)
	assert.Equal(t, ada, got.Identity)
	assert.WithinDuration(t, ada.Expires, got.Expires, 0)
	_, ok = s.get(gone)
	assert.False(t, ok, "a logout counts after a restart")
	got, ok = s.get(kept)
	assert.True(t, ok)
	assert.Equal(t, "tok2", got.TokenID)
	assert.Equal(t, 2, s.count())

	now = now.Add(31 * time.Minute) // with ada's credential
	assert.Equal(t, 1, begin().count())
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	assert.Len(t, left, 1, "no temporary files")
}

func TestAFileOfSessionsThatIsNoGoodGivesNobodyASession(t *testing.T) {
	good := newSessions(time.Hour, 3, time.Now)
	path := filepath.Join(t.TempDir(), "sessions.json")
	require.NoError(t, good.keepIn(path, nil))
	cookie, _ := good.create(Identity{Subject: "ada"}, "")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for name, spoil := range map[string]func(path string) error{
		"others may write": func(p string) error { return os.Chmod(p, 0o620) },
		"others may read":  func(p string) error { return os.Chmod(p, 0o604) },
		"a link":           func(p string) error { return errors.Join(os.Rename(p, p+".x"), os.Symlink(p+".x", p)) },
		"torn":             func(p string) error { return os.Truncate(p, int64(len(text)/2)) },
		"of another release": func(p string) error {
			return os.WriteFile(p, []byte(strings.Replace(string(text), `"version":1`, `"version":9`, 1)), 0o600)
		},
		"without its end": func(p string) error {
			return os.WriteFile(p, []byte(strings.Replace(string(text), `"expires":"2`, `"expired":"2`, 1)), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := filepath.Join(t.TempDir(), "sessions.json")
			require.NoError(t, os.WriteFile(p, text, 0o600))
			require.NoError(t, spoil(p))
			s := newSessions(time.Hour, 3, time.Now)
			require.Error(t, s.keepIn(p, nil))
			_, ok := s.get(cookie)
			assert.False(t, ok)
			// The next login makes a good one.
			again, _ := s.create(Identity{Subject: "bob"}, "")
			s = newSessions(time.Hour, 3, time.Now)
			require.NoError(t, s.keepIn(p, nil))
			_, ok = s.get(again)
			assert.True(t, ok)
		})
	}
}

func TestSessionsGoOnInMemoryWhenTheFileCanNotBeWritten(t *testing.T) {
	dir := t.TempDir()
	blocked := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(blocked, nil, 0o600))
	s := newSessions(time.Hour, 3, time.Now)
	var told error
	_ = s.keepIn(filepath.Join(blocked, "sessions.json"), func(err error) { told = err })
	cookie, _ := s.create(Identity{Subject: "ada"}, "")
	require.Error(t, told)
	_, ok := s.get(cookie)
	assert.True(t, ok)
}

func FuzzSessionFile(f *testing.F) {
	for _, seed := range []string{``, `{}`, `{"version":1,"sessions":[]}`, `{"version":1,"sessions":[{"cookie":"00","csrf":"","identity":{}}]}`, `{"version":1,"sessions":[{"cookie":"` + strings.Repeat("ab", 32) + `","csrf":"` + strings.Repeat("c", 43) + `","expires":"2026-11-25T12:00:00Z","identity":{"subject":"ada"}}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := parseSessions(text)
		if err != nil && all != nil {
			t.Fatal("sessions of a file that is no good")
		}
		for _, s := range all {
			if s.Expires.IsZero() || s.CSRF == "" || s.Identity.Subject == "" {
				t.Fatalf("a session without end, CSRF token or subject: %+v", s)
			}
		}
	})
}
