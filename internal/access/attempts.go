// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// rememberFor is how long a credential that an authenticator accepted is not shown to it again: checking a password costs
	// tens of milliseconds by design, and a page asks for much at once.
	rememberFor = 30 * time.Second
	// maxRemembered bounds that memory.
	maxRemembered = 4096
	// askTimeout bounds an authenticator, which may ask a server.
	askTimeout = 10 * time.Second

	// Wrong credentials a window: of a client for one name, and of a client for any.
	limitWindow    = time.Minute
	limitPerName   = 10
	limitPerClient = 50
)

// Authenticator knows credentials that are no API tokens.
type Authenticator struct {
	// Name is the component.ID of the extension.
	Name string
	// Authenticate tells whose the credential in the headers is. Any error means that it is no good.
	Authenticate func(ctx context.Context, headers http.Header) (Identity, error)
}

// attempts asks authenticators, one question at a time for each credential, and limits wrong answers. It keeps
// credentials only under a key of this process.
type attempts struct {
	authenticators []Authenticator
	headers        []string // that hold credentials, canonical
	limiter        *limiter
	now            func() time.Time
	key            []byte

	mu  sync.Mutex
	all map[[sha256.Size]byte]*attempt
}

type attempt struct {
	done     chan struct{} // closed when the rest is valid
	identity Identity
	err      error
	at       time.Time
}

func newAttempts(authenticators []Authenticator, headers []string, now func() time.Time) *attempts {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return &attempts{
		authenticators: authenticators, headers: headers, limiter: newLimiter(limitWindow, now), now: now, key: key,
		all: map[[sha256.Size]byte]*attempt{},
	}
}

// ask returns whose the credential is.
func (a *attempts) ask(ctx context.Context, headers http.Header) (Identity, error) {
	if len(a.authenticators) == 0 {
		return Identity{}, ErrUnauthenticated
	}
	key := a.sum(headers)
	now := a.now()
	a.mu.Lock()
	one := a.all[key]
	if one == nil || one.over(now) {
		quotas := a.quotas(ctx, headers)
		if err := a.limiter.take(quotas); err != nil {
			a.mu.Unlock()
			return Identity{}, err
		}
		one = &attempt{done: make(chan struct{})}
		a.makeRoom(now)
		a.all[key] = one
		// Not under this request's cancellation: others may wait for the same answer.
		go a.run(context.WithoutCancel(ctx), key, one, headers.Clone(), quotas)
	}
	a.mu.Unlock()
	select {
	case <-one.done:
		return one.identity, one.err
	case <-ctx.Done():
		return Identity{}, ctx.Err()
	}
}

func (a *attempts) run(ctx context.Context, key [sha256.Size]byte, one *attempt, headers http.Header, quotas []quota) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	one.identity, one.err = a.first(ctx, headers)
	one.at = a.now()
	if one.err == nil {
		a.limiter.giveBack(quotas)
	} else {
		a.mu.Lock() // a wrong one is asked for again
		delete(a.all, key)
		a.mu.Unlock()
	}
	close(one.done)
}

// first asks one authenticator after the other.
func (a *attempts) first(ctx context.Context, headers http.Header) (Identity, error) {
	for _, auth := range a.authenticators {
		id, err := auth.Authenticate(ctx, headers)
		if err != nil || id.Subject == "" {
			continue // why is theirs to log: an error may hold the credential
		}
		if !id.Expires.IsZero() && !a.now().Before(id.Expires) {
			continue
		}
		id.Authenticator = auth.Name
		return id, nil
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return Identity{}, errors.New("the authenticator did not answer in time")
	}
	return Identity{}, ErrUnauthenticated
}

// over reports whether the answer has to be found again.
func (t *attempt) over(now time.Time) bool {
	select {
	case <-t.done:
		return now.Sub(t.at) >= rememberFor || (!t.identity.Expires.IsZero() && !now.Before(t.identity.Expires))
	default:
		return false
	}
}

// makeRoom forgets old answers. a.mu is held.
func (a *attempts) makeRoom(now time.Time) {
	if len(a.all) < maxRemembered {
		return
	}
	for key, one := range a.all {
		if one.over(now) {
			delete(a.all, key)
		}
	}
	for key := range a.all {
		if len(a.all) < maxRemembered/4*3 { // many at once, since each time costs a walk
			return
		}
		delete(a.all, key) // who waits for it has it
	}
}

// has reports whether one of the headers holds a credential.
func (a *attempts) has(headers http.Header) bool {
	for _, name := range a.headers {
		if headers.Get(name) != "" {
			return true
		}
	}
	return false
}

func (a *attempts) sum(headers http.Header) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, a.key)
	for _, name := range a.headers {
		for _, value := range headers.Values(name) {
			h.Write([]byte(name + "\x00" + value + "\x00"))
		}
	}
	h.Sum(sum[:0])
	return sum
}

// quotas are those of the client, and of the client with the name that it claims. What is no password can't be guessed: there only
// the same wrong credential, over and over, is stopped, so that one forgotten script does not lock out all who share its address.
func (a *attempts) quotas(ctx context.Context, headers http.Header) []quota {
	client := clientKey(ClientFrom(ctx))
	if user, _, ok := (&http.Request{Header: headers}).BasicAuth(); ok {
		return []quota{{client + "\x00" + strings.ToLower(user), limitPerName}, {client, limitPerClient}}
	}
	sum := a.sum(headers)
	return []quota{{client + "\x00\x00" + string(sum[:]), limitPerName}}
}

type clientContextKey struct{}

// WithClient returns a context that says which address a request comes from; limits are counted by it.
func WithClient(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, clientContextKey{}, address)
}

// ClientFrom is the address of WithClient; "" without one.
func ClientFrom(ctx context.Context) string {
	address, _ := ctx.Value(clientContextKey{}).(string)
	return address
}
