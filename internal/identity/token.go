// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"crypto/sha256"
)

// TokenTable maps tokens to identities. It keeps their hashes only, and looking up takes no time that depends on how
// much of a token is right. Immutable after creation, safe for concurrent use.
type TokenTable struct {
	byHash map[[sha256.Size]byte]Identity
}

// NewTokenTable returns an empty table. Add before sharing it.
func NewTokenTable() *TokenTable { return &TokenTable{byHash: map[[sha256.Size]byte]Identity{}} }

// Add enters a token; it reports false for one that is already there.
func (t *TokenTable) Add(token string, id Identity) bool {
	hash := sha256.Sum256([]byte(token))
	if _, ok := t.byHash[hash]; ok {
		return false
	}
	t.byHash[hash] = id
	return true
}

// ResolveToken implements TokenResolver.
func (t *TokenTable) ResolveToken(token string) (Identity, bool) {
	if len(t.byHash) == 0 {
		return Identity{}, false
	}
	id, ok := t.byHash[sha256.Sum256([]byte(token))]
	return id, ok
}
