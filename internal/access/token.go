// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// TokenPrefix begins every API token, so that a scanner for leaked secrets, and we, can tell one.
const TokenPrefix = "tlr_"

// Limits of tokens.
const (
	maxTokens    = 10_000
	maxTokenName = 128
	tokenIDBytes = 8
	secretBytes  = 32
)

// Token is an API token as it is kept: without its secret, of which there is a hash only. The secret is 256 random bits, so that a plain
// SHA-256 is as good as a slow hash.
type Token struct {
	// ID is the public part, 16 hex digits.
	ID string `json:"id"`
	// Name is for people; unique.
	Name string `json:"name"`
	// Hash is the SHA-256 of the secret part, in hex.
	Hash string `json:"hash"`
	// Role is viewer or operator.
	Role string `json:"role"`
	// Projects are the projects.
	Projects []Pattern `json:"projects"`
	// Created and Expires are times in UTC; a zero Expires never comes.
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
}

// Expired reports whether the token's time is over.
func (t *Token) Expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// Caller is whom the token stands for.
func (t *Token) Caller() *Caller {
	role, err := ParseRole(t.Role)
	if err != nil {
		return NewCaller("token:"+t.Name, "token", t.Expires, nil)
	}
	return NewCaller("token:"+t.Name, "token", t.Expires, []Grant{{Role: role, Projects: t.Projects}})
}

func (t *Token) validate() error {
	var errs []error
	if id, err := hex.DecodeString(t.ID); err != nil || len(id) != tokenIDBytes {
		errs = append(errs, fmt.Errorf("id: must be %d hex digits", 2*tokenIDBytes))
	}
	if hash, err := hex.DecodeString(t.Hash); err != nil || len(hash) != sha256.Size {
		errs = append(errs, fmt.Errorf("hash: must be %d hex digits", 2*sha256.Size))
	}
	if err := ValidateTokenName(t.Name); err != nil {
		errs = append(errs, fmt.Errorf("name: %w", err))
	}
	if _, err := ParseRole(t.Role); err != nil {
		errs = append(errs, fmt.Errorf("role: %w", err))
	}
	if len(t.Projects) == 0 {
		errs = append(errs, errors.New("projects: must not be empty; * are all projects"))
	}
	for _, p := range t.Projects {
		if err := p.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("projects: %w", err))
		}
	}
	return errors.Join(errs...)
}

// ValidateTokenName says what is wrong with the name of a token.
func ValidateTokenName(name string) error {
	switch {
	case name == "":
		return errors.New("must not be empty: say what the token is for, such as ci or grafana")
	case len(name) > maxTokenName:
		return fmt.Errorf("must not be longer than %d bytes", maxTokenName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("must be printable text")
	}
	return nil
}

// newToken makes a token and its secret, which is shown once.
func newToken(name, role string, projects []Pattern, now, expires time.Time) (Token, string) {
	random := make([]byte, tokenIDBytes+secretBytes)
	_, _ = rand.Read(random) // never fails
	id := hex.EncodeToString(random[:tokenIDBytes])
	secret := base64.RawURLEncoding.EncodeToString(random[tokenIDBytes:])
	return Token{
		ID: id, Name: name, Hash: hashSecret(secret), Role: role, Projects: projects,
		Created: now.UTC().Truncate(time.Second), Expires: expires.UTC(),
	}, TokenPrefix + id + "_" + secret
}

func hashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// IsToken reports whether a credential has the form of one of our API tokens.
func IsToken(credential string) bool { return strings.HasPrefix(credential, TokenPrefix) }

// Tokens is an immutable set of API tokens, ready to be looked up. nil is empty.
type Tokens struct {
	byID map[string]Token
}

// Lookup returns the token that a credential is. Which tokens exist can't be learned from its time: ids are public, and
// of the secret the hash is compared in constant time, against something also when the id is unknown.
func (ts *Tokens) Lookup(credential string, now time.Time) (Token, error) {
	id, secret, _ := strings.Cut(strings.TrimPrefix(credential, TokenPrefix), "_")
	token, known := ts.ByID(id)
	want := token.Hash
	if !known {
		want = strings.Repeat("0", 2*sha256.Size)
	}
	same := subtle.ConstantTimeCompare([]byte(hashSecret(secret)), []byte(want)) == 1
	switch {
	case !known || !same || !IsToken(credential):
		return Token{}, fmt.Errorf("%w: this API token is not known; `tailctl token list` shows those that are", ErrUnauthenticated)
	case token.Expired(now):
		return Token{}, fmt.Errorf("%w: the API token %q expired at %s", ErrUnauthenticated, token.Name, token.Expires.Format(time.RFC3339))
	}
	return token, nil
}

// ByID returns a token by its id, expired ones too.
func (ts *Tokens) ByID(id string) (Token, bool) {
	if ts == nil {
		return Token{}, false
	}
	t, ok := ts.byID[id]
	return t, ok
}

// Len is the number of tokens.
func (ts *Tokens) Len() int {
	if ts == nil {
		return 0
	}
	return len(ts.byID)
}

// tokenFile is the content of the file. docs/format/access.md specifies it.
type tokenFile struct {
	Version int     `json:"version"`
	Tokens  []Token `json:"tokens"`
}

// parseTokens reads the content of a token file; an empty one holds no tokens.
func parseTokens(content []byte) ([]Token, error) {
	if len(content) == 0 {
		return nil, nil
	}
	var file tokenFile
	if err := json.Unmarshal(content, &file); err != nil {
		return nil, err
	}
	if file.Version != 1 {
		return nil, fmt.Errorf("version %d is not known; this program knows version 1", file.Version)
	}
	if len(file.Tokens) > maxTokens {
		return nil, fmt.Errorf("more than %d tokens", maxTokens)
	}
	ids, names := map[string]bool{}, map[string]bool{}
	for i := range file.Tokens {
		t := &file.Tokens[i]
		if err := t.validate(); err != nil {
			return nil, fmt.Errorf("token %d: %w", i, err)
		}
		if ids[t.ID] || names[t.Name] {
			return nil, fmt.Errorf("token %d: another one has the id %s or the name %q", i, t.ID, t.Name)
		}
		ids[t.ID], names[t.Name] = true, true
	}
	return file.Tokens, nil
}

func indexTokens(all []Token) *Tokens {
	ts := &Tokens{byID: make(map[string]Token, len(all))}
	for _, t := range all {
		ts.byID[t.ID] = t
	}
	return ts
}

// Sum tells two sets of tokens apart.
func (ts *Tokens) Sum() []byte {
	h := sha256.New()
	if ts != nil {
		for _, id := range slices.Sorted(maps.Keys(ts.byID)) {
			t := ts.byID[id]
			fmt.Fprintf(h, "%q", []any{t.ID, t.Name, t.Hash, t.Role, t.Projects, t.Expires.UnixNano()})
		}
	}
	return h.Sum(nil)
}
