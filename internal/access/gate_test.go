// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// clock is a time that tests move.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Now().UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// passwords is an authenticator that counts how often it is asked.
type passwords struct {
	asked atomic.Int64
	hold  chan struct{} // nil: answers at once
	id    Identity      // beside the subject
}

func (p *passwords) authenticator() Authenticator {
	return Authenticator{Name: "basicauth", Authenticate: func(ctx context.Context, h http.Header) (Identity, error) {
		p.asked.Add(1)
		if p.hold != nil {
			select {
			case <-p.hold:
			case <-ctx.Done():
				return Identity{}, ctx.Err()
			}
		}
		user, password, ok := (&http.Request{Header: h}).BasicAuth()
		if !ok || password != "secret" {
			return Identity{}, errors.New("no")
		}
		id := p.id
		id.Subject, id.Method = user, "basic"
		return id, nil
	}}
}

func newTestGate(p *passwords, c *clock) *Gate {
	g := NewGate(GateOptions{
		Authenticators: []Authenticator{p.authenticator()}, CookieName: "s", SessionLifetime: time.Hour, MaxSessions: 3, Now: c.now,
	})
	g.SetRules(Rules{
		{Subjects: []Pattern{"ada"}, Role: "operator", Projects: []Pattern{"shop"}},
		{Subjects: []Pattern{"bob"}, Role: "viewer", Projects: []Pattern{"support"}},
	})
	return g
}

func basic(user, password string) http.Header {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header
}

func withToken(secret string) http.Header { return http.Header{"Authorization": {"Bearer " + secret}} }
func withCookie(value string) http.Header { return http.Header{"Cookie": {"s=" + value}} }

func TestGateKnowsNobodyAtFirst(t *testing.T) {
	g := NewGate(GateOptions{CookieName: "s"})
	for _, h := range []http.Header{{}, basic("ada", "secret"), withToken("tlr_x_y"), withToken("jwt"), withCookie("x"), {"Authorization": {"x"}}} {
		_, err := g.Authenticate(t.Context(), h)
		require.ErrorIs(t, err, ErrUnauthenticated)
	}
}

func TestGateDecides(t *testing.T) {
	p, c := &passwords{}, newClock()
	g := newTestGate(p, c)
	caller, err := g.Authenticate(t.Context(), basic("ada", "secret"))
	require.NoError(t, err)
	assert.Equal(t, "ada", caller.Subject())
	assert.Equal(t, "basic", caller.Method())
	assert.True(t, caller.MayOperate("shop"))
	assert.False(t, caller.MayRead("support"))

	// Who is known, but in no rule, sees nothing and can't log in.
	caller, err = g.Authenticate(t.Context(), basic("eve", "secret"))
	require.NoError(t, err)
	assert.Empty(t, caller.Readable())
	_, _, _, err = g.Login(t.Context(), basic("eve", "secret"))
	require.ErrorIs(t, err, ErrForbidden)

	// A wrong credential is not made good by a session.
	cookie, _, _, err := g.Login(t.Context(), basic("ada", "secret"))
	require.NoError(t, err)
	both := basic("ada", "wrong")
	both.Set("Cookie", "s="+cookie)
	_, err = g.Authenticate(t.Context(), both)
	require.ErrorIs(t, err, ErrUnauthenticated)
}

func TestChangedRulesReachEverybody(t *testing.T) {
	g := newTestGate(&passwords{}, newClock())
	cookie, _, _, err := g.Login(t.Context(), basic("ada", "secret"))
	require.NoError(t, err)
	changed := g.Changed()
	select {
	case <-changed:
		t.Fatal("nothing has changed")
	default:
	}
	g.SetRules(Rules{{Subjects: []Pattern{"*"}, Role: "viewer", Projects: []Pattern{"support"}}})
	<-changed
	for _, h := range []http.Header{withCookie(cookie), basic("ada", "secret")} {
		caller, err := g.Authenticate(t.Context(), h)
		require.NoError(t, err)
		assert.Equal(t, []Pattern{"support"}, caller.Readable())
		assert.Empty(t, caller.Operable())
	}
}

func TestSessions(t *testing.T) {
	c := newClock()
	g := newTestGate(&passwords{}, c)
	cookie, session, caller, err := g.Login(t.Context(), basic("ada", "secret"))
	require.NoError(t, err)
	assert.Equal(t, "session", caller.Method())
	assert.Equal(t, session.Expires, caller.Expires())
	assert.True(t, session.SameCSRF(session.CSRF))
	assert.False(t, session.SameCSRF(""))
	assert.NotEqual(t, cookie, session.CSRF)

	_, err = g.Authenticate(t.Context(), withCookie(cookie))
	require.NoError(t, err)
	_, err = g.Authenticate(t.Context(), withCookie(cookie[1:]))
	require.ErrorIs(t, err, ErrUnauthenticated)

	changed := g.Changed()
	g.Logout(cookie)
	<-changed
	_, err = g.Authenticate(t.Context(), withCookie(cookie))
	require.ErrorIs(t, err, ErrUnauthenticated)

	cookie, _, _, err = g.Login(t.Context(), basic("ada", "secret"))
	require.NoError(t, err)
	c.advance(time.Hour)
	_, err = g.Authenticate(t.Context(), withCookie(cookie))
	require.ErrorIs(t, err, ErrUnauthenticated)
	assert.Zero(t, g.Sessions())

	// The oldest makes room.
	var cookies []string
	for range 4 {
		cookie, _, _, err = g.Login(t.Context(), basic("ada", "secret"))
		require.NoError(t, err)
		cookies = append(cookies, cookie)
		c.advance(time.Second)
	}
	assert.Equal(t, 3, g.Sessions())
	_, err = g.Authenticate(t.Context(), withCookie(cookies[0]))
	require.Error(t, err)
	_, err = g.Authenticate(t.Context(), withCookie(cookies[3]))
	require.NoError(t, err)
}

func TestASessionEndsWithItsCredential(t *testing.T) {
	c := newClock()
	p := &passwords{id: Identity{Expires: c.now().Add(10 * time.Minute)}}
	g := newTestGate(p, c)
	cookie, _, caller, err := g.Login(t.Context(), basic("ada", "secret"))
	require.NoError(t, err)
	assert.Equal(t, p.id.Expires, caller.Expires())
	c.advance(10 * time.Minute)
	_, err = g.Authenticate(t.Context(), withCookie(cookie))
	require.ErrorIs(t, err, ErrUnauthenticated)
	_, err = g.Authenticate(t.Context(), basic("ada", "secret"))
	require.ErrorIs(t, err, ErrUnauthenticated, "an expired credential is no good, remembered or not")

	f := NewTokenFile(filepath.Join(t.TempDir(), "tokens.json"))
	_, secret, err := f.Create("ci", "viewer", []Pattern{"shop"}, time.Time{})
	require.NoError(t, err)
	tokens, err := f.Load()
	require.NoError(t, err)
	g.SetTokens(tokens)
	cookie, _, _, err = g.Login(t.Context(), withToken(secret))
	require.NoError(t, err)
	caller, err = g.Authenticate(t.Context(), withCookie(cookie))
	require.NoError(t, err)
	assert.Equal(t, "token:ci", caller.Subject())
	assert.Equal(t, []Pattern{"shop"}, caller.Readable())
	changed := g.Changed()
	g.SetTokens(nil)
	<-changed
	for _, h := range []http.Header{withCookie(cookie), withToken(secret)} {
		_, err = g.Authenticate(t.Context(), h)
		require.ErrorIs(t, err, ErrUnauthenticated)
	}
}

// A user may be called as a token is: what the token may, is not his.
func TestASubjectIsNoToken(t *testing.T) {
	impostor := Authenticator{Name: "oidc", Authenticate: func(context.Context, http.Header) (Identity, error) {
		return Identity{Subject: "token:ci", Method: "oidc"}, nil
	}}
	g := NewGate(GateOptions{Authenticators: []Authenticator{impostor}, CookieName: "s", SessionLifetime: time.Hour, MaxSessions: 3})
	f := NewTokenFile(filepath.Join(t.TempDir(), "tokens.json"))
	_, _, err := f.Create("ci", "operator", []Pattern{All}, time.Time{})
	require.NoError(t, err)
	tokens, err := f.Load()
	require.NoError(t, err)
	g.SetTokens(tokens)
	caller, err := g.Authenticate(t.Context(), withToken("jwt"))
	require.NoError(t, err)
	assert.Equal(t, "token:ci", caller.Subject())
	assert.Empty(t, caller.Readable())
}

func TestWrongPasswordsAreLimited(t *testing.T) {
	p, c := &passwords{}, newClock()
	g := newTestGate(p, c)
	from := func(client string) context.Context { return WithClient(t.Context(), client) }
	var limited *LimitError
	for i := range limitPerName {
		_, err := g.Authenticate(from("192.0.2.1"), basic("ada", fmt.Sprint(i)))
		require.ErrorIs(t, err, ErrUnauthenticated)
		require.False(t, errors.As(err, &limited), "%d", i)
	}
	_, err := g.Authenticate(from("192.0.2.1"), basic("ADA", "secret"))
	require.ErrorAs(t, err, &limited)
	require.ErrorIs(t, err, ErrUnauthenticated)
	assert.Greater(t, limited.RetryAfter, time.Duration(0))
	assert.LessOrEqual(t, limited.RetryAfter, limitWindow)
	asked := p.asked.Load()

	// Others, and another name, are not hit; nor are sessions and tokens.
	_, err = g.Authenticate(from("192.0.2.2"), basic("ada", "secret"))
	require.NoError(t, err)
	_, err = g.Authenticate(from("192.0.2.1"), basic("bob", "secret"))
	require.NoError(t, err)
	assert.Equal(t, asked+2, p.asked.Load())

	c.advance(limitWindow)
	_, err = g.Authenticate(from("192.0.2.1"), basic("ada", "secret"))
	require.NoError(t, err)

	// What is no password can't be guessed, so the same wrong one is stopped, and no other.
	for i := range 10 * limitPerClient {
		_, err := g.Authenticate(from("192.0.2.9"), withToken(fmt.Sprint("jwt", i)))
		require.False(t, errors.As(err, &limited))
	}
	for range limitPerName {
		_, err = g.Authenticate(from("192.0.2.9"), withToken("jwt"))
		require.False(t, errors.As(err, &limited))
	}
	_, err = g.Authenticate(from("192.0.2.9"), withToken("jwt"))
	require.ErrorAs(t, err, &limited)

	// One client with many names.
	for i := 0; ; i++ {
		_, err = g.Authenticate(from("2001:db8::"+fmt.Sprint(i)), basic(fmt.Sprint("user", i), "x"))
		if errors.As(err, &limited) {
			assert.Equal(t, limitPerClient, i)
			break
		}
		require.Less(t, i, 1000)
	}
}

// Guesses at the same time don't get through before the first answer is there.
func TestWrongPasswordsAtOnceAreLimited(t *testing.T) {
	p := &passwords{hold: make(chan struct{})}
	g := newTestGate(p, newClock())
	var limited atomic.Int64
	var done sync.WaitGroup
	for i := range 10 * limitPerName {
		done.Go(func() {
			_, err := g.Authenticate(context.Background(), basic("ada", fmt.Sprint(i)))
			if errors.As(err, new(*LimitError)) {
				if limited.Add(1) == 9*limitPerName {
					close(p.hold)
				}
			}
		})
	}
	done.Wait()
	assert.EqualValues(t, limitPerName, p.asked.Load())
}

// A page asks for much at once: its credential is checked once, and is no reason for a limit.
func TestARightPasswordIsCheckedOnce(t *testing.T) {
	p, c := &passwords{hold: make(chan struct{})}, newClock()
	g := newTestGate(p, c)
	var done sync.WaitGroup
	for range 10 * limitPerName {
		done.Go(func() {
			caller, err := g.Authenticate(context.Background(), basic("ada", "secret"))
			assert.NoError(t, err)
			assert.True(t, caller.MayRead("shop"))
		})
	}
	require.Eventually(t, func() bool { return p.asked.Load() == 1 }, 10*time.Second, time.Millisecond)
	close(p.hold)
	done.Wait()
	assert.EqualValues(t, 1, p.asked.Load())
	c.advance(rememberFor)
	_, err := g.Authenticate(t.Context(), basic("ada", "secret"))
	require.NoError(t, err)
	assert.EqualValues(t, 2, p.asked.Load())
}

func TestARequestThatIsGoneDoesNotWait(t *testing.T) {
	p := &passwords{hold: make(chan struct{})}
	g := newTestGate(p, newClock())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := g.Authenticate(ctx, basic("ada", "secret"))
	require.ErrorIs(t, err, context.Canceled)
	close(p.hold)
	_, err = g.Authenticate(t.Context(), basic("ada", "secret"))
	require.NoError(t, err)
	assert.EqualValues(t, 1, p.asked.Load())
}

func TestLimiterForgets(t *testing.T) {
	c := newClock()
	l := newLimiter(time.Minute, c.now)
	for i := range 3 * maxLimited {
		require.NoError(t, l.take([]quota{{fmt.Sprint(i), 1}}))
	}
	assert.LessOrEqual(t, len(l.all), maxLimited)
}

func TestOpen(t *testing.T) {
	caller, err := Open().Authenticate(t.Context(), nil)
	require.NoError(t, err)
	assert.True(t, caller.MayOperate("anything"))
	assert.Nil(t, Open().Changed())
}
