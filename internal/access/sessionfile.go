// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// maxSessionFile bounds what is read: a million sessions have less.
const maxSessionFile = 1 << 30

// sessionFile keeps sessions over a restart. It holds hashes of cookies, so that reading it gives no session; who can write it can make one, so
// it is only read when nobody but its owner may write or read it. docs/format/access.md specifies it.
type sessionFile struct {
	path string
	mu   sync.Mutex // one write at a time
}

// storedSessions is the file.
type storedSessions struct {
	Version  int             `json:"version"`
	Sessions []storedSession `json:"sessions"`
}

type storedSession struct {
	// Cookie is the SHA-256 of the cookie's value, in hexadecimal.
	Cookie   string         `json:"cookie"`
	CSRF     string         `json:"csrf"`
	Expires  time.Time      `json:"expires"`
	TokenID  string         `json:"token_id,omitempty"`
	Identity storedIdentity `json:"identity"`
}

type storedIdentity struct {
	Subject       string              `json:"subject"`
	Method        string              `json:"method"`
	Authenticator string              `json:"authenticator"`
	Groups        []string            `json:"groups,omitempty"`
	Claims        map[string][]string `json:"claims,omitempty"`
	Expires       time.Time           `json:"expires,omitzero"`
}

const sessionFileVersion = 1

// load reads the sessions; a file that is not there has none.
func (f *sessionFile) load() (map[sessionKey]Session, error) {
	info, err := os.Lstat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", f.path)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s can be read or written by others (%s): everybody has to log in again; remove it, or chmod 600", f.path, info.Mode().Perm())
	case info.Size() > maxSessionFile:
		return nil, fmt.Errorf("%s is too big for a file of sessions", f.path)
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return nil, err
	}
	return parseSessions(text)
}

func parseSessions(text []byte) (map[sessionKey]Session, error) {
	var stored storedSessions
	if err := json.Unmarshal(text, &stored); err != nil {
		return nil, fmt.Errorf("not a file of sessions: %w", err)
	}
	if stored.Version != sessionFileVersion {
		return nil, fmt.Errorf("a file of sessions of version %d; this release knows %d", stored.Version, sessionFileVersion)
	}
	all := map[sessionKey]Session{}
	for i, s := range stored.Sessions {
		var key sessionKey
		n, err := hex.Decode(key[:], []byte(s.Cookie[:min(len(s.Cookie), 2*len(key))]))
		if err != nil || n != len(key) || len(s.Cookie) != 2*len(key) || len(s.CSRF) < 32 || s.Expires.IsZero() || s.Identity.Subject == "" {
			return nil, fmt.Errorf("session %d is damaged", i+1)
		}
		all[key] = Session{Identity: Identity(s.Identity), TokenID: s.TokenID, CSRF: s.CSRF, Expires: s.Expires}
	}
	return all, nil
}

// save replaces the file by what current returns, as a whole or not at all. Of several at once, the last one has the newest.
func (f *sessionFile) save(current func() map[sessionKey]Session) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	stored := storedSessions{Version: sessionFileVersion, Sessions: []storedSession{}}
	for key, s := range current() {
		stored.Sessions = append(stored.Sessions, storedSession{
			Cookie: hex.EncodeToString(key[:]), CSRF: s.CSRF, Expires: s.Expires, TokenID: s.TokenID, Identity: storedIdentity(s.Identity),
		})
	}
	text, err := json.Marshal(stored)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o750); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+".tmp*") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // not there any more when all went well
	_, err = temp.Write(append(text, '\n'))
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), f.path)
}
