// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"github.com/tailrace/tailrace/internal/identity"
)

// tokens know the identity behind each token that was issued. Only hashes are kept, so neither the time
// of a look-up nor a dump of the memory helps to guess one. Safe for concurrent use.
type tokens struct {
	mu     sync.RWMutex
	byHash map[[sha256.Size]byte]identity.Identity
}

func newTokens() *tokens {
	return &tokens{byHash: map[[sha256.Size]byte]identity.Identity{}}
}

// issue returns a new token of 128 random bits, in hex.
func (t *tokens) issue(id identity.Identity) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	token := hex.EncodeToString(b[:])
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byHash[sha256.Sum256([]byte(token))] = id
	return token
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
