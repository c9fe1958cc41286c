// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// LimitError says that too many credentials were wrong. It wraps ErrUnauthenticated.
type LimitError struct {
	// RetryAfter is when the next try is looked at.
	RetryAfter time.Duration
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("too many wrong credentials; try again in %s", e.RetryAfter.Round(time.Second))
}

// Unwrap makes it an ErrUnauthenticated.
func (e *LimitError) Unwrap() error { return ErrUnauthenticated }

// maxLimited bounds the memory of a limiter.
const maxLimited = 20_000

// limiter counts the wrong credentials of a window of time by key. A try counts before it is known to be wrong, so that many at
// the same time don't get through; a right one is taken back. Safe for concurrent use.
type limiter struct {
	window time.Duration
	now    func() time.Time

	mu  sync.Mutex
	all map[string]*tries
}

type tries struct {
	began time.Time
	n     int
}

// quota is how many tries a key has in a window.
type quota struct {
	key   string
	limit int
}

func newLimiter(window time.Duration, now func() time.Time) *limiter {
	return &limiter{window: window, now: now, all: map[string]*tries{}}
}

// take counts a try for each of the quotas, or for none when one is used up.
func (l *limiter) take(quotas []quota) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	var wait time.Duration
	for _, q := range quotas {
		if t := l.all[q.key]; t != nil && now.Sub(t.began) < l.window && t.n >= q.limit {
			wait = max(wait, t.began.Add(l.window).Sub(now))
		}
	}
	if wait > 0 {
		return &LimitError{RetryAfter: wait}
	}
	for _, q := range quotas {
		t := l.all[q.key]
		if t == nil || now.Sub(t.began) >= l.window {
			l.makeRoom(now)
			t = &tries{began: now}
			l.all[q.key] = t
		}
		t.n++
	}
	return nil
}

// giveBack undoes take.
func (l *limiter) giveBack(quotas []quota) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range quotas {
		if t := l.all[q.key]; t != nil {
			if t.n--; t.n <= 0 {
				delete(l.all, q.key)
			}
		}
	}
}

// makeRoom forgets windows that are over; when those are few, arbitrary ones: an attacker with that many addresses has
// more tries anyway. l.mu is held.
func (l *limiter) makeRoom(now time.Time) {
	if len(l.all) < maxLimited {
		return
	}
	for key, t := range l.all {
		if now.Sub(t.began) >= l.window {
			delete(l.all, key)
		}
	}
	for key := range l.all {
		if len(l.all) < maxLimited/4*3 { // many at once, since each time costs a walk
			return
		}
		delete(l.all, key)
	}
}

// clientKey is the network that an address stands for: whoever has one IPv6 address mostly has 2^64 of them.
func clientKey(client string) string {
	addr, err := netip.ParseAddr(client)
	if err != nil {
		return client
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return addr.String()
}
