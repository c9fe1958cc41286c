// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailclient_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/goleak"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/livetailtest"
	"github.com/tailrace/tailrace/internal/livetail/tailws"
	"github.com/tailrace/tailrace/livetailclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	waitFor = 20 * time.Second
	tick    = 2 * time.Millisecond
)

// follower runs a client and keeps what it gets.
type follower struct {
	mu           sync.Mutex
	bodies       []string
	gaps         []livetailclient.Gap
	connections  int
	disconnected []error
	live         int
	filled       []livetailclient.Filled
	older        []string
	cancel       context.CancelFunc
	ended        chan error
}

// slowShelf is a store with lines, whose first reading is cut off.
type slowShelf struct {
	lines []string
	cut   func()
	wait  chan struct{} // before it is read, nil: not
}

func (s *slowShelf) Settle(context.Context) error { return nil }

func (s *slowShelf) Read(ctx context.Context, q livetail.HistoryQuery) (livetail.HistoryPage, error) {
	page := livetail.HistoryPage{Logs: plog.NewLogs(), Spans: ptrace.NewTraces()}
	if q.Signal != livetail.SignalLog {
		return page, nil
	}
	if s.wait != nil {
		select {
		case <-s.wait:
		case <-ctx.Done():
			return page, ctx.Err()
		}
	}
	for _, line := range s.lines {
		rl := page.Logs.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutStr("project.id", "shop")
		rl.Resource().Attributes().PutStr("server.id", "web-1")
		lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		lr.Body().SetStr(line)
		lr.Attributes().PutStr("log.record.uid", line)
	}
	if s.cut != nil {
		s.cut()
		s.cut = nil
	}
	return page, nil
}

// After a restart the store fills in. A client that is cut off before the end of that has it read again, from where it was.
func TestFilledFromTheStore(t *testing.T) {
	shelf := &slowShelf{lines: []string{"stored 1", "stored 2"}}
	s := livetailtest.Start(t, tailws.Door{}, func(o *livetail.Options) { o.History = shelf })
	f := follow(t, livetailclient.Options{URL: s.URL()}, livetailclient.Subscription{Channel: "server:web-1"})
	f.await(t, func() bool { return f.live == 1 })
	s.Print("shop", "web-1", 0, 1)
	f.await(t, func() bool { return len(f.bodies) == 1 })
	s.Stop()
	shelf.cut = s.Cut
	s.Restart()
	f.await(t, func() bool { return f.live == 2 })
	s.Print("shop", "web-1", 1, 1)
	f.await(t, func() bool { return len(f.bodies) >= 4 })
	f.mu.Lock()
	defer f.mu.Unlock()
	assert.Equal(t, []string{"line 0", "stored 1", "stored 2", "line 1"}, f.bodies)
	require.NotEmpty(t, f.filled)
	assert.Equal(t, livetailclient.Filled{Records: 2, Complete: true, Signals: []string{"log", "score", "span"}}, f.filled[len(f.filled)-1])
	assert.Empty(t, f.gaps)
	assert.GreaterOrEqual(t, f.connections, 3)
}

// Who wants what is there at once gets it, and what the store has when it has been read; what is cut off meanwhile is not asked for again.
func TestOlderAfter(t *testing.T) {
	for _, cut := range []bool{false, true} {
		shelf := &slowShelf{lines: []string{"stored 1", "line 0"}, wait: make(chan struct{})}
		s := livetailtest.Start(t, tailws.Door{}, func(o *livetail.Options) { o.History = shelf })
		s.Print("shop", "web-1", 0, 1)
		f := follow(t, livetailclient.Options{URL: s.URL()}, livetailclient.Subscription{Channel: "server:web-1", Backfill: 10, OlderAfter: true})
		f.await(t, func() bool { return f.live == 1 })
		s.Print("shop", "web-1", 1, 1)
		f.await(t, func() bool { return len(f.bodies) == 2 })
		if cut {
			s.Cut()
			f.await(t, func() bool { return f.live == 2 })
			s.Print("shop", "web-1", 2, 1)
			f.await(t, func() bool { return len(f.bodies) == 3 })
		}
		close(shelf.wait)
		f.await(t, func() bool { return len(f.filled) > 0 })
		f.mu.Lock()
		if cut {
			assert.Equal(t, []string{"line 0", "line 1", "line 2"}, f.bodies)
			assert.Empty(t, f.older)
			assert.False(t, f.filled[0].Complete)
		} else {
			assert.Equal(t, []string{"stored 1", "line 0"}, f.older, "the lines of this shelf have other uids")
			assert.True(t, f.filled[0].Complete)
		}
		assert.True(t, f.filled[0].Older)
		assert.Empty(t, f.gaps)
		f.mu.Unlock()
	}
}

func follow(t *testing.T, opts livetailclient.Options, subs ...livetailclient.Subscription) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{cancel: cancel, ended: make(chan error, 1)}
	opts.MinBackoff, opts.MaxBackoff = time.Millisecond, 20*time.Millisecond
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.ended <- livetailclient.New(opts).Run(ctx, subs, f.event)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

func (f *follower) event(e livetailclient.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range e.Records {
		if e.Older {
			f.older = append(f.older, r.Text())
			continue
		}
		f.bodies = append(f.bodies, r.Text())
	}
	if e.Gap != nil {
		f.gaps = append(f.gaps, *e.Gap)
	}
	if e.Connected {
		f.connections++
	}
	if e.Disconnected != nil {
		f.disconnected = append(f.disconnected, e.Disconnected)
	}
	if e.Filled != nil {
		f.filled = append(f.filled, *e.Filled)
	}
	if e.Live {
		f.live++
	}
	return nil
}

func (f *follower) await(t *testing.T, done func() bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return done()
	}, waitFor, tick)
}

func (f *follower) awaitLines(t *testing.T, n int) {
	t.Helper()
	f.await(t, func() bool { return len(f.bodies) >= n })
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Len(t, f.bodies, n)
	for i, body := range f.bodies {
		require.Equal(t, fmt.Sprint("line ", i), body, "every line once and in order")
	}
}

// Connections break, lines come all the same, and the server is restarted: every line is seen once and in order.
func TestNothingIsLostOrDoubled(t *testing.T) {
	s := livetailtest.Start(t, tailws.Door{}, nil)
	s.Print("shop", "web-1", 0, 10)
	f := follow(t, livetailclient.Options{URL: s.URL()}, livetailclient.Subscription{Channel: "server:web-1", Since: "-87600h"})
	f.awaitLines(t, 10)
	n := 10
	for range 10 {
		s.Cut()
		s.Print("shop", "web-1", n, 7)
		n += 7
		f.awaitLines(t, n)
	}
	s.Restart()
	s.Print("shop", "web-1", n-20, 25) // the sender repeats some
	n += 5
	f.awaitLines(t, n)
	f.mu.Lock()
	defer f.mu.Unlock()
	assert.GreaterOrEqual(t, f.connections, 11)
	require.NotEmpty(t, f.gaps, "that there was another epoch is told")
	assert.Equal(t, "evicted", f.gaps[0].Reason)
	assert.NotEmpty(t, f.gaps[0].Query)
}

func TestLostBeyondTheRing(t *testing.T) {
	s := livetailtest.Start(t, tailws.Door{}, func(o *livetail.Options) { o.RingRecords = 100 })
	f := follow(t, livetailclient.Options{URL: s.URL()}, livetailclient.Subscription{Channel: "server:web-1"})
	f.await(t, func() bool { return f.live == 1 })
	s.Print("shop", "web-1", 0, 10)
	f.awaitLines(t, 10)
	hub := s.Hub()
	s.Cut()
	s.Print("shop", "web-1", 10, 1000)
	f.await(t, func() bool { return len(f.bodies) > 0 && f.bodies[len(f.bodies)-1] == "line 1009" })
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.bodies) < 1010 { // it was not quick enough to be back before
		require.NotEmpty(t, f.gaps)
		assert.Contains(t, f.gaps[0].Query[0], "/api/v1/logs?")
		dropped := len(f.bodies)
		for _, g := range f.gaps {
			require.NotNil(t, g.Dropped)
			dropped += int(*g.Dropped)
		}
		assert.Equal(t, 1010, dropped, "delivered and dropped are what there was")
	}
	assert.Equal(t, hub.Epoch(), s.Hub().Epoch())
}

func TestFilterAndSeveralSubscriptions(t *testing.T) {
	s := livetailtest.Start(t, tailws.Door{}, nil)
	s.Print("shop", "web-1", 0, 20)
	f := follow(t, livetailclient.Options{URL: s.URL()},
		livetailclient.Subscription{Channel: "project:shop", Filter: json.RawMessage(`{"regex":"line 1?1$"}`), Backfill: 100},
		livetailclient.Subscription{Channel: "project:shop", Backfill: 1})
	f.await(t, func() bool { return f.live == 2 && len(f.bodies) == 3 })
	assert.ElementsMatch(t, []string{"line 1", "line 11", "line 19"}, f.bodies)
}

// tokens knows one token.
type tokens struct{}

func (tokens) Authenticate(_ context.Context, h http.Header) (*access.Caller, error) {
	if h.Get("Authorization") != "Bearer secret" {
		return nil, access.ErrUnauthenticated
	}
	return access.NewCaller("ci", "token", time.Time{}, []access.Grant{{Role: access.RoleViewer, Projects: []access.Pattern{"shop"}}}), nil
}

func (tokens) Changed() <-chan struct{} { return nil }

func TestToken(t *testing.T) {
	s := livetailtest.Start(t, tailws.Door{Authority: tokens{}}, nil)
	f := follow(t, livetailclient.Options{URL: s.URL(), Token: "secret"}, livetailclient.Subscription{Channel: "*"})
	f.await(t, func() bool { return f.live == 1 })
	s.Print("bank", "web-1", 0, 5)
	s.Print("shop", "web-1", 0, 5)
	f.awaitLines(t, 5)

	for _, token := range []string{"wrong", ""} { // of no use to try again
		f := follow(t, livetailclient.Options{URL: s.URL(), Token: token}, livetailclient.Subscription{Channel: "*"})
		err := <-f.ended
		require.Error(t, err)
		var closed *livetailclient.CloseError
		if token == "wrong" {
			require.ErrorAs(t, err, &closed)
			assert.Equal(t, 4401, closed.Code)
		}
	}
	f = follow(t, livetailclient.Options{URL: s.URL(), Token: "secret"}, livetailclient.Subscription{Channel: "project:bank"})
	var refused *livetailclient.RequestError
	require.ErrorAs(t, <-f.ended, &refused)
	assert.Equal(t, "FORBIDDEN", refused.Code)
}

func TestErrorsEndIt(t *testing.T) {
	s := livetailtest.Start(t, tailws.Door{}, nil)
	f := follow(t, livetailclient.Options{URL: s.URL()}, livetailclient.Subscription{Channel: "nonsense"})
	require.ErrorContains(t, <-f.ended, "INVALID_CHANNEL")
	f = follow(t, livetailclient.Options{URL: s.URL()}, livetailclient.Subscription{Channel: "*", Filter: json.RawMessage(`{"level":"x"}`)})
	require.ErrorContains(t, <-f.ended, "INVALID_FILTER")
	f = follow(t, livetailclient.Options{URL: "ftp://x"}, livetailclient.Subscription{Channel: "*"})
	require.ErrorContains(t, <-f.ended, "expected http://")
	f = follow(t, livetailclient.Options{URL: s.URL() + "/nothing"}, livetailclient.Subscription{Channel: "*"})
	require.ErrorContains(t, <-f.ended, "404")

	stop := errors.New("enough")
	err := livetailclient.New(livetailclient.Options{URL: s.URL()}).Run(context.Background(), []livetailclient.Subscription{{Channel: "*"}},
		func(e livetailclient.Event) error {
			if e.Live {
				return stop
			}
			return nil
		})
	require.ErrorIs(t, err, stop)
}

func TestServerThatIsAway(t *testing.T) {
	s := livetailtest.Start(t, tailws.Door{}, nil)
	s.Stop()
	f := follow(t, livetailclient.Options{URL: s.URL()}, livetailclient.Subscription{Channel: "*"})
	f.await(t, func() bool { return len(f.disconnected) >= 2 })
	s.Restart()
	f.await(t, func() bool { return f.live == 1 })
	f.cancel()
	require.ErrorIs(t, <-f.ended, context.Canceled)
	once := follow(t, livetailclient.Options{URL: s.URL(), Once: true}, livetailclient.Subscription{Channel: "*"})
	once.await(t, func() bool { return once.live == 1 })
	s.Stop()
	var closed *livetailclient.CloseError
	require.ErrorAs(t, <-once.ended, &closed)
	assert.Equal(t, 4490, closed.Code)
	assert.False(t, closed.Final())
}
