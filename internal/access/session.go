// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"sync"
	"time"
)

// Session is a login of a browser.
type Session struct {
	// Identity is who logged in. What it may see is decided anew for each request.
	Identity Identity
	// TokenID is the API token that was used for the login, or empty: the session ends with it.
	TokenID string
	// CSRF has to come with each request that changes something.
	CSRF string
	// Expires is when it ends; no use makes it longer.
	Expires time.Time
}

// SameCSRF compares in constant time.
func (s *Session) SameCSRF(token string) bool {
	return subtle.ConstantTimeCompare([]byte(s.CSRF), []byte(token)) == 1
}

type sessionKey [sha256.Size]byte

// sessions are the logins that exist, in memory, and in a file when there is one: without it a restart ends them. Ids are kept hashed, so that
// what leaks from here is no use. Safe for concurrent use.
type sessions struct {
	lifetime time.Duration
	max      int
	now      func() time.Time
	file     *sessionFile // nil: they end with the process
	failed   func(error)  // is told when the file can't be written; they go on in memory

	mu  sync.Mutex
	all map[sessionKey]Session
}

func newSessions(lifetime time.Duration, limit int, now func() time.Time) *sessions {
	return &sessions{lifetime: lifetime, max: limit, now: now, all: map[sessionKey]Session{}}
}

// create begins a session that ends with its lifetime or the identity, whichever is first.
func (s *sessions) create(id Identity, tokenID string) (cookie string, session Session) {
	cookie = randomText()
	session = Session{Identity: id, TokenID: tokenID, CSRF: randomText(), Expires: s.now().Add(s.lifetime)}
	if !id.Expires.IsZero() && id.Expires.Before(session.Expires) {
		session.Expires = id.Expires
	}
	s.mu.Lock()
	if len(s.all) >= s.max {
		s.makeRoom()
	}
	s.all[sha256.Sum256([]byte(cookie))] = session
	s.mu.Unlock()
	s.save()
	return cookie, session
}

// keepIn reads the sessions of a file, and keeps them there from now on. With an error there are none, and the file is written over by the
// next login.
func (s *sessions) keepIn(path string, failed func(error)) error {
	file := &sessionFile{path: path}
	all, err := file.load()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file, s.failed = file, failed
	now := s.now()
	for key, session := range all {
		if now.Before(session.Expires) && len(s.all) < s.max {
			s.all[key] = session
		}
	}
	return err
}

func (s *sessions) save() {
	if s.file == nil {
		return
	}
	if err := s.file.save(s.current); err != nil && s.failed != nil {
		s.failed(err)
	}
}

// current is a copy of those that are not over.
func (s *sessions) current() map[sessionKey]Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	all := make(map[sessionKey]Session, len(s.all))
	for key, session := range s.all {
		if now.Before(session.Expires) {
			all[key] = session
		}
	}
	return all
}

// makeRoom removes what is over, or else the session that ends first. s.mu is held.
func (s *sessions) makeRoom() {
	now := s.now()
	var first sessionKey
	var firstEnds time.Time
	for key, session := range s.all {
		if !now.Before(session.Expires) {
			delete(s.all, key)
		} else if firstEnds.IsZero() || session.Expires.Before(firstEnds) {
			first, firstEnds = key, session.Expires
		}
	}
	if len(s.all) >= s.max {
		delete(s.all, first)
	}
}

func (s *sessions) get(cookie string) (Session, bool) {
	key := sha256.Sum256([]byte(cookie))
	s.mu.Lock()
	defer s.mu.Unlock()
	session, ok := s.all[key]
	if ok && !s.now().Before(session.Expires) {
		delete(s.all, key)
		return Session{}, false
	}
	return session, ok
}

func (s *sessions) remove(cookie string) bool {
	key := sha256.Sum256([]byte(cookie))
	s.mu.Lock()
	_, ok := s.all[key]
	delete(s.all, key)
	s.mu.Unlock()
	if ok {
		s.save()
	}
	return ok
}

func (s *sessions) count() int {
	return len(s.current())
}

// randomText is 256 random bits as text.
func randomText() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}
