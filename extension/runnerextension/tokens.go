// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	"github.com/tailrace/tailrace/internal/identity"
)

// tokenAfterlife is how long a token outlives its definition: the last spans of a server may come after its end.
const tokenAfterlife = 5 * time.Minute

// tokens know the identity behind each token that was issued. Tokens are found by their hash, so the time of a
// look-up does not help to guess one. Safe for concurrent use.
type tokens struct {
	mu     sync.RWMutex
	byHash map[[sha256.Size]byte]identity.Identity
	issued map[identity.Identity]issued
}

type issued struct {
	token   string
	expires time.Time // zero: it does not
}

func newTokens() *tokens {
	return &tokens{byHash: map[[sha256.Size]byte]identity.Identity{}, issued: map[identity.Identity]issued{}}
}

// issue returns the token of an identity, of 128 random bits in hex: always the same one, because another one would be a
// change of what a server is started with.
func (t *tokens) issue(id identity.Identity) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, ok := t.issued[id]; ok {
		t.issued[id] = issued{token: known.token}
		return known.token
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	token := hex.EncodeToString(b[:])
	t.byHash[sha256.Sum256([]byte(token))] = id
	t.issued[id] = issued{token: token}
	return token
}

// retire lets the tokens of all other identities expire, and forgets those that have.
func (t *tokens) retire(keep map[identity.Identity]bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, known := range t.issued {
		switch {
		case keep[id]:
		case known.expires.IsZero():
			known.expires = now.Add(tokenAfterlife)
			t.issued[id] = known
		case now.After(known.expires):
			delete(t.issued, id)
			delete(t.byHash, sha256.Sum256([]byte(known.token)))
		}
	}
}

func (t *tokens) resolve(token string) (identity.Identity, bool) {
	hash := sha256.Sum256([]byte(token))
	t.mu.RLock()
	defer t.mu.RUnlock()
	id, ok := t.byHash[hash]
	return id, ok
}

// register lets a token that somebody else made stand for an identity. It reports false when it stands for another one.
func (t *tokens) register(token string, id identity.Identity) bool {
	hash := sha256.Sum256([]byte(token))
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, ok := t.byHash[hash]; ok {
		return known == id
	}
	t.byHash[hash] = id
	return true
}

func (t *tokens) forget(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byHash, sha256.Sum256([]byte(token)))
}
